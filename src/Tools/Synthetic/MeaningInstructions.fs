namespace Peft.Synthetic

open Peft
open Peft.Synthetic.Wordings

/// Instructions about what the words mean that label sets are made of: what a phrase says, which answer fits a question, in
/// what manner something is said, whether two opinions agree. None asks what an embedded task asks.
module internal MeaningInstructions =
    // What a phrase says, under several names, and phrases that say it.
    let private meanings =
        [|
            [| "person"; "somebody" |],
            [|
                "{name}"
                "the {person}"
                "my {relative}"
                "the {trait} {job}"
                "{name}, the {job}"
                "a(n) {job} from {country}"
            |]
            [| "place" |],
            [|
                "in {town}"
                "{country}"
                "behind the {furniture}"
                "the {room}"
                "near the {venue}"
                "to {town}"
                "at the {venue} in {town}"
            |]
            [| "time" |],
            [|
                "on {day}"
                "at {clock}"
                "in {month}"
                "last {day}"
                "before {clock}"
                "on {day} in {month}"
                "an hour ago"
            |]
            [| "number" |],
            [|
                "{few}"
                "{count}"
                "{count} of them"
                "more than {count}"
                "about {count}"
            |]
            [| "reason"; "cause" |],
            [|
                "because it rained"
                "because {name} was ill"
                "since the {thing} was {colour}"
                "for fear of the {creature}"
                "because of the {quality} {thing}"
                "so that {name} could {activity}"
            |]
            [| "thing"; "object" |],
            [|
                "the {thing}"
                "a(n) {colour} {thing}"
                "the {quality} {thing} of {name}"
                "two {thing:s}"
                "that {size} {tool}"
            |]
            [| "manner" |], [| "{manner}"; "very {manner}" |]
            [| "colour" |], [| "{colour}"; "{colour} and {other=colour}" |]
            [| "feeling"; "mood" |], [| "{mood}"; "very {mood}" |]
            [| "animal" |], [| "the {animal}"; "a(n) {size} {animal}"; "two {animal:s}" |]
            [| "work" |], [| "to {activity}"; "to be a(n) {job}" |]
        |]

    let private rules =
        let counts = [| for count in 2..60 -> Inflect.number count |]

        lazy
            (Lexicon.rules
             |> Rules.extend [ "count", Array.append counts [| for count in 2..99 -> string count |] ])

    let private phrase (chance: Chance) (phrases: string[]) =
        Template.expand rules.Value [] chance (chance.Pick phrases)

    /// What a phrase says: a person, a place, a time.
    let phraseKind (chance: Chance) =
        let chosen = chance.Sample(chance.Between(2, 7), meanings)
        let names = chosen |> Array.map (fst >> chance.Pick)

        choose
            chance
            [|
                "What does this phrase name?"
                "What do these words tell us?"
                "What is it that the words name?"
                "What is named here?"
                "Which word says what the phrase is?"
            |]
            names
            ((phrase chance (snd chosen[0]) |> Inflect.capital |> bare) + "."),
        names[0]

    /// The phrase that says what is looked for.
    let phraseOf (chance: Chance) =
        let chosen = chance.Sample(chance.Between(2, 5), meanings)
        let name = chance.Pick(fst chosen[0])
        let phrases = chosen |> Array.map (snd >> phrase chance)
        let a = Inflect.article name

        choose
            chance
            [|
                $"Which of these names {a} {name}?"
                $"Find the words that tell us {a} {name}."
                $"Where is {a} {name} told?"
                $"We look for {a} {name}. Which one is it?"
            |]
            phrases
            "",
        phrases[0]

    // Short questions, each with answers that fit.
    let private questions =
        [|
            [|
                "Who is it?"
                "Who came?"
                "Who told {name} that?"
                "Who will help us?"
                "Whose is it?"
            |],
            0
            [| "Where are they?"; "Where is it now?"; "Where did {name} go?"; "Where to?" |], 1
            [| "When was it?"; "When did they come?"; "When is it?"; "Since when?" |], 2
            [| "How many are there?"; "How many did {name} see?"; "How many?" |], 3
            [| "Why?"; "Why did they go?"; "Why is {name} here?"; "For what reason?" |], 4
            [| "What is it?"; "What did they buy?"; "What is that on the {furniture}?" |], 5
        |]

    /// The answer that fits a question.
    let fitting (chance: Chance) =
        let chosen = chance.Sample(chance.Between(2, 5), questions)

        let answers =
            chosen |> Array.map (fun (_, place) -> phrase chance (snd meanings[place]))

        let asked = phrase chance (fst chosen[0])

        choose
            chance
            [|
                "Which answer fits?"
                "Which of these answers the question?"
                "What could the answer be?"
                "Find the answer."
            |]
            answers
            asked,
        answers[0]

    let private kind =
        [|
            "Please, dear {name}, give me the {thing}."
            "Would you be so good as to {activity}?"
            "Thank you for the {quality} {thing}."
            "How good of you to come, {name}."
            "I am so glad that you are here."
            "May I bring you some {drink}?"
            "Take your time, {name}, there is no hurry."
            "You have helped us very much."
        |]

    let private harsh =
        [|
            "Give me the {thing}, you fool."
            "Shut up and {activity}."
            "What an idiot you are, {name}."
            "Go away, nobody wants you here."
            "Are you deaf, {name}? The {thing}, at once."
            "I have had enough of you."
            "You never do anything right."
            "Hurry up, or I will throw the {thing} away."
        |]

    /// Which of two remarks is the kinder one.
    let kinder (chance: Chance) =
        let first, second = phrase chance kind, phrase chance harsh
        let isKind = chance.Odds 0.5

        let word =
            if isKind then
                chance.Pick [| "kinder"; "friendlier"; "more polite"; "nicer" |]
            else
                chance.Pick [| "less kind"; "ruder"; "less friendly"; "more hostile" |]

        choose
            chance
            [|
                $"Which remark is {word}?"
                $"Which of the two is {word}?"
                $"Find what is {word}."
            |]
            [| first; second |]
            "",
        (if isKind then first else second)

    /// Two opinions: whether they agree.
    let agreement (chance: Chance) =
        let yes, no =
            chance.Pick
                [|
                    "yes", "no"
                    "agree", "disagree"
                    "alike", "unlike"
                    "the same", "opposite"
                |]

        let praise =
            [|
                "liked the {what}"
                "was glad of the {what}"
                "called the {what} {fine}"
                "would go there again"
                "praised everything"
                "said: very good"
            |]

        let blame =
            [|
                "hated the {what}"
                "was cross about the {what}"
                "called the {what} {poor}"
                "will never go there again"
                "complained about everything"
                "said: very bad"
            |]

        let first, other = if chance.Odds 0.5 then praise, blame else blame, praise
        let isSame = chance.Odds 0.5
        let second = if isSame then first else other

        let told =
            Template.expand reviews.Value [] chance $"{{name}} {chance.Pick first}. {{name}} {chance.Pick second}."

        choose
            chance
            [|
                "Do the two agree?"
                "Are the two opinions the same?"
                "Compare what the two think."
            |]
            [| yes; no |]
            told,
        (if isSame then yes else no)

    /// The field that one word belongs to.
    let fieldOfWord (chance: Chance) =
        let chosen =
            chance.Sample(OptionNames.count chance |> min OptionInstructions.fields.Length, OptionInstructions.fields)

        let words = snd chosen[0]
        let word = chance.Pick words

        choose
            chance
            [|
                $"What does the word {word} have to do with?"
                $"Who speaks of {Inflect.article word} {word} speaks of what?"
                $"Where does {word} belong?"
                $"Which word goes with {word}?"
            |]
            (chosen |> Array.map fst)
            "",
        fst chosen[0]
