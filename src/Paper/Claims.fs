namespace Peft

open System

/// What the paper concludes, held against its own figures.
[<RequireQualifiedAccess>]
module Claims =
    let private techniques = Arithmetic.techniques
    let private adapters = List.tail techniques
    let private tasks = TaskDefinition.paper |> List.map _.Name
    let private early = [ Low; Medium ]
    let private number = Claim.number
    let private above = Claim.above
    let private fact = Claim.fact
    let private claim = Claim.make

    let private at (task: string) (level: Level) =
        $"{Tables.title task}, {Level.name level}"

    let private scored level task technique =
        technique, Arithmetic.scoreOf technique level task

    let private columns levels =
        [
            for level in levels do
                for task in tasks -> level, task
        ]

    /// Whether the best of some techniques scores above the best of the others.
    let private bestIsOf (chosen: string list) (others: string list) (level: Level, task: string) : Check =
        let top names =
            names |> List.map (scored level task) |> List.maxBy snd

        above (at task level) task (top chosen) (top others)

    let private secondsOf technique level task =
        match Paper.seconds technique level task with
        | Some printed -> printed.Value
        | None -> nan

    let private epochOf technique level task =
        Paper.table4
        |> List.pick (fun figure ->
            if
                figure.Quantity = Quantity.Epoch
                && figure.Technique = technique
                && figure.Level = Some level
                && figure.Task = task
            then
                Some figure.Printed.Value
            else
                None)

    let private timeClaims () : Claim list =
        let perMinute = Tables.table6 Paper.runs

        let rate level task technique =
            technique, Arithmetic.cell perMinute technique (Some level) (Tables.title task)

        [
            claim
                "full-is-faster"
                "§3.2, Figure 1"
                "Full fine-tuning converges faster than the PEFT techniques at low and medium, except BitFit on CoLA at medium."
                "Seconds until early stopping, one run each."
                [
                    for level, task in columns early do
                        for technique in adapters ->
                            let full, other = secondsOf "full" level task, secondsOf technique level task
                            let isException = (technique, level, task) = ("bitfit", Medium, "cola")
                            let words = if isException then " (the exception)" else ""

                            fact
                                $"{at task level}: full {number full} s against {technique} {number other} s{words}"
                                ((full < other) <> isException)
                ]
            claim
                "full-is-better-too"
                "§3.2"
                "Full fine-tuning, converging faster, leads to higher performance at low and medium."
                "Stated beside Figure 1; §4 states the opposite."
                [
                    for level, task in columns early do
                        for technique in adapters ->
                            above (at task level) task (scored level task "full") (scored level task technique)
                ]
            claim
                "peft-converges-faster-with-data"
                "§3.2"
                "Most PEFT techniques converge faster with more data."
                "Epochs of Table 4, low against medium; an epoch at medium has ten times the rows."
                [
                    for task in tasks do
                        for technique in adapters ->
                            let low, medium = epochOf technique Low task, epochOf technique Medium task

                            fact
                                $"{Tables.title task}: {technique} epoch {number low} at low, {number medium} at medium"
                                (medium < low)
                ]
            claim
                "time-low-medium"
                "§3.2"
                "Where time is short: full fine-tuning at low and medium data."
                "Held against the best score per minute of Table 6, recomputed, prompt tuning included."
                [
                    for level, task in columns early ->
                        let full = rate level task "full"
                        let name, other = adapters |> List.map (rate level task) |> List.maxBy snd

                        fact
                            $"{at task level}: full {number (snd full)} a minute against {name} {number other}"
                            (snd full > other)
                ]
            claim
                "time-high"
                "§3.2"
                "Where time is short: PEFT techniques at high data."
                "The paper prints no run time at the high level, where every run is one epoch."
                []
        ]

    let private memoryClaims () : Claim list =
        let perParameters = Tables.table5 Paper.runs

        let rate level task technique =
            technique, Arithmetic.cell perParameters technique (Some level) (Tables.title task)

        let leads chosen others (level, task) =
            let top names =
                names |> List.map (rate level task) |> List.maxBy snd

            let (left, mine), (right, theirs) = top chosen, top others
            fact $"{at task level}: {left} {number mine} against {right} {number theirs}" (mine > theirs)

        let remark =
            "Held against Table 5, score per 100,000 trainable parameters; the paper measured no memory."

        [
            claim
                "memory-low"
                "§3.2"
                "Where memory is short: BitFit and (IA)3 at low data."
                $"{remark} Prompt tuning is left out, as in the paper."
                (columns [ Low ]
                 |> List.map (leads [ "bitfit"; "paper-ia3" ] [ "full"; "paper-lora" ]))
            claim
                "memory-medium-high"
                "§3.2"
                "Where memory is short: (IA)3 at medium and high data."
                $"{remark} Prompt tuning is left out, as in the paper."
                (columns [ Medium; High ]
                 |> List.map (leads [ "paper-ia3" ] [ "full"; "paper-lora"; "bitfit" ]))
            claim
                "memory-with-prompt"
                "§3.2, with prompt tuning"
                "The same two recommendations, prompt tuning counted in."
                "Prompt tuning has the fewest parameters of all: this measure rewards that whatever it scores."
                ((columns [ Low ]
                  |> List.map (leads [ "bitfit"; "paper-ia3" ] [ "full"; "paper-lora"; "prompt" ]))
                 @ (columns [ Medium; High ]
                    |> List.map (leads [ "paper-ia3" ] [ "full"; "paper-lora"; "bitfit"; "prompt" ])))
            claim
                "below-one-per-cent"
                "A.2"
                "Every PEFT technique changes less than 1 % of the parameters."
                ""
                [
                    for technique in adapters ->
                        match Paper.parameters technique Placed.allLayers, Paper.parameters "full" "" with
                        | Some own, Some all ->
                            fact
                                $"{technique}: {number (100.0 * own.Value / all.Value)} %%"
                                (own.Value < 0.01 * all.Value)
                        | _ -> fact technique false
                ]
        ]

    let private qualityClaims () : Claim list =
        let margin level task =
            Arithmetic.scoreOf "full" level task
            - (adapters
               |> List.map (fun technique -> Arithmetic.scoreOf technique level task)
               |> List.max)

        [
            claim
                "quality-low-medium"
                "§3.2"
                "Where quality counts: (IA)3, LoRA or BitFit at low and medium data."
                "Whether the best of the three is above the better of full fine-tuning and prompt tuning."
                (columns early
                 |> List.map (bestIsOf [ "paper-ia3"; "paper-lora"; "bitfit" ] [ "full"; "prompt" ]))
            claim
                "quality-ia3"
                "§3.2"
                "(IA)3 is among the choices for quality at low and medium data."
                "Whether (IA)3 is above full fine-tuning."
                [
                    for level, task in columns early ->
                        above (at task level) task (scored level task "paper-ia3") (scored level task "full")
                ]
            claim
                "quality-high"
                "§3.2"
                "Where quality counts: full fine-tuning at high data."
                "Whether it is above every other technique."
                (columns [ High ] |> List.map (bestIsOf [ "full" ] adapters))
            claim
                "bitfit-lora-best"
                "§3.2"
                "BitFit and LoRA perform best at low and medium data."
                ""
                (columns early
                 |> List.map (bestIsOf [ "bitfit"; "paper-lora" ] [ "full"; "paper-ia3"; "prompt" ]))
            claim
                "full-gains-with-data"
                "§3.2"
                "Full fine-tuning gains on the PEFT techniques as data grows."
                "Its distance to the best other technique from one level to the next."
                [
                    for task in tasks do
                        for before, after in [ Low, Medium; Medium, High ] ->
                            fact
                                $"{Tables.title task}: {number (margin before task)} at {Level.name before}, {number (margin after task)} at {Level.name after}"
                                (margin after task > margin before task)
                ]
            claim
                "peft-better-low-medium"
                "§4"
                "PEFT techniques generally do better than full fine-tuning at low and medium data."
                "Every PEFT technique against full fine-tuning."
                [
                    for level, task in columns early do
                        for technique in adapters ->
                            above (at task level) task (scored level task technique) (scored level task "full")
                ]
            claim
                "prompt-is-worst"
                "A.5"
                "Prompt tuning does considerably worse than the other techniques."
                "Whether the lowest of the others is above it."
                [
                    for level, task in columns Level.all ->
                        let lowest =
                            techniques
                            |> List.filter ((<>) "prompt")
                            |> List.map (scored level task)
                            |> List.minBy snd

                        above (at task level) task lowest (scored level task "prompt")
                ]
            claim
                "few-rows"
                "§3.2"
                "With very few rows, prompting or in-context learning may do."
                "Neither was measured, nor fewer than 100 rows. Prompt tuning, which is something else, scores lowest on all four tasks at low."
                []
        ]

    let private ablationClaims () : Claim list =
        let value technique placement task =
            match Paper.ablation technique placement task with
            | Some printed -> printed.Value
            | None -> nan

        let whole = Placed.allLayers
        let early, late, random = "early layers", "later layers", "random half of layers"

        let noSelf, noCross, noQo =
            "without self-attention", "without encoder/decoder attention", "without query/output"

        let named technique placement task =
            $"{technique}, {placement}", value technique placement task

        let change technique placement task =
            value technique placement task / value technique whole task - 1.0

        let percent share =
            $"{number (Math.Round(100.0 * share, 1))} %%"

        let compare task (left, mine) (right, theirs) =
            above (Tables.title task) task (left, mine) (right, theirs)

        [
            claim
                "half-is-enough"
                "§3.3"
                "About half of the parameters can go without loss."
                "Whether the best variant with half of the parameters or fewer is above the whole technique: the best of several, chosen on the test rows."
                [
                    for technique, variants in
                        [
                            "paper-ia3", [ early; late; random; "without attention" ]
                            "paper-lora", [ early; late; random; noSelf; noQo ]
                        ] do
                        for task in tasks ->
                            let best =
                                variants
                                |> List.map (fun placement -> named technique placement task)
                                |> List.maxBy snd

                            compare task best (named technique whole task)
                ]
            claim
                "ia3-later-not-early"
                "§3.3"
                "(IA)3 does better in later or random layers than in early ones."
                ""
                [
                    for task in tasks do
                        for placement in [ late; random ] ->
                            compare task (named "paper-ia3" placement task) (named "paper-ia3" early task)
                ]
            claim
                "lora-later-not-early"
                "§3.3"
                "Later layers are the best place for few parameters."
                "For LoRA: later and random layers against early ones."
                [
                    for task in tasks do
                        for placement in [ late; random ] ->
                            compare task (named "paper-lora" placement task) (named "paper-lora" early task)
                ]
            claim
                "attention-matters"
                "§3.3"
                "Attention matters, to (IA)3 more than to LoRA."
                "(IA)3 loses all of its attention, LoRA one kind of it: no run takes the same away from both."
                [
                    for task in tasks do
                        let without = change "paper-ia3" "without attention" task
                        let lora = min (change "paper-lora" noSelf task) (change "paper-lora" noCross task)
                        fact $"{Tables.title task}: (IA)3 without attention {percent without}" (without < 0.0)

                        fact
                            $"{Tables.title task}: (IA)3 {percent without}, LoRA at worst {percent lora}"
                            (without < lora)
                ]
            claim
                "lora-tolerates-removal"
                "§3.3"
                "LoRA tolerates the removal of modules better than (IA)3."
                "Relative change in the three placements that both have."
                [
                    for task in tasks do
                        for placement in [ early; late; random ] ->
                            let lora, ia3 =
                                change "paper-lora" placement task, change "paper-ia3" placement task

                            fact
                                $"{Tables.title task}, {placement}: LoRA {percent lora}, (IA)3 {percent ia3}"
                                (lora > ia3)
                ]
            claim
                "self-attention-on-classification"
                "§3.3"
                "On classification, LoRA needs self-attention more than query/output or encoder-decoder attention."
                ""
                [
                    for task in Arithmetic.classification do
                        for placement in [ noQo; noCross ] ->
                            compare task (named "paper-lora" placement task) (named "paper-lora" noSelf task)
                ]
        ]

    /// Every statement, those on quality first.
    let all: Claim list =
        List.concat [ qualityClaims (); timeClaims (); memoryClaims (); ablationClaims () ]

    /// The claim of a name.
    let find (name: string) : Claim =
        match all |> List.tryFind (fun claim -> claim.Name = name) with
        | Some claim -> claim
        | None -> invalidArg (nameof name) $"there is no claim {name}"
