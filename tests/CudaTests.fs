/// A graphics processor computes what the processor does. Skipped, visibly, where there is none.
module Peft.Tests.CudaTests

open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private cuda () : torch.Device =
    if not (torch.cuda.is_available ()) then
        skiptest "no CUDA device on this machine"

    torch.device "cuda"

let private on (device: torch.Device) (model: Model) : Model =
    Model.mapLeaves (fun _ leaf -> Frozen(leaf.Value.``to`` device)) model

/// What a few steps of training leave: losses, trained tensors, logits and answers, on the processor.
let private course
    (device: torch.Device)
    (optimizer: _ -> Optimizer)
    (adapt: Model -> Model)
    (rows: EncodedRow[])
    model
    =
    let model = model |> on device |> adapt
    let parameters = Model.trained model
    let optimizer = optimizer parameters
    let batch = Batch.ofRows model.Shape.PadId device rows

    let losses =
        [
            for _ in 1..4 do
                yield! (Trainer.step Pass.Evaluation 1.0 1e-3 optimizer parameters model [ batch ]).Losses
        ]

    let answers =
        [ Decoding.Greedy 6; Decoding.Beam(3, 6) ]
        |> List.map (fun decoding ->
            Generate.run decoding model batch.InputIds batch.Mask
            |> List.concat
            |> List.map (_.Ids >> List.ofArray))

    use _ = torch.no_grad ()
    let logits = (Model.logits Pass.Evaluation model batch).cpu()

    losses, parameters |> List.map (fun (name, value) -> name, value.detach().cpu()), logits, answers

/// Whether a trained tensor may differ where the function does not. What a key's bias adds to a query's scores is the same for
/// every key, and softmax forgets it: its gradient is rounding, which Adam makes as large as any. PiSSA starts from singular
/// vectors, whose signs are free.
let private isFree (words: string) (name: string) =
    name.EndsWith "k.bias" || words.Contains "pissa"

let private sameFor (words: string) (tolerance: float) optimizer adapt rows (model: unit -> Model) =
    let device = cuda ()
    use _ = torch.NewDisposeScope()

    let losses, trained, logits, answers =
        course torch.CPU optimizer adapt rows (model ())

    let losses', trained', logits', answers' =
        course device optimizer adapt rows (model ())

    for a, b in List.zip losses losses' do
        Expect.floatClose
            {
                absolute = tolerance
                relative = tolerance
            }
            b
            a
            "loss"

    for (name, a), (_, b) in List.zip trained trained' do
        if not (isFree words name) then
            close (10.0 * tolerance) b a name

    close (10.0 * tolerance) logits' logits "logits"
    Expect.equal answers' answers "answers"

let private same tolerance = sameFor "" tolerance

let private adamW parameters =
    Optimizer.adamW 0.9 0.999 1e-8 0.01 parameters

let private techniques =
    testList
        "every technique trains and answers alike"
        [
            for technique in Tiny.techniques ->
                testCase (Technique.text technique)
                <| fun () ->
                    sameFor
                        (Technique.text technique)
                        1e-4
                        adamW
                        (Adapter.ofTechnique technique 5)
                        (Tiny.rows 3 6)
                        (fun () -> Tiny.model 4)
        ]

let private optimizers =
    testList
        "every optimiser steps alike"
        [
            testCase "AdamW from single operations"
            <| fun () ->
                same 1e-4 (Optimizer.unfusedAdamW 0.9 0.999 1e-8 0.01) Adapter.full (Tiny.rows 3 6) (fun () ->
                    Tiny.model 5)
            testCase "Adafactor"
            <| fun () ->
                same 1e-4 (Optimizer.adafactor 1.0 -0.8 1e-30) Adapter.full (Tiny.rows 3 6) (fun () -> Tiny.model 5)
        ]

let private decoders =
    CausalSupport.each "every family trains and answers alike" (fun architecture ->
        let adapt = Adapter.ofTechnique (Technique.parse "lora(rank=4,alpha=8)") 5
        same 1e-4 adamW adapt (Tiny.rows 3 6) (fun () -> CausalSupport.model architecture))

/// Two bytes hold eight bits of a number: losses are near, no more.
let private bfloat16 =
    testCase "bfloat16: losses are within a hundredth"
    <| fun () ->
        let device = cuda ()
        use _ = torch.NewDisposeScope()

        let losses device =
            let adapt =
                Model.withPrecision torch.bfloat16
                >> Adapter.ofTechnique (Technique.parse "lora(rank=4,alpha=8)") 5

            let losses, _, _, _ = course device adamW adapt (Tiny.rows 3 6) (Tiny.model 4)

            losses

        for a, b in List.zip (losses torch.CPU) (losses device) do
            Expect.floatClose { absolute = 0.0; relative = 1e-2 } b a "loss"

[<Tests>]
let tests = testList "CUDA" [ techniques; optimizers; decoders; bfloat16 ]
