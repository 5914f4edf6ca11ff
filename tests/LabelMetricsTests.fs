/// Scores of labels, by hand and by formula.
module Peft.Tests.LabelMetricsTests

open System
open Expecto
open Peft

/// Fails unless `actual` is within `tolerance` of `expected`.
let private near (tolerance: float) (expected: float) (actual: float) (what: string) : unit =
    if not (abs (actual - expected) <= tolerance) then
        failtest $"{what}: got {actual:g17}, expected {expected:g17} within {tolerance:g1}"

[<Tests>]
let classification =
    testList
        "Metrics"
        [
            testCase "Matthews correlation of two classes is the phi coefficient"
            <| fun () ->
                // 6 true positives, 3 true negatives, 1 false positive, 2 false negatives.
                let predictions = [ yield! List.replicate 6 1; yield! List.replicate 3 0; 1; 0; 0 ]
                let references = [ yield! List.replicate 6 1; yield! List.replicate 3 0; 0; 1; 1 ]
                near 1e-15 (16.0 / sqrt (7.0 * 8.0 * 4.0 * 5.0)) (Matthews.ofLabels predictions references) "phi"

            testCase "Matthews correlation of three classes follows Gorodkin's formula"
            <| fun () ->
                // c = 4, s = 6, p = (2, 2, 2), t = (3, 2, 1): (24 - 12) / sqrt((36 - 12) (36 - 14)).
                let score =
                    Matthews.ofLabels [ "a"; "a"; "b"; "b"; "c"; "c" ] [ "a"; "a"; "b"; "a"; "c"; "b" ]

                near 1e-15 (12.0 / sqrt (24.0 * 22.0)) score "R_3"

            testCase "Matthews correlation is 0 where it is undefined"
            <| fun () ->
                Expect.equal (Matthews.ofLabels [ 1; 1; 1 ] [ 1; 0; 1 ]) 0.0 "one predicted class"
                Expect.equal (Matthews.ofLabels [ 1; 0; 1 ] [ 1; 1; 1 ]) 0.0 "one true class"
                Expect.equal (Matthews.ofLabels [ 1; 1 ] [ 1; 1 ]) 0.0 "one class in all"
                Expect.equal (Matthews.ofLabels List.empty<int> []) 0.0 "nothing"

            testCase "macro-F1 is the mean of the labels' F1"
            <| fun () ->
                let score labels pairs =
                    pairs
                    |> List.map (fun (target, text) -> Reply.ofText target text)
                    |> Array.ofList
                    |> MacroF1.ofReplies labels

                let targets = [ "a"; "a"; "a"; "b"; "b"; "c" ]
                // a: 2 of 2 answers right, 3 wanted: 4 / 5. b: 1 of 3, 2 wanted: 2 / 5. c: 0 of 1, 1 wanted: 0.
                let texts = [ "a"; "a"; "b"; "b"; "c"; "b" ]
                near 1e-15 ((0.8 + 0.4 + 0.0) / 3.0) (score [ "a"; "b"; "c" ] (List.zip targets texts)) "three labels"
                // An answer that is no label: a 2 * 1 / (1 + 2), b 2 * 1 / (1 + 1).
                let odd = [ "a", "a"; "a", "perhaps"; "b", "b" ]
                near 1e-15 ((2.0 / 3.0 + 1.0) / 2.0) (score [ "a"; "b" ] odd) "no label"
                // A label that is neither wanted nor given counts as 0.
                near 1e-15 ((2.0 / 3.0 + 1.0 + 0.0) / 3.0) (score [ "a"; "b"; "c" ] odd) "an absent label"
                near 1e-15 1.0 (score [ "a"; "b" ] [ "a", "a"; "b", "b" ]) "perfect"
                near 1e-15 0.0 (score [ "a"; "b" ] []) "no rows"

            testCase "names of metrics are unique, and each is found by its own"
            <| fun () ->
                for metric in Metrics.all do
                    Expect.equal (Metrics.find metric.Name) metric metric.Name

                Expect.hasLength (List.distinct Metrics.all) Metrics.all.Length "unique"

            testCase "labels have accuracy and macro-F1, two of them Matthews' correlation too, text has ROUGE"
            <| fun () ->
                let names labels reported reply =
                    [| reply |] |> Metrics.scores labels reported |> Seq.map _.Key |> List.ofSeq

                let ofLabels = [ "accuracy"; "labelShare"; "macroF1" ]
                let text = Reply.ofText "a" "b"
                let ranked = { text with Ranked = Some "a" }
                Expect.equal (names [ "a"; "b" ] Accuracy.metric text) (ofLabels @ [ "matthews" ]) "two labels"
                Expect.equal (names [ "a"; "b"; "c" ] MacroF1.metric text) ofLabels "three labels"

                Expect.equal
                    (names [ "a"; "b"; "c" ] Accuracy.metric ranked)
                    (ofLabels @ [ "rankAccuracy" ])
                    "ranked labels"

                Expect.equal (names [] Rouge.longest text) [ "rouge1"; "rouge2"; "rougeL" ] "text"

            testCase "a metric that is said to be the mean of its rows is"
            <| fun () ->
                let replies =
                    [| "a b", "a c"; "b", "b"; "a b", "a b c" |]
                    |> Array.map (fun (target, text) ->
                        { Reply.ofText target text with
                            Ranked = Some "b"
                        })

                for metric in Metrics.all do
                    if metric.IsMeanOfRows then
                        let labels = if metric.Suits [] then [] else [ "a b"; "b" ]
                        let mean = replies |> Array.averageBy (metric.OfRow labels)
                        near 1e-15 mean (metric.OfRows labels replies) metric.Name

            testCase
                "rank accuracy looks at the most likely label alone, and the share of labels at what is written alone"
            <| fun () ->
                let replies =
                    [|
                        for target, text, ranked in
                            [ "a", "a", "b"; "b", "perhaps", "b"; "a", "b", "a"; "b", "b b", "a" ] ->
                            { Reply.ofText target text with
                                Ranked = Some ranked
                            }
                    |]

                near 1e-15 0.5 (RankAccuracy.metric.OfRows [ "a"; "b" ] replies) "right at the second and third"
                near 1e-15 0.5 (LabelShare.metric.OfRows [ "a"; "b" ] replies) "labels at the first and third"

            testCase "no rows have accuracy 0"
            <| fun () -> Expect.equal (Accuracy.ofTexts [] []) 0.0 "zero"

            testCase "columns of different lengths are refused"
            <| fun () ->
                Expect.throwsT<ArgumentException> (fun () -> Accuracy.ofTexts [ "a" ] [] |> ignore) "accuracy"
                Expect.throwsT<ArgumentException> (fun () -> Matthews.ofLabels [ 1 ] [ 1; 2 ] |> ignore) "Matthews"

            testProperty "a perfect prediction of two or more classes has Matthews correlation 1"
            <| fun (labels: int list) ->
                let labels = 0 :: 1 :: labels
                Matthews.ofLabels labels labels = 1.0

            testProperty "Matthews correlation does not change when classes change names"
            <| fun (pairs: (byte * byte) list) ->
                let predictions, references =
                    pairs |> List.map (fun (p, r) -> int p % 4, int r % 4) |> List.unzip

                let rename label = $"class {(label * 3 + 1) % 4}"
                let before = Matthews.ofLabels predictions references

                let after =
                    Matthews.ofLabels (List.map rename predictions) (List.map rename references)

                abs (before - after) <= 1e-12 && abs before <= 1.0 + 1e-12
        ]
