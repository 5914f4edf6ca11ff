/// Tables of a report, of one setting and of several.
module Peft.Tests.ReportTableTests

open System
open System.IO
open System.Net
open System.Security.Cryptography
open System.Text.Json
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns
open Peft.Tests.ReportSupport

let private tables =
    testList
        "tables"
        [
            testCase "every number of a table of scores and costs leads to the runs it is the mean of"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    let runs = content.Findings.Runs |> List.map (fun run -> run.Id, run) |> dict

                    for name, value in
                        [
                            "table1", (fun (run: Run) -> run.Score)
                            "memory", _.PeakMemoryMiB
                            "table6", (fun run -> run.Score / (run.Timing.Total / 60.0))
                        ] do
                        for row in (sheet name content).Rows do
                            for cell in row |> List.skip 2 |> List.filter (fun cell -> not cell.IsMissing) do
                                Expect.equal cell.Runs.Length 2 $"{name}: two seeds"

                                Expect.floatClose
                                    Accuracy.high
                                    cell.Value
                                    (cell.Runs |> List.averageBy (fun id -> value runs[id]))
                                    name

                    for sheet in content.Sheets do
                        for row in sheet.Rows do
                            for id in row |> List.collect (fun cell -> cell.Runs) do
                                Expect.isTrue (runs.ContainsKey id) $"{sheet.Name}: {id} is a run"

                                Expect.isTrue
                                    (File.Exists(Path.Combine(folder, RunSheets.fileOf runs[id])))
                                    "its result file is there")

            testCase "the best technique is named with its interval and with what is tied"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder

                    for row in (sheet "best" content).Rows do
                        let comparison =
                            content.Findings.Settings.Head.Comparisons
                            |> List.find (fun comparison ->
                                Tables.title comparison.Task = row[0].Text
                                && (comparison.Level |> Option.map Level.name) = Some row[1].Text)

                        let top = comparison.BesideBest |> Array.maxBy _.Mean
                        Expect.floatClose Accuracy.high row[3].Value top.Mean "score"

                        for standing in comparison.BesideBest do
                            if standing.Name <> row[2].Text then
                                Expect.equal
                                    (row[5].Text.Split "; " |> Array.contains standing.Name)
                                    standing.IsTied
                                    $"{standing.Name} in {row[5].Text}")

            testCase "baselines take part in the best, compared or not"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    for level in [ Low; Medium ] do
                        run TaskDefinition.topic (tuned "paper-lora") (Some level) 1 0.5 10.0
                        |> Results.write folder

                    run TaskDefinition.topic ZeroShot None 1 0.6 10.0 |> Results.write folder
                    // Another task's baseline is not asked.
                    run TaskDefinition.dialogue ZeroShot None 1 0.9 10.0 |> Results.write folder

                    Expect.equal
                        ((content folder |> sheet "best").Rows
                         |> List.map (fun row -> row[1].Text, row[2].Text, row[3].Value))
                        [ "low", "zero-shot", 0.6; "medium", "zero-shot", 0.6 ]
                        "best")

            testCase "a partial sweep gives partial tables: what is missing or failed is marked"
            <| fun () ->
                inSweep (fun folder ->
                    for file in Directory.GetFiles(folder, "dialogue-paper-ia3-low-s2-*") do
                        File.Delete file

                    let content = content folder
                    let coverage = (sheet "coverage" content).Rows

                    let row name level =
                        coverage |> List.find (fun row -> row[0].Text = name && row[1].Text = level)

                    Expect.equal (texts (row "paper-ia3" "low")) [ "paper-ia3"; "low"; "2 of 2"; "1 of 2" ] "one seed"
                    Expect.isTrue (row "paper-ia3" "low").[3].IsMissing "marked"
                    Expect.equal (texts (row "bitfit" "low")) [ "bitfit"; "low"; "0 of 2"; "–" ] "failed"
                    Expect.equal (sheet "failed" content).Rows.Length 1 "the failed run"
                    Expect.stringContains (Page.toHtml content) "no run gives this" "the page says so"

                    Expect.exists
                        (Summary.problems content.Findings)
                        _.Contains("paper-ia3 is left out: it has no run to compare with seed 2")
                        "the comparison says so")

            testCase "runs of different models have tables of their own, and nothing is averaged over them"
            <| fun () ->
                inSweep (fun folder ->
                    let run = run TaskDefinition.topic (tuned "paper-lora") (Some Low) 1 0.11 10.0

                    let experiment =
                        { run.Experiment with
                            Model = "another"
                        }

                    Results.write
                        folder
                        { run with
                            Experiment = experiment
                            Id = Experiment.id experiment
                            Name = Experiment.name experiment
                        }

                    Evaluation.write (Run.predictionsPath folder experiment) (predictions 1 [| 0.0; 1.0 |])
                    let content = content folder
                    Expect.equal content.Findings.Settings.Length 2 "settings"

                    let other =
                        if (sheet "table1" content).Rows.Length = 1 then
                            "table1"
                        else
                            "table1-2"

                    Expect.equal (sheet other content).Rows.Head.[2].Value 0.11 "alone"

                    for titles in [ content.Sheets |> List.map _.Title; content.Figures |> List.map _.Title ] do
                        Expect.equal (List.distinct titles) titles "titles say which setting they are of"

                    Expect.stringEnds (sheet "table1" content).Title "[1]" "by its number"
                    Expect.stringEnds (sheet "table1-2" content).Title "[2]" "by its number"

                    Expect.exists
                        (Summary.problems content.Findings)
                        _.Contains("several settings")
                        "the report says so")

            testCase "the same files give the same report"
            <| fun () ->
                inSweep (fun folder ->
                    let first, second = content folder, content folder

                    let page (content: ReportContent) =
                        Page.toHtml { content with MadeAt = "" }

                    Expect.isTrue (page first = page second) "pages")
        ]

/// The small sweep, and some of its runs again with other rates.
let private inTwoSettings (body: string -> unit) =
    inSweep (fun folder ->
        let next = uniform 22UL

        for task in [ TaskDefinition.topic; TaskDefinition.dialogue ] do
            for seed in 1..2 do
                for name in [ "full"; "paper-lora" ] do
                    let usual = run task (tuned name) (Some Low) seed 0.5 40.0

                    let experiment =
                        { usual.Experiment with
                            Training =
                                { usual.Experiment.Training with
                                    InitialRate = 0.1
                                    PeakRate = 0.7
                                    FinalRate = 0.2
                                }
                        }

                    Results.write
                        folder
                        { usual with
                            Experiment = experiment
                            Id = Experiment.id experiment
                            Name = Experiment.name experiment
                        }

                    Array.init 30 (fun _ -> if next () < 0.5 then 1.0 else 0.0)
                    |> predictions 0
                    |> Evaluation.write (Run.predictionsPath folder experiment)

        body folder)

let private settings =
    testList
        "settings"
        [
            testCase "several settings: a list of them once, and their numbers in every table, figure and viewer"
            <| fun () ->
                inTwoSettings (fun folder ->
                    let content = content folder
                    let numbered = content.Findings.Numbered
                    Expect.equal numbered.All.Length 2 "settings"

                    Expect.equal
                        (content.Sheets |> List.countBy (fun sheet -> sheet.Name = "settings"))
                        [ true, 1; false, content.Sheets.Length - 1 ]
                        "one list"

                    let list = (sheet "settings" content).Rows |> List.map texts
                    Expect.equal (list |> List.map List.head) [ "[1]"; "[2]" ] "numbers"
                    Expect.exists list (fun row -> row[1].Contains "rates 0.1 0.7 0.2") "what differs"

                    // Every run behind a named number belongs to the setting that the name says.
                    let numbersOf =
                        content.Findings.Runs
                        |> List.map (fun run -> run.Id, numbered.Numbers run)
                        |> dict

                    let isNamed (name: string) (runs: string list) =
                        runs
                        |> List.forall (fun id ->
                            let numbers = numbersOf[id]

                            if numbers.Length = 1 then
                                name.EndsWith $"[{numbers.Head}]"
                            else
                                not (name.Contains '['))

                    for name in
                        [
                            "table1"
                            "table4"
                            "table5"
                            "table6"
                            "figure1"
                            "memory"
                            "learning-curves"
                        ] do
                        for row in (sheet name content).Rows do
                            Expect.isTrue (row |> List.collect _.Runs |> isNamed row[0].Text) $"{name}: {row[0].Text}"

                    for row in (sheet "comparison" content).Rows do
                        Expect.isTrue (isNamed row[2].Text row[3].Runs) row[2].Text

                    for row in (sheet "best" content).Rows do
                        Expect.isTrue (isNamed row[2].Text row[3].Runs) row[2].Text

                    for figure in content.Figures do
                        for series in figure.Series |> List.filter (fun series -> series.Name <> "front") do
                            for point in series.Points do
                                Expect.isTrue (isNamed series.Name point.Runs) $"{figure.Name}: {series.Name}"

                    for name in [ "runs"; "failed"; "coverage" ] do
                        Expect.exists (sheet name content).Columns (fun column -> column.Heading = "setting") name

                    use json =
                        JsonDocument.Parse(PageData.toJson content.Findings content.Figures content.Samples)

                    for run in json.RootElement.GetProperty("runs").EnumerateArray() do
                        let name, id = string (run.GetProperty "technique"), string (run.GetProperty "id")
                        Expect.isTrue (isNamed name [ id ]) $"the viewer: {name}"

                    Expect.stringContains (sheet "table1" content |> Sheet.toLatex) "paper-lora {[}2{]} & low" "LaTeX"

                    // `\\ [1]` and `\midrule [1]` would take the number for a length.
                    for sheet in content.Sheets do
                        for line in (Sheet.toLatex sheet).Split '\n' do
                            Expect.isFalse (line.TrimStart().StartsWith '[') $"{sheet.Name}: {line}"

                    Expect.stringContains (sheet "table1" content |> Sheet.toCsv) "paper-lora [2],low" "CSV"
                    Expect.stringContains (Report.toMarkdown content) "| paper-lora [2] | low |" "Markdown")

            testCase "with one setting nothing has a number"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    Expect.isFalse (content.Sheets |> List.exists (fun sheet -> sheet.Name = "settings")) "no list"

                    for sheet in content.Sheets do
                        Expect.isFalse ((Sheet.toMarkdown sheet).Contains '[') sheet.Name
                        Expect.isFalse (sheet.Title.Contains '[') sheet.Title

                    for figure in content.Figures do
                        Expect.isFalse (figure.Title.Contains '[') figure.Title

                        for series in figure.Series do
                            Expect.isFalse (series.Name.Contains '[') series.Name)

            testCase "a task with too few techniques says so"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let next = uniform 23UL
                    add folder next TaskDefinition.topic (tuned "paper-lora") (Some Low) 1 0.5 1.0
                    add folder next TaskDefinition.dialogue ZeroShot None 1 0.5 1.0
                    let problems = (content folder).Findings |> Summary.problems |> List.map string

                    Expect.equal
                        (problems |> List.sort)
                        [
                            "Not compared row by row: Dialogue: no technique was trained, only zero-shot ran."
                            "Not compared row by row: Topic, low: paper-lora is the only technique; a comparison takes two."
                        ]
                        "both")
        ]

[<Tests>]
let tests = testList "Report" [ tables; settings ]
