module Peft.Tests.SettingsTests

open System.IO
open Deedle
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns

let private topic, dialogue = TaskDefinition.topic, TaskDefinition.dialogue
let private lora, ia3, full = tuned "paper-lora", tuned "paper-ia3", tuned "full"

/// A run with another experiment, and the id that belongs to it.
let private withExperiment (change: Experiment -> Experiment) (run: Run) : Run =
    let experiment = change run.Experiment

    { run with
        Experiment = experiment
        Id = Experiment.id experiment
        Name = Experiment.name experiment
    }

/// A run whose recipe replaces settings of its training.
let private replacing (overrides: Overrides) (run: Run) : Run =
    let changed =
        run
        |> withExperiment (fun experiment ->
            { experiment with
                Training = Overrides.apply overrides experiment.Training
            })

    { changed with
        Recipe = run.Recipe |> Option.map (fun recipe -> { recipe with Overrides = overrides })
    }

/// A run on files of this digest; the word before the first blank of its split's fingerprint.
let private digested (digest: string) (run: Run) : Run =
    { run with
        Source =
            Some
                { source with
                    Train = { source.Train with Digest = digest }
                }
    }

/// A run with other rows, finished at another hour: the first word of `data` is their digest.
let private withData (data: string) (hour: int) (run: Run) : Run =
    { withExperiment (fun experiment -> { experiment with Data = data }) run with
        FinishedAt = $"2026-01-01T{hour:D2}:00:00Z"
    }
    |> digested (Seq.head (data.Split ' '))

/// A sweep of four techniques at two levels over two seeds with a preset and what replaces its settings.
let private sweep (preset: string) (overrides: Overrides) : Run list =
    let make = Training.presets |> List.find (fst >> (=) preset) |> snd

    [
        for level in [ Low; Medium ] do
            for name in [ "full"; "paper-lora"; "paper-ia3"; "prompt" ] do
                for seed in 1..2 do
                    let technique = Technique.parse name

                    let usual =
                        run topic (Tuned technique) (Some level) seed 0.5 1.0
                        |> withExperiment (fun experiment ->
                            { experiment with
                                Training = make 0.1 technique level
                            })

                    { usual with
                        Recipe = Some(Recipe.preset preset)
                    }
                    |> replacing overrides
    ]

let private longer: Overrides = { Overrides.None with Epochs = Some 2 }

let private changes: (string * Overrides) list =
    [
        "nothing", Overrides.None
        "epochs", longer
        "batches",
        { Overrides.None with
            BatchSize = Some 3
        }
        "accumulation",
        { Overrides.None with
            Accumulation = Some 7
        }
        "rates",
        { Overrides.None with
            Rates = Some(1e-3, 1e-2, 1e-3)
        }
        "warm-up",
        { Overrides.None with
            WarmupShare = Some 0.5
        }
        "decay",
        { Overrides.None with
            WeightDecay = Some 0.5
        }
        "clip",
        { Overrides.None with
            ClipNorm = Some 0.5
        }
        "dropout",
        { Overrides.None with
            Dropout = Some 0.5
        }
        "patience",
        { Overrides.None with
            Patience = Some 9
        }
    ]

let private meanOf (table: Frame<RowKey, string>) (row: string) (column: string) : float =
    let cell = table.GetRow<Cell>((row, "low")).TryGet column
    cell.Value.Mean

let private numbers (runs: Run list) =
    runs |> List.map (Settings.ofRuns runs).Numbers

[<Tests>]
let tests =
    testList
        "Settings"
        [
            testCase "a sweep with a preset and its replacements is one setting, whatever its techniques and levels"
            <| fun () ->
                for preset, _ in Training.presets do
                    for name, overrides in changes do
                        let settings = sweep preset overrides |> Settings.ofRuns
                        Expect.equal settings.All.Length 1 $"{preset}, {name}"
                        Expect.stringStarts settings.All.Head.Training preset "its words"
                        Expect.isEmpty (Settings.legend settings) "nothing to tell apart"

            testCase "every part of training makes a setting of its own"
            <| fun () ->
                let runs = changes |> List.collect (snd >> sweep "small")

                let settings = Settings.ofRuns runs
                Expect.equal settings.All.Length changes.Length "settings"
                Expect.equal (Settings.legend settings).Length changes.Length "a line each"

                for _, group in runs |> List.groupBy settings.Numbers do
                    for _, same in group |> List.groupBy (fun run -> run.Experiment.Method, run.Experiment.Level) do
                        Expect.equal
                            (same |> List.distinctBy _.Experiment.Training |> List.length)
                            1
                            "one number, one training"

            testCase "model, precision, limits, decoding and device make settings of their own"
            <| fun () ->
                let first = run topic lora (Some Low) 1 0.5 1.0

                let runs =
                    [
                        first
                        first |> withExperiment (fun experiment -> { experiment with Model = "n" })
                        first
                        |> withExperiment (fun experiment ->
                            { experiment with
                                Precision = "bfloat16"
                            })
                        first |> withExperiment (fun experiment -> { experiment with InputLimit = 9 })
                        first |> withExperiment (fun experiment -> { experiment with Beams = 4 })
                        { first with Device = "cuda" }
                    ]

                Expect.equal (numbers runs |> List.distinct |> List.length) runs.Length "numbers"

            testCase "the order of runs changes no number, and the first sweep is the first setting"
            <| fun () ->
                let at hour (run: Run) =
                    { run with
                        FinishedAt = $"2026-01-01T{hour:D2}:00:00Z"
                    }

                let runs =
                    (sweep "small" longer |> List.map (at 9))
                    @ (sweep "small" Overrides.None |> List.map (at 11))

                Expect.equal (numbers runs) (numbers (List.rev runs) |> List.rev) "reversed"
                Expect.equal (numbers runs |> List.distinct) [ [ 1 ]; [ 2 ] ] "in time"

            testCase "a baseline stands for all settings that differ in training only"
            <| fun () ->
                let zero = run topic ZeroShot None 1 0.2 1.0

                let runs =
                    zero :: { zero with Device = "cuda" } :: sweep "small" Overrides.None
                    @ sweep "small" longer

                let settings = Settings.ofRuns runs
                let numbers = settings.Numbers
                Expect.equal (numbers zero) [ 1; 2 ] "both"
                Expect.equal (numbers runs[1]) [ 3 ] "on another device it is alone"
                let mark = Settings.mark settings (List.filter (fun run -> run.Device = "cpu") runs)
                Expect.equal (mark zero, mark runs[2]) ("", " [1]") "it needs no number beside both"

            testCase "two versions of a task's rows are two settings, over all seeds"
            <| fun () ->
                let at seed data hour score =
                    run topic lora (Some Low) seed score 1.0 |> withData data hour

                // Seed 2 was run on the old rows only, seed 3 on the new ones only, seed 1 on both.
                let runs =
                    [
                        at 1 "old 1" 1 0.1
                        at 2 "old 2" 2 0.2
                        at 1 "new 1" 8 0.6
                        at 3 "new 3" 9 0.8
                        run dialogue lora (Some Low) 1 0.5 1.0
                    ]

                Expect.equal (numbers runs) [ [ 1 ]; [ 1 ]; [ 2 ]; [ 2 ]; [ 1 ] ] "numbers"
                let table = Tables.table1 runs

                let mean row = meanOf table row "Topic (accuracy)"

                Expect.floatClose Accuracy.high (mean "paper-lora [1]") 0.15 "old"
                Expect.floatClose Accuracy.high (mean "paper-lora [2]") 0.7 "new"

            testCase "digests tell versions apart where no seed ran on both, and whatever the hours"
            <| fun () ->
                let at level seed hour =
                    run topic lora (Some level) seed 0.5 1.0 |> withData $"{level} {seed}" hour

                Expect.equal
                    (numbers
                        [
                            at Low 1 1 |> digested "a"
                            at Low 2 3 |> digested "b"
                            at Low 3 2 |> digested "a"
                        ])
                    [ [ 1 ]; [ 2 ]; [ 1 ] ]
                    "one seed on each"

                Expect.equal
                    (numbers [ at Low 1 1 |> digested "a"; at Medium 1 2 |> digested "b" ])
                    [ [ 1 ]; [ 2 ] ]
                    "a level on each: the same file held other rows"

                Expect.equal
                    (numbers [ at Low 1 1 |> digested "a"; at Medium 1 2 |> digested "a" ])
                    [ [ 1 ]; [ 1 ] ]
                    "one version"

            testCase "a run without recipe tells all values, so that no two trainings are one setting"
            <| fun () ->
                let alone technique =
                    { run topic technique (Some Low) 1 0.5 1.0 with
                        Recipe = None
                    }

                Expect.equal (numbers [ alone lora; alone ia3 ]) [ [ 1 ]; [ 1 ] ] "equal values"
                Expect.equal (numbers [ alone lora; alone full ] |> List.distinct |> List.length) 2 "other rates"

            testCase "overrides are written and read, and tell what a training has instead"
            <| fun () ->
                let preset = Training.small 0.1 (Technique.parse "lora") Low

                for name, overrides in changes do
                    let replaced = Overrides.apply overrides preset
                    Expect.equal (Overrides.between preset replaced) overrides name

                    let written =
                        { run topic lora (Some Low) 1 0.5 1.0 with
                            Recipe =
                                Some
                                    {
                                        Preset = "small"
                                        Overrides = overrides
                                    }
                        }

                    Expect.equal (written |> RunJson.lineOf |> RunJson.parse "").Recipe written.Recipe name

            testCase
                "without a comparison the best mean is of one setting: versions of rows, trainings and devices stay apart"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let high = run topic lora (Some Low) 1 0.9 1.0 |> withData "old" 1
                    let low = run topic lora (Some Low) 1 0.1 1.0 |> withData "new" 2

                    let other =
                        run topic lora (Some Low) 2 0.2 1.0 |> digested "old" |> replacing longer

                    for run in [ high; low; other ] do
                        Results.write folder run

                    let content = Report.create "" (Path.Combine(folder, "report")) folder
                    let best = content.Sheets |> List.find (fun sheet -> sheet.Name = "best")

                    for row in best.Rows do
                        Expect.equal row[3].Runs.Length 1 $"{row[2].Text}: one run"

                    Expect.equal
                        (best.Rows |> List.map (fun row -> row[0].Text, row[3].Value))
                        [ "Topic, rows version 1", 0.9; "Topic, rows version 2", 0.1 ]
                        "a row for each version")

            testCase "versions of rows are compared each on its own rows"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    for data, hour, first in [ "old", 1, 0; "new", 2, 500 ] do
                        for method, score in [ lora, 1.0; ia3, 0.0 ] do
                            let run = run topic method (Some Low) 1 score 1.0 |> withData data hour
                            Results.write folder run

                            Array.create 40 score
                            |> predictions first
                            |> Evaluation.write (Run.predictionsPath folder run.Experiment)

                    let content = Report.create "" (Path.Combine(folder, "report")) folder
                    let setting = content.Findings.Settings.Head
                    Expect.isEmpty setting.NotCompared "all are compared"

                    Expect.equal
                        (setting.Comparisons
                         |> List.map (fun comparison -> List.ofArray comparison.Methods))
                        [ [ "paper-ia3 [1]"; "paper-lora [1]" ]; [ "paper-ia3 [2]"; "paper-lora [2]" ] ]
                        "two comparisons"

                    for names in
                        [
                            content.Sheets |> List.map _.Name
                            content.Sheets |> List.map _.Title
                            content.Figures |> List.map _.Name
                            content.Figures |> List.map _.Title
                        ] do
                        Expect.equal (List.distinct names) names "names of their own")

            testCase "run time is set against full fine-tuning of the same setting"
            <| fun () ->
                let runs =
                    [
                        run topic full (Some Low) 1 0.5 100.0
                        run topic lora (Some Low) 1 0.5 50.0
                        run topic full (Some Low) 1 0.5 20.0 |> replacing longer
                        run topic lora (Some Low) 1 0.5 30.0 |> replacing longer
                    ]

                let table, speed = SpeedUps.figure1 runs, SpeedUps.speedUps runs

                let mean table row = meanOf table row "Topic"

                Expect.equal (mean table "paper-lora [1]", mean table "paper-lora [2]") (0.5, 1.5) "Figure 1"
                let name = "full fine-tuning's speed-up"
                Expect.floatClose Accuracy.high (mean speed $"{name} [1]") (1.0 - 100.0 / 50.0) "first"
                Expect.floatClose Accuracy.high (mean speed $"{name} [2]") (1.0 - 20.0 / 30.0) "second"

            testCase "run time is never set against full fine-tuning of another setting"
            <| fun () ->
                let runs =
                    [
                        run topic full (Some Low) 1 0.5 100.0
                        run topic lora (Some Low) 1 0.5 50.0
                        run topic ia3 (Some Low) 1 0.5 400.0 |> replacing longer
                    ]

                let table, speed = SpeedUps.figure1 runs, SpeedUps.speedUps runs

                let tryMean (table: Frame<RowKey, string>) row =
                    table.GetRow<Cell>((row, "low")).TryGet "Topic"
                    |> OptionalValue.asOption
                    |> Option.map _.Mean

                Expect.equal (tryMean table "paper-lora [1]") (Some 0.5) "its own"
                Expect.isNone (tryMean table "paper-ia3 [2]") "another's"
                let name = "full fine-tuning's speed-up"
                Expect.equal (tryMean speed $"{name} [1]") (Some -1.0) "over paper-lora alone"
                Expect.isNone (tryMean speed $"{name} [2]") "none to divide"

            testCase "all tables of the same runs name a technique alike"
            <| fun () ->
                // Only the baseline is of another setting: it marks the others' names in every table.
                let runs =
                    { run topic ZeroShot None 1 0.2 1.0 with
                        Device = "cuda"
                    }
                    :: [
                        for level in [ Low; Medium ] do
                            for method in [ full; lora ] -> run topic method (Some level) 1 0.5 10.0
                    ]

                let settings = Settings.ofRuns runs
                let nameIn = Tables.nameIn settings runs
                let names = runs |> List.map nameIn |> set
                Expect.contains names "paper-lora [1]" "marked"

                for name, _, _, make in AllTables.all do
                    if name <> "table3" && name <> "speedups" then
                        for row, _ in (make settings runs).RowKeys do
                            Expect.contains names (row.Replace(", all layers", "")) name

            testCase "a technique has one colour in all figures of a report"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let ofModel model (run: Run) =
                        run |> withExperiment (fun experiment -> { experiment with Model = model })

                    let runs =
                        [
                            for level in [ Low; Medium ] do
                                for method in [ full; lora; ia3 ] do
                                    run topic method (Some level) 1 0.5 10.0

                                run topic lora (Some level) 1 0.5 10.0 |> replacing longer
                                // The other model lacks the first technique.
                                for method in [ lora; ia3 ] do
                                    run topic method (Some level) 1 0.5 10.0 |> ofModel "n"
                        ]

                    for run in runs do
                        Results.write folder run
                        Evaluation.write (Run.predictionsPath folder run.Experiment) (predictions 0 [| 1.0; 0.0 |])

                    let content = Report.create "" (Path.Combine(folder, "report")) folder

                    let seen =
                        [
                            for figure in content.Figures do
                                for series in figure.Series do
                                    if series.Name <> "front" then
                                        // Not a place among all names.
                                        Expect.isGreaterThanOrEqual series.Technique 0 series.Name
                                        series.Name, series.Technique
                        ]
                        |> List.distinct

                    let numberOf name =
                        match seen |> List.filter (fst >> (=) name) with
                        | [ _, number ] -> number
                        | numbers -> failtest $"{name} has {numbers}"

                    Expect.equal (numberOf "paper-lora [1]") (numberOf "paper-lora") "paper-lora in both models"
                    Expect.equal (numberOf "paper-ia3 [1]") (numberOf "paper-ia3") "paper-ia3 in both models"

                    Expect.notEqual
                        (numberOf "paper-lora [2]")
                        (numberOf "paper-lora [1]")
                        "two settings in one figure")
        ]
