namespace Peft.Synthetic

open Peft
open System
open Peft.Synthetic.Wordings

/// Instructions about short texts: questions, gaps, titles.
module internal TextInstructions =
    let reading (chance: Chance) =
        let cast = Character.cast 2 chance
        let rules = Lexicon.rules

        let story, question, answer =
            chance.Pick
                [|
                    "{A} {transitive:past} a(n) {thing} at the {venue}.", "Where was {A}?", "at the {venue}"
                    "{A} lives in {town} with {few} {creature:s}.", "Where does {A} live?", "in {town}"
                    "{A} lives in {town} with {few} {creature:s}.", "How many {creature:s} does {A} have?", "{few}"
                    "{A} and {B} met on {day} to {activity}.", "When did they meet?", "on {day}"
                    "{A} and {B} met on {day} to {activity}.", "Who met {B}?", "{A}"
                    "{A} wants to {activity}, but {B} does not.", "Who does not want to {activity}?", "{B}"
                    "{A} wants to {activity}, but {B} does not.", "Who wants to {activity}?", "{A}"
                    "The {thing} of {A} is {colour}, and the {thing2=thing} is {colour2=colour}.",
                    "What colour is the {thing2}?",
                    "{colour2}"
                    "The {thing} of {A} is {colour}, and the {thing2=thing} is {colour2=colour}.",
                    "What colour is the {thing}?",
                    "{colour}"
                    "{A} is a(n) {job} and {B} is a(n) {job2=job}.", "What is the work of {B}?", "{job2}"
                    "{A} is a(n) {job} and {B} is a(n) {job2=job}.", "Who is a(n) {job}?", "{A}"
                    "The {vehicle} leaves at {clock} and goes to {town}.",
                    "When does the {vehicle} leave?",
                    "at {clock}"
                    "The {vehicle} leaves at {clock} and goes to {town}.", "Where does the {vehicle} go?", "to {town}"
                    "{A} put the {thing} on the {furniture} and the {thing2=thing} under it.",
                    "What is on the {furniture}?",
                    "the {thing}"
                    "{A} put the {thing} on the {furniture} and the {thing2=thing} under it.",
                    "What is under the {furniture}?",
                    "the {thing2}"
                    "{A} gave {B} {few} {fruit:s}.", "What did {A} give {B}?", "{few} {fruit:s}"
                    "{A} gave {B} {few} {fruit:s}.", "Who got the {fruit:s}?", "{B}"
                |]

        let more =
            chance.Pick
                [|
                    ""
                    ""
                    " It was a {mood} day."
                    " It rained in {town2=town}."
                    " {A.she:cap} felt {mood2=mood}."
                |]

        let parts =
            (Template.expandKeeping rules (Character.bindings cast) chance $"{story}{more}\t{question}\t{answer}").Split
                '\t'
        // `finish` capitals the answer only after a full stop; a name keeps its own capital.
        let answer = parts[2]

        chance.Pick
            [|
                $"{parts[0]} {Inflect.capital parts[1]}"
                $"Read the text and answer the question. {parts[0]} {Inflect.capital parts[1]}"
                $"Question: {Inflect.capital parts[1]} Text: {parts[0]}"
                $"{Inflect.capital parts[1]} {parts[0]}"
            |],
        answer

    let fields (chance: Chance) =
        let slots =
            chance.Sample(
                chance.Between(2, 4),
                [|
                    "colour", Lexicon.colours
                    "animal", Lexicon.animals
                    "town", Lexicon.towns
                    "day", Lexicon.days
                    "fruit", Lexicon.fruits
                    "owner", Lexicon.girls
                    "month", Lexicon.months
                    "job", Lexicon.jobs
                |]
            )
            |> Array.map (fun (slot, values) -> slot, chance.Pick values)

        let asked, answer = chance.Pick slots

        let listed =
            String.Join("; ", slots |> Array.map (fun (slot, value) -> $"{slot} = {value}"))

        ask
            chance
            [|
                $"{{}}. What is the {asked}?"
                $"Find the {asked}: {{}}"
                $"Which {asked} is given? {{}}"
            |]
            listed,
        answer

    let completion (chance: Chance) =
        match chance.Below 3 with
        | 0 ->
            let worker, work = chance.Pick Lexicon.work

            ask
                chance
                [|
                    $"Complete the sentence: It is the work of {Inflect.article worker} {worker} to"
                    $"What does {Inflect.article worker} {worker} do?"
                    $"Complete: Every day, {Inflect.plural worker}"
                |]
                "",
            work
        | 1 ->
            let kind, members =
                chance.Pick(Lexicon.kinds |> Array.filter (fun (kind, _) -> kind <> "animal"))

            let word = chance.Pick members
            let a = Inflect.article kind

            ask
                chance
                [|
                    $"Complete the sentence: {Inflect.capital (Inflect.article word)} {word} is"
                    $"What is {Inflect.article word} {word}?"
                    $"Explain the word: {word}"
                |]
                "",
            $"{a} {kind}"
        | _ ->
            let first, second = chance.Pick Lexicon.opposites

            ask
                chance
                [|
                    $"Complete the sentence: What is not {first} is"
                    $"Complete: If it is not {second}, it is"
                |]
                ""
            |> fun asked -> asked, (if asked.Contains $"not {first}" then second else first)

    let gap (chance: Chance) =
        let rules = Lexicon.rules
        let cast = Character.bindings (Character.cast 1 chance)

        let story, answer =
            chance.Pick
                [|
                    "{A} bought a(n) {quality} {thing}. The ___ was for {A.hers} {relative}.", "{thing}"
                    "{A} has a(n) {animal}. Every day, {A.she} feeds the ___.", "{animal}"
                    "{A} lives in {town}. The people of ___ like {A.her}.", "{town}"
                    "The {person} and {A} walked to the {venue}. But the ___ was closed.", "{venue}"
                    "{few:cap} {creature:s} were sleeping. One of the ___ woke up.", "{creature:s}"
                    "{A} did not want to go on {day}. But {A.she} had to go on ___.", "{day}"
                    "A(n) {colour} {thing} is still {colour} in the dark, and a(n) {colour2=colour} one is still ___.",
                    "{colour2}"
                    "{A} lost {A.hers} {clothing}. Without a(n) ___, {A.she} was cold.", "{clothing}"
                |]

        let parts =
            (Template.expandKeeping rules cast chance $"{story}\t{answer}").Replace("a(n) ___", "a ___").Split '\t'

        ask
            chance
            [|
                "Fill in the missing word: {}"
                "Which word is missing? {}"
                "What belongs in the gap? {}"
            |]
            parts[0],
        parts[1]

    let title (chance: Chance) =
        let cast = Character.bindings (Character.cast 1 chance)

        let story, name =
            chance.Pick
                [|
                    "{A} had lost {A.hers} {thing}. {A.she:cap} looked for it in the {venue} and behind the {furniture}. On {day}, a(n) {person} found it.",
                    "The lost {thing}"
                    "A(n) {creature} lived in the {venue}. The {creature} was {trait}, and everybody in {town} knew it.",
                    "The {trait} {creature} of {town}"
                    "First, {A} went to {town}. Then {A.she} took the {vehicle} to {town2=town}. {A.she:cap} came home in {month}.",
                    "The travels of {A}"
                    "{A} and {A.hers} {relative} wanted to {activity}. They needed {few} {thing:s} and had a lot of fun.",
                    "How to {activity}"
                    "The {person} gave {A} a(n) {thing}. It was {quality} and {colour}. {A} still has it.",
                    "The gift of the {person}"
                    "On {day} the {venue} was closed. {A} and the other people of {town} waited {manner}.",
                    "{day} at the {venue}"
                    "{A} is a(n) {job}. {A.she:cap} gets up at {clock} and works until {clock2=clock}.",
                    "A day in the life of a(n) {job}"
                |]

        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{story}\t{name}").Split '\t'

        ask
            chance
            [|
                "Find a title for the text: {}"
                "What could this text be called? {}"
                "Write a short title. {}"
            |]
            parts[0],
        Inflect.finish parts[1]

    let extraction (chance: Chance) =
        let cast = Character.bindings (Character.cast 1 chance)
        let count = chance.Between(13, 998)

        let story =
            Template.expandKeeping
                Lexicon.rules
                cast
                chance
                (chance.Pick
                    [|
                        $"{{A}} saw {count} {{creature:s}} in {{town}}."
                        $"On {{day}}, {{A}} sold {count} {{thing:s}} at the {{venue}}."
                        $"The {{person}} told {{A}} about {count} {{fruit:s}} from {{country}}."
                        $"In room {count} waits {{A}} with a(n) {{thing}}."
                    |])

        let name = snd cast.Head

        match chance.Below 2 with
        | 0 ->
            ask
                chance
                [|
                    "Which name is in the text? {}"
                    "Find the name of the person: {}"
                    "Who is the text about? {}"
                |]
                story,
            name
        | _ ->
            ask
                chance
                [|
                    "Which number is in the text? {}"
                    "Find the number: {}"
                    "Extract the number from the text. {}"
                |]
                story,
            string count

    let speaker (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)

        let told =
            Template.expandKeeping
                Lexicon.rules
                cast
                chance
                "\"I like {fruit:s},\" said {A}. \"I would rather have a(n) {thing},\" said {B}.\t{fruit:s}\t{thing}"

        let parts = told.Split '\t'
        let isFirst = chance.Odds 0.5

        let wanted =
            if isFirst then
                parts[1]
            else
                Inflect.article parts[2] + " " + parts[2]

        ask chance [| $"Who wants {wanted}? {{}}"; $"{{}} Who speaks about {wanted}?" |] parts[0],
        (if isFirst then
             snd cast.Head
         else
             cast |> List.find (fun (key, _) -> key = "B") |> snd)
