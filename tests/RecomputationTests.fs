/// Blocks computed again in the backward pass: the numbers are those of a pass that keeps everything.
module Peft.Tests.RecomputationTests

open Expecto
open TorchSharp
open Peft
open Peft.Kernels
open Peft.Tests.Support

/// The loss of a batch and the gradients it leaves, by name; none where nothing reaches a parameter.
let private gradients (pass: Pass) (model: Model) (batch: Batch) : float32 * (string * torch.Tensor option) list =
    let parameters = Model.trained model
    Gradients.clear parameters
    torch.manual_seed 11L |> ignore
    use _ = torch.NewDisposeScope()
    let loss = Model.loss pass model batch
    loss.backward ()
    Node.raiseFailure ()

    let found =
        parameters
        |> List.map (fun (name, parameter) ->
            name, Option.ofObj parameter.grad |> Option.map _.clone().DetachFromDisposeScope())

    loss.item<float32>(), found

/// Both ways, bit for bit but for what several blocks add to: their sums may come in another order, and then differ by
/// roundings of the largest gradient.
let private compare (shared: string list) (pass: Pass) (what: string) (model: Model) (batch: Batch) =
    let loss, kept = gradients pass model batch
    let again, computed = gradients (pass.Recomputing()) model batch
    Expect.equal again loss $"{what}: the loss"

    let largest = kept |> List.choose snd |> List.map magnitude |> List.fold max 0.0

    for (name, before), (_, after) in List.zip kept computed do
        match before, after with
        | None, None -> ()
        | Some before, Some after when List.exists (fun (part: string) -> name.Contains part) shared ->
            Expect.isLessThanOrEqual (distance after before) (1e-5 * largest) $"{what}: {name}"
        | Some before, Some after -> identical after before $"{what}: {name}"
        | _ -> failtest $"{what}: {name} has a gradient in one way only"

/// Of several blocks' sums: positions, the encoder's output as every decoder block reads it, and all that is below.
let private sums = [ "relative_attention_bias"; "encoder"; "shared"; "prompt" ]

let private techniques =
    Tiny.techniques
    @ List.map
        Technique.parse
        [
            "full"
            "lora(rank=8,alpha=16,dropout=0.1)"
            "lora(rank=4,dropout=0.3) >> ia3"
        ]
    |> List.distinct

let private t5 =
    testCase "every technique has the same loss and gradients, dropout included"
    <| fun () ->
        for seed in 1..2 do
            for technique in techniques do
                use _ = torch.NewDisposeScope()

                let model =
                    Tiny.model seed |> Adapter.ofTechnique technique seed |> Tiny.shake seed 0.05

                for dropout in [ 0.0; 0.2 ] do
                    compare
                        sums
                        (Pass.Training dropout)
                        $"{technique.Words}, seed {seed}, dropout {dropout}"
                        model
                        (Tiny.batch seed 3)

let private placed =
    testCase "a part of the model that trains nothing gets no gradient, and one whose input needs none does"
    <| fun () ->
        for place in [ "encoder"; "decoder"; "late"; "only(wo)" ] do
            use _ = torch.NewDisposeScope()

            let model =
                Tiny.model 3
                |> Placement.adapter (Technique.parse "lora(rank=4)") (Placement.parse place) 3
                |> Tiny.shake 3 0.05

            compare sums (Pass.Training 0.1) place model (Tiny.batch 3 3)

let private withoutKernels =
    testCase "libtorch's own dropout is drawn again"
    <| fun () ->
        use _ = torch.NewDisposeScope()

        let model =
            Tiny.model 4
            |> Adapter.ofTechnique (Technique.parse "lora(rank=4,dropout=0.2)") 4
            |> Tiny.shake 4 0.05

        Kernel.without Kernel.all (fun () ->
            compare sums (Pass.Training 0.3) "no kernels" model (Tiny.batch 4 3)
            let next () = torch.rand(1L).item<float32>()
            gradients (Pass.Training 0.3) model (Tiny.batch 4 3) |> ignore
            let expected = next ()
            gradients ((Pass.Training 0.3).Recomputing()) model (Tiny.batch 4 3) |> ignore
            Expect.equal (next ()) expected "what comes after is drawn as without")

let private decoders =
    CausalSupport.each "decoder-only models, too" (fun architecture ->
        for words in [ "lora(rank=4)"; "prefix(tokens=3)"; "prompt(tokens=3)"; "full" ] do
            use _ = torch.NewDisposeScope()

            let model =
                CausalSupport.model architecture
                |> Adapter.ofTechnique (Technique.parse words) 1
                |> Tiny.shake 1 0.02

            let batch =
                Array.init 3 (fun row ->
                    {
                        Ids = Array.init (4 + row) (fun place -> 3 + (5 * row + 3 * place) % 40)
                        Labels = [| 5 + row; 9; 7 |]
                    })
                |> Batch.ofRows 0 torch.CPU

            compare sums (Pass.Training 0.1) $"{architecture}, {words}" model batch)

let private steps =
    testCase "ten optimiser steps end in the same parameters"
    <| fun () ->
        let reached (pass: Pass) =
            use _ = torch.NewDisposeScope()
            torch.manual_seed 5L |> ignore
            let model = Tiny.model 5 |> Adapter.ofTechnique PaperLora.standard 5
            let parameters = Model.trained model
            let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.01 parameters

            for step in 1..10 do
                Trainer.step pass 1.0 1e-2 optimizer parameters model [ Tiny.batch step 3; Tiny.batch (step + 50) 3 ]
                |> ignore

            parameters
            |> List.map (fun (name, parameter) -> name, parameter.data<float32>().ToArray())

        let kept, computed =
            reached (Pass.Training 0.1), reached ((Pass.Training 0.1).Recomputing())

        for (name, kept), (_, computed) in List.zip kept computed do
            let gap = Array.map2 (fun a b -> abs (a - b)) kept computed |> Array.max
            Expect.isLessThan gap 1e-4f name

[<Tests>]
let tests = testList "Recomputation" [ t5; placed; withoutKernels; decoders; steps ]
