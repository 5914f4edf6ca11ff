/// Laws of a training step, whatever the model and the rows.
module Peft.Tests.TrainingLawTests

open System.Collections.Generic
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private randomRows seed count =
    let random = System.Random(seed: int)

    Array.init count (fun _ ->
        {
            Ids = Array.init 9 (fun _ -> random.Next(3, 380))
            Labels = Array.init 4 (fun _ -> random.Next(3, 380))
        })

let private laws =
    testList
        "laws"
        [
            testCase "accumulating k batches of b equals one batch of k·b"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let rows = randomRows 1 8
                let batch = Batch.ofRows 0 torch.CPU

                let gradients batches =
                    let model = Adapter.full (gated ())

                    let frozen =
                        { new Optimizer with
                            member _.Step _ = ()
                            member _.State() = []

                            member _.Steps
                                with get () = 0
                                and set _ = ()
                        }

                    Trainer.step Pass.Evaluation 0.0 0.0 frozen (Model.trained model) model batches
                    |> ignore

                    Model.trained model |> List.map (fun (name, p) -> name, p.grad)

                let whole = gradients [ batch rows ]

                let parts =
                    gradients (rows |> Array.chunkBySize 2 |> Array.map batch |> List.ofArray)

                for (name, left), (_, right) in List.zip whole parts do
                    match left, right with
                    | null, _
                    | _, null -> failtest $"{name} has no gradient"
                    | left, right -> close 1e-4 left right name

            testCase "frozen tensors are bit-equal after training, trained ones have moved"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = gated ()

                let before =
                    Model.leaves model
                    |> List.map (fun (name, leaf) -> name, leaf.Value.clone ())
                    |> Map.ofList

                for technique in Technique.paper do
                    let adapted = Adapter.ofTechnique technique 1 model
                    let parameters = Model.trained adapted
                    let start = parameters |> List.map (fun (_, p) -> p.detach().clone())
                    let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.0 parameters

                    for _ in 1..2 do
                        Trainer.step
                            (Pass.Training 0.1)
                            1.0
                            1e-2
                            optimizer
                            parameters
                            adapted
                            [ Batch.ofRows 0 torch.CPU (randomRows 2 4) ]
                        |> ignore

                    for name, leaf in Model.leaves model do
                        identical leaf.Value before[name] $"{Technique.text technique}: {name}"

                    for (name, parameter), start in List.zip parameters start do
                        Expect.isGreaterThan (distance parameter start) 0.0 $"{Technique.text technique}: {name} moved"

            testCase "a loss that is not finite stops before any parameter has changed"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Adapter.full (gated ())
                let parameters = Model.trained model
                (snd parameters.Head).detach().fill_(nan.ToScalar()) |> ignore
                let last = (parameters |> List.last |> snd)
                let before = last.detach().clone()
                let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.0 parameters

                let step () =
                    Trainer.step
                        Pass.Evaluation
                        1.0
                        1e-3
                        optimizer
                        parameters
                        model
                        [ Batch.ofRows 0 torch.CPU (randomRows 3 2) ]
                    |> ignore

                Expect.throwsT<NonFinite> step "it stops"
                identical last before "nothing moved"

            testCase "fused AdamW equals the plain one over twenty random steps"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let shapes = [ [| 67L; 33L |]; [| 5L |]; [| 1L |]; [| 40L; 16L; 3L |] ]

                let parameters (make: (string * Modules.Parameter) list -> Optimizer) =
                    use generator = new torch.Generator(1UL, torch.CPU)

                    let parameters =
                        shapes
                        |> List.mapi (fun place shape ->
                            $"p{place}", new Modules.Parameter(torch.randn (shape, generator = generator)))

                    parameters, make parameters

                let slot =
                    let tensor = torch.zeros 3L

                    {
                        Parameter = tensor
                        Gradient = tensor
                        M = tensor
                        V = tensor
                    }

                Expect.isTrue (FusedAdamW.serves slot) "it is here"

                for decay in [ 0.0; 0.1 ] do
                    let fused, fusedStep = parameters (Optimizer.adamW 0.9 0.999 1e-8 decay)
                    let plain, plainStep = parameters (Optimizer.unfusedAdamW 0.9 0.999 1e-8 decay)

                    for number in 1..20 do
                        use generator = new torch.Generator(uint64 (100 + number), torch.CPU)

                        for place, shape in List.indexed shapes do
                            // A parameter that the loss did not reach is left out, at first.
                            if place <> 1 || number > 3 then
                                let gradient = torch.randn (shape, generator = generator)
                                (snd fused[place]).grad <- gradient
                                (snd plain[place]).grad <- gradient.clone ()

                        let rate = 1e-2 / float number
                        fusedStep.Step rate
                        plainStep.Step rate

                    for (name, left), (_, right) in List.zip fused plain do
                        close 1e-6 left right $"{name}, decay {decay}"

                    // Gradients are of order 1; a moment may be a small difference of them, so the bound is absolute.
                    for (name, left), (_, right) in List.zip (fusedStep.State()) (plainStep.State()) do
                        Expect.isLessThan (distance left right) 1e-6 $"{name}, decay {decay}"

            testCase "one dropout seed gives one loss"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = gated ()

                let loss (seed: int64) =
                    torch.manual_seed seed |> ignore
                    (Model.loss (Pass.Training 0.3) model (Batch.ofRows 0 torch.CPU (randomRows 4 4))).item<float32>()

                Expect.equal (loss 7L) (loss 7L) "same"
                Expect.notEqual (loss 7L) (loss 8L) "different"

            testCase "the validation loss does not depend on how rows are batched"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, rows = gated (), randomRows 5 10

                let loss size =
                    rows
                    |> Array.chunkBySize size
                    |> Seq.map (Batch.ofRows 0 torch.CPU)
                    |> Trainer.validationLoss model

                Expect.floatClose Accuracy.medium (loss 3) (loss 10) "per token"

            testCase "where the encoder is frozen its output is kept, and the losses are the same to the bit"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let batches =
                    randomRows 5 10
                    |> Array.chunkBySize 3
                    |> Array.map (Batch.ofRows 0 torch.CPU)
                    |> List.ofArray

                for technique, place, most, count in
                    [
                        "paper-lora", "decoder", 1L <<< 30, 4
                        "prefix", "all", 1L <<< 30, 4
                        // No room for a second batch of 3 rows · at most 24 positions · 32 numbers.
                        "paper-lora", "decoder", 10_000L, 1
                        "paper-lora", "all", 1L <<< 30, 0
                        "prompt", "all", 1L <<< 30, 0
                        "full", "all", 1L <<< 30, 0
                    ] do
                    let model =
                        gated ()
                        |> Placement.adapter (Technique.parse technique) (Placement.parse place) 1

                    let source =
                        (Option.get model.Encoder).Encode (Pass.Training 0.1) batches.Head.InputIds batches.Head.Mask

                    Expect.equal source.Hidden.requires_grad (count = 0) $"{technique} {place}: differentiated or not"

                    let expected = Trainer.validationLoss model batches
                    use kept = new KeptEncodings(model, most)

                    for _ in 1..2 do
                        Expect.equal
                            (Trainer.validationLossWith (kept.Loss model) batches)
                            expected
                            $"{technique} {place}"

                        if most > 10_000L then
                            Expect.equal kept.Count count $"{technique} {place}: batches kept"
                        else
                            Expect.isLessThan kept.Count batches.Length "a bound"
        ]

[<Tests>]
let tests = testList "Training" [ laws ]
