/// `peft report`: what it says, writes and deletes.
module Peft.Tests.ReportCommandTests

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

let private command =
    testList
        "command"
        [
            testCase "a whole folder gives 0, a damaged file is named, skipped and gives 1"
            <| fun () ->
                inSweep (fun folder ->
                    let output = Path.Combine(folder, "out")

                    let report () =
                        OptionsTests.peft [ "report"; folder; "--output"; output ]

                    let code, text, error = report ()
                    Expect.equal (code, error) (0, "") "whole"
                    Expect.stringContains text "report.html" "it says where"

                    let damaged = Path.Combine(folder, "damaged.json")
                    File.WriteAllText(damaged, "{ \"Schema\": ")
                    let predictions = Directory.GetFiles(folder, "topic-paper-lora-low-s1-*.jsonl")[0]
                    File.AppendAllText(predictions, "no JSON\n")
                    let code, _, error = report ()
                    Expect.equal code 1 "exit code"
                    let page = File.ReadAllText(Path.Combine(output, "report.html"))

                    for file in [ damaged; predictions ] do
                        Expect.stringContains error file "the error names it"
                        Expect.stringContains page (Path.GetFileName file |> string) "the page names it")

            testCase
                "a missing, damaged or empty predictions file is named once and gives 1, for a report and a comparison"
            <| fun () ->
                let missing, damaged, empty =
                    File.Delete,
                    (fun path -> File.AppendAllText(path, "no JSON\n")),
                    (fun path -> File.WriteAllText(path, ""))

                for change in [ missing; damaged; empty ] do
                    // A baseline's stand behind both levels.
                    for run in [ "topic-zero-shot-s1-*.jsonl"; "topic-paper-lora-low-s1-*.jsonl" ] do
                        inSweep (fun folder ->
                            let path = Directory.GetFiles(folder, run)[0]
                            change path
                            let name = Path.GetFileName path |> string
                            let times (text: string) = text.Split(name).Length - 1

                            let content = content folder

                            Expect.equal
                                (Summary.problems content.Findings |> List.sumBy times)
                                1
                                "once among the report's problems"

                            Expect.exists
                                (Summary.problems content.Findings)
                                _.Contains("is left out: its predictions could not be read.")
                                "what it costs"

                            for command in
                                [
                                    [ "report"; folder; "--output"; Path.Combine(folder, "out") ]
                                    [ "table"; "--compare"; "--results"; folder ]
                                ] do
                                let code, text, error = OptionsTests.peft command
                                Expect.equal code 1 "exit code"
                                Expect.equal (times text, times error) (0, 1) "once, on standard error")

            testCase "comparisons of several settings stand under their setting, and a legend tells the numbers"
            <| fun () ->
                inSweep (fun folder ->
                    let next = uniform 25UL

                    for name in [ "paper-lora"; "paper-ia3" ] do
                        let usual = run TaskDefinition.topic (tuned name) (Some Low) 1 0.5 40.0

                        let experiment =
                            { usual.Experiment with
                                Model = "another"
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

                    let code, text, error =
                        OptionsTests.peft [ "table"; "--compare"; "--results"; folder ]

                    Expect.equal (code, error) (0, "") "nothing was skipped"
                    let lines = text.Split '\n'
                    let heading = lines |> Array.findIndex _.StartsWith("[1] model another")
                    let second = lines |> Array.findIndex _.StartsWith("[2] model m")
                    let comparison = lines |> Array.findIndex _.StartsWith("Topic, low")
                    Expect.isTrue (heading < comparison && comparison < second) "under its setting"
                    Expect.exists lines _.StartsWith("Note: [1] model: another") "legend"
                    Expect.exists lines _.StartsWith("Note: [2] model: m") "legend")

            testCase "a copied result file is named, counts once and gives 1"
            <| fun () ->
                inSweep (fun folder ->
                    let original = Directory.GetFiles(folder, "topic-paper-lora-low-s1-*.json")[0]
                    let copy = Path.Combine(folder, "copy.json")
                    File.Copy(original, copy)
                    let before = (content folder |> sheet "table1").Rows |> List.map texts
                    File.Delete copy
                    Expect.equal before ((content folder |> sheet "table1").Rows |> List.map texts) "the same table"
                    File.Copy(original, copy)

                    let code, _, error =
                        OptionsTests.peft [ "report"; folder; "--output"; Path.Combine(folder, "out") ]

                    Expect.equal code 1 "exit code"
                    Expect.stringContains error copy "named"
                    Expect.equal (error.TrimEnd().Split('\n').Length) 1 "one line")

            testCase "a report deletes what an earlier one wrote and it does not, and nothing else"
            <| fun () ->
                // However the folder is written, it is the same one.
                for ending in [ ""; "/"; "/." ] do
                    inSweep (fun folder ->
                        let output = Path.Combine(folder, "report") + ending

                        let files () =
                            Directory.GetFiles(output, "*", SearchOption.AllDirectories)
                            |> Array.map (fun path -> Path.GetRelativePath(output, path).Replace('\\', '/'))
                            |> set

                        let manifest = Path.Combine(output, Manifest.fileName)

                        let listed () =
                            File.ReadAllLines manifest |> Seq.skip 1 |> set

                        Report.write output (content folder)
                        Expect.equal (files ()) (Set.add Manifest.fileName (listed ())) "all are listed"
                        let own = [ "mine.txt"; "tables/mine.txt"; "figures/mine.txt" ]

                        for name in own do
                            File.WriteAllText(Path.Combine(output, name), "mine")

                        // A list that was tampered with leads nowhere outside, and to nothing that is no file of a report.
                        let outside = Path.Combine(folder, "outside.txt")
                        File.WriteAllText(outside, "mine")
                        let lines = own @ [ "../outside.txt"; outside; ""; "."; "tables"; "./report.html" ]
                        File.AppendAllLines(manifest, lines)

                        for file in Directory.GetFiles(folder, "dialogue-*") do
                            File.Delete file

                        Report.write output (content folder)

                        Expect.equal (files ()) (listed () + set (Manifest.fileName :: own)) "the stale ones are gone"
                        Expect.isTrue (files () |> Set.contains "report.html") "the page stays"
                        Expect.isFalse (files () |> Set.exists _.Contains("dialogue")) "of the other task"
                        Expect.isTrue (File.Exists outside) "outside nothing is touched")

            testCase "a list that no report wrote deletes nothing, nor one that leads through a link"
            <| fun () ->
                inSweep (fun folder ->
                    let output = Path.Combine(folder, "report")
                    let elsewhere = Path.Combine(folder, "elsewhere")

                    let mine =
                        [
                            Path.Combine(output, "train.csv")
                            Path.Combine(output, "figures", "mine.png")
                            Path.Combine(elsewhere, "mine.csv")
                        ]

                    for path in mine do
                        Directory.CreateDirectory(Path.GetDirectoryName path |> string) |> ignore
                        File.WriteAllText(path, "mine")

                    Directory.CreateSymbolicLink(Path.Combine(output, "tables"), elsewhere)
                    |> ignore

                    let lines = [ "train.csv"; "tables/mine.csv"; "figures/mine.png" ]

                    for name in [ "manifest.txt"; Manifest.fileName ] do
                        File.WriteAllLines(Path.Combine(output, name), lines)

                    Report.write output (content folder)
                    Expect.all mine File.Exists "a list without the first line"
                    File.AppendAllLines(Path.Combine(output, Manifest.fileName), lines[..1])
                    Report.write output (content folder)
                    Expect.all mine File.Exists "a folder that is a link, a name that no report writes")

            testCase "a folder without results is refused in one line"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let code, _, error =
                        OptionsTests.peft [ "report"; folder; "--output"; Path.Combine(folder, "out") ]

                    Expect.equal code 1 "exit code"
                    Expect.stringContains error "holds no result file" "the cause"
                    Expect.equal (error.TrimEnd().Split('\n').Length) 1 "one line"
                    Expect.isFalse (Directory.Exists(Path.Combine(folder, "out"))) "nothing was written")
        ]

[<Tests>]
let tests = testList "Report" [ command ]
