module Peft.Tests.T5Tests

open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

let private load (folder: string list) =
    Checkpoint.load torch.CPU torch.float32 (golden folder)

let private batchOf (path: string) : Batch =
    let inputs = tensors path

    {
        InputIds = inputs["input_ids"]
        Mask = Some inputs["attention_mask"]
        Labels = inputs["labels"]
    }

/// The models with full references: folder of the model, folder of the references.
let private models =
    [ [ "t5-gated" ]; [ "t5-relu-tied" ]; [ "extended"; "t5-gated-inner" ] ]

let private forwardTests (folder: string list) =
    let name = String.concat "/" folder
    let file leaf = golden (folder @ [ leaf ])

    testList
        name
        [
            testCase "logits and loss equal the reference"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let model, batch, expected =
                    load folder, batchOf (file "inputs.safetensors"), tensors (file "outputs.safetensors")

                close 1e-4 (Model.logits Pass.Evaluation model batch) expected["logits"] "logits"
                close 1e-5 (Model.loss Pass.Evaluation model batch) (expected["loss"].squeeze()) "loss"

            testCase "the gradient of every parameter equals the reference"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = load folder |> Adapter.full
                (Model.loss Pass.Evaluation model (batchOf (file "inputs.safetensors"))).backward()
                let expected = tensors (file "gradients.safetensors")
                Expect.equal (Model.trained model |> List.map fst |> set) (set expected.Keys) "one gradient a parameter"

                for name, parameter in Model.trained model do
                    match parameter.grad with
                    | null -> failtest $"{name} has no gradient"
                    | gradient -> close 1e-3 gradient expected[name] name

            testCase "bfloat16 stays near the reference's bfloat16"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Checkpoint.load torch.CPU torch.bfloat16 (golden folder)
                let batch = batchOf (file "inputs.safetensors")
                let logits = Model.logits Pass.Evaluation model batch
                let expected = (tensors (file "outputs_bf16.safetensors"))["logits"]
                // Single logits of this size differ by up to 0.26 between orders of operation; the mean is the stable figure.
                let gap =
                    (logits.``to`` torch.float64 - expected.``to`` torch.float64).abs().mean().item<float>()

                Expect.isLessThan gap 0.05 "mean difference of the logits"

            testCase "a mask of ones and no mask are the same"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = load folder, batchOf (file "inputs.safetensors")

                let ones =
                    { batch with
                        Mask = Some(torch.ones_like batch.InputIds)
                    }

                let none = { batch with Mask = None }

                identical (Model.logits Pass.Evaluation model ones) (Model.logits Pass.Evaluation model none) "logits"
        ]

let private hiddenStateTests =
    [
        [ "extended"; "t5-gated" ], [ "t5-gated" ]
        [ "extended"; "t5-relu-tied" ], [ "t5-relu-tied" ]
        [ "extended"; "t5-gated-inner" ], [ "extended"; "t5-gated-inner" ]
    ]
    |> List.map (fun (references, folder) ->
        testCase $"""hidden states equal the reference: {String.concat "/" references}"""
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let batch = batchOf (golden (folder @ [ "inputs.safetensors" ]))
            let config = Config.load (golden (folder @ [ "config.json" ]))
            let model = Weights.load torch.CPU torch.float32 (golden folder) config
            let encoder, decoder = Forward.hiddenStates model batch
            let expected = tensors (golden (references @ [ "hidden_states.safetensors" ]))

            for stack, states in [ "encoder", encoder; "decoder", decoder ] do
                states
                |> List.iteri (fun index state ->
                    let reference = expected[$"{stack}.{index}"]
                    close 1e-4 (state.narrow (1L, 0L, reference.size 1)) reference $"{stack}.{index}"))

let private ops =
    testList
        "extended/ops"
        [
            testCase "relative position buckets equal the reference exactly"
            <| fun () ->
                let cases =
                    [
                        for case in
                            (json (golden [ "extended"; "ops"; "relative_position_buckets.json" ])).EnumerateArray() ->
                            case
                    ]

                Expect.isNonEmpty cases "cases were read"

                for case in cases do
                    let number (key: string) = case.GetProperty(key).GetInt32()
                    let positions = [ number "relative_position_from" .. number "relative_position_to" ]

                    for key, isEncoder in [ "bidirectional", true; "causal", false ] do
                        let expected =
                            [ for bucket in case.GetProperty(key).EnumerateArray() -> bucket.GetInt32() ]

                        let bucket =
                            Position.bucket isEncoder (number "num_buckets") (number "max_distance")

                        Expect.equal (List.map bucket positions) expected key

            testCase "the activation and the norm equal the reference"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let expected = tensors (golden [ "extended"; "ops"; "activations.safetensors" ])
                close 1e-6 (Activation.apply GeluNew expected["x"]) expected["gelu_new"] "gelu_new"

                let norm: Norm =
                    {
                        Scale = Frozen expected["norm_weight"]
                        Epsilon = 1e-6
                    }

                close 1e-6 (Layer.norm norm expected["norm_input"]) expected["norm_output"] "norm"
        ]

[<Tests>]
let tests = testList "T5" (ops :: hiddenStateTests @ List.map forwardTests models)
