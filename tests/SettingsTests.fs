/// Which runs are of one setting: training, model, limits and rows.
module Peft.Tests.SettingsTests

open System.IO
open Deedle
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns

/// A sweep of four techniques at two levels over two seeds with a preset and what replaces its settings.
let sweep (preset: string) (overrides: Overrides) : Run list =
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
                                Training = make topic.Name 0.1 technique level
                            })

                    { usual with
                        Recipe = Some(Recipe.preset preset)
                    }
                    |> replacing overrides
    ]

let longer: Overrides = { Overrides.None with Epochs = Some 2 }

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
        "recomputation",
        { Overrides.None with
            Recompute = Some Recomputed.Blocks
        }
    ]

let numbers (runs: Run list) =
    runs |> List.map (Settings.ofRuns runs).Numbers

let meanOf (table: Frame<RowKey, string>) (row: string) (column: string) : float =
    let cell = table.GetRow<Cell>((row, "low")).TryGet column
    cell.Value.Mean

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
        ]
