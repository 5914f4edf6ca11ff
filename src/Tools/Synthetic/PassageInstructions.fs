namespace Peft.Synthetic

open Peft
open System
open Peft.Synthetic.Wordings

/// Instructions about whole passages: what kind of text it is, who does what in it, whether two texts belong together.
module internal PassageInstructions =
    let genre (chance: Chance) =
        let kind, called =
            chance.Pick
                [|
                    "story", "story"
                    "description", "description"
                    "chat", "conversation"
                    "instruction", "instruction"
                    "list", "list"
                    "letter", "letter"
                |]

        let others =
            [| "story"; "description"; "conversation"; "instruction"; "list"; "letter" |]
            |> Array.except [ called ]

        let words = (Corpus.lineOf chance kind).Split ' '
        let part = words |> Array.truncate (chance.Between(12, 40)) |> String.concat " "

        choose
            chance
            [|
                "What kind of text is this?"
                "Which form does the text have?"
                "Where would you put this text?"
            |]
            (Array.append [| called |] (chance.Sample(chance.Between(1, 4), others)))
            part,
        called

    let occupation (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)
        let chosen = chance.Sample(chance.Between(2, 4), Lexicon.work)
        let job, work = chosen[0]
        let other, otherWork = chosen[1]

        let told =
            Template.expandKeeping
                Lexicon.rules
                (cast @ [ "work", work; "other work", otherWork ])
                chance
                (chance.Pick
                    [|
                        "Every day {A} has to {work}. On {day}, {A.she} likes to {activity}."
                        "{A} and {B} live in {town}. {A} has learned to {work}, and {B} has learned to {other work}."
                        "{B}, who has to {other work}, met {A}, who has to {work}, at the {venue}."
                        "On {day} {A} said: \"I {work}, and I like it.\""
                        "It was {clock}. {A} was {mood} and did not want to {work} any more."
                        "While {B} has to {other work}, {A} has to {work} in {town}."
                    |])

        let _, name = List.head cast

        choose
            chance
            [|
                $"What is the work of {name}?"
                $"Which job does {name} have?"
                $"What is {name}?"
            |]
            (chosen |> Array.map fst |> Array.append [| other |] |> Array.distinct)
            told,
        job

    /// Who did it: the one in the main clause or the one in the clause beside it.
    let doer (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)
        let deed = chance.Pick [| "intransitive"; "transitive" |]
        let rest = if deed = "transitive" then " the {thing}" else ""

        let story, main, aside =
            chance.Pick
                [|
                    "{A}, whose {relative} {first deed}, {second deed} in {town}.", "{A}", "the {relative}"
                    "{A}, who had once met {B}, {second deed}, although {B} {first deed}.", "{A}", "{B}"
                    "Before {B} {first deed}, {A} {second deed}.", "{A}", "{B}"
                    "According to {B}, who {first deed} on {day}, {A} {second deed}.", "{A}", "{B}"
                    "The {job} from {town}, who knew that {B} {first deed}, {second deed}.", "the {job}", "{B}"
                    "While a(n) {job} {first deed}, {A} {second deed}.", "{A}", "the {job}"
                |]

        let forms =
            Template.expandKeeping
                Lexicon.rules
                []
                chance
                ($"{{first={deed}:past}}{rest}\t{{second={deed}:past}}"
                 + rest.Replace("thing", "other thing=thing"))

        let forms = forms.Split '\t' |> Array.map Inflect.small

        let parts =
            (Template.expandKeeping
                Lexicon.rules
                (cast @ [ "first deed", forms[0]; "second deed", forms[1] ])
                chance
                $"{story}\t{main}\t{aside}")
                .Split
                '\t'

        let isMain = chance.Odds 0.6
        let asked = forms[if isMain then 1 else 0]

        ask
            chance
            [|
                $"{{}} Who {asked}?"
                $"Who {asked}? {{}}"
                $"Read this: {{}} Tell me who {asked}."
            |]
            parts[0],
        (if isMain then parts[1] else parts[2])

    /// Whether a statement follows from a text.
    let statement (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)

        let story, right, wrong =
            chance.Pick
                [|
                    "{A} {transitive:past} a(n) {thing} at the {venue} on {day}.",
                    "{A} was at the {venue}.",
                    "{A} was at the {other=venue}."
                    "The {thing} of {A} is {colour}, and {A.she} likes it.",
                    "{A} has a(n) {colour} {thing}.",
                    "{A} has a(n) {other=colour} {thing}."
                    "{A} lives in {town} with {few} {creature:s}.", "{A} lives in {town}.", "{A} lives in {other=town}."
                    "{A}, a(n) {job}, gave {B} {few} {fruit:s}.", "{B} has {fruit:s}.", "{B} has {other=fruit:s}."
                    "On {day} {A} was {mood}, and {B} wanted to {activity}.",
                    "{B} wanted to {activity}.",
                    "{A} wanted to {other=activity}."
                    "The {vehicle} leaves at {clock} and goes to {town}.",
                    "The {vehicle} goes to {town}.",
                    "The {other=vehicle} goes to {town}."
                |]

        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{story}\t{right}\t{wrong}").Split '\t'

        let yes, no = yesNo chance
        let isRight = chance.Odds 0.5
        let claim = Inflect.capital parts[if isRight then 1 else 2]

        choose
            chance
            [|
                $"Is this right? {claim}"
                $"Does the text say this? {claim}"
                $"{claim} Is that so?"
            |]
            [| yes; no |]
            parts[0],
        (if isRight then yes else no)

    /// Whether two sentences speak about one world.
    let together (chance: Chance) =
        let yes, no = chance.Pick [| "yes", "no"; "same", "different"; "true", "false" |]
        let first = chance.Pick Corpus.worlds
        let isSame = chance.Odds 0.5

        let second =
            if isSame then
                first
            else
                chance.Pick(Corpus.worlds |> Array.except [ first ])

        choose
            chance
            [|
                "Do the two sentences belong together?"
                "Could both stand in one text?"
                "Are these about the same kind of thing?"
            |]
            [| yes; no |]
            $"1: {Corpus.event chance first} 2: {Corpus.event chance second}",
        (if isSame then yes else no)

    /// Which of two or three sentences goes on where a text stops.
    let continuation (chance: Chance) =
        let world = chance.Pick Corpus.worlds

        let others =
            chance.Sample(chance.Between(1, 2), Corpus.worlds |> Array.except [ world ])

        let answer = Corpus.event chance world

        let listed =
            chance.Shuffle(Array.append [| answer |] (others |> Array.map (Corpus.event chance)))
            |> Array.map (fun sentence -> $"- {sentence}")
            |> String.concat " "

        ask
            chance
            [|
                $"{{}} Which sentence comes next? OPTIONS: {listed}"
                $"Find the sentence that goes on. OPTIONS: {listed} TEXT: {{}}"
            |]
            (Corpus.event chance world),
        answer

    /// A question about what was said in a conversation.
    let conversation (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)

        let talk, question, answer =
            chance.Pick
                [|
                    "{A}: Where are you? {B}: I am at the {venue}. {A}: Stay there.", "Where is {B}?", "at the {venue}"
                    "{A}: I have lost my {thing}. {B}: It is on the {furniture}. {A}: Oh, good.",
                    "What has {A} lost?",
                    "the {thing}"
                    "{A}: I have lost my {thing}. {B}: It is on the {furniture}.",
                    "Where is the {thing}?",
                    "on the {furniture}"
                    "{B}: Hello! {A}: Shall we {activity}? {B}: Not today. I would rather {plan=activity}.",
                    "What does {B} want to do?",
                    "{plan}"
                    "{A}: My {relative} comes on {day}. {B}: By {vehicle}? {A}: Yes, at {clock}.",
                    "Who comes on {day}?",
                    "the {relative} of {A}"
                    "{A}: My {relative} comes on {day}. {B}: At what time? {A}: At {clock}.",
                    "When does the {relative} come?",
                    "on {day} at {clock}"
                    "{A}: Who took the {thing}? {B}: It was the {person}. {A}: I see.",
                    "Who took the {thing}?",
                    "the {person}"
                    "{A}: I need {few} {fruit:s}. {B}: I have {other=few}. {A}: That will do.",
                    "How many {fruit:s} does {B} have?",
                    "{other}"
                |]

        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{talk}\t{question}\t{answer}").Split '\t'

        ask
            chance
            [|
                $"{{}} {Inflect.capital parts[1]}"
                $"{Inflect.capital parts[1]} {{}}"
                $"Read the conversation and answer. {{}} Question: {Inflect.capital parts[1]}"
            |]
            parts[0],
        parts[2]
