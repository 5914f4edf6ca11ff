/// What finals come to, and how it is said.
module Peft.Tests.VerdictTests

open System
open Expecto
open Peft
open Peft.Tests.Support

let private finalist (words: string) (loss: float) (parameters: int64) (isTied: bool) (rows: float[][]) : Finalist =
    let score = Crossed.seedMean rows

    {
        Contender =
            {
                Technique = Technique.parse words
                Placement = Placement.everywhere
                Peak = 1e-2
            }
        Score = score
        Interval =
            {
                Low = score - 0.1
                High = score + 0.1
            }
        P = if isTied then 1.0 else 0.001
        IsTied = isTied
        ValidationLoss = loss
        Seconds = float parameters / 1000.0
        Parameters = parameters
        MemoryMiB = 300.0
        Seeds = rows.Length
        RowScores = rows
        Runs = []
    }

let private rowsOf (share: float) =
    [|
        for _ in 1..3 -> [| for row in 0..99 -> if float row < 100.0 * share then 1.0 else 0.0 |]
    |]

let private large = finalist "full" 0.30 2_000_000L true (rowsOf 0.80)
let private small = finalist "ia3" 0.35 5_000L true (rowsOf 0.79)
let private behind = finalist "prompt" 0.20 10_000L false (rowsOf 0.50)

let private choiceOf (verdict: FinalVerdict) : Choice =
    {
        Question = ChooseQuestion.create "x.csv" "model" (TimeSpan.FromMinutes 1.0) "folder"
        Rows = ""
        Verdict = Some verdict
        Standings = []
        Metric = "accuracy"
        IsStopped = false
        Seconds = 50.0
        Runs = 9
        Adapter = None
        Notes = []
    }

let private verdictOf (gain: PairedTest) (finalists: Finalist list) : FinalVerdict =
    {
        Chosen = FinalVerdict.choose Priority.Quality finalists
        Finalists = finalists
        Untrained =
            [
                {
                    Method = Majority
                    Score = 0.6
                    Interval = { Low = 0.5; High = 0.7 }
                    RowScores = (rowsOf 0.6)[0]
                }
            ]
        Gain = Some gain
        TestRows = 100
        Seeds = 3
    }

let private gain p difference : PairedTest =
    {
        Difference = difference
        Interval =
            {
                Low = difference - 0.1
                High = difference + 0.1
            }
        P = p
    }

[<Tests>]
let tests =
    testList
        "Choose"
        [
            testCase
                "validation chooses among those that the test rows leave; another priority takes the cheapest of them"
            <| fun () ->
                let all = [ large; small; behind ]
                Expect.equal (FinalVerdict.choose Priority.Quality all) large "not the one that is behind on test rows"
                Expect.equal (FinalVerdict.choose Priority.Size all) small "fewest parameters"
                Expect.equal (FinalVerdict.choose Priority.Time all) small "least time"

            testCase
                "the answer has five lines: what to use, ties and costs, what is worse, what would decide, whether to tune"
            <| fun () ->
                let lines =
                    [ large; small; behind ]
                    |> verdictOf (gain 0.001 0.2)
                    |> choiceOf
                    |> Choice.lines

                Expect.hasLength lines 5 "lines"

                for line, words in
                    List.zip
                        lines
                        [
                            "Use full at rate 0.01: accuracy 0.800 on 100 test rows"
                            "Tied with it: ia3 0.790 (5,000 parameters"
                            "Clearly worse: prompt"
                            "To decide between full and ia3"
                            "Worth tuning: yes, +0.200"
                        ] do
                    Expect.stringStarts line words "its words"

            testCase "rows that decide nothing are said to, and so is tuning that is not shown to help"
            <| fun () ->
                let lines =
                    [ large; small ] |> verdictOf (gain 0.4 0.02) |> choiceOf |> Choice.lines

                Expect.stringStarts lines.Head "Too few rows to decide anything" "said first"
                Expect.stringStarts lines[4] "Worth tuning: not shown" "said last"

            testCase "the rows that would decide are those of the usual formula of a paired difference"
            <| fun () ->
                let one =
                    { large with
                        RowScores = [| (rowsOf 0.80)[0] |]
                    }

                let two =
                    { small with
                        RowScores = [| (rowsOf 0.70)[0] |]
                    }
                // Ten of a hundred rows differ by 1: the mean is 0.1, the deviation sqrt(0.1 - 0.01) by n / (n - 1).
                let variance = (0.1 - 0.01) * 100.0 / 99.0

                Expect.equal
                    (FinalVerdict.rowsToDecide one two)
                    (Some(ceil (2.8 * 2.8 * variance / 0.01)))
                    "2.8² s² / d²"

                Expect.equal (FinalVerdict.rowsToDecide one one) None "no difference"

            testCase "a choice that was stopped gives the best so far and says that no test row was scored"
            <| fun () ->
                let lines =
                    Choice.lines
                        { choiceOf (verdictOf (gain 1.0 0.0) [ large ]) with
                            Verdict = None
                            IsStopped = true
                        }

                Expect.stringStarts lines.Head "Stopped before the first rung" "said"
        ]
