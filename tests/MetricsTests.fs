module Peft.Tests.MetricsTests

open System
open System.Text.Json
open Expecto
open Peft

let private property (name: string) (element: JsonElement) : JsonElement = element.GetProperty name
let private text (name: string) (element: JsonElement) : string = Json.text (property name element)
let private number (name: string) (element: JsonElement) : float = (property name element).GetDouble()

let private items (name: string) (element: JsonElement) : JsonElement list =
    List.ofSeq ((property name element).EnumerateArray())

let private kinds (scores: RougeScores) : (string * RougeScore) list =
    [
        "rouge1", scores.Rouge1
        "rouge2", scores.Rouge2
        "rougeL", scores.RougeL
        "rougeLsum", scores.RougeLsum
    ]

let private parts (score: RougeScore) : float list =
    [ score.Precision; score.Recall; score.F ]

/// Fails unless `actual` is within `tolerance` of `expected`.
let private near (tolerance: float) (expected: float) (actual: float) (what: string) : unit =
    if not (abs (actual - expected) <= tolerance) then
        failtest $"{what}: got {actual:g17}, expected {expected:g17} within {tolerance:g1}"

let private modes = [ "plain", false; "stemmed", true ]

/// torchmetrics works in float32, whose half unit in the last place below 1 is 3e-8; three roundings make an F.
let private single = 1e-7

/// Compares with pairs that torchmetrics scored: ROUGE-1, 2 and L.
let private agreesWithTorchmetrics (file: JsonElement) : unit =
    for pair in items "pairs" file do
        for mode, stem in modes do
            let scores = Rouge.score stem (text "prediction" pair) (text "reference" pair)

            for kind, score in kinds scores |> List.filter (fun (kind, _) -> kind <> "rougeLsum") do
                let expected = property mode pair

                for name, actual in List.zip [ "precision"; "recall"; "fmeasure" ] (parts score) do
                    near single (number $"{kind}_{name}" expected) actual $"{mode} {kind} {name} of {pair}"

let private google () =
    Support.json (Support.sharedOrSkip [ "golden"; "extended"; "rouge"; "rouge.json" ])

[<Tests>]
let references =
    testList
        "Metrics against references"
        [
            testCase "ROUGE equals torchmetrics, free text"
            <| fun () -> agreesWithTorchmetrics (Support.json (Support.golden [ "free"; "rouge.json" ]))

            testCase "ROUGE equals torchmetrics"
            <| fun () ->
                agreesWithTorchmetrics (Support.json (Support.sharedOrSkip [ "golden"; "rouge"; "rouge.json" ]))

            testCase "ROUGE equals Google's scorer within 1e-9, with one reference and several"
            <| fun () ->
                for pair in items "pairs" (google ()) do
                    for mode, stem in modes do
                        let references = items "references" pair |> List.map Json.text
                        let scores = Rouge.best stem (text "prediction" pair) references

                        for kind, score in kinds scores do
                            let expected = items kind (property mode pair) |> List.map _.GetDouble()

                            for expected, actual in List.zip expected (parts score) do
                                near 1e-9 expected actual $"{mode} {kind} of {pair}"

            testCase "the mean F over the pairs with one reference equals Google's"
            <| fun () ->
                let file = google ()

                let pairs =
                    items "pairs" file
                    |> List.filter (fun pair -> (items "references" pair).Length = 1)

                for mode, stem in modes do
                    let mean =
                        pairs
                        |> List.map (fun pair ->
                            Rouge.score stem (text "prediction" pair) (Json.text (items "references" pair).Head))
                        |> Rouge.mean

                    for kind, score in kinds mean do
                        let expected =
                            file |> property "mean_f_single_reference" |> property mode |> number kind

                        near 1e-9 expected score.F $"{mode} {kind}"

            testCase "536 stems equal NLTK's"
            <| fun () ->
                let stems =
                    [
                        for pair in (property "porter_stems_changed" (google ())).EnumerateObject() ->
                            pair.Name, Json.text pair.Value
                    ]

                Expect.hasLength stems 536 "all are there"
                let wrong = stems |> List.filter (fun (word, stem) -> Porter.stem word <> stem)
                Expect.isEmpty wrong "no stem differs"

            testCase "exact match is plain string equality"
            <| fun () ->
                let file =
                    Support.json (Support.sharedOrSkip [ "golden"; "extended"; "rouge"; "exact_match.json" ])

                let pairs = items "pairs" file
                let of' name = pairs |> List.map (text name)
                near 1e-12 (number "accuracy" file) (Accuracy.ofTexts (of' "prediction") (of' "reference")) "accuracy"

                for pair in pairs do
                    let score = Accuracy.ofTexts [ text "prediction" pair ] [ text "reference" pair ]
                    Expect.equal (score = 1.0) ((property "equal" pair).GetBoolean()) $"{pair}"
        ]

/// FsCheck also makes null, which F# code cannot pass on.
let private given (text: string | null) : string =
    match text with
    | null -> ""
    | text -> text

[<Tests>]
let stems =
    testList
        "Porter"
        [
            // Porter's own examples (1980), one for each rule, and NLTK's departures.
            for word, stem in
                [
                    "caresses", "caress"
                    "ponies", "poni"
                    "cats", "cat"
                    "feed", "feed"
                    "agreed", "agre"
                    "plastered", "plaster"
                    "motoring", "motor"
                    "sing", "sing"
                    "conflated", "conflat"
                    "hopping", "hop"
                    "falling", "fall"
                    "hissing", "hiss"
                    "fizzed", "fizz"
                    "filing", "file"
                    "happy", "happi"
                    "relational", "relat"
                    "conditional", "condit"
                    "hopefulness", "hope"
                    "triplicate", "triplic"
                    "electrical", "electr"
                    "revival", "reviv"
                    "replacement", "replac"
                    "adoption", "adopt"
                    "bowdlerize", "bowdler"
                    "probate", "probat"
                    "rate", "rate"
                    "controll", "control"
                    "roll", "roll"
                    "skies", "sky"
                    "dying", "die"
                    "dies", "die"
                    "died", "die"
                    "spied", "spi"
                    "enjoy", "enjoy"
                    "by", "by"
                    "geology", "geolog"
                ] do
                testCase $"{word} has the stem {stem}"
                <| fun () -> Expect.equal (Porter.stem word) stem word

            testProperty "a stem is never longer than its word by more than a letter, and stems of any string exist"
            <| fun (word: string | null) -> (Porter.stem (given word)).Length <= (given word).Length + 1
        ]

/// Texts of few words, so that they share some.
let private vocabulary =
    [| "the"; "cat"; "cats"; "sat"; "sitting"; "on"; "mat"; "is"; "\n"; "Is"; "7" |]

let private sentence (numbers: int list) : string =
    String.Join(
        " ",
        numbers
        |> List.map (fun n -> vocabulary[((n % vocabulary.Length) + vocabulary.Length) % vocabulary.Length])
    )

[<Tests>]
let rougeLaws =
    testList
        "Rouge"
        [
            testCase "the kelvin sign is a k, and I with a dot is an i that ends a word, as in Python's lower"
            <| fun () ->
                Expect.equal (Rouge.score false "\u212Aelvin" "kelvin").Rouge1.F 1.0 "kelvin"
                Expect.equal (Rouge.score false "\u0130x" "i x").Rouge2.F 1.0 "i, x"

            testCase "other letters separate words"
            <| fun () -> Expect.equal (Rouge.score false "café" "caf").Rouge1.F 1.0 "caf"

            testCase "texts in other scripts score 0 like rouge_score's, and a notice says why"
            <| fun () ->
                let nepali = "नेपाल सुन्दर देश हो"
                Expect.equal (Rouge.score false nepali nepali).RougeL.F 0.0 "equal texts"

                let notice =
                    Rouge.notice [ nepali; "a plain text"; "नेपाल 2"; "..." ]
                    |> Option.defaultValue ""

                Expect.stringContains notice "1 of 4 references" "those without any word that counts"
                Expect.isNone (Rouge.notice [ "a plain text"; "नेपाल 2"; "..."; "" ]) "some word, or no letter at all"

            testCase "of equal references the first counts"
            <| fun () ->
                // Both have F 2/3: precision and recall change places.
                let best = Rouge.best false "a b" [ "a"; "a b c d" ]
                Expect.equal best.Rouge1 (Rouge.score false "a b" "a").Rouge1 "the first"

            testCase "without references all is 0"
            <| fun () -> Expect.equal (Rouge.best true "a" []) (Rouge.score true "" "") "zero"

            testCase "texts of thousands of words are scored"
            <| fun () ->
                let long = (sentence [ 0..4999 ]).Replace("\n", "")
                Expect.all (kinds (Rouge.score true long long)) (fun (_, score) -> score.F = 1.0) "equal to itself"

            testCase "a line of the reference is matched with every line of the prediction"
            <| fun () ->
                // "a c" and "b d" together cover the four words, which no single subsequence does.
                let scores = Rouge.score false "b d\na c" "a b c d"
                Expect.equal scores.RougeLsum.F 1.0 "by lines"
                Expect.equal scores.RougeL.F 0.5 "as one text"

            testProperty "a text that has a word scores 1 with itself"
            <| fun (stem: bool) (numbers: int list) ->
                let text = sentence numbers

                let words =
                    text.Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries).Length

                let least kind = if kind = "rouge2" then 2 else 1

                kinds (Rouge.score stem text text)
                |> List.forall (fun (kind, score) ->
                    parts score = List.replicate 3 (if words >= least kind then 1.0 else 0.0))

            testProperty "swapping prediction and reference swaps precision and recall and keeps F"
            <| fun (stem: bool) (left: int list) (right: int list) ->
                let left, right = sentence left, sentence right
                let forth, back = Rouge.score stem left right, Rouge.score stem right left

                // Lsum is not symmetric: the lines of the reference lead.
                List.zip (kinds forth) (kinds back)
                |> List.filter (fun ((kind, _), _) -> kind <> "rougeLsum")
                |> List.forall (fun ((_, a), (_, b)) ->
                    a.Precision = b.Recall && a.Recall = b.Precision && abs (a.F - b.F) <= 1e-15)

            testProperty "every score of any two strings is within 0 and 1, and F between the other two"
            <| fun (stem: bool) (left: string | null) (right: string | null) ->
                kinds (Rouge.score stem (given left) (given right))
                |> List.forall (fun (_, score) ->
                    let low, high = min score.Precision score.Recall, max score.Precision score.Recall
                    low >= 0.0 && high <= 1.0 && score.F >= low - 1e-15 && score.F <= high + 1e-15)

            testProperty "the best of several references is at least as good as each"
            <| fun (prediction: int list) (first: int list) (second: int list) ->
                let prediction, references =
                    sentence prediction, [ sentence first; sentence second ]

                let best = kinds (Rouge.best false prediction references)

                references
                |> List.forall (fun reference ->
                    List.zip best (kinds (Rouge.score false prediction reference))
                    |> List.forall (fun ((_, best), (_, score)) -> best.F >= score.F))
        ]
