/// Recommendations from runs of our own.
module Peft.Tests.RecommendRunsTests

open System
open Expecto
open FsCheck
open Peft
open Peft.Tests.Support
open Peft.Tests.SampleRuns
open Peft.Tests.RecommendTests

let private own =
    [
        for seed in 1..3 do
            run topic (tuned "paper-ia3") (Some Low) seed 0.95 30.0
            run topic (tuned "paper-lora") (Some Low) seed (0.80 + 0.01 * float seed) 60.0
            run topic ZeroShot None seed 0.99 1.0
    ]

let private fromRuns =
    testList
        "from the user's runs"
        [
            testCase "two techniques are enough; what the paper alone has is shown apart"
            <| fun () ->
                let answer = Recommend.answer (classification 100) own
                Expect.equal (names answer.Ranking) [ "paper-ia3"; "paper-lora" ] "ranking"
                Expect.equal (Set.ofList (names answer.Elsewhere)) (Set [ "full"; "bitfit"; "prompt" ]) "elsewhere"

                Expect.exists
                    answer.Warnings
                    (fun line -> line = "Your runs put paper-ia3 first, the paper's figures paper-lora.")
                    "disagreement"

                Expect.all answer.Ranking (fun candidate -> candidate.Evidence.Length = 3) "three seeds each"
                Expect.stringContains (RecommendationText.describe answer) ".json" "result files are named"

            testCase "one technique, failed runs and runs of the other kind leave the ranking to the paper"
            <| fun () ->
                let failed = own |> List.map (fun run -> { run with Status = "failed" })
                Expect.equal (ranking (classification 100) failed) (ranking (classification 100) []) "failed"
                Expect.equal (ranking (generation 100) own) (ranking (generation 100) []) "other kind"
                let one = own |> List.filter (fun run -> run.Experiment.Method = tuned "paper-ia3")
                let answer = Recommend.answer (classification 100) one
                Expect.equal (names answer.Ranking).Length 5 "the paper's"
                Expect.equal (names answer.Elsewhere) [ "paper-ia3" ] "beside it"

            testCase "measured memory ranks by memory"
            <| fun () ->
                let runs =
                    own
                    |> List.map (fun run ->
                        if run.Experiment.Method = tuned "paper-lora" then
                            { run with PeakMemoryMiB = 100.0 }
                        else
                            run)

                let question =
                    { classification 100 with
                        Priority = Priority.Memory
                        Floor = 0.5
                    }

                Expect.equal (ranking question runs) [ "paper-lora"; "paper-ia3" ] "smaller first"

            testCase "runs of another setting or training are left out, never averaged in"
            <| fun () ->
                let other = run topic (tuned "paper-lora") (Some Low) 9 0.1 1.0

                for stray in
                    [
                        { other with
                            Experiment =
                                { other.Experiment with
                                    Model = "another"
                                }
                        }
                        { other with
                            Experiment =
                                { other.Experiment with
                                    Training =
                                        { other.Experiment.Training with
                                            Epochs = 1
                                        }
                                }
                        }
                    ] do
                    let answer = Recommend.answer (classification 100) (stray :: own)

                    let lora =
                        answer.Ranking
                        |> List.find (fun candidate -> candidate.Method = tuned "paper-lora")

                    Expect.floatClose Accuracy.high lora.Score 0.82 "untouched"

                    Expect.exists
                        answer.Warnings
                        (fun line -> line.Contains "only those of" || line.Contains "left out")
                        "said"

            testCase "runs of another device are left out by name, never averaged in"
            <| fun () ->
                let runs =
                    [
                        run topic (tuned "paper-ia3") (Some Low) 1 0.9 500.0
                        run topic (tuned "paper-lora") (Some Low) 1 0.9 600.0
                        { run topic (tuned "paper-lora") (Some Low) 2 0.8 20.0 with
                            Device = "cuda"
                        }
                    ]

                let answer = Recommend.answer (classification 100) runs

                let lora =
                    answer.Ranking
                    |> List.find (fun candidate -> candidate.Method = tuned "paper-lora")

                Expect.equal (lora.Seconds, lora.Score) (600.0, 0.9) "the seed on the CPU alone"

                Expect.contains
                    answer.Warnings
                    "Your runs are of 2 settings; only those of device cpu count here. Left out: 1 run of device cuda."
                    "named"

            testCase "one training holds for all techniques: the one that most of them have"
            <| fun () ->
                let short (run: Run) =
                    { run with
                        Experiment =
                            { run.Experiment with
                                Training =
                                    { run.Experiment.Training with
                                        Epochs = 1
                                    }
                            }
                    }

                let runs =
                    [
                        run topic (tuned "paper-ia3") (Some Low) 1 0.9 30.0
                        run topic (tuned "paper-lora") (Some Low) 1 0.9 30.0
                        for seed in 1..3 do
                            short (run topic (tuned "paper-lora") (Some Low) seed 0.5 1.0)
                    ]

                let answer = Recommend.answer (classification 100) runs
                Expect.all answer.Ranking (fun candidate -> candidate.Score = 0.9) "one training"
                Expect.exists answer.Warnings (fun line -> line.Contains "Left out: 3 runs of training") "named"

            testCase "another version of the rows with as many test rows is left out"
            <| fun () ->
                let stray =
                    let first = run topic (tuned "paper-lora") (Some Low) 1 0.1 1.0

                    { first with
                        Id = "stray"
                        Experiment = { first.Experiment with Data = "other" }
                        Source = Some { source with Train = source.Test }
                        FinishedAt = "2026-02-01T00:00:00Z"
                    }

                let answer = Recommend.answer (classification 100) (stray :: own)

                let lora =
                    answer.Ranking
                    |> List.find (fun candidate -> candidate.Method = tuned "paper-lora")

                Expect.floatClose Accuracy.high lora.Score 0.82 "untouched"

                Expect.contains
                    answer.Warnings
                    "Your runs on Topic are of several versions of its rows; only those of version 1 count here. Left out: 1 run."
                    "named"

            testCase "three seeds have Student's reach, one seed that of its test rows, and is said to have"
            <| fun () ->
                let one = own |> List.filter (fun run -> run.Experiment.Seed = 1)

                let interval runs =
                    let answer = Recommend.answer (classification 100) runs

                    answer.Warnings,
                    answer.Ranking
                    |> List.find (fun candidate -> candidate.Method = tuned "paper-lora")
                    |> _.Interval

                let warnings, found = interval one
                // 100 test rows: Wilson's, with Student's 99 degrees of freedom.
                let reach = Distribution.twoSidedQuantile 0.05 (Distribution.studentTail 99)

                let expected =
                    Statistics.wilson (1.0 - 2.0 * Distribution.normalBelow -reach) 81.0 100

                Expect.floatClose Accuracy.medium found.Low expected.Low "low"
                Expect.floatClose Accuracy.medium found.High expected.High "high"

                Expect.exists
                    warnings
                    (fun line -> line.StartsWith "The intervals are over other test rows only")
                    "said"

                // Seeds that differ by more than rows do: two degrees of freedom, 4.30 rather than 1.96.
                let apart =
                    [
                        for seed, score in [ 1, 0.5; 2, 0.7; 3, 0.9 ] do
                            run topic (tuned "paper-ia3") (Some Low) seed 0.6 30.0
                            run topic (tuned "paper-lora") (Some Low) seed score 30.0
                    ]

                let warnings, found = interval apart
                Expect.isFalse (warnings |> List.exists _.Contains("test rows only")) "three seeds"
                Expect.isGreaterThan (found.High - found.Low) (2.0 * 1.96 * 0.2 / sqrt 3.0) "wider than the normal one"

            testCase "a technique that is always right has an interval with a width"
            <| fun () ->
                let runs =
                    own
                    |> List.map (fun own ->
                        run topic own.Experiment.Method own.Experiment.Level own.Experiment.Seed 1.0 1.0)

                for candidate in (Recommend.answer (classification 100) runs).Ranking do
                    Expect.isLessThan candidate.Interval.Low 0.97 "100 of 100"
                    Expect.equal candidate.Interval.High 1.0 "within"

            testCase "means are over the same tasks for all: what is left out for it is named"
            <| fun () ->
                let on task name =
                    run task (tuned name) (Some Low) 1 0.5 10.0

                let answer runs =
                    Recommend.answer (classification 100) runs

                let fewer =
                    answer
                        [
                            on topic "paper-ia3"
                            on topic "paper-lora"
                            on topic "bitfit"
                            on TaskDefinition.agnews "paper-lora"
                        ]

                Expect.equal fewer.Ranking.Length 3 "all three on Topic"
                Expect.exists fewer.Warnings (fun line -> line.StartsWith "Runs on AG News do not count") "AG News"

                let chain =
                    answer
                        [
                            on topic "paper-ia3"
                            on topic "paper-lora"
                            on TaskDefinition.agnews "paper-lora"
                            on TaskDefinition.agnews "bitfit"
                        ]

                Expect.equal (names chain.Ranking) [ "paper-lora" ] "only LoRA has both"
                Expect.exists chain.Warnings (fun line -> line.StartsWith "2 techniques are left out") "the others"

            testProperty "the order of runs changes nothing"
            <| fun (key: int) (PositiveInt rows) ->
                let mixed =
                    Shuffle.order $"runs {key}" own.Length
                    |> Array.map (fun place -> own[place])
                    |> List.ofArray

                let text runs =
                    RecommendationText.describe (Recommend.answer (classification rows) runs)

                text own = text mixed
        ]

[<Tests>]
let tests = testList "Recommend" [ fromRuns ]
