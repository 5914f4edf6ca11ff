namespace Peft.Synthetic

open System
open Peft
open Peft.Synthetic.Wordings

/// Instructions whose options are named anew in each row, so that to answer with one of the options is learnt as such.
module internal OptionInstructions =
    /// Fields of life, each with words that belong to it.
    let fields: (string * string[])[] = WordLists.rules "fields" |> Array.ofList

    let private kinds =
        Array.append Lexicon.kinds fields
        |> Array.filter (fun (kind, _) -> kind <> "animal")

    // Questions that fit any label set; those of the embedded tasks are not among them.
    let private questions =
        [|
            "Which label fits?"
            "Which label fits the text?"
            "Choose a label for this text."
            "Give the text a label."
            "Which of the options is right?"
            "Pick the right option."
            "What is the best option?"
            "Which option describes it best?"
            "How would you label this?"
            "How would you classify the following?"
            "Classify the text."
            "What would an expert answer?"
            "What would a reader say of this sentence?"
            "Which class does this belong to?"
            "Select one of the options."
            "Answer with one of the options."
            "What do you think of the following?"
        |]

    /// The option that the text names.
    let named (chance: Chance) =
        let options = OptionNames.draw chance (OptionNames.count chance)
        let answer = options[0]

        let said =
            chance.Pick
                [|
                    $"The note says {answer}."
                    $"On the door {{name}} wrote {answer}."
                    $"{{name}} would choose {answer}."
                    $"I heard {{name}} say: {answer}."
                    $"Then came {answer}, and nothing else."
                    $"The teacher said that {answer} is the one."
                    $"{answer} was what they all wanted."
                |]

        let around = chance.Pick [| said; said + " {extra}"; "{extra} " + said |]

        let extra = if around.Contains "{extra}" then text chance else ""

        choose
            chance
            [|
                "Which option does the text name?"
                "Which of these is in the text?"
                "Find the option that the text mentions."
                "Which one is it?"
                "What does the text say?"
                chance.Pick questions
            |]
            options
            ((write chance (around.Replace("{extra}", "@"))).Replace("@", extra)),
        answer

    /// The option at a place in the list.
    let placed (chance: Chance) =
        let options = OptionNames.draw chance (chance.Between(2, 6))
        let place = chance.Below options.Length

        let word =
            if place = options.Length - 1 && chance.Odds 0.5 then
                "last"
            else
                (Rules.words "first second third fourth fifth sixth")[place]

        let listed = options |> Array.map (fun option -> $"- {option}") |> String.concat " "
        let before = if chance.Odds 0.4 then text chance + " " else ""

        ask
            chance
            [|
                $"Choose the {word} option. OPTIONS: {listed} {before.Trim()}"
                $"{before}Which option stands {word}? OPTIONS: {listed}"
                $"OPTIONS: {listed} Write the {word} of them."
                $"Give the {word} one. OPTIONS: {listed}"
            |]
            "",
        options[place]

    /// A text about a field: two or three of its words, now and then beside a word of another field.
    let private about (chance: Chance) (members: string[]) (other: string[]) : string =
        let words = chance.Sample(3, members)
        let stray = chance.Pick other

        chance.Pick
            [|
                $"{{name}} spoke about the {words[0]} and the {words[1]}."
                $"The {words[0]} was near the {words[1]} when {{name}} came."
                $"On {{day}} {{name}} saw a(n) {words[0]}. The {words[1]} came later."
                $"In {{town}} they talk about a(n) {words[0]}, a(n) {words[1]} and a(n) {words[2]}."
                $"Nobody knew where the {words[0]} was. {{name}} had only found a(n) {words[1]}."
                $"a(n) {words[0]} is what {{name}} needs, not a(n) {stray}."
                $"{{name}}, who had a(n) {stray}, asked for a(n) {words[0]} and a(n) {words[1]}."
                $"News from {{town}}. The {words[0]} and the {words[1]} of {{name}} are {{colour}}."
                $"a(n) {{quality}} {words[0]}! Last week {{name}} told the {{person}} of the {words[1]}."
            |]
        |> write chance

    let private sample (chance: Chance) (count: int) = chance.Sample(count, kinds)

    /// The field that a text is about.
    let field (chance: Chance) =
        let chosen = sample chance (OptionNames.count chance)
        let label, members = chosen[0]

        choose
            chance
            (Array.append
                questions
                [|
                    "What is the text about?"
                    "Which field is this from?"
                    "What is the subject of the text?"
                    "Where would this be read?"
                |])
            (chosen |> Array.map fst)
            (about chance members (snd chosen[1])),
        label

    /// What to write for which field is told in the row.
    let coded (chance: Chance) =
        let count = chance.Between(2, 4)
        let chosen, names = sample chance count, OptionNames.draw chance count

        let told =
            Array.map2
                (fun (kind, _) name ->
                    chance.Pick
                        [|
                            $"Write {name} if it is about {Inflect.article kind} {kind}."
                            $"{name} means {kind}."
                            $"For {kind}, answer {name}."
                        |])
                chosen
                names
            |> chance.Shuffle
            |> String.concat " "

        let question =
            chance.Pick [| told; $"{chance.Pick questions} {told}"; $"Use these labels. {told}" |]

        choose chance [| question |] names (about chance (snd chosen[0]) (snd chosen[1])), names[0]

    /// What the labels mean is shown by examples.
    let shown (chance: Chance) =
        let count = chance.Between(2, 3)
        let chosen, names = sample chance count, OptionNames.draw chance count
        let arrow = chance.Pick [| "->"; "="; ":"; "is" |]

        let examples =
            Array.map2 (fun (_, members: string[]) name -> $"{chance.Pick members} {arrow} {name}.") chosen names
            |> chance.Shuffle
            |> String.concat " "

        let asked = chance.Pick(snd chosen[0])

        choose
            chance
            [|
                $"Look at the examples. {examples} Go on:"
                $"{examples} And the next one?"
                $"Which label comes next? {examples}"
            |]
            names
            $"{asked} {arrow}",
        names[0]

    /// The option that belongs to the words of the question.
    let related (chance: Chance) =
        let chosen = sample chance (OptionNames.count chance)
        let label, members = chosen[0]
        let picked = chance.Sample(2, members)

        let others =
            chosen |> Array.skip 1 |> Array.map (fun (_, words) -> chance.Pick words)

        let question =
            chance.Pick
                [|
                    $"Which of these has to do with {label}?"
                    $"Which word belongs to {label}?"
                    $"Find the word that goes with {picked[1]}."
                    $"What fits {label}?"
                |]

        choose chance [| question |] (Array.append [| picked[0] |] others) "", picked[0]

    /// Words of the four benchmark topics, asked for by the topic: what the topics' names mean, never the question
    /// which topic a text has.
    let topical (chance: Chance) =
        let worlds =
            [|
                "sports", [| "athlete"; "contest"; "arena" |]
                "weather", [| "hot sky"; "cold sky" |]
                "cooking", [| "chef"; "plate"; "seasoning"; "pan" |]
                "music", [| "player"; "piece"; "group" |]
            |]

        let wordOf (_, lists: string[]) =
            chance.Pick TopicWords.rules[chance.Pick lists]

        let chosen = chance.Sample(chance.Between(2, 4), worlds)
        let label = fst chosen[0]
        let stray = chance.Pick(snd (chance.Pick kinds))
        let options = Array.append (chosen |> Array.map wordOf) [| stray |]

        choose
            chance
            [|
                $"Which of these has to do with {label}?"
                $"Which word belongs to {label}?"
                $"Find the word that goes with {label}."
                $"Who speaks of {label} needs one of these words. Which?"
            |]
            (Array.distinct options)
            "",
        options[0]

    /// A question that nothing answers: any of the options is as right as another. It teaches to stay with them.
    let open' (chance: Chance) =
        let options =
            if chance.Odds 0.3 then
                let first, second = OptionNames.opposed chance
                [| first; second |]
            else
                OptionNames.draw chance (OptionNames.count chance)

        let subject = (OptionNames.draw chance 1)[0]

        let asked =
            chance.Pick
                [|
                    "Is it @?"
                    "What would {name} call this?"
                    "Would a(n) {person} find this @?"
                    "Would {name} say that this is @?"
                |]

        choose
            chance
            (Array.append questions [| (write chance asked).Replace("@", subject) |])
            options
            (if chance.Odds 0.3 then
                 Corpus.line 811 (chance.Below 1_000_000)
             else
                 text chance),
        chance.Pick options
