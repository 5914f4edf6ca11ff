/// A family that the library has never seen goes through all of it.
module Peft.Tests.ToyFamilyTests

open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private techniques =
    [
        "full"
        "paper-lora"
        "lora(rank=2,alpha=4)"
        "lora(rank=2,alpha=4,dora,on=k+down)"
        "lora(rank=2,alpha=4,pissa)"
        "paper-ia3"
        "ia3"
        "ia3(published)"
        "bitfit"
        "prompt(tokens=3)"
        "prefix(tokens=2)"
        "vera(rank=3)"
        "adalora(rank=2,start=4,alpha=8,on=o)"
    ]
    |> List.map Technique.parse

let private shaken (technique: Technique) : Model =
    Adapter.ofTechnique technique 3 (ToyFamily.model 40 1) |> Tiny.shake 5 0.1

let private loss (model: Model) (batch: Batch) =
    (Model.loss Pass.Evaluation model batch).item<float32>()

let private eachTechnique name (body: Technique -> unit) =
    testCase name
    <| fun () ->
        for technique in techniques do
            use _ = torch.NewDisposeScope()
            body technique

let private laws =
    [
        testCase "a fresh adapter computes what the base computes"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model, batch = ToyFamily.model 40 1, Tiny.batch 2 4

            for technique in List.map Technique.parse [ "lora(rank=2,alpha=4)"; "bitfit" ] do
                identical
                    (Tiny.logits (Adapter.ofTechnique technique 0 model) batch)
                    (Tiny.logits model batch)
                    (Technique.text technique)

        eachTechnique "merging keeps the logits, stripping gives the base" (fun technique ->
            let model, batch = shaken technique, Tiny.batch 2 4
            close 1e-5 (Tiny.logits (Model.merge model) batch) (Tiny.logits model batch) (Technique.text technique)
            let names model = Model.leaves model |> List.map fst
            Expect.equal (names (Model.strip model)) (names (ToyFamily.model 40 1)) (Technique.text technique))

        eachTechnique "what is counted and planned from the shape is what the model trains" (fun technique ->
            let model = shaken technique
            let shape = Model.shape model

            let count = Accounting.count shape Convention.Paper technique Placement.everywhere

            Expect.equal count.Trainable (Model.countTrained model) (Technique.text technique)

            let plan =
                Plan.create
                    shape
                    technique
                    Placement.everywhere
                    {
                        Batch = 2
                        Accumulation = 1
                        InputLength = 8
                        TargetLength = 4
                        Precision = torch.float32
                        Recomputes = false
                    }

            Expect.equal plan.Memory.Trained (4L * Model.countTrained model) (Technique.text technique)
            Expect.isGreaterThan plan.Operations.Total 0.0 "there is something to do")

        testCase "a row computes the same alone and in a padded batch"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model, rows = shaken (Technique.parse "prompt(tokens=3)"), Tiny.rows 4 5
            let together = Tiny.logits model (Batch.ofRows 0 torch.CPU rows)

            for index, row in Array.indexed rows do
                let alone = Tiny.logits model (Batch.ofRows 0 torch.CPU [| row |])
                close 1e-4 (together.narrow(0L, index, 1L).narrow(1L, 0L, alone.size 1)) alone $"row {index}"
    ]

let private training =
    eachTechnique "training lowers the loss and leaves frozen leaves as they are" (fun technique ->
        let model = Adapter.ofTechnique technique 3 (ToyFamily.model 40 1)
        let batch, parameters = Tiny.batch 2 6, Model.trained model
        let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.0 parameters
        let before = loss model batch

        let frozen =
            Model.leaves model
            |> List.choose (fun (name, leaf) ->
                match leaf with
                | Frozen tensor -> Some(name, tensor, tensor.clone ())
                | Trained _ -> None)

        for _ in 1..20 do
            use _ = torch.NewDisposeScope()

            Trainer.step (Pass.Training 0.1) 1.0 1e-2 optimizer parameters model [ batch ]
            |> ignore

        Expect.isLessThan (loss model batch) before (Technique.text technique)

        for name, now, first in frozen do
            identical now first name

        use kept = new KeptEncodings(model)

        Expect.equal
            (Trainer.validationLossWith (kept.Loss model) [ batch ])
            (Trainer.validationLoss model [ batch ])
            "the validation loss"

        Expect.equal kept.Count 0 "there is no encoder whose work could be kept")

let private generation =
    [
        eachTechnique "generation takes the most likely token of the whole forward pass" (fun technique ->
            let model, batch = shaken technique, Tiny.batch 2 4

            for row, hypotheses in Array.indexed (Generate.run (Decoding.Greedy 6) model batch.InputIds batch.Mask) do
                let ids = hypotheses.Head.Ids |> Array.map int64

                let told =
                    { batch with
                        Labels = torch.tensor(Array.concat (Array.replicate 4 ids)).view(4L, ids.Length)
                    }

                let best = (Tiny.logits model told).argmax -1L
                Expect.equal (best[int64 row].data<int64>().ToArray()) ids (Technique.text technique))

        testCase "rows of several adapters in one batch generate what each generates alone, by beams too"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model = ToyFamily.model 40 1

            let member' text =
                Adapter.ofTechnique (Technique.parse text) 3 model |> Tiny.shake 5 0.1

            let members =
                [ model; member' "paper-lora"; member' "prompt(tokens=3)"; member' "bitfit" ]

            let routed, routes = Model.route members, [| 2; 0; 1; 3; 2 |]
            let rows = Tiny.rows 4 routes.Length
            let batch = Batch.ofRows 0 torch.CPU rows

            for decoding in [ Decoding.Greedy 6; Decoding.Beam(3, 6) ] do
                let together = Generate.runRouted routes decoding routed batch.InputIds batch.Mask

                for index, row in Array.indexed rows do
                    let own = Batch.ofRows 0 torch.CPU [| row |]
                    let alone = Generate.run decoding members[routes[index]] own.InputIds own.Mask
                    let ids (found: Hypothesis list) = found |> List.map _.Ids
                    Expect.equal (ids together[index]) (ids alone[0]) $"row {index}"

        testCase "an adapter is saved and loaded, and answers texts"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let tokenizer = Tokenizer.Load TinySweep.vocabulary
            let model = ToyFamily.model tokenizer.VocabularySize 1
            let technique = Technique.parse "paper-lora"
            let adapted = Adapter.ofTechnique technique 3 model |> Tiny.shake 5 0.1

            let rows =
                [| "a text"; "another one, which is longer" |]
                |> Array.map (fun text ->
                    {
                        Ids = tokenizer.Encode text
                        Labels = [| tokenizer.EosId |]
                    })

            let answers (model: Model) =
                Evaluation.generate (Decoding.Greedy 5) model tokenizer torch.CPU 8 ignore rows

            inTemporaryFolder (fun folder ->
                AdapterFile.save
                    (Path.Combine(folder, "adapter"))
                    {
                        Format = AdapterFile.format
                        Technique = Technique.text technique
                        Placement = Placement.text Placement.everywhere
                        Base = "toy"
                        BaseFolder = ""
                        TrainableParameters = Model.countTrained adapted
                    }
                    adapted

                let again = AdapterFile.load (Path.Combine(folder, "adapter")) "toy" model
                Expect.equal (answers again) (answers adapted) "answers")
    ]

[<Tests>]
let tests = testList "ToyFamily" (laws @ training :: generation)
