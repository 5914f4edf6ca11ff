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
    }

let private withTraining (change: Training -> Training) : Run -> Run =
    withExperiment (fun experiment ->
        { experiment with
            Training = change experiment.Training
        })

/// A run with other rows, finished at another hour.
let private withData (data: string) (hour: int) (run: Run) : Run =
    { withExperiment (fun experiment -> { experiment with Data = data }) run with
        FinishedAt = $"2026-01-01T{hour:D2}:00:00Z"
    }

/// A sweep of four techniques at two levels over two seeds with a preset, after `change`.
let private sweep (preset: float -> Technique -> Level -> Training) (change: Training -> Training) : Run list =
    [
        for level in [ Low; Medium ] do
            for name in [ "full"; "paper-lora"; "paper-ia3"; "prompt" ] do
                for seed in 1..2 do
                    let technique = Technique.parse name

                    run topic (Tuned technique) (Some level) seed 0.5 1.0
                    |> withTraining (fun _ -> preset 0.1 technique level |> change)
    ]

let private changes: (string * (Training -> Training)) list =
    [
        "nothing", id
        "epochs", (fun training -> { training with Epochs = 2 })
        "batches", (fun training -> { training with BatchSize = 3 })
        "accumulation", (fun training -> { training with Accumulation = 7 })
        // Those of one technique in the other preset: the words must not depend on the technique.
        "accumulation of the other preset",
        (fun training ->
            { training with
                Accumulation = 5 - training.Accumulation
            })
        "rates",
        (fun training ->
            { training with
                InitialRate = 1e-3
                PeakRate = 1e-2
                FinalRate = 1e-3
            })
        "warm-up", (fun training -> { training with WarmupShare = 0.5 })
        "decay", (fun training -> { training with WeightDecay = 0.5 })
        "clip", (fun training -> { training with ClipNorm = 0.5 })
        "dropout", (fun training -> { training with Dropout = 0.5 })
        "patience", (fun training -> { training with Patience = 9 })
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
                for preset, make in Training.presets do
                    for name, change in changes do
                        let settings = sweep make change |> Settings.ofRuns
                        Expect.equal settings.All.Length 1 $"{preset}, {name}"
                        Expect.stringStarts settings.All.Head.Training preset "its words"
                        Expect.isEmpty (Settings.legend settings) "nothing to tell apart"

            testCase "every part of training makes a setting of its own"
            <| fun () ->
                let runs = changes |> List.collect (fun (_, change) -> sweep Training.small change)

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
                    (sweep Training.small (snd changes[1]) |> List.map (at 9))
                    @ (sweep Training.small id |> List.map (at 11))

                Expect.equal (numbers runs) (numbers (List.rev runs) |> List.rev) "reversed"
                Expect.equal (numbers runs |> List.distinct) [ [ 1 ]; [ 2 ] ] "in time"

            testCase "a baseline stands for all settings that differ in training only"
            <| fun () ->
                let zero = run topic ZeroShot None 1 0.2 1.0

                let runs =
                    zero :: { zero with Device = "cuda" } :: sweep Training.small id
                    @ sweep Training.small (snd changes[1])

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
                let of' (digest: string) (run: Run) =
                    { run with
                        Source =
                            $"train (1,000 rows, digest {digest}) for training; test (100 rows, digest t) for testing; 100 of 1,000 training rows"
                    }

                let at level seed hour =
                    run topic lora (Some level) seed 0.5 1.0 |> withData $"{level} {seed}" hour

                Expect.equal
                    (numbers [ at Low 1 1 |> of' "a"; at Low 2 3 |> of' "b"; at Low 3 2 |> of' "a" ])
                    [ [ 1 ]; [ 2 ]; [ 1 ] ]
                    "one seed on each"

                Expect.equal
                    (numbers [ at Low 1 1 |> of' "a"; at Medium 1 2 |> of' "b" ])
                    [ [ 1 ]; [ 2 ] ]
                    "a level on each: the same file held other rows"

                Expect.equal
                    (numbers [ at Low 1 1 |> of' "a"; at Medium 1 2 |> of' "a" ])
                    [ [ 1 ]; [ 1 ] ]
                    "one version"

            testCase "a result without a digest is of the version whose rows it had"
            <| fun () ->
                let of' (digest: string) (run: Run) =
                    { run with
                        Source = $"train (1,000 rows, digest {digest}) for training; test (100 rows) for testing"
                    }

                let lora seed data hour =
                    run topic lora (Some Low) seed 0.5 1.0 |> withData data hour

                let ia3 seed data hour =
                    run topic ia3 (Some Low) seed 0.5 1.0 |> withData data hour

                let runs =
                    [
                        lora 1 "old 1" 1
                        // Nothing ran on other rows between the two.
                        lora 2 "old 2" 2
                        ia3 2 "old 2" 3 |> of' "a"
                        ia3 3 "old 3" 4 |> of' "a"
                        // Of another version, and of which one nobody can tell.
                        ia3 1 "new 1" 5 |> of' "b"
                        lora 3 "new 3" 6
                    ]

                Expect.equal
                    (numbers runs)
                    [ [ 1 ]; [ 1 ]; [ 1 ]; [ 1 ]; [ 2 ]; [ 3 ] ]
                    "through the fingerprint of seed 2"

                Expect.equal (numbers (List.rev runs) |> List.rev) (numbers runs) "in any order"

            testCase
                "without a comparison the best mean is of one setting: versions of rows, trainings and devices stay apart"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let high = run topic lora (Some Low) 1 0.9 1.0 |> withData "old" 1
                    let low = run topic lora (Some Low) 1 0.1 1.0 |> withData "new" 2

                    let other =
                        run topic lora (Some Low) 2 0.2 1.0
                        |> withTraining (fun training -> { training with Epochs = 2 })

                    for run in [ high; low; other ] do
                        Run.write folder run

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
                            Run.write folder run

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
                let change (training: Training) = { training with Epochs = 2 }

                let runs =
                    [
                        run topic full (Some Low) 1 0.5 100.0
                        run topic lora (Some Low) 1 0.5 50.0
                        run topic full (Some Low) 1 0.5 20.0 |> withTraining change
                        run topic lora (Some Low) 1 0.5 30.0 |> withTraining change
                    ]

                let table, speed = SpeedUps.figure1 runs, SpeedUps.speedUps runs

                let mean table row = meanOf table row "Topic"

                Expect.equal (mean table "paper-lora [1]", mean table "paper-lora [2]") (0.5, 1.5) "Figure 1"
                let name = "full fine-tuning's speed-up"
                Expect.floatClose Accuracy.high (mean speed $"{name} [1]") (1.0 - 100.0 / 50.0) "first"
                Expect.floatClose Accuracy.high (mean speed $"{name} [2]") (1.0 - 20.0 / 30.0) "second"

            testCase "run time is never set against full fine-tuning of another setting"
            <| fun () ->
                let change (training: Training) = { training with Epochs = 2 }

                let runs =
                    [
                        run topic full (Some Low) 1 0.5 100.0
                        run topic lora (Some Low) 1 0.5 50.0
                        run topic ia3 (Some Low) 1 0.5 400.0 |> withTraining change
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
                    let change (training: Training) = { training with Epochs = 2 }

                    let ofModel model (run: Run) =
                        run |> withExperiment (fun experiment -> { experiment with Model = model })

                    let runs =
                        [
                            for level in [ Low; Medium ] do
                                for method in [ full; lora; ia3 ] do
                                    run topic method (Some level) 1 0.5 10.0

                                run topic lora (Some level) 1 0.5 10.0 |> withTraining change
                                // The other model lacks the first technique.
                                for method in [ lora; ia3 ] do
                                    run topic method (Some level) 1 0.5 10.0 |> ofModel "n"
                        ]

                    for run in runs do
                        Run.write folder run
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
