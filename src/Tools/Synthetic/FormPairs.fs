namespace Peft.Synthetic

open Peft
open Peft.Synthetic.Phrases

/// Minimal pairs about the forms of verbs.
module internal FormPairs =
    let modalForm (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), s.Verb(), s.Thing()
        let modal = s.Pick(Rules.words "can will must should may could might would")
        let wrong = s.Pick [| Inflect.third verb; Inflect.ing verb; "to " + verb |]
        let maybe = if s.Chance.Odds 0.3 then " not" else ""

        pair
            "verb form after a modal"
            $"{subject} {modal}{maybe} {verb} {thing}."
            $"{subject} {modal}{maybe} {wrong} {thing}."

    let perfectForm (s: Source) =
        let number = s.Number()

        let irregular =
            Lexicon.transitive |> Array.filter (fun verb -> Inflect.participle verb <> verb)

        let verb = s.Pick irregular

        let wrong =
            s.Pick
                [|
                    verb
                    Inflect.ing verb
                    (if Inflect.isIrregular verb then
                         Inflect.past verb
                     else
                         Inflect.third verb)
                |]

        let subject, thing = s.Person number, s.Thing()
        let already = if s.Chance.Odds 0.4 then " already" else ""

        pair
            "participle after have"
            $"{subject} {toHave number}{already} {Inflect.participle verb} {thing}."
            $"{subject} {toHave number}{already} {wrong} {thing}."

    let progressiveForm (s: Source) =
        let number = s.Number()
        let verb = s.Pick actions
        let wrong = s.Pick [| verb; Inflect.third verb |]

        let subject, thing, be =
            s.Person number,
            s.Thing(),
            (if s.Chance.Odds 0.5 then
                 toBe number
             else
                 (if number = Singular then "was" else "were"))

        pair "-ing form after be" $"{subject} {be} {Inflect.ing verb} {thing}." $"{subject} {be} {wrong} {thing}."

    let doSupport (s: Source) =
        let number = s.Number()
        let subject, verb, thing = s.Person number, s.Verb(), s.Thing()
        let does = if number = Singular then "does" else "do"

        match s.Chance.Below 4 with
        | 0 ->
            pair
                "verb form after do"
                $"{subject} did not {verb} {thing}."
                $"{subject} did not {Inflect.ing verb} {thing}."
        | 1 ->
            pair
                "negation without do"
                $"{subject} {does} not {verb} {thing}."
                $"{subject} not {agreed number verb} {thing}."
        | 2 -> pair "verb form after do" $"did {subject} {verb} {thing}?" $"did {subject} {Inflect.ing verb} {thing}?"
        | _ ->
            pair
                "agreement of do"
                $"{does} {subject} {verb} {thing}?"
                (let wrong = (if number = Singular then "do" else "does") in $"{wrong} {subject} {verb} {thing}?")

    let infinitive (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), s.Pick actions, s.Thing()

        let control =
            Inflect.past (s.Pick(Rules.words "try hope decide plan refuse promise agree manage want learn"))

        let wrong = s.Pick [| verb; "to " + Inflect.past verb; "to " + Inflect.ing verb |]
        pair "infinitive after a verb" $"{subject} {control} to {verb} {thing}." $"{subject} {control} {wrong} {thing}."

    let gerund (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), s.Pick actions, s.Thing()

        let control =
            Inflect.past (s.Pick(Rules.words "enjoy avoid finish suggest keep dislike"))

        pair
            "-ing form after a verb"
            $"{subject} {control} {Inflect.ing verb} {thing}."
            $"{subject} {control} {verb} {thing}."

    let passive (s: Source) =
        let verb = s.Pick(Lexicon.transitive |> Array.except [ "like"; "want" ])
        let noun = s.Pick Lexicon.things
        let number = s.Number()

        let subject =
            "the "
            + s.Adjective(0.3, Lexicon.qualities)
            + (if number = Singular then noun else Inflect.plural noun)

        let be = if number = Singular then "was" else "were"
        let agent = s.Person(s.Number())
        let wrong = s.Pick [| verb; Inflect.third verb |]

        if s.Chance.Odds 0.7 then
            pair
                "participle in a passive"
                $"{subject} {be} {Inflect.participle verb} by {agent}."
                $"{subject} {be} {wrong} by {agent}."
        else
            let wrongBe = if number = Singular then "were" else "was"

            pair
                "agreement in a passive"
                $"{subject} {be} {Inflect.participle verb} by {agent}."
                $"{subject} {wrongBe} {Inflect.participle verb} by {agent}."
