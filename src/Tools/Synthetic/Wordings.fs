namespace Peft.Synthetic

open Peft
open System

/// How instructions are worded, and the texts that they are about.
module internal Wordings =
    // A wording holds `{}` where the text goes.
    let ask (chance: Chance) (wordings: string[]) (text: string) =
        (chance.Pick wordings).Replace("{}", text)

    /// A question with its options, in the styles `Is this …? OPTIONS: yes, no. <text>` and `… OPTIONS: - yes - no <text>`.
    let choose (chance: Chance) (questions: string[]) (options: string[]) (text: string) =
        let shuffled = chance.Shuffle options

        let listed =
            if chance.Odds 0.5 then
                String.Join(", ", shuffled) + "."
            else
                "- " + String.Join(" - ", shuffled)

        let question = chance.Pick questions

        chance.Pick
            [|
                $"{question} OPTIONS: {listed} {text}"
                $"{question} OPTIONS: {listed} {text}"
                $"{text} {question} OPTIONS: {listed}"
                $"OPTIONS: {listed} {question} {text}"
            |]

    let yesNo (chance: Chance) =
        chance.Pick
            [|
                "yes", "no"
                "yes", "no"
                "true", "false"
                "right", "wrong"
                "correct", "incorrect"
            |]

    let allWords = lazy (Lexicon.kinds |> Array.collect snd)
    /// The lexicon with what opinions are made of.
    let reviews = lazy (Lexicon.rules |> Rules.extend (WordLists.rules "reviews"))

    let write (chance: Chance) = Template.expand Lexicon.rules [] chance

    let text (chance: Chance) =
        write
            chance
            (chance.Pick
                [|
                    "The {trait} {person} {transitive:past} the {colour} {thing}."
                    "{name} {transitive:past} a(n) {quality} {thing} in the {venue}."
                    "The {size} {creature} {intransitive:past} {manner} behind the {furniture}."
                    "{name} wants to {activity} with the {person}."
                    "On {day}, {name} went to {town} by {vehicle}."
                    "There are {few} {creature:s} and {few} {thing:s} near the {venue}."
                    "My {relative} is a(n) {trait} {job} in {country}."
                    "{name} likes {fruit:s}, {vegetable:s} and {drink}."
                |])

    let bare (sentence: string) = sentence.TrimEnd '.'

    // Kinds overlap in one place: birds and insects are animals.
    let isOther kind other =
        other <> kind
        && not (Set.isSubset (set [ kind; other ]) (set [ "animal"; "bird"; "insect" ]))

    let nouns =
        lazy
            (Array.concat [ Lexicon.things; Lexicon.people; allWords.Value ]
             |> Array.distinct)
