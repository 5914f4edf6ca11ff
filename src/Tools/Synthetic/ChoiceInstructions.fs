namespace Peft.Synthetic

open Peft
open System
open Peft.Synthetic.Wordings

/// Instructions that ask for one of several options.
module internal ChoiceInstructions =
    // The words of the reports have kinds, too.
    let private kinds =
        Array.append
            Lexicon.kinds
            [|
                "athlete", TopicWords.rules["athlete"]
                "contest", TopicWords.rules["contest"]
                "weather event", TopicWords.rules["sky"]
                "dish", TopicWords.rules["plate"]
                "seasoning", TopicWords.rules["seasoning"]
                "musician", TopicWords.rules["player"]
                "piece of music", TopicWords.rules["piece"]
            |]

    let membership (chance: Chance) =
        let kind, members = chance.Pick kinds
        let others = kinds |> Array.filter (fun (other, _) -> isOther kind other)
        let yes, no = yesNo chance
        let isMember = chance.Odds 0.5
        let word = chance.Pick(if isMember then members else snd (chance.Pick others))
        let a = Inflect.article kind

        choose
            chance
            [|
                $"Is this {a} {kind}?"
                $"Is the following word {a} {kind}?"
                $"Does the word name {a} {kind}?"
                $"Decide whether this is {a} {kind}."
            |]
            [| yes; no |]
            $"{Inflect.capital word}.",
        (if isMember then yes else no)

    let whichIs (chance: Chance) =
        let kind, members = chance.Pick kinds
        let answer = chance.Pick members

        let others =
            kinds
            |> Array.filter (fun (other, _) -> isOther kind other)
            |> Array.collect snd
            |> fun words -> chance.Sample(chance.Between(1, 3), words)

        let a = Inflect.article kind
        let listed = String.Join(", ", chance.Shuffle(Array.append [| answer |] others))

        ask
            chance
            [|
                $"Which of these is {a} {kind}? OPTIONS: {{}}."
                $"OPTIONS: {{}}. Find the {kind}."
                $"Choose the word for {a} {kind}: {{}}."
            |]
            listed,
        answer

    let kindOf (chance: Chance) =
        let kind, members = chance.Pick kinds
        let others = kinds |> Array.map fst |> Array.filter (isOther kind)
        let options = Array.append [| kind |] (chance.Sample(chance.Between(1, 3), others))
        let word = chance.Pick members

        let told =
            write
                chance
                (chance.Pick
                    [|
                        $"{{name}} saw a(n) {word} in {{town}}."
                        $"The {word} of my {{relative}} is {{colour}}."
                        $"Where is the {word}?"
                        $"On {{day}} they bought a(n) {word}."
                    |])

        choose
            chance
            [|
                "What is this text about?"
                "Which kind of thing does the text name?"
                "What do we read about?"
            |]
            options
            told,
        kind

    let sentiment (chance: Chance) =
        let good, bad =
            chance.Pick
                [|
                    "positive", "negative"
                    "positive", "negative"
                    "good", "bad"
                    "happy", "unhappy"
                    "pleased", "displeased"
                    "friendly", "unfriendly"
                    "recommended", "not recommended"
                |]

        let isGood = chance.Odds 0.5

        let opinion =
            if isGood then
                [|
                    "I would buy it again."
                    "It works very well."
                    "Everybody in my family loves it."
                    "What a wonderful {what}!"
                    "It is worth every penny."
                    "I have never had a better {what}."
                    "It made me {glad}."
                    "Simply perfect."
                    "The best {what} in {town}."
                    "I use it every day and still enjoy it."
                    "The {what} is {fine}."
                    "I can only recommend it."
                |]
            else
                [|
                    "I want my money back."
                    "It broke after {few} days."
                    "Nobody in my family likes it."
                    "What a terrible {what}!"
                    "It is not worth the price."
                    "I have never had a worse {what}."
                    "It made me {cross}."
                    "Simply awful."
                    "The worst {what} in {town}."
                    "I used it once and never again."
                    "The {what} is {poor}."
                    "Do not waste your time on it."
                |]

        let rules = reviews.Value |> Rules.extend [ "opinion", opinion ]

        let review =
            Template.expandKeeping
                rules
                [ "what", chance.Pick rules["what"] ]
                chance
                (chance.Pick
                    [|
                        "{neutral} {opinion}"
                        "{opinion}"
                        "{o1=opinion} {o2=opinion}"
                        "{o1=opinion} {neutral} {o2=opinion}"
                    |])

        choose
            chance
            [|
                $"Is this review {good} or {bad}?"
                "What does the writer think?"
                "What is the feeling of the review?"
                "Which word describes the opinion?"
            |]
            [| good; bad |]
            review,
        (if isGood then good else bad)

    let tense (chance: Chance) =
        let isPast = chance.Odds 0.5
        let subject = write chance "the {trait} {person}"
        let verb = chance.Pick Lexicon.transitive
        let verb = if isPast then Inflect.past verb else Inflect.third verb

        choose
            chance
            [|
                "Is the sentence in the past or in the present?"
                "Which tense is it?"
                "When does it happen?"
            |]
            [| "past"; "present" |]
            (write chance $"{subject} {verb} the {{quality}} {{thing}}."),
        (if isPast then "past" else "present")

    let sameMeaning (chance: Chance) =
        let yes, no =
            chance.Pick [| "yes", "no"; "same", "different"; "true", "false"; "equal", "not equal" |]

        let isSame = chance.Odds 0.5

        let first, second =
            chance.Pick(if isSame then Lexicon.synonyms else Lexicon.opposites)

        let frame =
            chance.Pick
                [|
                    "The word of {name} was {}."
                    "They said {} again and again."
                    "On the door of the {venue} stood the word {}."
                    "{}"
                |]

        let frame = write chance (frame.Replace("{}", "@"))
        let left, right = frame.Replace("@", first), frame.Replace("@", second)

        choose
            chance
            [|
                "Do these two mean the same?"
                "Is the meaning the same?"
                "Compare the two texts."
            |]
            [| yes; no |]
            $"1: {left} 2: {right}",
        (if isSame then yes else no)

    let larger (chance: Chance) =
        let low = chance.Below 99
        let high = low + 1 + chance.Below(100 - low)
        let isHigh = chance.Odds 0.5
        let first, second = if chance.Odds 0.5 then low, high else high, low

        let tell value =
            if chance.Odds 0.5 then
                string value
            else
                Inflect.number value

        let first', second' = tell first, tell second

        let told value =
            if value = first then first' else second'

        let word =
            if isHigh then
                chance.Pick [| "larger"; "greater" |]
            else
                chance.Pick [| "smaller"; "less" |]

        choose chance [| $"Which number is {word}?"; $"Choose the number that is {word}." |] [| first'; second' |] "",
        told (if isHigh then high else low)
