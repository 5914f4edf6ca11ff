/// What comparisons with adapter folders of Hugging Face's peft share.
module Peft.Tests.HuggingFaceSupport

open System.Collections.Generic
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// The names of gradients carry the adapter's name in the first set, and the prompt's module in all.
let private gradientName (name: string) : string =
    let plain =
        name.Replace(".default", "").Replace("lora_magnitude_vector.weight", "lora_magnitude_vector")

    if plain = "prompt_encoder.embedding.weight" then
        "prompt_embeddings"
    else
        plain

/// A model's gradients, each with its name in peft and the reference's; fails unless both have the same names.
let gradients (file: string) (config: HuggingFaceConfig) (model: Model) : (string * torch.Tensor * torch.Tensor) list =
    let expected =
        tensors file
        |> Seq.map (fun pair -> KeyValuePair(gradientName pair.Key, pair.Value))
        |> Dictionary

    let ours =
        Model.trained model
        |> List.map (fun (name, parameter) -> (HuggingFace.tensorName config name).Value, parameter)

    Expect.equal (ours |> List.map fst |> set) (set expected.Keys) "one gradient a parameter"

    [
        for name, parameter in ours do
            match parameter.grad with
            | null -> failtest $"{name} has no gradient"
            | gradient -> name, gradient, expected[name]
    ]

/// Fails unless two files hold the same tensors, bit for bit.
let sameTensors (written: string) (original: string) : unit =
    let written, original = tensors written, tensors original
    Expect.equal (set written.Keys) (set original.Keys) "names"

    for pair in original do
        identical written[pair.Key] pair.Value pair.Key
