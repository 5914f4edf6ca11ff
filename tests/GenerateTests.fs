module Peft.Tests.GenerateTests

open System
open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// The settings of a reference case in our terms. Hugging Face's lengths count what a row begins with, `begun` tokens, ours do
/// not.
let decoding (begun: int) (settings: JsonElement) : Decoding =
    let number (key: string) fallback =
        match settings.TryGetProperty key with
        | true, value -> value.GetInt32()
        | false, _ -> fallback

    let real (key: string) fallback =
        match settings.TryGetProperty key with
        | true, value -> value.GetDouble()
        | false, _ -> fallback

    let early =
        match settings.TryGetProperty "early_stopping" with
        | true, value when value.ValueKind = JsonValueKind.True -> AtFullBeams
        | true, value when value.ValueKind = JsonValueKind.String -> Exhaustive
        | _ -> WhenHopeless

    {
        Beams = number "num_beams" 1
        Returned = number "num_return_sequences" 1
        MaxNewTokens = number "max_new_tokens" (number "max_length" 0 - begun)
        MinNewTokens = number "min_new_tokens" (max 0 (number "min_length" begun - begun))
        LengthPenalty = real "length_penalty" 1.0
        EarlyStopping = early
        RepetitionPenalty = real "repetition_penalty" 1.0
        NoRepeatNgram = number "no_repeat_ngram_size" 0
        Among = None
    }

let ints (element: JsonElement) =
    [ for item in element.EnumerateArray() -> item.GetInt32() ]

/// A reference sequence without start token and trailing pads; `</s>` stays.
let private stripped (shape: Shape) (sequence: int list) =
    match List.tryFindIndex (fun id -> List.contains id shape.EosIds) sequence with
    | Some place -> List.take place (List.tail sequence)
    | None -> List.tail sequence

/// The sum of a row's token log-probabilities up to `</s>`.
let sumUntilEnd (row: JsonElement) (length: int) =
    [ for value in row.EnumerateArray() -> value.GetDouble() ]
    |> List.take length
    |> List.sum

let private compareCase
    (model: Model)
    (inputs: Collections.Generic.IReadOnlyDictionary<string, torch.Tensor>)
    (case: JsonElement)
    =
    use _ = torch.NewDisposeScope()
    let settings = decoding 1 (case.GetProperty "settings")
    let name = case.GetProperty("name").GetString()

    let hypotheses =
        Generate.run settings model inputs["input_ids"] (Some inputs["attention_mask"])
        |> List.concat

    let expected =
        [
            for sequence in case.GetProperty("sequences").EnumerateArray() -> stripped model.Shape (ints sequence)
        ]

    Expect.equal (hypotheses |> List.map (_.Ids >> List.ofArray)) expected $"{name}: sequences"

    match case.TryGetProperty "sequences_scores" with
    | true, scores when scores.ValueKind = JsonValueKind.Array ->
        for hypothesis, score in Seq.zip hypotheses (scores.EnumerateArray()) do
            Expect.floatClose { absolute = 1e-4; relative = 1e-4 } hypothesis.Score (score.GetDouble()) $"{name}: score"
    | _ -> ()

    match case.TryGetProperty "token_logprobs" with
    | true, rows when rows.ValueKind = JsonValueKind.Array ->
        for hypothesis, row in Seq.zip hypotheses (rows.EnumerateArray()) do
            let expected = sumUntilEnd row hypothesis.Ids.Length
            Expect.floatClose { absolute = 1e-3; relative = 1e-4 } hypothesis.Score expected $"{name}: log-probability"
    | _ -> ()

let private cases (file: string) =
    [ for case in (json file).EnumerateArray() -> case ]

/// The model of `folder` with one row of its head replaced, as the extended references have it.
let private withEosRow (folder: string) =
    let model = Checkpoint.load torch.CPU torch.float32 (golden [ folder ])

    let row =
        (tensors (golden [ "extended"; folder; "generation"; "eos_row.safetensors" ]))["eos_row"]

    let replaced (leaf: Leaf) =
        let changed = leaf.Value.clone ()
        changed[1].copy_ row |> ignore
        Frozen changed

    let head =
        if Model.leaves model |> List.exists (fst >> (=) "lm_head.weight") then
            "lm_head.weight"
        else
            "shared.weight"

    model
    |> Model.mapLeaves (fun name leaf -> if name = head then replaced leaf else leaf)

let private suite name (model: unit -> Model) (folder: string list) =
    let inputs = lazy tensors (golden (folder @ [ "inputs.safetensors" ]))
    let model = lazy model ()

    testList
        name
        [
            for case in cases (golden (folder @ [ "expected.json" ])) ->
                let title = case.GetProperty("name").GetString()

                testCase $"equals the reference: {title}"
                <| fun () -> compareCase model.Value inputs.Value case
        ]

[<Tests>]
let tests =
    testList
        "Generate"
        [
            for folder in [ "t5-gated"; "t5-relu-tied" ] do
                let own () =
                    Checkpoint.load torch.CPU torch.float32 (golden [ folder; "generation" ])

                suite folder own [ folder; "generation" ]
                suite $"extended/{folder}" (fun () -> withEosRow folder) [ "extended"; folder; "generation" ]

            testCase "a row generates the same alone and in a batch"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = withEosRow "t5-gated"

                let inputs =
                    tensors (golden [ "extended"; "t5-gated"; "generation"; "inputs.safetensors" ])

                let ids, mask = inputs["input_ids"], inputs["attention_mask"]

                for decoding in [ Decoding.Greedy 20; Decoding.Beam(3, 20) ] do
                    let together = Generate.run decoding model ids (Some mask)

                    for row in 0 .. together.Length - 1 do
                        let length = mask[row].sum().item<int64>()
                        let alone = ids.narrow(0L, int64 row, 1L).narrow(1L, 0L, length)
                        let hypothesis = (Generate.run decoding model alone None)[0]
                        Expect.equal hypothesis[0].Ids together[row].Head.Ids $"row {row} with {decoding.Beams} beams"
        ]
