module Peft.Tests.CrossedTests

open System
open Expecto
open FsCheck
open Peft
open Peft.Tests.SampleRuns
open Peft.Tests.Support

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

let private laws =
    testList
        "laws"
        [
            testProperty "a technique compared with itself is tied, with P 1 and no difference"
            <| fun numbers ->
                let scores = scoresOf numbers
                let test = Crossed.difference 0.95 scores scores
                let marks = BesideBest.tiedWithBest 0.05 50 1UL [| "a", scores; "b", scores |]

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
                    BesideBest.tiedWithBest 0.05 50 1UL [| "a", left; "b", right |]

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
let tests = testList "Crossed" [ facts; laws ]
