module Peft.Tests.RecommendTests

open System
open Expecto
open FsCheck
open Peft
open Peft.Tests.Support
open Peft.Tests.SampleRuns

let private classification rows =
    Question.create TaskKind.Classification rows

let private generation rows =
    Question.create TaskKind.Generation rows

let private names (candidates: Candidate list) =
    candidates |> List.map (fun candidate -> Method.name candidate.Method)

let private ranking (question: Question) (runs: Run list) =
    names (Recommend.answer question runs).Ranking

let private fromThePaper =
    testList
        "from the paper's figures"
        [
            testCase "quality at each level and kind: the best mean over the two tasks comes first"
            <| fun () ->
                for question, expected in
                    [
                        classification 100, "paper-lora"
                        classification 1_000, "paper-lora"
                        classification 10_000, "paper-lora"
                        generation 100, "bitfit"
                        generation 1_000, "paper-ia3"
                        generation 10_000, "paper-ia3"
                    ] do
                    Expect.equal (ranking question []).Head expected $"{question.Kind}, {question.Rows}"

            testCase "an expected score at a measured number of rows is the mean of the printed ones"
            <| fun () ->
                let lora = (Recommend.answer (classification 100) []).Ranking.Head
                Expect.floatClose Accuracy.high lora.Score ((0.8612 + 0.76436) / 2.0) "mean"
                Expect.isTrue (lora.Interval.Holds lora.Score) "the interval holds it"
                Expect.equal (lora.Tasks.Low, lora.Tasks.High) (0.76436, 0.8612) "over tasks"
                Expect.equal lora.Evidence.Length 2 "one figure for each task"

            testCase "between two levels it lies half-way at their geometric mean"
            <| fun () ->
                let score rows =
                    (Recommend.answer (generation rows) []).Ranking
                    |> List.find (fun candidate -> candidate.Method = tuned "full")
                    |> _.Score

                Expect.isLessThan (abs (score 316 - (score 100 + score 1_000) / 2.0)) 1e-4 "316 rows"

            testCase "where time is short, full fine-tuning at low and medium, as the paper says"
            <| fun () ->
                for rows in [ 100; 1_000 ] do
                    let answer =
                        Recommend.answer
                            { generation rows with
                                Priority = Priority.Time
                            }
                            []

                    Expect.equal (names answer.Ranking).Head "full" $"{rows} rows"
                    Expect.equal answer.Rules.Head.Agrees (Some true) "the rule agrees"

            testCase "where time is short at high, there are no run times: said, and ranked by score"
            <| fun () ->
                let answer =
                    Recommend.answer
                        { classification 10_000 with
                            Priority = Priority.Time
                        }
                        []

                Expect.all answer.Ranking (fun candidate -> Double.IsNaN candidate.Seconds) "no time"
                Expect.exists answer.Warnings (fun line -> line.Contains "Run times are missing") "said"
                Expect.exists answer.Warnings (fun line -> line.Contains "no evidence") "the rule has no evidence"

            testCase
                "limits put techniques last and name what they break; limits that nothing is known of are named too"
            <| fun () ->
                let question =
                    { classification 1_000 with
                        MaxParameters = Some 1_000_000L
                        MaxMemoryMiB = Some 8_000.0
                    }

                let answer = Recommend.answer question []

                Expect.equal
                    (names answer.Ranking |> List.truncate 2 |> Set.ofList)
                    (Set [ "paper-ia3"; "prompt" ])
                    "within"

                Expect.all (List.skip 2 answer.Ranking) (fun candidate -> not candidate.Breaks.IsEmpty) "beyond"
                Expect.exists answer.Warnings (fun line -> line.Contains "No run tells the MiB") "unknown"

                Expect.exists
                    answer.WouldChange
                    (fun line -> line.StartsWith "Without your limits")
                    "what the limits cost"

            testCase "a technique far below the best is not first for being small"
            <| fun () ->
                let question =
                    { generation 100 with
                        Priority = Priority.Memory
                    }

                let answer = Recommend.answer question []
                Expect.equal (names answer.Ranking).Head "bitfit" "bitfit"
                let poor = answer.Ranking |> List.filter _.IsBelowFloor |> names
                Expect.equal (Set.ofList poor) (Set [ "paper-ia3"; "prompt" ]) "below 90 % of the best"

            testCase "numbers of rows outside of those measured are marked"
            <| fun () ->
                for rows in [ 20; 50_000 ] do
                    let answer = Recommend.answer (classification rows) []
                    Expect.all answer.Ranking _.IsExtrapolated $"{rows}"
                    Expect.exists answer.Warnings (fun line -> line.Contains "outside of what was measured") $"{rows}"

                let few = Recommend.answer (classification 20) []
                Expect.exists few.Rules (fun rule -> rule.Rule.Claim = "few-rows") "the rule for very few rows"

            testCase "a lead within the chance of the test rows is said to be one"
            <| fun () ->
                Expect.exists
                    (Recommend.answer (classification 100) []).WouldChange
                    (fun line -> line.Contains "may turn it round")
                    "lead"

            testCase "no technique within the limits"
            <| fun () ->
                let answer =
                    Recommend.answer
                        { classification 100 with
                            MaxSeconds = Some 1.0
                        }
                        []

                Expect.all answer.Ranking (fun candidate -> not candidate.Breaks.IsEmpty) "all break it"
                Expect.stringContains (RecommendationText.describe answer) "No technique meets the limits" "text"

            testCase "every rule has a claim, and every technique of a rule exists"
            <| fun () ->
                for rule in Rule.all do
                    Expect.equal (Claims.find rule.Claim).Name rule.Claim rule.Statement

                    for name in rule.Techniques do
                        Expect.contains (Technique.paper |> List.map Technique.name) name rule.Statement

            testCase "the text has the choice, the evidence, the rules and the caveats"
            <| fun () ->
                let text = RecommendationText.describe (Recommend.answer (classification 100) [])

                for words in
                    [
                        "Take paper-lora: classification, 100 training rows, quality first."
                        "AG News 0.8612 at 100 rows (arXiv 2304.14999, Table 1)"
                        "§3.2: Quality first, low or medium data: (IA)3, LoRA or BitFit."
                        "What would change this:"
                        "Thin evidence: 2 tasks of this kind, one run each."
                    ] do
                    Expect.stringContains text words words

                Expect.isFalse (text.Contains "NaN") "no NaN"
        ]

let private topic = TaskDefinition.topic

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

let private refusals =
    testList
        "refusals"
        [
            testCase "questions that make no sense are refused in words"
            <| fun () ->
                let refusal question =
                    userErrorOf (fun () -> Recommend.answer question [] |> ignore)

                Expect.stringContains (refusal (classification 0)) "0 training rows" "rows"

                Expect.stringContains
                    (refusal
                        { classification 10 with
                            MaxSeconds = Some 0.0
                        })
                    "seconds"
                    "time"

                Expect.stringContains
                    (refusal
                        { classification 10 with
                            MaxMemoryMiB = Some -1.0
                        })
                    "memory"
                    "memory"

                Expect.stringContains
                    (refusal
                        { classification 10 with
                            MaxParameters = Some 0L
                        })
                    "parameters"
                    "parameters"

                Expect.stringContains (refusal { classification 10 with Floor = 2.0 }) "from 0 to 1" "floor"

                Expect.stringContains
                    (userErrorOf (fun () -> Question.kind "regression" |> ignore))
                    "classification or generation"
                    "kind"

                Expect.stringContains
                    (userErrorOf (fun () -> Question.priority "cost" |> ignore))
                    "quality, time or memory"
                    "priority"

                Expect.equal (Question.kind " Generation ") TaskKind.Generation "words"
                Expect.equal (Question.priority "time") Priority.Time "words"
        ]

[<Tests>]
let tests = testList "Recommend" [ fromThePaper; fromRuns; refusals ]
