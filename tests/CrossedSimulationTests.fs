/// Intervals and tests of techniques in simulated worlds, where the truth is known.
module Peft.Tests.CrossedSimulationTests

open System
open Expecto
open FsCheck
open Peft
open Peft.Tests.SampleRuns
open Peft.Tests.Support

/// A technique's scores: right with a probability that is the row's plus the seed's.
let private right (next: unit -> float) (rows: float[]) (seeds: float[]) =
    seeds
    |> Array.map (fun seed -> rows |> Array.map (fun row -> if next () < row + seed then 1.0 else 0.0))

/// As `right`, in grades.
let private graded (next: unit -> float) (rows: float[]) (seeds: float[]) =
    seeds
    |> Array.map (fun seed -> rows |> Array.map (fun row -> row + seed + 0.2 * (next () - 0.5)))

/// Normal numbers with this deviation (Box and Muller).
let private normal (next: unit -> float) (deviation: float) (count: int) =
    Array.init count (fun _ -> deviation * sqrt (-2.0 * log (1.0 - next ())) * cos (2.0 * Math.PI * next ()))

let private around (next: unit -> float) (middle: float) (reach: float) (count: int) =
    Array.init count (fun _ -> middle + reach * (2.0 * next () - 1.0))

let private share (trials: int) (claim: int -> bool) =
    float (Seq.init trials claim |> Seq.filter id |> Seq.length) / float trials

/// Scores, rows, their middle and reach, and the deviation of the seeds' effect: from none to most of the variance.
let private worlds =
    [
        for seeds in [ 0.0; 0.01; 0.03; 0.1 ] do
            "right, 200 rows", right, 200, 0.5, 0.2, seeds
            "graded, 300 rows", graded, 300, 0.5, 0.2, seeds

        // A share near the end of the scale.
        "right, 500 rows, few hits", right, 500, 0.06, 0.02, 0.012
    ]

let private simulations =
    testList
        "simulations"
        [
            testCase
                "intervals of three seeds cover at 93 to 99.7 % whatever the seeds do; intervals over rows alone do not"
            <| fun () ->
                for name, scored, rows, middle, reach, ofSeed in worlds do
                    let next = uniform 21UL

                    let draw () =
                        scored next (around next middle reach rows) (normal next ofSeed 3)

                    let covered = share 1000 (fun _ -> (Crossed.interval 0.95 (draw ())).Holds middle)

                    inside 0.93 0.997 covered $"{name}, seeds {ofSeed}"

                    if ofSeed >= 0.1 then
                        let covered =
                            share 100 (fun trial ->
                                let rows = draw () |> Crossed.rowMeans
                                (Bootstrap.interval 0.95 200 (uint64 trial) rows).Holds middle)

                        Expect.isLessThan covered 0.85 $"rows alone, {name}, seeds {ofSeed}"

            testCase "equal techniques of three seeds are told apart in at most 6.5 % of simulations"
            <| fun () ->
                for name, scored, rows, middle, reach, ofSeed in worlds do
                    let next = uniform 22UL

                    let isApart _ =
                        let rows = around next middle reach rows
                        // A seed does part of what it does to both.
                        let both = normal next (ofSeed / sqrt 2.0) 3

                        let one () =
                            scored next rows (Array.map2 (+) both (normal next (ofSeed / sqrt 2.0) 3))

                        (Crossed.difference 0.95 (one ()) (one ())).P < 0.05

                    inside 0.0 0.065 (share 1000 isApart) $"{name}, seeds {ofSeed}"

            testCase "of 8 equal techniques of three seeds one is called behind in at most about 5 % of simulations"
            <| fun () ->
                for ofSeed in [ 0.0; 0.1 ] do
                    let next = uniform 26UL

                    let isOneBehind _ =
                        let rows = around next 0.5 0.2 100

                        Array.init 8 (fun name -> $"{name}", graded next rows (normal next ofSeed 3))
                        |> BesideBest.tiedWithBest 0.05 50 1UL
                        |> Array.exists (fun mark -> not mark.IsTied)

                    inside 0.0 0.06 (share 300 isOneBehind) $"seeds {ofSeed}"

            testCase "a technique that seeds scatter three times as far is called behind seldom, too"
            <| fun () ->
                let next = uniform 28UL

                let isOneBehind _ =
                    let rows = around next 0.5 0.2 100

                    Array.init 8 (fun name ->
                        let effect = if name = 0 then 0.09 else 0.03
                        $"{name}", graded next rows (normal next effect 3))
                    |> BesideBest.tiedWithBest 0.05 50 1UL
                    |> Array.exists (fun mark -> not mark.IsTied)

                inside 0.0 0.08 (share 300 isOneBehind) "of 8"

            testCase "eight techniques of three seeds: a clear difference and a baseline are told from the best"
            <| fun () ->
                let next = uniform 29UL
                let rows = around next 0.4 0.1 300

                let marks =
                    Array.init 8 (fun name ->
                        let lead = if name = 0 then 0.25 else 0.0
                        $"{name}", graded next rows (normal next 0.03 3 |> Array.map ((+) lead)))
                    |> Array.append [| "baseline", Array.create 3 (Array.create 300 0.0) |]
                    |> BesideBest.tiedWithBest 0.05 50 1UL

                for mark in marks do
                    Expect.equal mark.IsTied (mark.Name = "0") mark.Name

            testCase "intervals of the difference cover it, and P is below 5 % just where the interval leaves out 0"
            <| fun () ->
                let next = uniform 23UL

                let test _ =
                    let rows = around next 0.5 0.2 200

                    Crossed.difference
                        0.95
                        (right next rows (normal next 0.06 3 |> Array.map ((+) 0.1)))
                        (right next rows (normal next 0.06 3))

                let tests = Array.init 1000 test
                inside 0.93 0.995 (share 1000 (fun trial -> tests[trial].Interval.Holds 0.1)) "coverage"

                for test in tests do
                    Expect.equal (test.P < 0.05) (not (test.Interval.Holds 0.0)) "the same decision"

            testCase "seeds of different rows: intervals cover at 94 to 99.9 %"
            <| fun () ->
                for ofSeed in [ 0.0; 0.03; 0.1 ] do
                    let next = uniform 24UL

                    let draw () =
                        right next (around next 0.5 0.3 300) (normal next ofSeed 3)
                        |> Array.mapi (fun seed ->
                            Array.mapi (fun row score -> if row / 100 = seed then nan else score))

                    inside
                        0.94
                        0.999
                        (share 1000 (fun _ -> (Crossed.interval 0.95 (draw ())).Holds 0.5))
                        $"seeds {ofSeed}"

            testCase
                "seeds without a common row: equal techniques are told apart in at most 6.5 %, of two seeds in at most 9 %"
            <| fun () ->
                for seeds, most in [ 3, 0.065; 2, 0.09 ] do
                    // The effect of a seed from none to four times the deviation of its mean for its 50 rows.
                    for ofSeed in [ 0.0; 1.0; 2.0; 4.0 ] do
                        let next = uniform 27UL
                        let deviation = ofSeed * sqrt (1.0 / 12.0 / 50.0)

                        let isApart _ =
                            let differences =
                                normal next deviation seeds
                                |> Array.mapi (fun seed effect ->
                                    Array.init (50 * seeds) (fun row ->
                                        if row / 50 = seed then next () - 0.5 + effect else nan))

                            let none = differences |> Array.map (Array.map (fun score -> 0.0 * score))
                            (Crossed.difference 0.95 differences none).P < 0.05

                        inside 0.0 most (share 1000 isApart) $"{seeds} seeds, effect {ofSeed}"

            testCase "a clear difference is found with three seeds"
            <| fun () ->
                let next = uniform 25UL
                let rows = around next 0.5 0.2 300
                let seeds middle = around next middle 0.02 3

                let marks =
                    BesideBest.tiedWithBest
                        0.05
                        500
                        1UL
                        [| "poor", right next rows (seeds -0.1); "good", right next rows (seeds 0.2) |]

                Expect.equal (marks |> Array.map _.IsTied) [| false; true |] "marks"

            testCase "a lead of one lucky seed is a tie"
            <| fun () ->
                let hits share =
                    Array.init 500 (fun row -> if float (row % 100) < 100.0 * share then 1.0 else 0.0)

                let marks =
                    BesideBest.tiedWithBest
                        0.05
                        500
                        1UL
                        [|
                            "lucky", [| hits 0.9; hits 0.5; hits 0.5 |]
                            "even", [| hits 0.5; hits 0.5; hits 0.5 |]
                        |]

                Expect.equal (marks |> Array.map _.IsTied) [| true; true |] "marks"
        ]

[<Tests>]
let tests = testList "Crossed" [ simulations ]
