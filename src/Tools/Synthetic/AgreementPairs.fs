namespace Peft.Synthetic

open Peft
open Peft.Synthetic.Phrases

/// Minimal pairs about agreement: of verbs, determiners, pronouns and articles.
module internal AgreementPairs =
    let agreement (s: Source) =
        let number = s.Number()

        let subject =
            if s.Chance.Odds 0.6 then
                s.Person number
            else
                s.Creature number

        let rest verb = subject + " " + verb

        match s.Chance.Below 3 with
        | 0 ->
            let verb, venue = s.Bare(), s.Venue()

            pair
                "agreement"
                (rest (agreed number verb) + " in " + venue + ".")
                (rest (agreed (other number) verb) + " in " + venue + ".")
        | 1 ->
            let verb, thing = s.Verb(), s.Thing()

            pair
                "agreement"
                (rest (agreed number verb) + " " + thing + " every day.")
                (rest (agreed (other number) verb) + " " + thing + " every day.")
        | _ ->
            let mood = s.Pick Lexicon.moods
            pair "agreement" (rest (toBe number) + " " + mood + ".") (rest (toBe (other number)) + " " + mood + ".")

    let distantAgreement (s: Source) =
        let number = s.Number()
        let subject = s.Person number

        let between =
            match s.Chance.Below 3 with
            | 0 -> " " + s.Near() + " " + s.Person(s.Number())
            | 1 -> " from " + s.Pick Lexicon.towns
            | _ -> " with " + s.Thing()

        // The same draw decides both sides.
        let form = s.Chance.Below 3
        let mood = s.Pick Lexicon.moods

        let verb number =
            match form with
            | 0 -> toBe number + " " + mood
            | 1 -> (if number = Singular then "was " else "were ") + mood
            | _ -> toHave number + " been " + mood

        pair "agreement over a phrase" $"{subject}{between} {verb number}." $"{subject}{between} {verb (other number)}."

    let relativeAgreement (s: Source) =
        let number = s.Number()
        let subject, actor = s.Person number, s.Person(s.Number())

        let verb, know, thing =
            s.Verb(), s.Pick(Rules.words "like meet visit admire help invite call"), s.Thing()

        let say number =
            $"{subject} that {actor} {Inflect.past know} {agreed number verb} {thing}."

        pair "agreement over a clause" (say number) (say (other number))

    let existential (s: Source) =
        let number = s.Number()
        let noun = s.Pick(Array.append Lexicon.things countedAnimals)

        let what =
            if number = Singular then
                "a(n) " + noun
            else
                s.Pick(Rules.words "two three some many several") + " " + Inflect.plural noun

        let where = s.Near() + " " + s.Venue()

        pair
            "agreement after there"
            $"there {toBe number} {what} {where}."
            $"there {toBe (other number)} {what} {where}."

    let determinerNumber (s: Source) =
        let number = s.Number()
        let noun = s.Pick Lexicon.things
        let form = if number = Singular then noun else Inflect.plural noun
        let wrong = if number = Singular then Inflect.plural noun else noun

        let determiner =
            s.Pick(
                if number = Singular then
                    [| "this"; "every"; "each"; "another" |]
                else
                    [| "these"; "those"; "many"; "several"; "three" |]
            )

        let subject, verb, tail = s.Person(s.Number()), Inflect.past (s.Verb()), s.Tail()

        pair
            "determiner and number"
            $"{subject} {verb} {determiner} {form}{tail}."
            $"{subject} {verb} {determiner} {wrong}{tail}."

    let coordination (s: Source) =
        let first, second = s.Name(), s.Name()
        let verb, thing = s.Verb(), s.Thing()
        let mood = s.Pick Lexicon.moods

        if s.Chance.Odds 0.5 then
            pair "agreement of a pair" $"{first} and {second} are {mood}." $"{first} and {second} is {mood}."
        else
            pair
                "agreement of a pair"
                $"{first} and {second} {verb} {thing} every week."
                $"{first} and {second} {Inflect.third verb} {thing} every week."

    let tagQuestion (s: Source) =
        let number = s.Number()
        let subject, mood = s.Person number, s.Pick Lexicon.moods

        let name, girl =
            (if s.Chance.Odds 0.5 then
                 s.Pick Lexicon.girls, true
             else
                 s.Pick Lexicon.boys, false)

        if s.Chance.Odds 0.5 then
            let pronoun, wrong = if girl then "she", "he" else "he", "she"
            pair "pronoun of a tag" $"{name} is {mood}, isn't {pronoun}?" $"{name} is {mood}, isn't {wrong}?"
        else
            let tag, wrong = "aren't they", "isn't they"
            let subject = if number = Singular then s.Person Plural else subject
            pair "verb of a tag" $"{subject} are {mood}, {tag}?" $"{subject} are {mood}, {wrong}?"

    let reflexive (s: Source) =
        let girl = s.Chance.Odds 0.5
        let name = s.Pick(if girl then Lexicon.girls else Lexicon.boys)
        let right, wrong = if girl then "herself", "himself" else "himself", "herself"

        let verb =
            Inflect.past (
                s.Pick(
                    Rules.words
                        "see hurt wash blame describe introduce dress teach admire help surprise enjoy warm dry trust praise"
                )
            )

        let tail = s.Tail()

        match s.Chance.Below 3 with
        | 0 -> pair "reflexive and gender" $"{name} {verb} {right}{tail}." $"{name} {verb} {wrong}{tail}."
        | 1 ->
            let subject = s.Person Plural
            pair "reflexive and number" $"{subject} {verb} themselves{tail}." $"{subject} {verb} {right}{tail}."
        | _ ->
            let person, count =
                s.Chance.Pick [| "I", "myself"; "we", "ourselves"; "they", "themselves" |]

            let wrong =
                s.Pick([| "myself"; "ourselves"; "themselves" |] |> Array.filter ((<>) count))

            pair "reflexive and person" $"{person} {verb} {count}{tail}." $"{person} {verb} {wrong}{tail}."

    let pronounCase (s: Source) =
        let verb =
            Inflect.past (s.Pick(Rules.words "see help meet call follow invite visit thank hear teach"))

        let subject, tail = s.Person(s.Number()), s.Tail()

        let nominative, accusative =
            [| "he", "him"; "she", "her"; "they", "them"; "we", "us"; "I", "me" |]
            |> s.Chance.Pick

        if s.Chance.Odds 0.5 then
            pair "case of an object" $"{subject} {verb} {accusative}{tail}." $"{subject} {verb} {nominative}{tail}."
        else
            pair "case of a subject" $"{nominative} {verb} {subject}{tail}." $"{accusative} {verb} {subject}{tail}."

    let massNoun (s: Source) =
        let noun =
            s.Pick(Rules.words "furniture advice luggage information homework traffic rice equipment")

        let subject = s.Person(s.Number())

        match s.Chance.Below 2 with
        | 0 ->
            let verb = s.Pick [| "had"; "needed"; "wanted"; "found"; "got" |]
            pair "much and many" $"{subject} {verb} too much {noun}." $"{subject} {verb} too many {noun}."
        | _ ->
            let verb = s.Pick [| "had"; "needed"; "wanted"; "found"; "got" |]
            pair "plural of a mass noun" $"{subject} {verb} some {noun}." $"{subject} {verb} two {Inflect.plural noun}."

    let article (s: Source) =
        let noun = s.Pick(Array.append Lexicon.things Lexicon.animals)
        let describing = s.Adjective(0.5, Array.append Lexicon.qualities Lexicon.colours)
        let right = Inflect.article (describing + noun)
        let wrong = if right = "a" then "an" else "a"
        let subject, verb, tail = s.Person(s.Number()), Inflect.past (s.Verb()), s.Tail()

        pair
            "a and an"
            $"{subject} {verb} {right} {describing}{noun}{tail}."
            $"{subject} {verb} {wrong} {describing}{noun}{tail}."

    let missingArticle (s: Source) =
        // `She bought rope` is right: a rope can be a substance.
        let noun = s.Pick(Lexicon.things |> Array.except [ "rope"; "tin" ])
        let subject, verb, tail = s.Name(), Inflect.past (s.Verb()), s.Tail()
        let describing = s.Adjective(0.5, Lexicon.qualities)

        pair
            "missing article"
            $"{subject} {verb} the {describing}{noun}{tail}."
            $"{subject} {verb} {describing}{noun}{tail}."

    let doubleDeterminer (s: Source) =
        let noun, describing = s.Pick Lexicon.things, s.Adjective(0.4, Lexicon.qualities)
        // Not `her`: `he bought her a box` is right.
        let first, second =
            s.Pick [| "the"; "my"; "this"; "our"; "their" |], s.Pick [| "his"; "a"; "that"; "your"; "every" |]

        let second = if second = "a" then "a(n)" else second
        let subject, verb, tail = s.Person(s.Number()), Inflect.past (s.Verb()), s.Tail()

        pair
            "two determiners"
            $"{subject} {verb} {first} {describing}{noun}{tail}."
            $"{subject} {verb} {first} {second} {describing}{noun}{tail}."
