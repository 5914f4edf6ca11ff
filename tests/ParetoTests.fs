module Peft.Tests.ParetoTests

open Expecto
open FsCheck
open Peft
open Peft.Tests.SampleRuns

let private near (reach: float) (expected: float) (actual: float) (what: string) =
    Expect.isLessThan (abs (actual - expected)) reach $"{what}: {actual}, not {expected}"

let private shuffled (key: string) (values: 'a[]) =
    Shuffle.order key values.Length |> Array.map (fun place -> values[place])

/// A technique that costs the same whatever its seed.
let private steady (cost: float) (scores: float[][]) : SeedPoints =
    {
        Scores = scores
        Costs = Array.create scores.Length [||]
        Fixed = [| cost |]
    }

/// A technique with one cost by seed.
let private varying (costs: float list) (scores: float[][]) : SeedPoints =
    {
        Scores = scores
        Costs = costs |> Seq.map Array.singleton |> Array.ofSeq
        Fixed = [||]
    }

let private scoresOf (NonEmptyArray(numbers: int[])) =
    Array.init 3 (fun seed ->
        numbers
        |> Array.mapi (fun row number ->
            if row > 0 && number % 7 = seed then
                nan
            else
                float (abs (number % 1000) / (seed + 1) % 11) / 10.0))

let private facts =
    testList
        "known values"
        [
            testCase "the seeds' costs are drawn with them"
            <| fun () ->
                let alike = Array.create 2 [| 0.5; 0.5 |]

                let found =
                    Pareto.probability 4000 1UL [| varying [ 1.0; 3.0 ] alike; varying [ 2.0; 2.0 ] alike |]

                // The mean of two draws of 1 and 3 is 1, 2 or 3 with 1/4, 1/2 and 1/4.
                near 0.03 0.75 found[0] "not dearer"
                near 0.03 0.75 found[1] "not dearer than the other"

            testCase "a seed brings its score and its cost together"
            <| fun () ->
                let rows score = Array.create 20 score

                let found =
                    Pareto.probability
                        2000
                        1UL
                        [|
                            varying [ 3.0; 1.0 ] [| rows 1.0; rows 0.0 |]
                            varying [ 2.0; 2.0 ] [| rows 0.5; rows 0.5 |]
                        |]

                Expect.equal found [| 1.0; 1.0 |] "what costs more scores more, in every draw"

            testCase "seeds are drawn for all techniques at once, and so are rows"
            <| fun () ->
                let next = uniform 31UL

                let scores =
                    Array.init 3 (fun seed -> Array.init 50 (fun _ -> float seed + next ()))

                let better = scores |> Array.map (Array.map ((+) 0.001))
                let found = Pareto.probability 500 1UL [| steady 1.0 scores; steady 1.0 better |]
                Expect.equal found [| 0.0; 1.0 |] "the lead is the same on every seed and row"

            testCase "a draw's score is the mean of its seeds' means, however many rows each has"
            <| fun () ->
                let rows (few: float) (many: float) =
                    [|
                        Array.init 110 (fun row -> if row < 10 then few else nan)
                        Array.init 110 (fun row -> if row < 10 then nan else many)
                    |]

                let found =
                    Pareto.probability 4000 1UL [| steady 1.0 (rows 1.0 0.0); steady 1.0 (rows 0.4 0.4) |]

                // Seeds drawn are both the first, both the second, or one of each: 1, 0 and twice 0.5 against 0.4.
                near 0.03 0.75 found[0] "one seed"
                near 0.03 0.25 found[1] "the even one"

            testCase "a lead that one of three seeds makes is no certainty"
            <| fun () ->
                let rows score = Array.create 100 score

                let found =
                    Pareto.probability
                        4000
                        1UL
                        [|
                            steady 1.0 [| rows 0.5; rows 0.5; rows 0.5 |]
                            steady 1.0 [| rows 0.9; rows 0.45; rows 0.45 |]
                        |]

                // The lucky seed is not drawn with (2/3)^3.
                near 0.03 (8.0 / 27.0) found[0] "the even one"
                near 0.03 (19.0 / 27.0) found[1] "the lucky one"
        ]

let private laws =
    testList
        "laws"
        [
            testProperty
                "the Pareto front is not empty, no point on it beats another, and every point off it is beaten by one on it"
            <| fun (NonEmptyArray(pairs: (int * int)[])) ->
                let points = pairs |> Array.map (fun (x, y) -> [| float (x % 5); float (y % 5) |])
                let isOn = Pareto.front points
                let front = Array.zip points isOn |> Array.filter snd |> Array.map fst
                let beats (a: float[]) (b: float[]) = a[0] >= b[0] && a[1] >= b[1] && a <> b

                front.Length > 0
                && (Seq.allPairs front front |> Seq.forall (fun (a, b) -> not (beats a b)))
                && (Array.forall2
                        (fun point on -> on || front |> Array.exists (fun other -> beats other point))
                        points
                        isOn)

            testProperty
                "the cheapest technique is always on the front; a dearer one that scores worse on every row never"
            <| fun numbers ->
                let scores = scoresOf numbers
                let worse = scores |> Array.map (Array.map (fun score -> score - 0.5))
                Pareto.probability 50 1UL [| steady 1.0 scores; steady 2.0 worse |] = [| 1.0; 0.0 |]

            testProperty "a technique beside itself shares its front"
            <| fun numbers ->
                let scores = scoresOf numbers
                Pareto.probability 50 1UL [| steady 1.0 scores; steady 1.0 scores |] = [| 1.0; 1.0 |]

            testProperty "the order of rows and seeds changes nothing, bit for bit"
            <| fun numbers (key: int) ->
                let left = scoresOf numbers

                let right =
                    left
                    |> Array.mapi (fun seed -> Array.map (fun score -> if seed = 1 then 1.0 - score else score))

                let mix (costs: float list) scores =
                    let rows = scores |> Array.map (shuffled $"rows {key}")

                    varying
                        (shuffled $"seeds {key}" (Array.ofList costs) |> List.ofArray)
                        (shuffled $"seeds {key}" rows)

                let one, other = [ 1.0; 2.0; 4.0 ], [ 2.0; 2.5; 2.0 ]

                Pareto.probability 50 1UL [| varying one left; varying other right |] =
                    Pareto.probability 50 1UL [| mix one left; mix other right |]
        ]

[<Tests>]
let tests = testList "Pareto" [ facts; laws ]
