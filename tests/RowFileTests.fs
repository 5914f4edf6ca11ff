/// Anyone's rows, aligned and tested.
module Peft.Tests.RowFileTests

open System.IO
open Expecto
open Peft
open Peft.Tests.Support

let private read (folder: string) (name: string) =
    RowFile.read None None (Path.Combine(folder, name))

let private sample (id: int) (hash: string) (filter: string) (value: float) =
    $"{{\"doc_id\":{id},\"doc\":{{\"q\":1}},\"target\":\"x\",\"filter\":\"{filter}\",\"metrics\":[\"exact_match\"],\"exact_match\":{value},\"doc_hash\":\"{hash}\"}}"

[<Tests>]
let tests =
    testList
        "Foreign"
        [
            testCase "files of three kinds are aligned by id, whatever their order"
            <| fun () ->
                withFiles
                    [
                        "a.csv", "id,label,prediction\n1,x,x\n2,y,x\n3,x,x\n"
                        "b.csv", "id,label,prediction\n3,x,y\n1,x,x\n2,y,y\n"
                        "s.csv", "id,score\n1,0.5\n2,0.25\n3,1\n"
                        "ours.jsonl",
                        "{\"Row\":0,\"Input\":\"a\",\"Target\":\"x\",\"Prediction\":\"x\",\"Score\":1}\n{\"Row\":1,\"Input\":\"a\",\"Target\":\"x\",\"Prediction\":\"y\",\"Score\":0}\n"
                        "eval.jsonl", String.concat "\n" [ sample 1 "h1" "strict" 1.0; sample 0 "h0" "strict" 0.0 ]
                    ]
                    (fun folder ->
                        let a, b = read folder "a.csv", read folder "b.csv"
                        Expect.equal (RowFile.aligned [ a; b ]) [| [| 1.0; 0.0; 1.0 |]; [| 1.0; 1.0; 0.0 |] |] "by id"
                        Expect.equal (read folder "s.csv").Scores [| 0.5; 0.25; 1.0 |] "scores"
                        Expect.equal (read folder "ours.jsonl").Scores [| 1.0; 0.0 |] "equal rows stay apart"
                        let samples = read folder "eval.jsonl"
                        Expect.equal (samples.Metric, samples.Scores) ("exact_match", [| 1.0; 0.0 |]) "samples")

            testCase "what does not align is told with how many and which, in one line"
            <| fun () ->
                withFiles
                    [
                        "a.csv", "id,label,prediction\n1,x,x\n2,y,x\n"
                        "other.csv", "id,label,prediction\n1,x,x\n7,y,x\n"
                        "label.csv", "id,label,prediction\n1,z,x\n2,y,x\n"
                        "twice.csv", "id,label,prediction\n1,x,x\n1,y,x\n"
                        "bare.csv", "a,b\n1,2\n"
                        "two.jsonl", String.concat "\n" [ sample 0 "h" "strict" 1.0; sample 0 "h" "flexible" 0.0 ]
                    ]
                    (fun folder ->
                        let a = read folder "a.csv"

                        for name, words in
                            [
                                "other.csv",
                                "1 rows in common; 1 of 2 are only in a.csv and 1 of 2 only in other.csv: \"2\", \"7\""
                                "label.csv", "not the same test rows"
                                "twice.csv", "1 ids more than once, the first is \"1\""
                                "bare.csv", "give id, label and prediction"
                                "two.jsonl", "choose strict or flexible with --filter"
                                "none.csv", "does not exist"
                            ] do
                            let told = userErrorOf (fun () -> RowFile.aligned [ a; read folder name ] |> ignore)

                            Expect.stringContains told words name)

            testCase "McNemar's mid-P: half of what was seen counts"
            <| fun () ->
                let pair leftOnly rightOnly =
                    Array.append (Array.create leftOnly true) (Array.create rightOnly false),
                    Array.append (Array.create leftOnly false) (Array.create rightOnly true)

                let p leftOnly rightOnly =
                    pair leftOnly rightOnly ||> RowPairs.mcNemarMid

                near (1.0 / 32.0) (p 5 0) "five on one side: 2 ^ -5"
                // Binomial(9, 1/2): P(X < 2) = 10/512, P(X = 2) = 36/512.
                near (2.0 * (10.0 + 18.0) / 512.0) (p 2 7) "two of nine"
                near 1.0 (p 3 3) "as many on both sides"
                near 1.0 (RowPairs.mcNemarMid [| true |] [| true |]) "no row differs"

            testCase "where nothing varies there is an interval with a width, and no difference is found"
            <| fun () ->
                let same = Array.create 50 0.7
                let right = Array.create 50 1.0

                for scores in [ same; right ] do
                    let comparison = RowPairs.compare "score" [ "a", scores; "b", scores ]
                    let pair = comparison.Pairs.Head
                    Expect.equal (pair.Difference, pair.P) (0.0, 1.0) "equal"
                    Expect.isGreaterThan (pair.Interval.High - pair.Interval.Low) 0.01 "a width"

                let comparison = RowPairs.compare "score" [ "a", right; "b", right ]
                near (5.0 / 50.0) comparison.Detectable "five rows on one side are the fewest that tell apart"

            testCase "Holm's correction is over all pairs"
            <| fun () ->
                let scores good =
                    [| for row in 0..99 -> if row < good then 1.0 else 0.0 |]

                let comparison =
                    RowPairs.compare "score" [ "a", scores 60; "b", scores 50; "c", scores 50 ]

                Expect.equal
                    (comparison.Pairs |> List.map (fun pair -> pair.Left + pair.Right))
                    [ "ab"; "ac"; "bc" ]
                    "pairs"

                let first = comparison.Pairs.Head
                near (3.0 * first.P) first.Adjusted "the smallest by three"

            testCase "of pairs that are equally good about a twentieth is called different"
            <| fun () ->
                // 2,000 of each kind: a standard error of 0.5 %, four of which are 2 %; the full number is the command's.
                let labels, texts = Nulls.rejected 4_000 3UL
                inside 0.03 0.07 labels "right or wrong"
                inside 0.03 0.07 texts "scores"
        ]
