/// Recommendations from the paper's figures, and questions that are refused.
module Peft.Tests.RecommendTests

open System
open Expecto
open FsCheck
open Peft
open Peft.Tests.Support
open Peft.Tests.SampleRuns

let classification rows =
    Question.create TaskKind.Classification rows

let generation rows =
    Question.create TaskKind.Generation rows

let names (candidates: Candidate list) =
    candidates |> List.map (fun candidate -> Method.name candidate.Method)

let ranking (question: Question) (runs: Run list) =
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
                    "quality, time, memory or size"
                    "priority"

                Expect.equal (Question.kind " Generation ") TaskKind.Generation "words"
                Expect.equal (Question.priority "time") Priority.Time "words"
        ]

[<Tests>]
let tests = testList "Recommend" [ fromThePaper; refusals ]
