module Peft.Tests.ComparisonTests

open System.IO
open Deedle
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns

let private withPredictions (body: string -> Run list -> unit) =
    inTemporaryFolder (fun folder ->
        let next = uniform 5UL

        let answers share =
            Array.init 100 (fun _ -> if next () < share then 1.0 else 0.0)

        let runs =
            [
                for seed in 1..3 do
                    for method, share in [ lora, 0.9; ia3, 0.5; full, 0.88 ] do
                        let scores = answers share
                        let run = run topic method (Some Low) seed (Array.average scores) 10.0
                        Evaluation.write (Run.predictionsPath folder run.Experiment) (predictions (50 * seed) scores)
                        run
            ]

        body folder runs)

let private comparisons =
    testList
        "comparisons"
        [
            testCase "techniques are compared on distinct test rows over their common seeds"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let comparison = Comparison.ofRuns folder runs
                    Expect.equal comparison.Seeds [ 1; 2; 3 ] "seeds"
                    Expect.equal comparison.Scores[0].Length 200 "rows 50 … 149, 100 … 199 and 150 … 249"

                    let marks =
                        comparison.BesideBest |> Array.map (fun mark -> mark.Name, mark.IsTied) |> dict

                    Expect.isTrue marks["paper-lora"] "paper-lora"
                    Expect.isFalse marks["paper-ia3"] "paper-ia3"
                    Expect.stringContains (ComparisonText.describe comparison) "tied" "text"

                    Expect.equal
                        (Comparison.ofRuns folder (List.rev runs)).Scores
                        comparison.Scores
                        "the order of runs changes nothing")

            testCase "where seeds share only part of their rows, the mean is Table 1's"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let comparison = Comparison.ofRuns folder runs
                    let table = Tables.table1 runs

                    for standing in comparison.BesideBest do
                        match cellOf table (standing.Name, "low") "Topic (accuracy)" with
                        | Some cell -> Expect.floatClose Accuracy.high standing.Mean cell.Mean standing.Name
                        | None -> failtest $"{standing.Name} is missing")

            testCase "Table 1 marks what is tied with the best"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let comparisons, _ = Comparison.all folder runs
                    let table = Tables.table1 runs

                    let mark (name, level) column =
                        match cellOf table (name, "low") "Topic (accuracy)" with
                        | Some cell -> Comparison.marks comparisons (name, level) column cell
                        | None -> failtest $"{name} is missing"

                    Expect.equal (mark ("paper-lora", "low") "Topic (accuracy)") "*" "paper-lora"
                    Expect.equal (mark ("paper-ia3", "low") "Topic (accuracy)") "" "paper-ia3"
                    Expect.equal (mark ("paper-lora", "medium") "Topic (accuracy)") "" "another level"
                    Expect.equal (mark ("paper-lora", "low") "Topic (MCC)") "" "another metric"

                    let stars =
                        ComparisonText.table1 comparisons runs |> Seq.filter ((=) '*') |> Seq.length

                    Expect.equal stars 3 "paper-lora, full and the legend")

            testCase "a technique that lacks a seed is left out and named; the others keep all their seeds"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let comparison = Comparison.ofRuns folder runs.Tail
                    Expect.equal (comparison.Seeds, comparison.LeftOut) ([ 1; 2; 3 ], []) "seeds"
                    Expect.equal comparison.Methods [| "full"; "paper-ia3" |] "techniques"

                    Expect.equal
                        comparison.Dropped
                        [
                            "paper-lora is left out: it has no run to compare with seed 1, which the others have."
                        ]
                        "named")

            testCase "where most techniques lack a seed, the seed is left out and named"
            <| fun () ->
                withPredictions (fun folder runs ->
                    // Two seeds of three techniques are more than three seeds of one.
                    let comparison = Comparison.ofRuns folder (runs |> List.skip 2)
                    Expect.equal (comparison.Seeds, comparison.LeftOut) ([ 2; 3 ], [ 1 ]) "seeds"
                    Expect.equal comparison.Methods.Length 3 "techniques"
                    Expect.isEmpty comparison.Dropped "nobody is left out"
                    Expect.stringContains (ComparisonText.describe comparison) "seeds 1 are left out" "text"
                    // Of two techniques, what both have.
                    let two = [ runs[0]; runs[3]; runs[1] ]
                    Expect.equal (Comparison.ofRuns folder two).Seeds [ 1 ] "the common seed")

            testCase "one bad predictions file costs its technique the comparison, not the others"
            <| fun () ->
                withPredictions (fun folder runs ->
                    Expect.equal (fst (Comparison.all folder runs)).Length 1 "one task and level"
                    let path = Run.predictionsPath folder runs.Head.Experiment

                    let damage =
                        [
                            "does not exist", (fun () -> File.Delete path)
                            "line 1, is no prediction", (fun () -> File.WriteAllText(path, "no JSON\n"))
                            "its file is empty", (fun () -> File.WriteAllText(path, ""))
                            "a predictions file was changed",
                            (fun () -> Evaluation.write path (predictions 51 (Array.create 100 1.0)))
                            "has 99", (fun () -> Evaluation.write path (predictions 50 (Array.create 99 1.0)))
                        ]

                    for cause, spoil in damage do
                        spoil ()
                        let found, problems = Comparison.all folder runs
                        Expect.equal found.Length 1 cause
                        Expect.equal found.Head.Methods [| "full"; "paper-ia3" |] cause
                        Expect.equal found.Head.Seeds [ 1; 2; 3 ] cause
                        Expect.equal problems.Length 2 "the run and its technique"
                        Expect.stringContains problems.Head cause "the cause"
                        Expect.stringContains problems.Head "Topic, low: paper-lora, low, seed 1 is left out" "the run"
                        Expect.stringContains problems[1] "Topic, low: paper-lora is left out" "the technique"

                    for run in runs do
                        File.Delete(Run.predictionsPath folder run.Experiment)

                    let found, problems = Comparison.all folder runs
                    Expect.isEmpty found "nothing is left"
                    Expect.stringContains problems.Head "nothing to compare" "said"
                    Expect.stringContains problems.Head "does not exist" "with the cause")

            testCase "a copied result file counts once; of two versions of a technique's rows the complete one stays"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let whole = Comparison.ofRuns folder runs
                    Expect.equal (Comparison.ofRuns folder (runs.Head :: runs)).Runs whole.Runs "a copy"

                    let other =
                        { runs.Head with
                            Id = "other"
                            Name = "other"
                            FinishedAt = "2026-02-01T00:00:00Z"
                            Source = Some { source with Train = source.Test }
                            Experiment =
                                { runs.Head.Experiment with
                                    Data = "other"
                                }
                        }

                    let both = Comparison.ofRuns folder (other :: runs)
                    Expect.equal both.Methods [| "full [1]"; "paper-ia3 [1]"; "paper-lora [1]" |] "one version"
                    Expect.equal both.Runs whole.Runs "of the same runs"
                    Expect.hasLength both.Dropped 1 "the other is left out"
                    Expect.stringContains both.Dropped.Head "paper-lora, low, seed 1 is left out" "by name")

            testCase "a mean over other seeds than those compared has no mark"
            <| fun () ->
                withPredictions (fun folder runs ->
                    // Only seed 1 is compared with seed 1; lora's cell is the mean over three seeds.
                    let comparison =
                        Comparison.ofRuns folder (runs |> List.filter (fun run -> run.Experiment.Seed = 1))

                    let mark runs =
                        match cellOf (Tables.table1 runs) ("paper-lora", "low") "Topic (accuracy)" with
                        | Some cell -> Comparison.marks [ comparison ] ("paper-lora", "low") "Topic (accuracy)" cell
                        | None -> failtest "paper-lora is missing"

                    Expect.equal (mark runs) "" "three seeds"
                    Expect.equal (mark (runs |> List.filter (fun run -> run.Experiment.Seed = 1))) "*" "the same seed")

            testCase "one seed: the text says that another seed is not in the intervals; several: that it is"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let one =
                        Comparison.ofRuns folder (runs |> List.filter (fun run -> run.Experiment.Seed = 2))

                    Expect.stringContains
                        (ComparisonText.describe one)
                        "hold for the models trained with seed 2"
                        "conditional"

                    let hits = round (100.0 * one.BesideBest[0].Mean)
                    Expect.equal one.BesideBest[0].Interval (Statistics.wilson 0.95 hits 100) "Wilson's"

                    Expect.stringContains
                        (ComparisonText.describe (Comparison.ofRuns folder runs))
                        "other seeds, of which 3 were trained"
                        "over seeds")

            testCase "seeds' costs are drawn with their scores; parameters stay"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let runs =
                        [
                            for seed in 1..2 do
                                for method, seconds in [ lora, 2.0 * float seed - 1.0; ia3, 2.0 ] do
                                    let run = run topic method (Some Low) seed 0.5 seconds
                                    let path = Run.predictionsPath folder run.Experiment
                                    Evaluation.write path (predictions 0 [| 1.0; 0.0 |])
                                    run
                        ]

                    let comparison = Comparison.ofRuns folder runs
                    Expect.equal comparison.OnFront [| true; true |] "alike in the mean"

                    for probability in comparison.FrontProbability do
                        Expect.isTrue (abs (probability - 0.75) < 0.04) $"{probability}: 1 or 3 seconds against 2")

            testCase "other rows, other tasks, damaged and missing files are refused by name"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let path = Run.predictionsPath folder runs.Head.Experiment

                    let refusal runs =
                        userErrorOf (fun () -> Predictions.join folder runs |> ignore)

                    let two = [ runs[0]; runs[1] ]
                    Expect.stringContains (refusal [ runs[0]; runs[3] ]) "different rows" "another seed's rows"
                    Expect.stringContains (refusal []) "no run" "none"

                    Expect.stringContains
                        (refusal [ runs[0]; run dialogue lora (Some Low) 1 0.5 1.0 ])
                        "different tasks"
                        "tasks"

                    Expect.stringContains (refusal [ { runs[0] with Status = "failed" } ]) "has failed" "failed"
                    Evaluation.write path (predictions 51 (Array.create 100 1.0))
                    Expect.stringContains (refusal two) "a predictions file was changed" "same split, other rows"
                    Evaluation.write path (predictions 50 (Array.create 99 1.0))
                    Expect.stringContains (refusal two) "99" "fewer rows"
                    File.AppendAllText(path, "not JSON\n")
                    Expect.stringContains (refusal two) "line 100" "damaged"
                    File.Delete path
                    Expect.stringContains (refusal two) "does not exist" "missing")

            testCase "techniques without a common seed and runs of two levels or tasks are refused"
            <| fun () ->
                withPredictions (fun folder runs ->
                    let refusal runs =
                        userErrorOf (fun () -> Comparison.ofRuns folder runs |> ignore)

                    Expect.stringContains (refusal [ runs[0]; runs[4] ]) "no seed in common" "seeds"
                    let medium = run topic ia3 (Some Medium) 1 0.5 1.0
                    Expect.stringContains (refusal [ runs[0]; medium ]) "different levels" "levels"
                    let other = run dialogue ia3 (Some Low) 1 0.5 1.0
                    Expect.stringContains (refusal [ runs[0]; other ]) "different tasks" "tasks"
                    Expect.stringContains (refusal []) "no finished run" "none")
        ]

let private samples =
    testList
        "predictions side by side"
        [
            testCase "where a split's first predictions are unreadable, the next run's rows are shown"
            <| fun () ->
                withPredictions (fun folder runs ->
                    runs |> List.iter (Results.write folder)

                    let first =
                        runs
                        |> List.sortBy Tables.rowOrder
                        |> List.find (fun run -> run.Experiment.Seed = 1)

                    File.WriteAllText(Run.predictionsPath folder first.Experiment, "no JSON\n")
                    let found, damaged = Sample.read 1_000_000 (Findings.read folder)
                    Expect.equal damaged.Length 1 "named"
                    Expect.equal found.Head.AllRows 200 "rows 50 … 249 of three seeds"
                    let row = found.Head.Rows |> List.find (fun row -> row.Input = "input 60")
                    Expect.equal row.Answers.Length 2 "the answers of the two others")
        ]

[<Tests>]
let tests = testList "Comparison" [ comparisons; samples ]
