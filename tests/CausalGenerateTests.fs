/// Generation of decoders against transformers'.
module Peft.Tests.CausalGenerateTests

open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support
open Peft.Tests.CausalSupport

let private compareCase (model: Model) (ids: torch.Tensor) (mask: torch.Tensor option) (case: JsonElement) =
    use _ = torch.NewDisposeScope()

    let decoding =
        GenerateTests.decoding (int (ids.size 1)) (case.GetProperty "settings")

    let name = case.GetProperty("name").GetString()
    let found = Generate.run decoding model ids mask |> List.concat

    let expected =
        [
            for row in case.GetProperty("generated").EnumerateArray() -> GenerateTests.ints row
        ]

    Expect.equal (found |> List.map (_.Ids >> List.ofArray)) expected $"{name}: ids"

    let isNear expected actual =
        Expect.floatClose { absolute = 1e-4; relative = 1e-4 } actual expected $"{name}: score"

    match case.TryGetProperty "sequences_scores", case.TryGetProperty "token_logprobs" with
    | (true, scores), _ ->
        for hypothesis, score in Seq.zip found (scores.EnumerateArray()) do
            isNear (score.GetDouble()) hypothesis.Score
    | _, (true, rows) ->
        for hypothesis, row in Seq.zip found (rows.EnumerateArray()) do
            isNear (GenerateTests.sumUntilEnd row hypothesis.Ids.Length) hypothesis.Score
    | _ -> failtest $"{name} has no scores"

let private casesOf architecture =
    (json (reference architecture [ "generation"; "expected.json" ])).EnumerateArray()
    |> List.ofSeq

let private references =
    each "greedy and beam search with left padding equal the reference" (fun architecture ->
        let inputs = tensors (reference architecture [ "generation"; "inputs.safetensors" ])
        let cases = casesOf architecture
        Expect.equal cases.Length 10 "cases"
        let model = model architecture

        for case in cases do
            compareCase model inputs["input_ids"] (Some inputs["attention_mask"]) case)

/// A generation's inputs, padded on the right as batches are.
let private rows architecture =
    let inputs = tensors (reference architecture [ "generation"; "inputs.safetensors" ])

    [|
        for row in 0L .. inputs["input_ids"].size 0 - 1L ->
            let ids, mask =
                inputs["input_ids"].[row].data<int64>().ToArray(),
                inputs["attention_mask"].[row].data<int64>().ToArray()

            {
                Ids = Array.zip ids mask |> Array.filter (snd >> (=) 1L) |> Array.map (fst >> int)
                Labels = [| 1 |]
            }
    |]

let private alone =
    each "a row alone generates what it does in a batch, and the cache what whole passes do" (fun architecture ->
        let model, rows = model architecture, rows architecture
        let together = Batch.ofRows model.Shape.PadId torch.CPU rows

        for decoding in [ Decoding.Greedy 12; Decoding.Beam(3, 12) ] do
            let all = Generate.run decoding model together.InputIds together.Mask

            for index, row in Array.indexed rows do
                let own = Batch.ofRows model.Shape.PadId torch.CPU [| row |]
                let single = Generate.run decoding model own.InputIds own.Mask
                Expect.equal (single[0] |> List.map _.Ids) (all[index] |> List.map _.Ids) $"row {index}"

                let told =
                    { own with
                        Labels = (torch.tensor (single[0].Head.Ids |> Array.map int64)).unsqueeze 0L
                    }

                let nats = Model.lossOfLogits (Model.logits Pass.Evaluation model told) told.Labels

                let length = float told.Labels.shape[1]
                let score = single[0].Head.Score * (if decoding.Beams = 1 then 1.0 else length)
                Expect.floatClose Accuracy.medium score (-length * float (nats.item<float32>())) $"row {index}: score")

let private half =
    each "bfloat16 generates, from a cache of its own dtype" (fun architecture ->
        let model = Checkpoint.load torch.CPU torch.bfloat16 (reference architecture [])
        let batch = Batch.ofRows model.Shape.PadId torch.CPU (rows architecture)

        for row, found in Array.indexed (Generate.run (Decoding.Greedy 8) model batch.InputIds batch.Mask) do
            let ids = found.Head.Ids |> Array.map int64

            let told =
                { batch with
                    Labels = (torch.tensor ids).unsqueeze(0L).expand(batch.InputIds.size 0, -1L).contiguous()
                }

            let logits = Model.logits Pass.Evaluation model told
            let said = logits[int64 row].``to`` torch.float32
            let best = said.amax ([| 1L |])
            let chosen = said.gather(1L, (torch.tensor ids).unsqueeze 1L).squeeze 1L
            // Rounding may tell near ones apart otherwise in steps than at once.
            Expect.isLessThan (distance best chosen) 0.2 $"row {row}")

let private positions =
    testCase "more tokens than the model has positions are refused in one line"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let model = model "gpt_neo"
        let ids = torch.ones ([| 1L; 40L |], dtype = torch.int64)

        let message =
            userErrorOf (fun () ->
                Generate.run (Decoding.Greedy(20).Within [| Array.create 20 7 |]) model ids None
                |> ignore)

        Expect.stringContains message "48 positions" "the number of positions"

[<Tests>]
let tests = testList "Causal generation" [ references; alone; half; positions ]
