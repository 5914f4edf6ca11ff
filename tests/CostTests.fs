/// What a plan says of a step's products, held against the products that a live model computes.
module Peft.Tests.CostTests

open Expecto
open TorchSharp
open Peft
open Peft.Kernels

open Peft.Tests.Support

/// Rows, and tokens of each input and target.
let private rows, private inputLength, private targetLength = 2, 5, 3

let private batch () : Batch =
    let row seed =
        {
            Ids = Array.init inputLength (fun place -> 2 + (seed + 3 * place) % 30)
            Labels = Array.init targetLength (fun place -> 2 + (seed + 5 * place) % 30)
        }

    Batch.ofRows 0 torch.CPU (Array.init rows row)

/// Operations of a forward pass, and of the gradients that it is going to owe: one product for each operand that wants one.
let private counted (model: Model) : float * float =
    let mutable forward, backward = 0.0, 0.0

    let see (left: torch.Tensor) (right: torch.Tensor) (product: torch.Tensor) =
        let operations = 2.0 * float (product.numel ()) * float (left.size -1)
        forward <- forward + operations

        if torch.is_grad_enabled () then
            for operand in [ left; right ] do
                if operand.requires_grad then
                    backward <- backward + operations

    Kernel.without Kernel.all (fun () ->
        Product.watched see (fun () ->
            use _ = torch.NewDisposeScope()
            Model.loss Pass.Evaluation model (batch ()) |> ignore))

    forward, backward

let private planned (model: Model) (technique: Technique) : float * float =
    let workload =
        {
            Batch = rows
            Accumulation = 1
            InputLength = inputLength
            TargetLength = targetLength
            Precision = torch.ScalarType.Float32
            Recomputes = false
        }

    let found =
        (Plan.create (Model.shape model) technique Placement.everywhere workload).Operations

    found.Forward, found.Through + found.Trained

let private more =
    [
        "modules(names=shared)"
        "modules(names=q)"
        "modules(names=relative_attention_bias)"
        "modules(names=decoder.final_layer_norm)"
        "modules(names=encoder.final_layer_norm)"
        "modules(names=decoder.block.1.layer.2.layer_norm)"
        "prompt(tokens=3) >> paper-lora"
        "layernorm >> prefix(tokens=2)"
        "adapter(width=3,parallel) >> bitfit"
        "vera(rank=2) >> modules(names=wo)"
        "lora(rank=2,dora,on=o+wo)"
    ]
    |> List.map Technique.parse

[<Tests>]
let tests =
    testList
        "Costs"
        [
            // Whole numbers below 2^53: sums are exact, and so is the comparison.
            testCase "of every technique, gated and not: the plan's products are the live model's"
            <| fun () ->
                let wrong = ResizeArray<string>()

                for technique in Tiny.techniques @ more do
                    for seed in [ 1; 3 ] do
                        use _ = torch.NewDisposeScope()
                        let model = Tiny.model seed
                        let live = Adapter.ofTechnique technique 1 model
                        let forward, backward = counted live
                        let plannedForward, plannedBackward = planned model technique
                        let what = $"{technique.Words}, seed {seed}"

                        if plannedForward <> forward || plannedBackward <> backward then
                            wrong.Add
                                $"{what}: forward {plannedForward} for {forward}, backward {plannedBackward} for {backward}"

                Expect.isEmpty wrong "none differs"
        ]
