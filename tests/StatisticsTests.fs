module Peft.Tests.StatisticsTests

open System
open Expecto
open FsCheck
open Peft
open Peft.Tests.SampleRuns
open Peft.Tests.Support

let private shuffled (key: string) (values: 'a[]) =
    Shuffle.order key values.Length |> Array.map (fun place -> values[place])

/// Scores from 0 to 1, at least one, from whatever FsCheck gives.
let private scoresOf (NonEmptyArray(numbers: int[])) =
    numbers |> Array.map (fun number -> float (abs (number % 11)) / 10.0)

let private facts =
    testList
        "known values"
        [
            testCase "mean, deviation and quantiles"
            <| fun () ->
                near 2.5 (Statistics.mean [| 1.0; 2.0; 3.0; 4.0 |]) "mean"
                near (sqrt (5.0 / 3.0)) (Statistics.deviation [| 1.0; 2.0; 3.0; 4.0 |]) "deviation"
                Expect.isTrue (Double.IsNaN(Statistics.deviation [| 7.0 |])) "one value has no deviation"
                near 1.75 (Statistics.quantileOfSorted 0.25 [| 1.0; 2.0; 3.0; 4.0 |]) "first quartile"

            testCase "the normal distribution"
            <| fun () ->
                near 0.5 (Distribution.normalBelow 0.0) "middle"
                near 0.9750021048517795 (Distribution.normalBelow 1.96) "1.96"
                near 0.0013498980316300933 (Distribution.normalBelow -3.0) "-3"
                near 2.866515718791946e-7 (Distribution.normalBelow -5.0) "-5"
                near 1.959963984540054 (Distribution.normalQuantile 0.975) "quantile"

            testCase "one training without a hit has Wilson's interval, not 0 to 0; grades that are all 0 as well"
            <| fun () ->
                let interval scores =
                    BesideBest.interval 0.95 100 1UL [| scores |]

                let none = interval (Array.zeroCreate 500)
                Expect.equal none (Statistics.wilson 0.95 0.0 500) "none of 500"
                inside 0.005 0.01 none.High "up to 0.8 %"
                Expect.equal (interval [| 1.0; 0.0; 1.0; 1.0 |]) (Statistics.wilson 0.95 3.0 4) "3 of 4"
                let grades = [| 0.25; 0.5; 0.125; 0.75 |]
                Expect.equal (interval grades) (Bootstrap.interval 0.95 100 1UL grades) "grades: the bootstrap"

            testCase "Wilson's interval of 7 in 10"
            <| fun () ->
                let interval = Statistics.wilson 0.95 7.0 10
                near 0.39677815 (Math.Round(interval.Low, 8)) "low"
                near 0.89220873 (Math.Round(interval.High, 8)) "high"

            testCase "McNemar's exact test of 1 against 6 discordant rows"
            <| fun () ->
                let left =
                    Array.concat [ Array.create 1 true; Array.create 6 false; Array.create 20 true ]

                let right =
                    Array.concat [ Array.create 1 false; Array.create 6 true; Array.create 20 true ]

                let test = RowTests.mcNemar left right
                Expect.equal (test.LeftOnly, test.RightOnly) (1, 6) "counts"
                near (2.0 * 8.0 / 128.0) test.P "2 (C(7,0) + C(7,1)) / 2^7"

            testCase "the permutation test of three rows that all favour one side is 2/8"
            <| fun () -> near 0.25 (RowTests.permutation 100 1UL [| 0.9; 0.8; 0.7 |] [| 0.1; 0.2; 0.3 |]) "P"

            testCase "one row of one seed that differs in its grade proves nothing; six on one side are 2/64"
            <| fun () ->
                let better rows =
                    Array.init 500 (fun row -> if row < rows then 0.75 else 0.5)

                let p rows =
                    BesideBest.p 2_000 1UL [| better rows |] [| better 0 |]

                near 1.0 (BesideBest.p 2_000 1UL [| [| 0.75 |] |] [| [| 0.5 |] |]) "one row in all"
                near 1.0 (p 1) "one row"
                near 0.5 (p 2) "two rows"
                near (2.0 / 64.0) (p 6) "six rows"

            testCase "fifteen techniques: grades of one seed that are clearly behind can be told"
            <| fun () ->
                let next = uniform 17UL

                let techniques =
                    Array.init 15 (fun place ->
                        $"{place}", [| Array.init 200 (fun _ -> next () * (if place = 3 then 0.9 else 0.3)) |])

                Expect.equal
                    (BesideBest.tiedWithBest 0.05 50 1UL techniques |> Array.map _.IsTied)
                    (Array.init 15 ((=) 3))
                    "105 pairs"

            testCase "Holm's correction of 0.01, 0.04, 0.03 and 0.005"
            <| fun () ->
                Array.iter2
                    (fun expected actual -> near expected actual "adjusted")
                    [| 0.03; 0.06; 0.06; 0.02 |]
                    (Statistics.holm [| 0.01; 0.04; 0.03; 0.005 |])

            testCase "Holm's correction of two tests out of a family of six; a family is not smaller than its tests"
            <| fun () ->
                Array.iter2
                    (fun expected actual -> near expected actual "adjusted")
                    [| 0.2; 0.06 |]
                    (Statistics.holmOf 6 [| 0.04; 0.01 |])

                Expect.throwsT<ArgumentException> (fun () -> Statistics.holmOf 1 [| 0.1; 0.2 |] |> ignore) "smaller"

            testCase "two shares: 0.5 and 0.6 of 100 rows each"
            <| fun () ->
                let test = Statistics.twoProportion 0.5 100 0.6 100
                near -0.1 test.Difference "difference"
                near (sqrt (0.55 * 0.45 / 50.0)) test.StandardError "standard error"
                near 0.1552 (Math.Round(test.P, 4)) "P"

            testCase "disagreement counts unequal answers"
            <| fun () ->
                let found =
                    Statistics.disagreement [| [| "a"; "b"; "c"; "d" |]; [| "a"; "b"; "x"; "y" |] |]

                Expect.equal (found[0, 0], found[0, 1], found[1, 0]) (0.0, 0.5, 0.5) "matrix"

            testCase "arrays that do not fit are refused"
            <| fun () ->
                Expect.throwsT<ArgumentException> (fun () -> Statistics.mean [||] |> ignore) "no values"
                Expect.throwsT<ArgumentException> (fun () -> RowTests.mcNemar [| true |] [||] |> ignore) "unequal"
                Expect.throwsT<ArgumentException> (fun () -> Statistics.wilson 0.95 3.0 2 |> ignore) "3 of 2"

                Expect.throwsT<ArgumentException>
                    (fun () -> Bootstrap.interval 1.0 10 1UL [| 1.0 |] |> ignore)
                    "level 1"
        ]

let private coverage (trials: int) (truth: float) (interval: int -> Interval) =
    float (
        Seq.init trials interval
        |> Seq.filter (fun interval -> interval.Holds truth)
        |> Seq.length
    )
    / float trials

let private simulations =
    testList
        "simulations"
        [
            testCase "bootstrap intervals cover the mean of skewed scores at about 95 %"
            <| fun () ->
                let next = uniform 11UL

                let interval trial =
                    Array.init 60 (fun _ -> next () ** 2.0)
                    |> Bootstrap.interval 0.95 300 (uint64 trial)

                inside 0.91 0.98 (coverage 600 (1.0 / 3.0) interval) "coverage"

            testCase "bootstrap intervals of paired differences cover the difference of correlated scores at about 90 %"
            <| fun () ->
                let next = uniform 12UL

                let interval trial =
                    let shared = Array.init 60 (fun _ -> next ())
                    let left = shared |> Array.map (fun common -> common + next ())
                    let right = shared |> Array.map (fun common -> common + 0.5 * next ())
                    Bootstrap.interval 0.9 300 (uint64 trial) (Array.map2 (-) left right)

                inside 0.86 0.94 (coverage 600 0.25 interval) "coverage"

            testCase "Wilson's intervals cover a share at about 95 %"
            <| fun () ->
                let next = uniform 13UL

                let interval _ =
                    Statistics.wilson 0.95 (Seq.init 40 (fun _ -> if next () < 0.85 then 1.0 else 0.0) |> Seq.sum) 40

                inside 0.92 0.985 (coverage 2000 0.85 interval) "coverage"

            testCase "tests of equal techniques reject in at most about 5 % of simulations"
            <| fun () ->
                let next = uniform 14UL

                let scores () =
                    Array.init 30 (fun _ -> if next () < 0.6 then 1.0 else 0.0)

                let graded () = Array.init 30 (fun _ -> next ())

                let rejections test =
                    float (Seq.init 400 test |> Seq.filter (fun p -> p < 0.05) |> Seq.length)
                    / 400.0

                inside 0.0 0.06 (rejections (fun _ -> RowTests.paired 200 1UL (scores ()) (scores ()))) "McNemar"

                inside
                    0.01
                    0.09
                    (rejections (fun trial -> RowTests.paired 400 (uint64 trial) (graded ()) (graded ())))
                    "grades"

                for rows in [ 1; 2; 3; 5; 8; 15; 20 ] do
                    let graded () = Array.init rows (fun _ -> next ())

                    inside
                        0.0
                        0.08
                        (rejections (fun trial -> RowTests.paired 400 (uint64 trial) (graded ()) (graded ())))
                        $"{rows} rows"

            testCase "of 8 equal techniques one is called behind in at most about 5 % of simulations"
            <| fun () ->
                let next = uniform 16UL

                let isOneBehind _ =
                    // A row's difficulty is the same for all.
                    let rows = Array.init 300 (fun _ -> 0.3 + 0.4 * next ())

                    let technique name =
                        $"{name}", [| rows |> Array.map (fun row -> if next () < row then 1.0 else 0.0) |]

                    Array.init 8 technique
                    |> BesideBest.tiedWithBest 0.05 50 1UL
                    |> Array.exists (fun mark -> not mark.IsTied)

                let behind = Seq.init 600 isOneBehind |> Seq.filter id |> Seq.length
                inside 0.01 0.06 (float behind / 600.0) "one of 8 behind"

            testCase "a clear difference is found, and a technique half as good is not tied"
            <| fun () ->
                let next = uniform 15UL
                let good = Array.init 200 (fun _ -> if next () < 0.9 then 1.0 else 0.0)
                let poor = Array.init 200 (fun _ -> if next () < 0.45 then 1.0 else 0.0)

                let marks =
                    BesideBest.tiedWithBest
                        0.05
                        500
                        1UL
                        [| "poor", [| poor |]; "good", [| good |]; "copy", [| good |] |]

                Expect.equal (marks |> Array.map _.IsTied) [| false; true; true |] "marks"
                Expect.equal (marks |> Array.map (fun mark -> mark.ToBest = 0.0)) [| false; true; true |] "distance"
        ]

let private laws =
    testList
        "laws"
        [
            testProperty "a technique compared with itself is tied"
            <| fun numbers ->
                let scores = scoresOf numbers

                let marks =
                    BesideBest.tiedWithBest 0.05 50 1UL [| "a", [| scores |]; "b", [| scores |] |]

                RowTests.permutation 50 1UL scores scores = 1.0
                && RowTests.paired 50 1UL scores scores = 1.0
                && (marks |> Array.forall (fun mark -> mark.IsTied && mark.P = 1.0))

            testProperty "the order of rows changes nothing"
            <| fun numbers (key: int) ->
                let left = scoresOf numbers

                let right =
                    left |> Array.mapi (fun row score -> if row % 3 = 0 then 1.0 - score else score)

                let mix values = shuffled $"order {key}" values

                let marks left right =
                    BesideBest.tiedWithBest 0.05 50 1UL [| "a", [| left |]; "b", [| right |] |]

                Bootstrap.interval 0.95 50 1UL left = Bootstrap.interval 0.95 50 1UL (mix left)
                && RowTests.permutation 50 1UL left right = RowTests.permutation 50 1UL (mix left) (mix right)
                && marks left right = marks (mix left) (mix right)

            testProperty "exchanging the sides turns the difference and keeps P"
            <| fun numbers ->
                let left = scoresOf numbers
                let right = Array.rev left |> Array.map (fun score -> score * score)

                let forth =
                    RowTests.mcNemar (left |> Array.map ((<) 0.5)) (right |> Array.map ((<) 0.5))

                let back =
                    RowTests.mcNemar (right |> Array.map ((<) 0.5)) (left |> Array.map ((<) 0.5))

                abs (RowTests.permutation 50 1UL left right - RowTests.permutation 50 1UL right left) < 1e-12
                && forth.P = back.P
                && forth.LeftOnly = back.RightOnly

            testProperty "Holm's correction keeps the order, never lowers a P and ends at 1"
            <| fun (numbers: uint8[]) ->
                let ps = numbers |> Array.map (fun number -> float number / 255.0)
                let adjusted = Statistics.holm ps

                Array.forall2 (<=) ps adjusted
                && (adjusted |> Array.forall (fun p -> p <= 1.0))
                && (Seq.allPairs (Array.zip ps adjusted) (Array.zip ps adjusted)
                    |> Seq.forall (fun ((p, a), (q, b)) -> p >= q || a <= b))

            testProperty "an interval holds its own estimate"
            <| fun (PositiveInt rows) (NonNegativeInt right) ->
                let right = right % (rows + 1)
                (Statistics.wilson 0.95 (float right) rows).Holds(float right / float rows)

            testProperty "disagreement is symmetric, and none with oneself"
            <| fun (NonEmptyArray(rows: bool[])) ->
                let answers = [| rows |> Array.map string; rows |> Array.rev |> Array.map string |]
                let found = Statistics.disagreement answers
                found[0, 0] = 0.0 && found[0, 1] = found[1, 0]
        ]

[<Tests>]
let tests = testList "Statistics" [ facts; simulations; laws ]
