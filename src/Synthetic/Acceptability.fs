namespace Peft.Synthetic

/// A grammatical sentence beside the same sentence with one rule of grammar broken.
type MinimalPair =
    {
        Good: string
        Bad: string
        /// The rule that `Bad` breaks.
        Rule: string
    }

/// Sentences to judge as grammatical or not, as minimal pairs: both sides of a pair come from one construction, so that
/// nothing but the grammar tells them apart.
[<RequireQualifiedAccess>]
module Acceptability =
    /// The answers.
    let labels: string[] = [| "acceptable"; "unacceptable" |]

    /// The share of acceptable rows; CoLA's is about 70 %.
    let acceptableShare = 0.68

    type private Number =
        | Singular
        | Plural

    /// Animals whose plural differs: `the sheep sleep` and `the sheep sleeps` would both be right.
    let private countedAnimals =
        Array.append Lexicon.animals Lexicon.birds
        |> Array.filter (fun noun -> Inflect.plural noun <> noun)

    /// Places that something can be in, and near.
    let private rooms =
        Rules.words
            """park library market museum station harbour school hospital bank bakery theatre cinema castle church garden forest
            village shop office kitchen zoo airport hotel café playground factory"""

    /// Verbs that can follow `try to`, or take the -ing form.
    let private actions =
        Lexicon.transitive
        |> Array.filter (fun verb -> not (Array.contains verb [| "want"; "like"; "need"; "miss"; "forget"; "admire" |]))

    /// Draws phrases for one pair.
    type private Source(chance: Chance) =
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

    let private agreed (number: Number) (verb: string) =
        if number = Singular then Inflect.third verb else verb

    let private other number =
        if number = Singular then Plural else Singular

    let private toBe number =
        if number = Singular then "is" else "are"

    let private toHave number =
        if number = Singular then "has" else "have"

    let private pair rule good bad = { Good = good; Bad = bad; Rule = rule }

    let private agreement (s: Source) =
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

    let private distantAgreement (s: Source) =
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

    let private relativeAgreement (s: Source) =
        let number = s.Number()
        let subject, actor = s.Person number, s.Person(s.Number())

        let verb, know, thing =
            s.Verb(), s.Pick(Rules.words "like meet visit admire help invite call"), s.Thing()

        let say number =
            $"{subject} that {actor} {Inflect.past know} {agreed number verb} {thing}."

        pair "agreement over a clause" (say number) (say (other number))

    let private existential (s: Source) =
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

    let private determinerNumber (s: Source) =
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

    let private article (s: Source) =
        let noun = s.Pick(Array.append Lexicon.things Lexicon.animals)
        let describing = s.Adjective(0.5, Array.append Lexicon.qualities Lexicon.colours)
        let right = Inflect.article (describing + noun)
        let wrong = if right = "a" then "an" else "a"
        let subject, verb, tail = s.Person(s.Number()), Inflect.past (s.Verb()), s.Tail()

        pair
            "a and an"
            $"{subject} {verb} {right} {describing}{noun}{tail}."
            $"{subject} {verb} {wrong} {describing}{noun}{tail}."

    let private missingArticle (s: Source) =
        // `She bought rope` is right: a rope can be a substance.
        let noun = s.Pick(Lexicon.things |> Array.except [ "rope"; "tin" ])
        let subject, verb, tail = s.Name(), Inflect.past (s.Verb()), s.Tail()
        let describing = s.Adjective(0.5, Lexicon.qualities)

        pair
            "missing article"
            $"{subject} {verb} the {describing}{noun}{tail}."
            $"{subject} {verb} {describing}{noun}{tail}."

    let private doubleDeterminer (s: Source) =
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

    let private adjectiveOrder (s: Source) =
        let noun, describing =
            s.Pick Lexicon.things, s.Pick(Array.append Lexicon.qualities Lexicon.colours)
        // As a subject: `she painted the box red` would be right.
        let be, where =
            s.Pick [| "is"; "was"; "stands"; "stood" |], s.Near() + " " + s.Venue()

        pair
            "adjective after its noun"
            $"the {describing} {noun} {be} {where}."
            $"the {noun} {describing} {be} {where}."

    let private objectOrder (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), Inflect.past (s.Verb()), s.Thing()
        pair "object before verb" $"{subject} {verb} {thing}." $"{subject} {thing} {verb}."

    let private modalForm (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), s.Verb(), s.Thing()
        let modal = s.Pick(Rules.words "can will must should may could might would")
        let wrong = s.Pick [| Inflect.third verb; Inflect.ing verb; "to " + verb |]
        let maybe = if s.Chance.Odds 0.3 then " not" else ""

        pair
            "verb form after a modal"
            $"{subject} {modal}{maybe} {verb} {thing}."
            $"{subject} {modal}{maybe} {wrong} {thing}."

    let private perfectForm (s: Source) =
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

    let private progressiveForm (s: Source) =
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

    let private doSupport (s: Source) =
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

    let private questionOrder (s: Source) =
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

    let private missingObject (s: Source) =
        let verb =
            s.Pick(Rules.words "find bring need want take describe admire keep mention recognise")

        let subject, thing, tail =
            s.Person(s.Number()), s.Thing(), s.Pick [| ""; " yesterday"; " last night"; " on Monday" |]

        pair "missing object" $"{subject} {Inflect.past verb} {thing}{tail}." $"{subject} {Inflect.past verb}{tail}."

    let private extraObject (s: Source) =
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

    let private missingSubject (s: Source) =
        let first, second = s.Name(), s.Person(s.Number())

        let verb, thing, joint =
            Inflect.past (s.Verb()), s.Thing(), s.Pick [| "because"; "although"; "after"; "when" |]

        let bare = Inflect.past (s.Bare())

        pair
            "missing subject"
            $"{first} {bare} {joint} {second} {verb} {thing}."
            $"{first} {bare} {joint} {verb} {thing}."

    let private missingVerb (s: Source) =
        let number = s.Number()

        let subject, mood, near =
            s.Person number, s.Pick Lexicon.moods, s.Near() + " " + s.Venue()

        if s.Chance.Odds 0.5 then
            pair "missing verb" $"{subject} {near} {toBe number} {mood}." $"{subject} {near} {mood}."
        else
            let thing, verb = s.Thing(), s.Verb()
            pair "missing verb" $"{subject} {near} {Inflect.past verb} {thing}." $"{subject} {near} {thing}."

    let private reflexive (s: Source) =
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

    let private pronounCase (s: Source) =
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

    let private infinitive (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), s.Pick actions, s.Thing()

        let control =
            Inflect.past (s.Pick(Rules.words "try hope decide plan refuse promise agree manage want learn"))

        let wrong = s.Pick [| verb; "to " + Inflect.past verb; "to " + Inflect.ing verb |]
        pair "infinitive after a verb" $"{subject} {control} to {verb} {thing}." $"{subject} {control} {wrong} {thing}."

    let private gerund (s: Source) =
        let subject, verb, thing = s.Person(s.Number()), s.Pick actions, s.Thing()

        let control =
            Inflect.past (s.Pick(Rules.words "enjoy avoid finish suggest keep dislike"))

        pair
            "-ing form after a verb"
            $"{subject} {control} {Inflect.ing verb} {thing}."
            $"{subject} {control} {verb} {thing}."

    let private preposition (s: Source) =
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

    let private comparative (s: Source) =
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

    let private passive (s: Source) =
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

    let private massNoun (s: Source) =
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

    let private tagQuestion (s: Source) =
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

    let private dative (s: Source) =
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

    let private coordination (s: Source) =
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

    let private adverbForm (s: Source) =
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

    let private constructions: (Source -> MinimalPair)[] =
        [|
            agreement
            agreement
            distantAgreement
            distantAgreement
            relativeAgreement
            existential
            determinerNumber
            article
            missingArticle
            doubleDeterminer
            adjectiveOrder
            objectOrder
            modalForm
            perfectForm
            progressiveForm
            doSupport
            doSupport
            questionOrder
            missingObject
            extraObject
            missingSubject
            missingVerb
            reflexive
            reflexive
            pronounCase
            infinitive
            gerund
            preposition
            comparative
            passive
            massNoun
            tagQuestion
            dative
            coordination
            adverbForm
        |]

    /// A frame around the sentence that keeps it what it is, for variety.
    let private framed (source: Source) (sentences: MinimalPair) : MinimalPair =
        let isQuestion = sentences.Good.EndsWith '?'

        if isQuestion || source.Chance.Odds 0.65 then
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
    let row (seed: int) (index: int) : Row =
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
