namespace Peft.Synthetic

open Peft

/// A sentence in the active voice and the same in the passive: the object leads, the verb follows its number, and the doer
/// comes behind it.
[<RequireQualifiedAccess>]
module Passive =
    /// A phrase and whether it is more than one.
    type private Phrase = { Text: string; IsPlural: bool }

    let private subject (chance: Chance) : Phrase =
        let adjective =
            if chance.Odds 0.4 then
                chance.Pick Lexicon.traits + " "
            else
                ""

        let person = chance.Pick Lexicon.people

        match chance.Below 4 with
        | 0 ->
            {
                Text = chance.Pick(Array.append Lexicon.girls Lexicon.boys)
                IsPlural = false
            }
        | 1 ->
            {
                Text = $"the {adjective}{Inflect.plural person}"
                IsPlural = true
            }
        | _ ->
            {
                Text = $"the {adjective}{person}"
                IsPlural = false
            }

    let private object' (chance: Chance) : Phrase =
        let adjective =
            if chance.Odds 0.5 then
                chance.Pick(Array.append Lexicon.qualities Lexicon.colours) + " "
            else
                ""

        let thing = chance.Pick Lexicon.things

        match chance.Below 4 with
        | 0 ->
            {
                Text = $"the {adjective}{Inflect.plural thing}"
                IsPlural = true
            }
        | 1 ->
            {
                Text = $"{chance.Pick Lexicon.smallNumbers} {adjective}{Inflect.plural thing}"
                IsPlural = true
            }
        | 2 ->
            {
                Text = $"a(n) {adjective}{thing}"
                IsPlural = false
            }
        | _ ->
            {
                Text = $"the {adjective}{thing}"
                IsPlural = false
            }

    let private agreed (singular: string) (plural: string) (phrase: Phrase) =
        if phrase.IsPlural then plural else singular

    /// The verb of the active sentence and of the passive one.
    let private voices (chance: Chance) (doer: Phrase) (thing: Phrase) (verb: string) : string * string =
        let part = Inflect.participle verb
        let modal = chance.Pick [| "will"; "must"; "can"; "should"; "might" |]

        match chance.Below 7 with
        | 0
        | 1 -> Inflect.past verb, $"""{agreed "was" "were" thing} {part}"""
        | 2 -> agreed (Inflect.third verb) verb doer, $"""{agreed "is" "are" thing} {part}"""
        | 3 -> $"""{agreed "has" "have" doer} {part}""", $"""{agreed "has" "have" thing} been {part}"""
        | 4 -> $"""{agreed "is" "are" doer} {Inflect.ing verb}""", $"""{agreed "is" "are" thing} being {part}"""
        | 5 -> $"did not {verb}", $"""{agreed "was" "were" thing} not {part}"""
        | _ -> $"{modal} {verb}", $"{modal} be {part}"

    let private row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "passive" seed index
        let doer, thing = subject chance, object' chance
        let active, passive = voices chance doer thing (chance.Pick Lexicon.transitive)

        let place =
            if chance.Odds 0.5 then
                ""
            else
                chance.Pick [| " in the "; " near the "; " behind the " |]
                + chance.Pick Lexicon.venues

        {
            Input = Inflect.finish $"{doer.Text} {active} {thing.Text}{place}."
            Target = Inflect.finish $"{thing.Text} {passive} by {doer.Text}{place}."
        }

    let task: SyntheticTask =
        {
            Name = "passive"
            Columns = "sentence", "passive"
            Labels = [||]
            Row = row
        }
