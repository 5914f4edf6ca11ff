module Peft.Tests.TablesTests

open System
open System.IO
open Deedle
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.SampleRuns

let private meanOf frame row column =
    match cellOf frame row column with
    | Some cell -> cell.Mean
    | None -> failtest $"{row}, {column} is missing"

let private sweep =
    [
        for seed in 1..3 do
            run topic ZeroShot None seed 0.25 2.0
            run topic full (Some Low) seed (0.80 + 0.01 * float seed) 60.0
            run topic lora (Some Low) seed 0.90 120.0
            run topic ia3 (Some Low) seed 0.70 240.0
            run dialogue full (Some Low) seed 0.40 90.0
            run topic lora (Some Medium) seed 0.95 300.0
    ]

/// A table of `AllTables.all` of some runs alone.
let private made (make: Settings -> Run list -> Frame<RowKey, string>) (runs: Run list) =
    make (Settings.ofRuns runs) runs

let private frames =
    testList
        "frames"
        [
            testCase "scores are means over seeds with their deviation; what no run gives is missing"
            <| fun () ->
                let table = Tables.table1 sweep
                let cell = cellOf table ("full", "low") "Topic (accuracy)"
                Expect.floatClose Accuracy.high cell.Value.Mean 0.82 "mean"
                Expect.floatClose Accuracy.high cell.Value.Deviation 0.01 "deviation"
                Expect.equal cell.Value.Seeds 3 "seeds"
                Expect.isNone (cellOf table ("paper-lora", "low") "Dialogue (ROUGE-L)") "missing"
                Expect.equal (Seq.head table.RowKeys) ("zero-shot", "") "baselines come first"
                Expect.stringContains (Tables.toText table) "0.8200 ± 0.0100" "text"

            testCase "the order of runs changes nothing"
            <| fun () ->
                let mixed =
                    Shuffle.order "runs" sweep.Length
                    |> Array.map (fun place -> sweep[place])
                    |> List.ofArray

                for name, _, style, make in AllTables.all do
                    Expect.equal (Render.toText style (made make mixed)) (Render.toText style (made make sweep)) name

            testProperty "exchanging seeds changes no table"
            <| fun (key: int) ->
                // The first seed's scores become another's, and so on: means over seeds are the same.
                let order = Shuffle.order (string key) 3

                let exchanged =
                    sweep
                    |> List.map (fun run ->
                        let seed = 1 + order[run.Experiment.Seed - 1]

                        let experiment =
                            { run.Experiment with
                                Seed = seed
                                Data = $"d{seed}"
                            }

                        { run with
                            Experiment = experiment
                            Id = Experiment.id experiment
                        })

                AllTables.all
                |> List.forall (fun (_, _, style, make) ->
                    Render.texts style (made make exchanged) = Render.texts style (made make sweep))

            testCase "score per 100,000 parameters and per minute, relative time and speed-up"
            <| fun () ->
                Expect.floatClose
                    Accuracy.high
                    (meanOf (Tables.table5 sweep) ("paper-lora", "low") "Topic")
                    0.45
                    "0.9 / 2"

                Expect.floatClose
                    Accuracy.high
                    (meanOf (Tables.table6 sweep) ("paper-lora", "low") "Topic")
                    0.45
                    "0.9 / 2 min"

                Expect.floatClose
                    Accuracy.high
                    (meanOf (SpeedUps.figure1 sweep) ("paper-ia3", "low") "Topic")
                    4.0
                    "240 / 60"

                Expect.floatClose Accuracy.high (meanOf (SpeedUps.figure1 sweep) ("full", "low") "Topic") 1.0 "itself"

                Expect.isNone
                    (cellOf (SpeedUps.figure1 sweep) ("paper-lora", "medium") "Topic")
                    "no full fine-tuning at medium"

                let speedUps = SpeedUps.speedUps sweep

                Expect.floatClose
                    Accuracy.high
                    (meanOf speedUps ("full fine-tuning's speed-up", "low") "Topic")
                    (2.0 / 3.0)
                    "1 - 60 / 180"

                Expect.isNone (cellOf speedUps ("full fine-tuning's speed-up", "low") "Dialogue") "no other technique"

            testCase "a seed without a technique that other seeds have gives no speed-up"
            <| fun () ->
                let partial =
                    sweep
                    |> List.filter (fun run -> not (run.Experiment.Method = ia3 && run.Experiment.Seed = 2))
                    |> SpeedUps.speedUps

                Expect.equal (cellOf partial ("full fine-tuning's speed-up", "low") "Topic").Value.Seeds 2 "seeds"

            testCase "parameters are one row a technique, whatever task, level and seed"
            <| fun () ->
                let table = sweep |> Placed.ofRuns |> Tables.table3
                Expect.equal (List.ofSeq table.RowKeys) [ "full", ""; "paper-ia3", ""; "paper-lora", "" ] "rows"
                Expect.floatClose Accuracy.high (meanOf table ("paper-lora", "") "% of total") 0.2 "share"

            testCase "placements have rows of their own in Table 2"
            <| fun () ->
                let runs =
                    Placed.ofRuns [ run topic lora (Some Medium) 1 0.9 1.0 ]
                    @ [
                        {
                            Placement = "later layers"
                            Run = run topic lora (Some Medium) 1 0.8 1.0
                        }
                    ]

                let table = Tables.table2 runs
                Expect.equal (meanOf table ("paper-lora, all layers", "medium") "Topic (accuracy)") 0.9 "all"
                Expect.equal (meanOf table ("paper-lora, later layers", "medium") "Topic (accuracy)") 0.8 "later"

            testCase
                "runs of different training, test rows, files or device never share a cell, and the notes tell them apart"
            <| fun () ->
                let first = run topic lora (Some Low) 1 0.9 10.0

                let training =
                    { first.Experiment.Training with
                        Epochs = 3
                    }

                for other in
                    [
                        { first with
                            Experiment =
                                { first.Experiment with
                                    Seed = 2
                                    Training = training
                                }
                        }
                        { first with
                            Experiment = { first.Experiment with Seed = 2 }
                            TestRows = 50
                        }
                        { first with
                            Experiment = { first.Experiment with Seed = 2 }
                            Source = Some { source with Train = source.Test }
                        }
                        { first with
                            Experiment = { first.Experiment with Seed = 2 }
                            Device = "cuda"
                        }
                    ] do
                    let runs = [ first; other ]
                    let table = Tables.table1 runs
                    Expect.equal table.RowCount 2 "two rows"

                    Expect.equal
                        (cellOf table ("paper-lora [1]", "low") "Topic (accuracy)").Value.Seeds
                        1
                        "one seed each"

                    let notes = String.Join("\n", Tables.notes runs)
                    Expect.stringContains notes "[2]" "the notes describe it"

                let models =
                    [
                        first
                        { first with
                            Experiment = { first.Experiment with Model = "n" }
                        }
                    ]

                Expect.equal (Tables.bySetting models).Length 2 "models are tables of their own"

            testCase "one training over several tasks is one setting, whatever files and test rows the tasks have"
            <| fun () ->
                let at (task: TaskDefinition) seed epochs =
                    let run = run task lora (Some Low) seed 0.5 1.0

                    { run with
                        Experiment =
                            { run.Experiment with
                                Training =
                                    { run.Experiment.Training with
                                        Epochs = epochs
                                    }
                            }
                        TestRows = if task.Name = topic.Name then 100 else 70
                        Recipe =
                            Some
                                {
                                    Preset = "paper"
                                    Overrides =
                                        if epochs = 10 then
                                            Overrides.None
                                        else
                                            { Overrides.None with
                                                Epochs = Some epochs
                                            }
                                }
                        Source =
                            Some
                                { source with
                                    Train =
                                        { source.Train with
                                            Files = [ task.Name ]
                                        }
                                }
                    }

                let same = [ at topic 1 10; at dialogue 1 10; at topic 2 10 ]
                Expect.equal (List.ofSeq (Tables.table1 same).RowKeys) [ "paper-lora", "low" ] "one row"

                for runs in
                    [
                        at dialogue 1 10 :: at topic 1 10 :: [ at topic 1 3 ]
                        [ at topic 1 3; at topic 1 10; at dialogue 1 10 ]
                    ] do
                    let table = Tables.table1 runs
                    Expect.equal table.RowCount 2 "two settings"

                    Expect.isSome (cellOf table ("paper-lora [1]", "low") "Dialogue (ROUGE-L)") "10 epochs on both"
                    Expect.isNone (cellOf table ("paper-lora [2]", "low") "Dialogue (ROUGE-L)") "3 epochs on Topic only"

            testCase "learning curves go by the number of training rows, baselines at none"
            <| fun () ->
                let curves = Tables.learningCurves sweep
                Expect.equal (meanOf curves ("zero-shot", "0 rows") "Topic (accuracy)") 0.25 "zero-shot"
                Expect.floatClose Accuracy.high (meanOf curves ("paper-lora", "100 rows") "Topic (accuracy)") 0.9 "low"

                Expect.floatClose
                    Accuracy.high
                    (meanOf curves ("paper-lora", "1,000 rows") "Topic (accuracy)")
                    0.95
                    "medium"

            testCase "no run, or failed runs only, give empty tables and words that say so"
            <| fun () ->
                let failed =
                    { run topic lora (Some Low) 1 0.9 10.0 with
                        Status = "failed"
                        Error = "no memory"
                    }

                for runs in [ []; [ failed ] ] do
                    for name, _, style, make in AllTables.all do
                        let table = made make runs
                        Expect.equal table.RowCount 0 name
                        Render.toText style table |> ignore
                        Render.toMarkdown style table |> ignore
                        Render.toLatex style table |> ignore
                        Render.toCsv table |> ignore

                Expect.stringContains (Tables.describe [ failed ]) "No run has finished." "text"
                Expect.stringContains (Tables.describe [ failed ]) "no memory" "the cause"
        ]

let private renderings =
    testList
        "renderings"
        [
            testCase "numbers in every style"
            <| fun () ->
                for style, value, expected in
                    [
                        Fixed 4, 0.5, "0.5000"
                        Plain 1, 4.0, "4"
                        Plain 1, 12.34, "12.3"
                        Grouped, 2849757184.0, "2,849,757,184"
                        Significant 3, 3.0136e-05, "3.01E-05"
                        Significant 4, 0.071742, "0.07174"
                        Significant 3, 123.4, "123"
                        Percent, 0.734, "73 %"
                        Fixed 2, nan, "–"
                    ] do
                    Expect.equal (NumberStyle.text style value) expected $"{style}"

            testCase "Markdown, LaTeX and CSV hold the same cells"
            <| fun () ->
                let table = Tables.table1 sweep

                Expect.stringContains
                    (Tables.toMarkdown table)
                    "| full | low | 0.8200 ± 0.0100 | 0.4000 ± 0.0000 |"
                    "Markdown"

                let latex = Render.toLatex (Fixed 4) table
                Expect.stringContains latex "full & low & 0.8200 $\\pm$ 0.0100 & 0.4000 $\\pm$ 0.0000 \\\\" "LaTeX"
                Expect.stringContains (Render.toLatex Percent (SpeedUps.speedUps sweep)) "67 \\%" "escaped"
                let lines = (Tables.toCsv table).Split '\n'

                Expect.equal
                    lines[0]
                    "technique,level,Topic (accuracy),Topic (accuracy) sd,Topic (accuracy) seeds,Dialogue (ROUGE-L),Dialogue (ROUGE-L) sd,Dialogue (ROUGE-L) seeds"
                    "CSV header"

                Expect.isTrue (lines |> Array.exists _.EndsWith(",3,,,")) "a missing cell is empty"
        ]

let private folders =
    testList
        "folders"
        [
            testCase "a damaged result file is named and the others are read"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let whole = run topic lora (Some Low) 1 0.5 1.0
                    Results.write folder whole
                    File.WriteAllText(Path.Combine(folder, "damaged.json"), "{ \"Schema\": 1")
                    File.WriteAllText(Path.Combine(folder, "other.json"), "{}")
                    let runs, problems = Results.read folder
                    Expect.equal (runs |> List.map _.Id) [ whole.Id ] "read"
                    Expect.equal problems.Length 2 "named"
                    Expect.stringContains problems.Head "damaged.json" "by file"

                    Expect.stringContains
                        (userErrorOf (fun () -> Results.read (Path.Combine(folder, "none")) |> ignore))
                        "does not exist"
                        "folder")

            testCase "a copied, renamed or changed result file is named, and each experiment counts once"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path (name: string) = Path.Combine(folder, name)

                    let first, second =
                        run topic lora (Some Low) 1 0.5 1.0, run topic ia3 (Some Low) 1 0.6 1.0

                    Results.write folder first
                    Results.write folder second
                    File.Copy(Run.path folder first.Experiment, path "copy.json")
                    File.Copy(Run.path folder first.Experiment, path $"copy-of-{first.Name}.json")
                    File.Move(Run.path folder second.Experiment, path "renamed.json")
                    let changed = run topic full (Some Low) 1 0.7 1.0
                    Results.write folder { changed with Id = first.Id }
                    let runs, problems = Results.read folder
                    Expect.equal (runs |> List.map _.Id) [ first.Id ] "one counts"
                    Expect.equal problems.Length 4 "the others are named"

                    for name in [ "copy.json"; $"copy-of-{first.Name}.json"; "renamed.json"; changed.Name ] do
                        Expect.exists problems _.Contains(path name) name

                    Expect.all problems (fun problem -> not (problem.Contains '\n')) "a line each"
                    Expect.exists problems _.Contains($"{second.Name}.json") "what its name must be")
        ]

[<Tests>]
let tests = testList "Tables" [ frames; renderings; folders ]
