namespace Peft.Synthetic

open Peft
open System
open Peft.Synthetic.Wordings

/// Instructions that change one sentence.
module internal SentenceInstructions =
    let copy (chance: Chance) =
        let sentence = text chance

        ask
            chance
            [|
                "Copy the text: {}"
                "Repeat this: {}"
                "Write the same again: {}"
                "Say it again, word for word. {}"
            |]
            sentence,
        sentence

    let pastTense (chance: Chance) =
        let subject =
            write chance (chance.Pick [| "{name}"; "the {trait} {person}"; "the {person}" |])

        let rest =
            write
                chance
                (chance.Pick
                    [|
                        "the {quality} {thing}"
                        "a(n) {thing}"
                        "the {colour} {thing} in the {venue}"
                    |])
            |> Inflect.small

        let verb = chance.Pick Lexicon.transitive
        let present = Inflect.finish $"{subject} {Inflect.third verb} {rest}."
        let past = Inflect.finish $"{subject} {Inflect.past verb} {rest}."

        if chance.Odds 0.7 then
            ask
                chance
                [|
                    "Write the sentence in the past tense: {}"
                    "Put it into the past: {}"
                    "Say that it happened yesterday: {}"
                    "What is the past tense of this sentence? {}"
                |]
                present,
            past
        else
            ask
                chance
                [|
                    "Write the sentence in the present tense: {}"
                    "Put it into the present: {}"
                |]
                past,
            present

    let ordering (chance: Chance) =
        let sentence = text chance
        let words = sentence.Split ' '

        ask
            chance
            [|
                "Put the words in order: {}"
                "Make a sentence from these words: {}"
                "Sort the words into a sentence: {}"
            |]
            (String.Join(" ", chance.Shuffle words |> Array.map (fun word -> word.TrimEnd('.', ',')))),
        sentence.Replace(",", "")

    let pronoun (chance: Chance) =
        let person = (Character.cast 1 chance).Head
        let rest = write chance "{transitive:past} the {quality} {thing}" |> Inflect.small
        let more = write chance "went to the {venue}" |> Inflect.small

        ask
            chance
            [|
                "Replace the name by he or she: {}"
                "Use he or she instead of the name: {}"
            |]
            $"{person.Name} {rest} and {more}.",
        $"{Inflect.capital person.She} {rest} and {more}."

    let negation (chance: Chance) =
        let subject =
            write chance (chance.Pick [| "{name}"; "the {person}"; "my {relative}" |])

        let verb = chance.Pick Lexicon.transitive
        let rest = write chance "the {quality} {thing}" |> Inflect.small
        let isPast = chance.Odds 0.5

        let positive, auxiliary =
            if isPast then
                Inflect.past verb, "did"
            else
                Inflect.third verb, "does"

        let said = $"{subject} {positive} {rest}."
        let denied = $"{subject} {auxiliary} not {verb} {rest}."

        if chance.Odds 0.6 then
            ask
                chance
                [|
                    "Say that it is not so: {}"
                    "Make the sentence negative: {}"
                    "Deny this: {}"
                |]
                said,
            denied
        else
            ask chance [| "Say that it is so: {}"; "Make the sentence positive: {}" |] denied, said

    let toQuestion (chance: Chance) =
        let subject =
            write chance (chance.Pick [| "{name}"; "the {person}"; "my {relative}" |])

        let verb = chance.Pick Lexicon.transitive
        let rest = write chance "the {quality} {thing}" |> Inflect.small
        let isName = not (subject.StartsWith "The " || subject.StartsWith "My ")
        let inside = if isName then subject else Inflect.small subject

        ask
            chance
            [|
                "Make it a question: {}"
                "Turn the sentence into a question: {}"
                "Ask whether this is true: {}"
            |]
            $"{subject} {Inflect.past verb} {rest}.",
        $"Did {inside} {verb} {rest}?"
