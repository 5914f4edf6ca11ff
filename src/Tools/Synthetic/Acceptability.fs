namespace Peft.Synthetic

open Peft
open Peft.Synthetic.Phrases
open Peft.Synthetic.AgreementPairs
open Peft.Synthetic.OrderPairs
open Peft.Synthetic.FormPairs

/// Sentences to judge as grammatical or not, as minimal pairs: both sides of a pair come from one construction, so that
/// nothing but the grammar tells them apart.
[<RequireQualifiedAccess>]
module Acceptability =
    /// The answers.
    let labels: string[] = [| "acceptable"; "unacceptable" |]

    /// The share of acceptable rows; CoLA's is about 70 %.
    let acceptableShare = 0.68

    // How often each construction comes: mistakes that show in neighbouring words are common,
    // so that ten thousand rows teach most of them, and mistakes over a distance are rare.
    let private constructions: (Source -> MinimalPair)[] =
        [|
            1, agreement
            1, distantAgreement
            1, relativeAgreement
            2, existential
            2, determinerNumber
            3, article
            1, missingArticle
            3, doubleDeterminer
            1, adjectiveOrder
            1, objectOrder
            3, modalForm
            1, perfectForm
            2, progressiveForm
            4, doSupport
            2, questionOrder
            1, missingObject
            1, extraObject
            1, missingSubject
            1, missingVerb
            2, reflexive
            3, pronounCase
            3, infinitive
            2, gerund
            1, preposition
            3, comparative
            1, passive
            1, massNoun
            1, tagQuestion
            1, dative
            2, coordination
            1, adverbForm
        |]
        |> Array.collect (fun (times, construction) -> Array.replicate times construction)

    /// A frame around the sentence that keeps it what it is, for variety.
    let private framed (source: Source) (sentences: MinimalPair) : MinimalPair =
        let isQuestion = sentences.Good.EndsWith '?'

        if isQuestion || source.Chance.Odds 0.75 then
            sentences
        else
            let name = source.Name()

            let frame =
                match source.Chance.Below 6 with
                | 0 -> $"{name} said that "
                | 1 -> $"{name} thinks that "
                | 2 -> "it is true that "
                | 3 -> $"{name} knew that "
                | 4 -> "everybody says that "
                | _ -> $"I heard from {name} that "

            { sentences with
                Good = frame + sentences.Good
                Bad = frame + sentences.Bad
            }

    /// The pair behind row `index`.
    let minimalPair (seed: int) (index: int) : MinimalPair =
        let source = Source(Chance.ofRow "acceptability" seed index)
        let sentences = framed source ((source.Chance.Pick constructions) source)

        { sentences with
            Good = Inflect.finish sentences.Good
            Bad = Inflect.finish sentences.Bad
        }

    /// Row `index` of the endless stream of a seed: one side of its minimal pair.
    let row (seed: int) (index: int) : Example =
        let sentences = minimalPair seed index

        if (Chance.ofRow "acceptability side" seed index).Odds acceptableShare then
            {
                Input = sentences.Good
                Target = labels[0]
            }
        else
            {
                Input = sentences.Bad
                Target = labels[1]
            }

    let task: SyntheticTask =
        {
            Name = "acceptability"
            Columns = "sentence", "label"
            Labels = labels
            Row = row
        }
