/// How far a rerun lands from another, and what single runs must differ by.
module Peft.Tests.NoiseFloorTests

open System
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns
open Peft.Tests.ReportSupport

let private topic = TaskDefinition.topic

let private scored (name: string) (scores: float list) : Run list =
    scores
    |> List.mapi (fun place score -> run topic (tuned name) (Some Low) (place + 1) score 1.0)

let private only (runs: Run list) : NoiseFloor =
    NoiseFloor.ofRuns runs |> List.exactlyOne

/// Standard normal, by Box and Muller's transform.
let private normal (next: unit -> float) =
    sqrt (-2.0 * log (1.0 - next ())) * cos (2.0 * Math.PI * next ())

[<Tests>]
let tests =
    testList
        "Noise floor"
        [
            testCase "the deviation is pooled over configurations by their degrees of freedom"
            <| fun () ->
                let runs = scored "full" [ 0.4; 0.5; 0.6 ] @ scored "paper-lora" [ 0.1; 0.3 ]
                let floor = only runs
                // (2 * 0.01 + 1 * 0.02) / 3; Student's t of 3 degrees of freedom at 97.5 % is 3.182446.
                let deviation = sqrt (0.04 / 3.0)
                Expect.floatClose Accuracy.high floor.Deviation deviation "deviation"
                Expect.equal (floor.Configurations, floor.Runs, floor.Freedom) (2, 5, 3) "counts"
                Expect.floatClose Accuracy.medium floor.Detectable (3.182446 * sqrt 2.0 * deviation) "detectable"
                Expect.equal (only (List.rev runs)) floor "bit for bit, whatever the order"

            testCase "baselines, single runs and other settings are no reruns; an imported rerun of the same seed is"
            <| fun () ->
                let baselines =
                    [ 0.1; 0.9 ]
                    |> List.mapi (fun seed score -> run topic ZeroShot None seed score 1.0)

                Expect.isEmpty (NoiseFloor.ofRuns baselines) "baselines"
                let single = scored "full" [ 0.5 ]
                Expect.isEmpty (NoiseFloor.ofRuns single) "one run"
                Expect.isEmpty (NoiseFloor.ofRuns []) "no run"

                let elsewhere = { single.Head with Device = "another" }

                Expect.isEmpty (NoiseFloor.ofRuns [ single.Head; elsewhere ]) "another device"

                let again =
                    { single.Head with
                        Scores = Collections.Generic.Dictionary(dict [ single.Head.Metric, 0.7 ])
                        FinishedAt = "2026-01-02T00:00:00Z"
                    }

                let floor = only (baselines @ [ single.Head; again ])
                Expect.floatClose Accuracy.high floor.Deviation (0.2 / sqrt 2.0) "a rerun"

            testCase "where reruns agree nothing is needed to tell single runs apart"
            <| fun () ->
                let floor = only (scored "full" [ 0.5; 0.5; 0.5 ])
                Expect.equal (floor.Deviation, floor.Detectable) (0.0, 0.0) "no noise"

            testCase "two single runs that are equally good are told apart 5 % of the time"
            <| fun () ->
                let next = uniform 5UL
                let trials = 4_000

                let passed =
                    [ 1..trials ]
                    |> List.filter (fun _ ->
                        let floor =
                            [ "full"; "paper-lora"; "bitfit" ]
                            |> List.collect (fun name -> scored name (List.init 3 (fun _ -> 0.5 + 0.01 * normal next)))
                            |> only

                        abs (0.01 * normal next - 0.01 * normal next) > floor.Detectable)
                    |> List.length

                // Three standard errors of 4,000 draws are 1.03 %.
                Expect.floatClose { absolute = 0.0103; relative = 0.0 } (float passed / float trials) 0.05 "share"

            testCase "tables, reports and comparisons of files say it"
            <| fun () ->
                inSweep (fun folder ->
                    let runs, _ = Results.read folder
                    let told = Tables.notes runs |> List.filter _.StartsWith("Two single runs")
                    Expect.equal told.Length 2 "a note for each level"

                    let floor =
                        NoiseFloor.ofRuns runs
                        |> List.find (fun floor -> floor.Task = "topic" && floor.Level = Some Low)

                    let text = NumberStyle.text (Fixed 4) floor.Detectable
                    Expect.stringContains told.Head $"Topic {text} (deviation" "the figure"
                    let rows = (content folder |> sheet "noise").Rows
                    Expect.exists rows (fun row -> row[3].Text = text && row[0].Text = "Topic") "the report's table"

                    let files =
                        IO.Directory.GetFiles(folder, "topic-*-low-s1-*.predictions.jsonl")
                        |> List.ofArray

                    Expect.isGreaterThan files.Length 1 "files of single runs"
                    Expect.equal (NoiseFloor.ofPredictions files) [ floor ] "from the results beside the files"
                    Expect.isEmpty (NoiseFloor.ofPredictions [ "samples.jsonl" ]) "nothing is known of others")
        ]
