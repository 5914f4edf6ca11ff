module Peft.Tests.CrossedTests

open System
open Expecto
open FsCheck
open Peft
open Peft.Tests.SampleRuns

let private near (expected: float) (actual: float) (what: string) =
    Expect.isLessThan (abs (actual - expected)) 1e-9 $"{what}: {actual}, not {expected}"

let private inside (low: float) (high: float) (actual: float) (what: string) =
    Expect.isTrue (low <= actual && actual <= high) $"{what}: {actual} lies outside {low} … {high}"

let private shuffled (key: string) (values: 'a[]) =
    Shuffle.order key values.Length |> Array.map (fun place -> values[place])

/// The same order of rows for every seed.
let private mixed (key: string) (scores: float[][]) =
    scores |> Array.map (shuffled $"rows {key}") |> shuffled $"seeds {key}"

/// Three seeds on at least one row from whatever FsCheck gives; each row is missing from at most one seed.
let private scoresOf (NonEmptyArray(numbers: int[])) =
    let rows = numbers |> Array.map (fun number -> abs (number % 5040))

    Array.init 3 (fun seed ->
        Array.append
            [| float (rows[0] % (seed + 5)) / 10.0 |]
            (rows
             |> Array.map (fun number ->
                 if number % 7 = seed then
                     nan
                 else
                     float (number / (seed + 1) % 11) / 10.0)))

let private facts =
    testList
        "known values"
        [
            testCase "Student's distribution"
            <| fun () ->
                near 0.5 (Distribution.studentTail 1 1.0) "1 degree of freedom, Cauchy's"
                near (1.0 - sqrt 0.5) (Distribution.studentTail 2 (sqrt 2.0)) "2: 1 - t / sqrt (2 + t^2)"
                near 0.05 (Math.Round(Distribution.studentTail 2 4.302652729911275, 12)) "2, the 95 % quantile"
                near 0.05 (Math.Round(Distribution.studentTail 10 2.2281388519649385, 12)) "10, the 95 % quantile"
                near 0.05 (Math.Round(Distribution.studentTail 29 2.045229642132703, 12)) "29, the 95 % quantile"
                near 1.0 (Distribution.studentTail 7 0.0) "the middle"
                inside 0.0499 0.0502 (Distribution.studentTail 100_000 1.95996) "nearly normal"

            testCase "the parts of a mean over two seeds and two rows"
            <| fun () ->
                let mean = Crossed.mean [| [| 1.0; 0.0 |]; [| 1.0; 1.0 |] |]
                near 0.75 mean.Mean "mean"
                // Seeds' means 0.5 and 1, rows' means 1 and 0.5: variance 1/8 each, of a mean of two.
                near 0.0625 mean.SeedVariance "seeds"
                near 0.0625 mean.RowVariance "rows"

            testCase "seeds that answer alike leave the rows' variance; rows that are alike leave the seeds'"
            <| fun () ->
                let alike = Array.create 3 [| 1.0; 0.0; 1.0; 1.0 |]
                near 0.0 (Crossed.mean alike).SeedVariance "no seeds' part"
                near (0.25 / 4.0) (Crossed.mean alike).RowVariance "rows' part"
                let seeds = [| 0.2; 0.3; 0.7 |] |> Array.map (Array.create 4)
                near 0.0 (Crossed.mean seeds).RowVariance "no rows' part"
                near (0.07 / 3.0) (Crossed.mean seeds).SeedVariance "seeds' part"
                // Two degrees of freedom only: t = 0.4 / sqrt (0.07 / 3) against Student's with 2.
                let t = 0.4 / sqrt (0.07 / 3.0)
                let test = Crossed.difference 0.95 seeds (Array.create 3 (Array.zeroCreate 4))
                near (max (Distribution.studentTail 2 t) 0.125) test.P "P"

            testCase "the scatter of seeds over all techniques: a two-way analysis of variance"
            <| fun () ->
                let constant = Array.map (Array.create 4)

                let techniques =
                    [|
                        constant [| 0.1; 0.2; 0.6 |]
                        constant [| 0.3; 0.2; 0.4 |]
                        constant [| 0.5; 0.5; 0.5 |]
                    |]

                // The third is the same for every seed.
                match Crossed.scatter techniques with
                | Some scatter ->
                    Expect.equal scatter.Freedom 2 "(2 - 1) (3 - 1)"
                    let differences = [| -0.2; 0.0; 0.2 |]

                    near
                        (Statistics.deviation differences ** 2.0)
                        scatter.Variance
                        "that of two techniques' differences"
                | None -> failtest "there are two"

                Expect.isNone (Crossed.scatter techniques[1..]) "one technique that varies"

            testCase "seeds of different rows: the mean is that of the seeds' means, each row weighing as in them"
            <| fun () ->
                let scores = [| [| 1.0; 1.0; nan; nan; nan |]; [| nan; 0.0; 0.0; 0.0; 0.0 |] |]
                let mean = Crossed.mean scores
                near 0.5 mean.Mean "means 1 and 0"
                near 0.5 (Crossed.seedMean scores) "alone"
                near 0.25 mean.SeedVariance "variance 1/2 of a mean of two"
                // Weights 1/4, 3/8 and three times 1/8; means 1, 2/3 and three times 0.
                let squares =
                    (0.25 * 0.5) ** 2.0 + (0.375 / 6.0) ** 2.0 + 3.0 * (0.125 * 0.5) ** 2.0

                near (squares * 5.0 / 4.0) mean.RowVariance "rows"

            testCase "seeds of different rows: what seeds' means differ by for their rows stays in the seeds' part"
            <| fun () ->
                let next = uniform 4UL
                let row () = next ()

                let apart =
                    Array.init 3 (fun seed -> Array.init 600 (fun place -> if place / 200 = seed then row () else nan))

                let mean = Crossed.mean apart
                let means = apart |> Array.map (Array.filter (Double.IsNaN >> not) >> Array.average)
                near (Statistics.deviation means ** 2.0 / 3.0) mean.SeedVariance "seeds"
                inside 0.0001 0.0002 mean.RowVariance "rows: 1/12 over 600"

            testCase "no hit and no miss have an interval with a width, and equal answers are no certainty"
            <| fun () ->
                let all score = Array.create 3 (Array.create 500 score)

                for score in [ 0.0; 1.0 ] do
                    let interval = Crossed.interval 0.95 (all score)
                    inside 0.005 0.02 (interval.High - interval.Low) $"all {score}"
                    Expect.isTrue (interval.Holds score) "holds"

                let test = Crossed.difference 0.95 (all 1.0) (all 0.0)
                Expect.isLessThan test.Interval.Low test.Interval.High "difference"
                Expect.isLessThan test.P 1e-9 "500 rows"

                near
                    0.25
                    (Crossed.difference 0.95 (Array.create 3 [| 1.0; 1.0; 1.0 |]) (Array.create 3 [| 0.0; 0.0; 0.0 |]))
                        .P
                    "three rows: 2 / 2^3"

            testCase "scores that do not fit are refused"
            <| fun () ->
                Expect.throwsT<ArgumentException> (fun () -> Crossed.mean [| [| 1.0 |] |] |> ignore) "one seed"
                Expect.throwsT<ArgumentException> (fun () -> Crossed.mean [| [| 1.0 |]; [||] |] |> ignore) "rows"

                Expect.throwsT<ArgumentException>
                    (fun () -> Crossed.mean [| [| 1.0 |]; [| nan |] |] |> ignore)
                    "nothing"

                Expect.throwsT<ArgumentException>
                    (fun () ->
                        Crossed.difference
                            0.95
                            [| [| 1.0; 1.0 |]; [| 1.0; nan |] |]
                            [| [| 1.0; 1.0 |]; [| 1.0; 1.0 |] |]
                        |> ignore)
                    "different rows"
        ]

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
                        |> Standings.tiedWithBest 0.05 50 1UL
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
                    |> Standings.tiedWithBest 0.05 50 1UL
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
                    |> Standings.tiedWithBest 0.05 50 1UL

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
                    Standings.tiedWithBest
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
                    Standings.tiedWithBest
                        0.05
                        500
                        1UL
                        [|
                            "lucky", [| hits 0.9; hits 0.5; hits 0.5 |]
                            "even", [| hits 0.5; hits 0.5; hits 0.5 |]
                        |]

                Expect.equal (marks |> Array.map _.IsTied) [| true; true |] "marks"
        ]

let private laws =
    testList
        "laws"
        [
            testProperty "a technique compared with itself is tied, with P 1 and no difference"
            <| fun numbers ->
                let scores = scoresOf numbers
                let test = Crossed.difference 0.95 scores scores
                let marks = Standings.tiedWithBest 0.05 50 1UL [| "a", scores; "b", scores |]

                test.P = 1.0
                && test.Difference = 0.0
                && marks
                   |> Array.forall (fun mark -> mark.IsTied && mark.P = 1.0 && mark.ToBest = 0.0)

            testProperty "the order of rows and seeds changes nothing, bit for bit"
            <| fun numbers (key: int) ->
                let left = scoresOf numbers

                let right =
                    left
                    |> Array.mapi (fun seed ->
                        Array.mapi (fun row score -> if (row + seed) % 3 = 0 then 1.0 - score else score))

                let mix = mixed $"{key}"

                let marks left right =
                    Standings.tiedWithBest 0.05 50 1UL [| "a", left; "b", right |]

                Crossed.mean left = Crossed.mean (mix left)
                && Crossed.interval 0.95 left = Crossed.interval 0.95 (mix left)
                && Crossed.difference 0.95 left right = Crossed.difference 0.95 (mix left) (mix right)
                && marks left right = marks (mix left) (mix right)

            testProperty "exchanging the sides turns the difference and keeps P"
            <| fun numbers ->
                let left = scoresOf numbers
                let right = left |> Array.map (Array.map (fun score -> score * score))
                let forth = Crossed.difference 0.95 left right
                let back = Crossed.difference 0.95 right left

                abs (forth.P - back.P) < 1e-9
                && abs (forth.Difference + back.Difference) < 1e-12

            testProperty "an interval holds its mean, has a width and stays within the scores' range"
            <| fun numbers ->
                let scores = scoresOf numbers
                let interval = Crossed.interval 0.95 scores

                interval.Holds (Crossed.mean scores).Mean
                && interval.Low < interval.High
                && interval.Low >= 0.0
                && interval.High <= 1.0

            testProperty "what a seed does to both sides is taken out"
            <| fun (NonEmptyArray(numbers: int[])) (NormalFloat lead) ->
                let rows =
                    Array.append numbers [| 1..30 |]
                    |> Array.map (fun number -> float (number % 100))

                let seeds lead =
                    [| 0.0; 500.0; -900.0 |]
                    |> Array.map (fun seed -> rows |> Array.map (fun row -> row + seed + lead))

                let lead = 1.0 + float (abs (int (lead % 100.0)))
                let test = Crossed.difference 0.95 (seeds lead) (seeds 0.0)
                abs (test.Difference - lead) < 1e-9 && test.P < 1e-6
        ]

[<Tests>]
let tests = testList "Crossed" [ facts; simulations; laws ]
