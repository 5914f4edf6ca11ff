/// The reference decoders: folders, models, and rows as batches.
module Peft.Tests.CausalSupport

open TorchSharp
open Peft
open Peft.Causal
open Peft.Tests.Support

/// The decoders with references.
let architectures: string list =
    [ "gpt_neo"; "gptj"; "bloom"; "llama"; "llama3"; "qwen2"; "qwen3" ]

/// A file of a decoder's references.
let reference (architecture: string) (parts: string list) : string =
    golden ([ "wider"; "decoders"; architecture ] @ parts)

/// The description of a decoder by one of its configurations.
let describe (architecture: string) (file: string) : Description =
    let path = reference architecture [ file ]
    ConfigFile.read path (Families.ofJson path)

/// The decoder itself, inside of what the library sees.
let causal (dtype: torch.ScalarType) (architecture: string) : Causal =
    Weights.load torch.CPU dtype (reference architecture []) (describe architecture "config.json")

/// The model.
let model (architecture: string) : Model =
    Checkpoint.load torch.CPU torch.float32 (reference architecture [])

/// Fails where two tensors [rows, length, ..] differ by more than `tolerance` at a token.
let closeAtTokens (tolerance: float) (mask: torch.Tensor) (actual: torch.Tensor) (expected: torch.Tensor) what =
    let only (x: torch.Tensor) =
        x.``to``(torch.float32).masked_fill(mask.eq(0L.ToScalar()).unsqueeze -1L, 0.0.ToScalar())

    let gap = distance (only actual) (only expected)

    if not (gap <= tolerance) then
        Expecto.Tests.failtest $"{what}: the largest difference is {gap:g4}, the bound is {tolerance:g4}"

/// The rows of a reference as a batch of inputs and answers: labels of -100 stand at inputs and padding.
let batchOf (inputs: System.Collections.Generic.IReadOnlyDictionary<string, torch.Tensor>) : Batch =
    let column (name: string) (row: int64) =
        inputs[name].[row].data<int64>().ToArray()

    [|
        for row in 0L .. inputs["input_ids"].size 0 - 1L do
            let ids, mask, labels =
                column "input_ids" row, column "attention_mask" row, column "labels" row

            let at (isWanted: int -> bool) =
                [|
                    for place in 0 .. ids.Length - 1 do
                        if mask[place] = 1L && isWanted place then
                            int ids[place]
                |]

            {
                Ids = at (fun place -> labels[place] < 0L)
                Labels = at (fun place -> labels[place] >= 0L)
            }
    |]
    |> Batch.ofRows 0 torch.CPU

/// One test for each of them.
let each (name: string) (body: string -> unit) : Expecto.Test =
    Expecto.Tests.testList
        name
        [
            for architecture in architectures ->
                Expecto.Tests.testCase architecture
                <| fun () ->
                    use _ = torch.NewDisposeScope()
                    body architecture
        ]

/// Positions that count from the left edge, padding included: transformers' without position ids.
let fromEdge (ids: torch.Tensor) : torch.Tensor =
    torch.arange(ids.size 1, dtype = torch.int64).unsqueeze 0L

/// The tensors of a decoder's reference.
let tensorsOf (architecture: string) (name: string) =
    tensors (reference architecture [ $"{name}.safetensors" ])
