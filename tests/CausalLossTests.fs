/// Losses and gradients of decoders against transformers'.
module Peft.Tests.CausalLossTests

open Expecto
open TorchSharp
open Peft
open Peft.Causal
open Peft.Tests.Support
open Peft.Tests.CausalSupport

/// transformers' loss: what is said at each token of the next one's label.
let private shifted (logits: torch.Tensor) (labels: torch.Tensor) =
    let length = labels.size 1 - 1L
    Model.lossOfLogits (logits.narrow (1L, 0L, length)) (labels.narrow(1L, 1L, length).contiguous())

let private isClose (tolerance: float) (expected: torch.Tensor) (actual: torch.Tensor) what =
    let gap = distance (actual.reshape -1L) (expected.reshape -1L)
    Expect.isLessThanOrEqual gap tolerance what

let private gradientsEqual
    (model: Model)
    (expected: System.Collections.Generic.IReadOnlyDictionary<string, torch.Tensor>)
    =
    Expect.equal (Model.trained model |> List.map fst |> set) (set expected.Keys) "one gradient a parameter"

    for name, parameter in Model.trained model do
        match parameter.grad with
        | null -> failtest $"{name} has no gradient"
        | gradient -> isClose 5e-5 expected[name] gradient name

let private losses =
    each "the loss counts answers only, and equals the reference" (fun architecture ->
        let inputs, outputs =
            tensorsOf architecture "inputs", tensorsOf architecture "outputs"

        let expected =
            match outputs.TryGetValue "loss_positions_from_mask" with
            | true, found -> found
            | false, _ -> outputs["loss"]

        let batch = batchOf inputs
        let model = model architecture
        isClose 2e-5 expected (Model.loss Pass.Evaluation model batch) "loss"

        // The same from inputs that fill their length, one row at a time: no mask is needed.
        let count (labels: torch.Tensor) =
            float (labels.ge(0L.ToScalar()).sum().item<int64>())

        let single row =
            let take (x: torch.Tensor) = x.narrow (0L, row, 1L)
            let length = (take batch.Mask.Value).sum().item<int64>()

            let labels = take batch.Labels
            let known = int64 (count labels)

            let loss =
                Model.loss
                    Pass.Evaluation
                    model
                    {
                        InputIds = (take batch.InputIds).narrow(1L, 0L, length)
                        Mask = None
                        Labels = labels.narrow (1L, 0L, known)
                    }

            float (loss.item<float32>()) * float known

        let total = List.sum [ for row in 0L .. batch.InputIds.size 0 - 1L -> single row ]

        Expect.floatClose
            Accuracy.medium
            (total / count batch.Labels)
            (float (expected.reshape(-1L).[0].item<float32>()))
            "row by row")

let private gradients =
    each "the gradient of every parameter equals the reference" (fun architecture ->
        let inputs, expected =
            tensorsOf architecture "inputs", tensorsOf architecture "gradients"

        let ids, mask = inputs["input_ids"], inputs["attention_mask"]

        let trained =
            causal torch.float32 architecture
            |> Causal.mapLeaves (fun _ leaf -> Leaf.trained leaf.Value)

        let _, logits = Forward.hiddenStates trained (Some(fromEdge ids)) ids (Some mask)
        (shifted logits inputs["labels"]).backward()
        gradientsEqual (CausalFamily.model trained) expected)

let private whole =
    testList
        "the gradients of a batch's loss are the same"
        [
            // GPT-Neo's reference counts positions from the left edge.
            for architecture in architectures |> List.except [ "gpt_neo" ] ->
                testCase architecture
                <| fun () ->
                    use _ = torch.NewDisposeScope()
                    let model = model architecture |> Adapter.full
                    (Model.loss Pass.Evaluation model (batchOf (tensorsOf architecture "inputs"))).backward()
                    gradientsEqual model (tensorsOf architecture "gradients")
        ]

let private half =
    each "bfloat16 stays near the reference's bfloat16" (fun architecture ->
        let inputs, expected =
            tensorsOf architecture "inputs", tensorsOf architecture "outputs_bf16"

        let ids, mask = inputs["input_ids"], inputs["attention_mask"]

        let _, logits =
            Forward.hiddenStates (causal torch.bfloat16 architecture) (Some(fromEdge ids)) ids (Some mask)

        Expect.equal logits.dtype torch.bfloat16 "bfloat16 throughout"
        isClose 0.05 expected["loss"] (shifted logits inputs["labels"]) "loss"

        let atTokens (x: torch.Tensor) =
            x.``to``(torch.float64)[mask.eq (1L.ToScalar())]

        let gap = (atTokens logits - atTokens expected["logits"]).abs().mean().item<float>()

        // Another order of operations moves single logits by 0.3; the mean is the stable figure.
        Expect.isLessThan gap 0.06 "mean difference of the logits")

[<Tests>]
let tests = testList "Causal loss" [ losses; gradients; whole; half ]
