/// T5's relatives against transformers 5.12.1 on PyTorch 2.14: tiny UL2 and mT5 with random weights and heads of their own
/// (`golden/relatives`), in the spelling of transformers 5 and in that of the published files.
module Peft.Tests.RelativesTests

open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private file (parts: string list) = golden ("relatives" :: parts)

/// A folder with the relative's weights and one of its configurations.
let private inFolder (name: string) (config: string) (body: string -> unit) =
    inTemporaryFolder (fun folder ->
        File.Copy(file [ name; "model.safetensors" ], Path.Combine(folder, "model.safetensors"))
        File.Copy(file [ name; config ], Path.Combine(folder, "config.json"))
        body folder)

let private same (name: string) (config: string) =
    testCase $"{name} by {config}: logits, loss and greedy answers equal the reference"
    <| fun () ->
        use _ = torch.NewDisposeScope()

        let inputs, expected =
            tensors (file [ "inputs.safetensors" ]), tensors (file [ name; "expected.safetensors" ])

        inFolder name config (fun folder ->
            let model = Checkpoint.load torch.CPU torch.float32 folder

            let batch: Batch =
                {
                    InputIds = inputs["ids"]
                    Mask = Some inputs["mask"]
                    Labels = inputs["labels"]
                }

            close 1e-4 (Model.logits Pass.Evaluation model batch) expected["logits"] "logits"
            close 1e-5 (Model.loss Pass.Evaluation model batch) (expected["loss"].squeeze()) "loss"
            let greedy = expected["greedy"]

            let found =
                Generate.run (Decoding.Greedy(int (greedy.size 1) - 1)) model inputs["ids"] (Some inputs["mask"])

            for row in 0L .. greedy.size 0 - 1L do
                let wanted = greedy[row].data<int64>().ToArray() |> Array.skip 1 |> Array.map int
                Expect.equal found[int row].Head.Ids wanted $"row {row}")

[<Tests>]
let tests =
    testList
        "Relatives"
        [
            for name in [ "ul2"; "mt5" ] do
                for config in [ "config.json"; "published.json" ] -> same name config
        ]
