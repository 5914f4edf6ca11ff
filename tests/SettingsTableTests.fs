/// Tables and figures of runs of several settings.
module Peft.Tests.SettingsTableTests

open System.IO
open Deedle
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns
open Peft.Tests.SettingsTests

[<Tests>]
let tests =
    testList
        "Settings"
        [
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
