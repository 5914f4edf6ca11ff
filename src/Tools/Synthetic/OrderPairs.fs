namespace Peft.Synthetic

open Peft
open Peft.Synthetic.Phrases

/// Minimal pairs about word order, missing parts and the company that words keep.
module internal OrderPairs =
    let adjectiveOrder (s: Source) =
        let noun, describing =
            s.Pick Lexicon.things, s.Pick(Array.append Lexicon.qualities Lexicon.colours)
        // As a subject: `she painted the box red` would be right.
        let be, where =
            s.Pick [| "is"; "was"; "stands"; "stood" |], s.Near() + " " + s.Venue()

        pair
            "adjective after its noun"
            $"the {describing} {noun} {be} {where}."
            $"the {noun} {describing} {be} {where}."

    let objectOrder (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), Inflect.past (s.Verb()), s.Thing()
        pair "object before verb" $"{subject} {verb} {thing}." $"{subject} {thing} {verb}."

    let questionOrder (s: Source) =
        let number = s.Number()
        let subject = s.Person number
        let verb = s.Pick actions
        let where = s.Pick [| "where"; "when"; "why"; "how" |]
        let did = s.Pick [| "did"; "will"; "can"; "should" |]
        let thing = s.Thing()

        pair
            "word order in a question"
            $"{where} {did} {subject} {verb} {thing}?"
            $"{where} {subject} {did} {verb} {thing}?"

    let missingObject (s: Source) =
        let verb =
            s.Pick(Rules.words "find bring need want take describe admire keep mention recognise")

        let subject, thing, tail =
            s.Person(s.Number()), s.Thing(), s.Pick [| ""; " yesterday"; " last night"; " on Monday" |]

        pair "missing object" $"{subject} {Inflect.past verb} {thing}{tail}." $"{subject} {Inflect.past verb}{tail}."

    let extraObject (s: Source) =
        let verb =
            Inflect.past (
                s.Pick(Rules.words "sleep laugh smile arrive cough sneeze fall disappear kneel yawn shiver vanish wait")
            )

        let subject, thing, tail =
            s.Person(s.Number()), s.Thing(), s.Pick [| ""; " yesterday"; " last night"; " on Monday" |]

        pair
            "object of a verb that takes none"
            $"{subject} {verb} near {thing}{tail}."
            $"{subject} {verb} {thing}{tail}."

    let missingSubject (s: Source) =
        let first, second = s.Name(), s.Person(s.Number())

        let verb, thing, joint =
            Inflect.past (s.Verb()), s.Thing(), s.Pick [| "because"; "although"; "after"; "when" |]

        let bare = Inflect.past (s.Bare())

        pair
            "missing subject"
            $"{first} {bare} {joint} {second} {verb} {thing}."
            $"{first} {bare} {joint} {verb} {thing}."

    let missingVerb (s: Source) =
        let number = s.Number()

        let subject, mood, near =
            s.Person number, s.Pick Lexicon.moods, s.Near() + " " + s.Venue()

        if s.Chance.Odds 0.5 then
            pair "missing verb" $"{subject} {near} {toBe number} {mood}." $"{subject} {near} {mood}."
        else
            let thing, verb = s.Thing(), s.Verb()
            pair "missing verb" $"{subject} {near} {Inflect.past verb} {thing}." $"{subject} {near} {thing}."

    let preposition (s: Source) =
        let verb, right, wrong =
            [|
                "wait", "for", "of"
                "listen", "to", "of"
                "look", "at", "of"
                "belong", "to", "for"
                "depend", "on", "at"
                "laugh", "at", "of"
                "believe", "in", "at"
                "apologise", "for", "of"
                "suffer", "from", "to"
                "consist", "of", "to"
            |]
            |> s.Chance.Pick

        if verb = "consist" then
            let noun, part = s.Pick Lexicon.things, s.Pick Lexicon.smallNumbers
            pair "preposition of a verb" $"the {noun} consists of {part} parts." $"the {noun} consists to {part} parts."
        else
            let subject, companion = s.Person(s.Number()), s.Person(s.Number())
            let tail = s.Tail()

            let companion =
                if verb = "apologise" || verb = "suffer" then
                    "the " + s.Pick(Rules.words "noise delay mistake cold heat mess")
                else
                    companion

            pair
                "preposition of a verb"
                $"{subject} {Inflect.past verb} {right} {companion}{tail}."
                $"{subject} {Inflect.past verb} {wrong} {companion}{tail}."

    let dative (s: Source) =
        let giver, receiver, thing =
            s.Name(), s.Person(s.Number()), "the " + s.Pick Lexicon.things

        let verb = s.Pick(Rules.words "give send show lend sell bring")
        let past = Inflect.past verb

        match s.Chance.Below 2 with
        | 0 ->
            pair
                "missing receiver's preposition"
                $"{giver} {past} {thing} to {receiver}."
                $"{giver} {past} {thing} {receiver}."
        | _ -> pair "extra preposition" $"{giver} {past} {receiver} {thing}." $"{giver} {past} of {receiver} {thing}."

    let comparative (s: Source) =
        let number = s.Number()
        let subject, than = s.Creature number, s.Creature(s.Number())

        let adjective =
            s.Pick(Rules.words "old tall small strong quick slow loud quiet young weak bold kind")

        let be = toBe number

        match s.Chance.Below 3 with
        | 0 ->
            pair
                "double comparative"
                $"{subject} {be} {adjective}er than {than}."
                $"{subject} {be} more {adjective}er than {than}."
        | 1 ->
            pair
                "comparative form"
                $"{subject} {be} {adjective}er than {than}."
                $"{subject} {be} {adjective} than {than}."
        | _ -> pair "equality" $"{subject} {be} as {adjective} as {than}." $"{subject} {be} as {adjective}er as {than}."

    let adverbForm (s: Source) =
        let adjective =
            s.Pick(
                Rules.words
                    "quick slow quiet loud careful sad sudden polite nervous calm proud brave secret eager patient"
            )

        let subject, verb, thing = s.Person(s.Number()), Inflect.past (s.Verb()), s.Thing()

        if s.Chance.Odds 0.5 then
            pair "adverb form" $"{subject} {adjective}ly {verb} {thing}." $"{subject} {adjective} {verb} {thing}."
        else
            let number = s.Number()
            let who = s.Person number
            let seem = s.Pick [| "seemed"; "became" |]
            pair "adjective form" $"{who} {seem} very {adjective}." $"{who} {seem} very {adjective}ly."
