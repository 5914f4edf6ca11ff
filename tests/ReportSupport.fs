/// A small sweep of made-up runs, and what a report holds of it.
module Peft.Tests.ReportSupport

open System
open System.IO
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns

/// Words that would do harm if they became markup or ended a script.
let hostile =
    "</script><script>window.isHarmed = true</script><img src=x onerror='window.isHarmed = true'> \"quoted\" & 'so' \u2028 żółć 日本 🙂 <!--"

/// Predictions for 30 rows, of which row 3 is hostile; about this share is right.
let private answers (next: unit -> float) (share: float) : Prediction[] =
    Array.init 30 (fun row ->
        let isRight = next () < share

        {
            Row = row
            Input = if row = 3 then hostile else $"input {row}"
            Target = "yes"
            Prediction =
                if row = 3 then hostile
                elif isRight then "yes"
                else "no"
            Ranked = None
            Score = if isRight then 1.0 else 0.0
        })

/// Writes a run and its predictions for 30 rows.
let add folder next (task: TaskDefinition) method level seed share seconds : unit =
    let predictions = answers next share
    let score = predictions |> Array.averageBy _.Score
    let run = run task method level seed score seconds
    Results.write folder run
    Evaluation.write (Run.predictionsPath folder run.Experiment) predictions

let failed =
    let run = run TaskDefinition.topic (tuned "bitfit") (Some Low) 1 nan 1.0

    { run with
        Status = "failed"
        Error = hostile
        Scores = Collections.Generic.Dictionary()
        Metric = ""
        Command = hostile
    }

/// A small sweep: two tasks, two levels, three techniques and a baseline, two seeds; one run failed.
let writeSweep (folder: string) : unit =
    let next = uniform 21UL

    for task in [ TaskDefinition.topic; TaskDefinition.dialogue ] do
        for seed in 1..2 do
            add folder next task ZeroShot None seed 0.2 1.0

            for level in [ Low; Medium ] do
                for name, share, seconds in [ "full", 0.8, 60.0; "paper-lora", 0.85, 30.0; "paper-ia3", 0.5, 20.0 ] do
                    add folder next task (tuned name) (Some level) seed share (seconds + float seed)

    Results.write folder failed

/// Ablation variants beside the small sweep: one technique at two places, one task and level.
let writeVariants (folder: string) : unit =
    let next = uniform 23UL

    for place in [ "early"; "late" ] do
        for seed in 1..2 do
            let answers = answers next 0.6
            let whole = run TaskDefinition.topic (tuned "paper-lora") (Some Low) seed 0.5 25.0

            let experiment =
                { whole.Experiment with
                    Placement = Placement.parse place
                }

            Results.write
                folder
                { whole with
                    Experiment = experiment
                    Id = Experiment.id experiment
                    Name = Experiment.name experiment
                }

            Evaluation.write (Run.predictionsPath folder experiment) answers

let inSweep (body: string -> unit) =
    inTemporaryFolder (fun folder ->
        writeSweep folder
        body folder)

let content (results: string) : ReportContent =
    Report.create "peft report runs" (Path.Combine(results, "report")) results

let sheet (name: string) (content: ReportContent) : Sheet =
    match content.Sheets |> List.tryFind (fun sheet -> sheet.Name = name) with
    | Some sheet -> sheet
    | None -> failtest $"there is no table {name}"

let texts (row: SheetCell list) = row |> List.map (fun cell -> cell.Text)
