namespace Peft.Synthetic

open Peft
open Peft.Synthetic.ChoiceInstructions
open Peft.Synthetic.WordInstructions
open Peft.Synthetic.SentenceInstructions
open Peft.Synthetic.TextInstructions
open Peft.Synthetic.PassageInstructions

/// One instruction with its answer, and the family of tasks that it comes from.
type Instruction =
    {
        Family: string
        Input: string
        Target: string
    }

/// Instruction pairs to pretrain on, from many small families of tasks. The four benchmark tasks are held out: no
/// family asks for a news topic, for acceptability, for a text from attributes or for a summary of a dialogue.
[<RequireQualifiedAccess>]
module Instructions =
    let private makers: (string * (Chance -> string * string))[] =
        [|
            "membership", membership
            "which is", whichIs
            "kind of thing", kindOf
            "sentiment", sentiment
            "copy", copy
            "reverse", reverse
            "plural", plural
            "singular", singular
            "past tense", pastTense
            "name the tense", tense
            "reading", reading
            "fields", fields
            "completion", completion
            "opposite", opposite
            "same meaning", sameMeaning
            "count words", countWords
            "gap", gap
            "word order", ordering
            "title", title
            "spelling", spelling
            "extraction", extraction
            "digits", digits
            "number words", numberWords
            "larger number", larger
            "addition", addition
            "nth word", nth
            "alphabet", alphabet
            "pronoun", pronoun
            "negation", negation
            "question", toQuestion
            "joining", joining
            "what is asked", asksFor
            "speaker", speaker
            "kind of text", genre
            "occupation", occupation
            "who did it", doer
            "statement", statement
            "belonging together", together
            "continuation", continuation
            "conversation", conversation
            "correction", correction
            // Reading and choosing carry over to other tasks, so they come more often.
            "sentiment", sentiment
            "reading", reading
            "reading", reading
            "kind of thing", kindOf
            "membership", membership
            "title", title
            "what is asked", asksFor
            "kind of text", genre
            "occupation", occupation
            "occupation", occupation
            "who did it", doer
            "statement", statement
            "belonging together", together
            "conversation", conversation
            "correction", correction
        |]

    /// The families of tasks.
    let families: string[] = makers |> Array.map fst |> Array.distinct

    /// Instruction `index` of the endless stream of a seed.
    let example (seed: int) (index: int) : Instruction =
        let chance = Chance.ofRow "instructions" seed index
        let family, make = chance.Pick makers
        let input, target = make chance

        {
            Family = family
            Input = input.Trim()
            Target = target
        }

    /// The endless stream of a seed, as input and target.
    let examples (seed: int) : (string * string) seq =
        Seq.initInfinite (example seed)
        |> Seq.map (fun found -> found.Input, found.Target)
