namespace Peft.Synthetic

open Peft

/// A grammatical sentence beside the same sentence with one rule of grammar broken.
type MinimalPair =
    {
        Good: string
        Bad: string
        /// The rule that `Bad` breaks.
        Rule: string
    }

/// Subjects, objects and verbs from which minimal pairs are made.
module internal Phrases =
    /// The number of a subject.
    type Number =
        | Singular
        | Plural

    /// Animals whose plural differs: `the sheep sleep` and `the sheep sleeps` would both be right.
    let countedAnimals =
        Array.append Lexicon.animals Lexicon.birds
        |> Array.filter (fun noun -> Inflect.plural noun <> noun)

    /// Places that something can be in, and near.
    let rooms = WordLists.read "lexicon" "room"

    /// Verbs that can follow `try to`, or take the -ing form.
    let actions =
        Lexicon.transitive
        |> Array.filter (fun verb -> not (Array.contains verb [| "want"; "like"; "need"; "miss"; "forget"; "admire" |]))

    /// Draws phrases for one pair.
    type Source(chance: Chance) =
        let mutable taken = Set.empty

        member _.Chance = chance

        member _.Pick(items: string[]) : string =
            let rec attempt left =
                let item = chance.Pick items

                if left = 0 || not (taken.Contains item) then
                    item
                else
                    attempt (left - 1)

            let item = attempt 12
            taken <- taken.Add item
            item

        member source.Number() =
            if chance.Odds 0.5 then Singular else Plural

        member source.Adjective(odds: float, items: string[]) =
            if chance.Odds odds then source.Pick items + " " else ""

        /// `the old teacher`, `the teachers`
        member source.Person(number: Number) : string =
            let noun = source.Pick Lexicon.people
            let adjective = source.Adjective(0.35, Lexicon.traits)
            "the " + adjective + (if number = Singular then noun else Inflect.plural noun)

        member source.Creature(number: Number) : string =
            let noun = source.Pick countedAnimals

            "the "
            + source.Adjective(0.3, Lexicon.sizes)
            + (if number = Singular then noun else Inflect.plural noun)

        /// A phrase that names a thing as an object.
        member source.Thing() : string =
            let noun = source.Pick Lexicon.things

            let adjective =
                source.Adjective(0.4, Array.append Lexicon.qualities Lexicon.colours)

            match chance.Below 5 with
            | 0 -> "the " + adjective + noun
            | 1 -> "a(n) " + adjective + noun
            | 2 -> "her " + adjective + noun
            | 3 -> "the " + adjective + Inflect.plural noun
            | _ -> "two " + adjective + Inflect.plural noun

        member source.Verb() = source.Pick Lexicon.transitive
        member source.Bare() = source.Pick Lexicon.intransitive

        member source.Name() =
            source.Pick(Array.append Lexicon.girls Lexicon.boys)

        member source.Venue() = "the " + source.Pick rooms

        /// A closing phrase that fits any tense in the past, or nothing.
        member source.Tail() : string =
            if chance.Odds 0.6 then
                ""
            else
                match chance.Below 3 with
                | 0 -> " yesterday"
                | 1 -> " in " + source.Venue()
                | _ -> " before lunch"

        member source.Near() =
            source.Pick [| "near"; "behind"; "beside"; "opposite"; "in front of" |]

    let agreed (number: Number) (verb: string) =
        if number = Singular then Inflect.third verb else verb

    let other number =
        if number = Singular then Plural else Singular

    let toBe number =
        if number = Singular then "is" else "are"

    let toHave number =
        if number = Singular then "has" else "have"

    let pair rule good bad = { Good = good; Bad = bad; Rule = rule }
