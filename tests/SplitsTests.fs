module Peft.Tests.SplitsTests

open System
open System.IO
open Expecto
open Peft

/// A small task, of which only name, title and scoring matter here.
let private task = TaskDefinition.dialogue

let private pool (name: string) (rows: Example[]) : Pool =
    {
        Files = if rows.Length = 0 then [] else [ name ]
        Examples = rows
        LeftOut = 0
        Unlabelled = []
    }

let private pools train validation test : Pools =
    {
        Train = pool "train.jsonl" train
        Validation = pool "validation.jsonl" validation
        Test = pool "test.jsonl" test
    }

/// `count` rows, `copies` of each input, targets all different.
let private made (prefix: string) (copies: int) (count: int) : Example[] =
    Array.init count (fun number ->
        {
            Input = $"{prefix} {number / copies}"
            Target = $"{prefix}-{number}"
        })

let private sizes (count: int, copies: int, seed: int) =
    // At least two distinct inputs, so that carving is possible.
    let copies = 1 + abs (copies % 9)
    max (copies + 1) (2 + abs (count % 3000)), copies, seed

/// Train, validation, test with two kinds of data: validation carved, and all files there.
let private kinds (count, copies) =
    [
        pools (made "train" copies count) [||] (made "test" 1 60)
        pools (made "train" copies count) (made "validation" 1 50) [||]
        pools (made "train" copies count) (made "validation" 1 50) (made "test" 1 60)
    ]

let private startsWith (whole: Example[]) (start: Example[]) =
    Array.truncate start.Length whole = start

[<Tests>]
let tests =
    testList
        "Splits"
        [
            testCase "SplitMix64 gives the published numbers of seed 1234567"
            <| fun () ->
                let next = Shuffle.splitMix64 1234567UL

                Expect.equal
                    (List.init 3 (fun _ -> next ()))
                    [ 6457827717110365317UL; 3203168211198807973UL; 9817491932198370423UL ]
                    "the first three"

            testCase "a shuffle is the same on every machine"
            <| fun () ->
                Expect.equal
                    (Shuffle.order "topic/train/0" 8)
                    [| 1; 2; 4; 0; 3; 7; 6; 5 |]
                    "the order of this key, as a Python program gives it too"

            testProperty "a shuffle is a permutation"
            <| fun (key: int) (count: int) ->
                let count = abs (count % 500)
                Expect.equal (Shuffle.order $"{key}" count |> Array.sort) [| 0 .. count - 1 |] "every place once"

            testCase "every place of a shuffle is about equally likely"
            <| fun () ->
                let first =
                    Array.init 6000 (fun key -> (Shuffle.order $"{key}" 6)[0]) |> Array.countBy id

                Expect.equal first.Length 6 "all come first some time"
                Expect.all first (fun (_, count) -> abs (count - 1000) < 150) "within five standard deviations"

            testProperty "training rows nest, validation and test rows do not depend on the level"
            <| fun case ->
                let count, copies, seed = sizes case

                for pools in kinds (count, copies) do
                    let split level =
                        Split.ofPools pools task level seed 100 40

                    let low, medium, high = split Low, split Medium, split High
                    Expect.isTrue (startsWith medium.Train low.Train && startsWith high.Train medium.Train) "they nest"
                    Expect.equal low.Validation medium.Validation "validation, low and medium"
                    Expect.equal high.Validation medium.Validation "validation, medium and high"
                    Expect.equal (low.Test, high.Test) (medium.Test, medium.Test) "test"
                    Expect.isTrue (low.Train.Length <= 100 && medium.Train.Length <= 1000) "at most the level's rows"

            testProperty "carved validation rows share no input with any training row, and no row is used twice"
            <| fun case ->
                let count, copies, seed = sizes case

                for pools in kinds (count, copies) do
                    let split = Split.ofPools pools task High seed 100 40

                    let inputs (rows: Example[]) =
                        rows |> Array.map _.Input |> Set.ofArray

                    Expect.isEmpty (Set.intersect (inputs split.Train) (inputs split.Validation)) "disjoint inputs"
                    let all = Array.concat [ split.Train; split.Validation; split.Test ]
                    Expect.equal (Array.distinct all).Length all.Length "targets are unique in these pools"
                    Expect.isTrue (split.Validation.Length >= 1 && split.Validation.Length <= 100) "1 to the limit"
                    Expect.equal split.Overlap.TrainValidation.Inputs 0 "so says the report"

            testProperty "one seed gives one split; another seed another order of the same rows"
            <| fun case ->
                let count, copies, seed = sizes case

                let pools =
                    pools (made "train" copies count) (made "validation" 1 50) (made "test" 1 60)

                let split seed =
                    Split.ofPools pools task High seed 100 100

                Expect.equal (split seed) (split seed) "equal in every field"
                let other = split (seed + 1)
                Expect.equal (Array.sort (split seed).Train) (Array.sort other.Train) "the same training rows"
                Expect.equal (Array.sort (split seed).Test) (Array.sort other.Test) "the same test rows"
                Expect.notEqual (split seed).Test other.Test "in another order"
                Expect.notEqual (split seed).Fingerprint other.Fingerprint "another fingerprint"

            testProperty "a lower limit gives the beginning of the longer sample, and leaves other portions alone"
            <| fun (seed: int) (limit: int) ->
                let limit = 1 + abs (limit % 60)
                let pools = pools (made "train" 1 300) (made "validation" 1 50) (made "test" 1 60)
                let whole = Split.ofPools pools task Medium seed 100 100
                let part = Split.ofPools pools task Medium seed limit limit
                Expect.isTrue (startsWith whole.Validation part.Validation && startsWith whole.Test part.Test) "nested"
                Expect.equal part.Train whole.Train "training rows"

            testCase "tasks of other names draw other rows"
            <| fun () ->
                let pools = pools (made "train" 1 300) (made "validation" 1 50) (made "test" 1 60)

                let split task =
                    (Split.ofPools pools task Low 0 10 10).Test

                Expect.notEqual
                    (split TaskDefinition.dialogue)
                    (split TaskDefinition.attributes)
                    "the name is in the seed"

            testCase "a sample does not begin where the file does"
            <| fun () ->
                let sorted =
                    Array.init<Example> 4000 (fun row ->
                        {
                            Input = $"{row}"
                            Target = $"{row / 1000}"
                        })

                let split = Split.ofPools (pools sorted [||] sorted) task Low 0 100 400

                for target, count in split.Test |> Array.countBy _.Target do
                    Expect.isTrue (abs (count - 100) < 50) $"class {target} has {count} of 400"

            testCase "the rule is told in words"
            <| fun () ->
                let told pools =
                    SplitSource.describe (Split.ofPools pools task Low 0 20 20).Source

                let train = made "train" 1 50

                let unlabelled =
                    { pool "" [||] with
                        Unlabelled = [ "testset.csv" ]
                    }

                for pools, parts in
                    [
                        pools train (made "v" 1 9) (made "t" 1 9),
                        [ "validation.jsonl (9 rows, digest "; "files of their own" ]
                        pools train [||] (made "t" 1 9),
                        [ "no validation file, so validation rows are carved"; "5 validation rows" ]
                        { pools train (made "v" 1 9) [||] with
                            Test = unlabelled
                        },
                        [
                            "no labelled test file (testset.csv has no labels), so validation.jsonl gives the test rows"
                        ]
                        { pools train (made "v" 1 9) (made "t" 1 9) with
                            Train =
                                { pool "train.jsonl" train with
                                    LeftOut = 1
                                }
                        },
                        [ "1 row without input is left out" ]
                        pools train (made "v" 1 9) (made "t" 1 9),
                        [
                            "50 training rows, all there are (the low level would take 100)"
                            "9 test rows"
                        ]
                        pools (made "train" 1 1500) (made "v" 1 9) (made "t" 1 9), [ "100 of 1,500 training rows" ]
                    ] do
                    for part in parts do
                        Expect.stringContains (told pools) part "the words"

            testCase "overlap is counted and told, and nothing is removed"
            <| fun () ->
                let row input target : Example = { Input = input; Target = target }
                let train = [| row "a" "1"; row "b" "1"; row "b" "1"; row "c" "1" |]
                let validation = [| row "a" "1"; row "b" "2"; row "x" "1" |]
                let test = [| row "b" "1"; row "x" "2"; row "y" "1"; row "b" "1" |]
                let split = Split.ofPools (pools train validation test) task Low 0 10 10
                Expect.equal (split.Train.Length, split.Validation.Length, split.Test.Length) (4, 3, 4) "all rows stay"
                Expect.equal split.Overlap.TrainValidation { Inputs = 2; Rows = 1; Of = 3 } "train and validation"
                Expect.equal split.Overlap.TrainTest { Inputs = 2; Rows = 2; Of = 4 } "train and test"
                Expect.equal split.Overlap.ValidationTest { Inputs = 3; Rows = 0; Of = 4 } "validation and test"

                Expect.stringContains
                    (Overlap.describe split.Overlap)
                    "2 of 3 validation rows have an input of the training rows (1 with the same target)"
                    "the words"

                let apart =
                    Split.ofPools (pools train [| row "v" "" |] [| row "t" "" |]) task Low 0 10 10

                Expect.equal (Overlap.describe apart.Overlap) "no input occurs in two portions" "no overlap"

            testCase "the words of a file tell every row of it apart, alike for all seeds and levels"
            <| fun () ->
                let train, validation, test = made "train" 1 1500, made "v" 1 9, made "t" 1 9

                let files pools level seed =
                    (SplitSource.describe (Split.ofPools pools task level seed 5 5).Source).Split "; "
                    |> Array.take 3

                let whole = files (pools train validation test) Low 0

                Expect.stringStarts whole[0] "train.jsonl (1,500 rows, digest " "words"
                Expect.stringEnds whole[0] ") for training" "words"

                for level in Level.all do
                    for seed in 1..3 do
                        Expect.equal (files (pools train validation test) level seed) whole $"{level}, seed {seed}"

                for row in [ 0; 700; 1499 ] do
                    let changed =
                        train
                        |> Array.mapi (fun place example ->
                            if place = row then
                                { example with Target = "other" }
                            else
                                example)

                    let other = files (pools changed validation test) Low 0
                    Expect.notEqual other[0] whole[0] $"row {row}"
                    Expect.equal other[1..] whole[1..] "the other files"

                Expect.notEqual
                    (files (pools (Array.rev train) validation test) Low 0).[0]
                    whole[0]
                    "another order draws other rows"

            testCase "a fingerprint tells rows, order, wording and portions apart"
            <| fun () ->
                let row input target : Example = { Input = input; Target = target }

                let print train test =
                    (Split.ofPools (pools train [| row "v" "v" |] test) task Low 0 10 10).Fingerprint

                let prints =
                    [
                        print [| row "a" "b" |] [| row "c" "d" |]
                        print [| row "ab" "" |] [| row "c" "d" |]
                        print [| row "a" "b" |] [| row "cd" "" |]
                        print [| row "a" "b"; row "c" "d" |] [| row "c" "d" |]
                        print [| row "c" "d" |] [| row "a" "b" |]
                    ]

                Expect.equal (List.distinct prints).Length prints.Length "all different"

                Expect.all
                    prints
                    (fun print -> print.Length = 16 && Seq.forall Char.IsAsciiHexDigitLower print)
                    "16 digits"

            testCase "the splits of this version are those of the versions before"
            <| fun () ->
                let split =
                    Split.ofPools (pools (made "train" 3 500) [||] (made "test" 1 60)) task Low 7 40 30

                Expect.equal split.Fingerprint "8b0c83722216a4f6" "results of an earlier version stay comparable"

            testCase "levels have the paper's rows and are found by name"
            <| fun () ->
                Expect.equal (Level.all |> List.map Level.rows) [ 100; 1_000; 10_000 ] "rows"

                for level in Level.all do
                    Expect.equal (Level.find (Level.name level)) level "found"

                Expect.stringContains
                    (Support.userErrorOf (fun () -> Level.find "Low" |> ignore))
                    "low, medium, high"
                    "told"

            testCase "what cannot be split is refused"
            <| fun () ->
                let refused pools validationLimit testLimit part =
                    let message =
                        Support.userErrorOf (fun () ->
                            Split.ofPools pools task Low 0 validationLimit testLimit |> ignore)

                    Expect.stringContains message part "the message says it"

                let whole = pools (made "a" 1 9) (made "b" 1 9) (made "c" 1 9)
                refused whole 0 1 "limit of validation rows is 0"
                refused whole 1 -1 "limit of test rows is -1"
                refused (pools (made "a" 1 9) [||] [||]) 1 1 "no test rows"
                refused (pools (made "a" 9 9) [||] (made "c" 1 9)) 1 1 "a single distinct input"

            testCase "the folder's path does not matter"
            <| fun () ->
                let files =
                    [
                        "dialogue/train.jsonl",
                        String.Join("\n", [ for n in 1..30 -> $"{{\"dialogue\":\"d{n}\",\"summary\":\"s{n}\"}}" ])
                        "dialogue/test.jsonl", "{\"dialogue\":\"t\",\"summary\":\"s\"}"
                    ]

                let mutable first = None

                for _ in 1..2 do
                    Support.withFiles files (fun folder ->
                        let split = Split.create folder task Low 3 10 10

                        match first with
                        | None -> first <- Some split
                        | Some earlier -> Expect.equal split earlier "equal in every field"

                        Expect.isFalse ((SplitSource.describe split.Source).Contains folder) "nor is it told")

            testCase "the real sets overlap as their notes state"
            <| fun () ->
                let folder =
                    Path.GetDirectoryName(Support.sharedOrSkip [ "data"; "cola" ]) |> string

                for task, expected in [ TaskDefinition.cola, 6; TaskDefinition.e2e, 0; TaskDefinition.samsum, 47 ] do
                    let pools = Pools.load folder task
                    let overlap = Overlap.ofRows pools.Train.Examples pools.Validation.Examples [||]
                    Expect.equal overlap.TrainValidation.Inputs expected task.Name

            testCase "the real sets split at every level, by the rules for their files"
            <| fun () ->
                let folder =
                    Path.GetDirectoryName(Support.sharedOrSkip [ "data"; "cola" ]) |> string

                for task, validation, test, high, rule in
                    [
                        TaskDefinition.agnews, 500, 2500, 4500, "no validation file"
                        TaskDefinition.cola, 855, 527, 7500, "in_domain_dev.tsv gives the test rows"
                        TaskDefinition.e2e, 2500, 2500, 10000, "testset.csv has no labels"
                        TaskDefinition.samsum, 1473, 818, 10000, "validation.csv gives the test rows"
                    ] do
                    let pools = Pools.load folder task

                    let split level =
                        Split.ofPools pools task level 0 Split.standardLimit Split.standardLimit

                    let low, whole = split Low, split High

                    Expect.equal
                        (low.Train.Length, whole.Validation.Length, whole.Test.Length)
                        (100, validation, test)
                        task.Name

                    Expect.isTrue (whole.Train.Length >= high) $"{task.Name} has {whole.Train.Length} training rows"
                    Expect.equal whole.Overlap.TrainValidation.Inputs 0 "carved rows have inputs of their own"
                    Expect.stringContains (SplitSource.describe whole.Source) rule "the rule"
        ]
