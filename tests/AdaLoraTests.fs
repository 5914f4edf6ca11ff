/// AdaLoRA: how its budget falls, and which directions stay.
module Peft.Tests.AdaLoraTests

open System.Collections.Generic
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

let private adaLora =
    let schedule =
        {
            Warmup = 10
            Final = 20
            Interval = 5
            Total = 100
        }

    testList
        "AdaLora"
        [
            testCase "the budget falls from all to the target, by cubes, at the steps of the schedule"
            <| fun () ->
                Expect.equal (RankAllocation.budget schedule 64 16 10) (64, false) "warm-up"
                Expect.equal (RankAllocation.budget schedule 64 16 45) (22, true) "halfway: 16 + 48 / 8"
                Expect.isFalse (snd (RankAllocation.budget schedule 64 16 46)) "between two allocations"
                Expect.equal (RankAllocation.budget schedule 64 16 80) (16, true) "the end of the decline"
                let budgets = List.init 101 (RankAllocation.budget schedule 64 16 >> fst)
                Expect.equal budgets (List.sortDescending budgets) "never more again"

            testCase "as many directions stay as the budget says, and the most important ones"
            <| fun () ->
                let scores = [ "one", [| 0.5; 3.0; 1.0 |]; "two", [| 2.0; 0.1; 4.0 |] ]
                let kept = RankAllocation.allocate 3 scores
                Expect.equal kept [ "one", [| false; true; false |]; "two", [| true; false; true |] ] "three of six"
                Expect.isTrue (RankAllocation.allocate 6 scores |> List.forall (snd >> Array.forall id)) "all"

            testCase "what is taken away computes nothing, and what peft writes of it is smaller"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let settings =
                    { AdaLora.standard with
                        TargetRank = 2
                        InitialRank = 4
                    }

                let baseModel, batch = Tiny.model 1, Tiny.batch 1 3

                let model =
                    Adapter.ofTechnique (AdaLora.technique settings) 1 baseModel |> Tiny.shake 3 0.4

                (Model.loss Pass.Evaluation model batch).backward()
                let known = RankAllocation.senseAll Map.empty model
                let scores = RankAllocation.scoreAll known model
                Expect.equal (RankAllocation.directions model) (16 * 4) "sixteen maps of four"
                let kept = RankAllocation.allocate 32 scores
                Expect.equal (kept |> List.sumBy (snd >> Array.filter id >> Array.length)) 32 "half stays"
                RankAllocation.mask kept model

                let pruned =
                    (HuggingFaceConfig.ofTechnique model.Shape (AdaLora.keeping kept settings)).Value

                inTemporaryFolder (fun folder ->
                    HuggingFace.save folder "" pruned model
                    let _, read = HuggingFace.load folder "" baseModel
                    Expect.equal (RankAllocation.directions read) 32 "half was written"
                    close 1e-5 (Tiny.logits read batch) (Tiny.logits model batch) "logits")

            testCase "over a training the ranks shrink to the target and stay there"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let settings =
                    { AdaLora.standard with
                        TargetRank = 1
                        InitialRank = 4
                    }

                let model =
                    Adapter.ofTechnique (AdaLora.technique settings) 1 (Tiny.model 1)
                    |> Tiny.shake 3 0.1

                let parameters = Model.trained model
                let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.0 parameters

                let schedule =
                    {
                        Warmup = 2
                        Final = 3
                        Interval = 2
                        Total = 12
                    }

                let mutable state = AdaLoraState.Start

                let live () =
                    parameters
                    |> List.filter (fun (name, _) -> name.EndsWith "lora_e")
                    |> List.sumBy (fun (_, e) -> e.ne(0.0.ToScalar()).sum().item<int64>())

                let counts =
                    [
                        for step in 0..11 do
                            Trainer.step Pass.Evaluation 0.0 1e-2 optimizer parameters model [ Tiny.batch step 3 ]
                            |> ignore

                            state <- RankAllocation.advance schedule settings.TargetRank step state model
                            live ()
                    ]

                Expect.equal counts[2] 64L "all of sixteen maps of four during the warm-up"
                Expect.equal counts[9] 16L "one a map, on average, at the end of the decline"
                Expect.equal counts[11] 16L "and afterwards"

            testCase "as a part of the optimiser the allocation is the same, and its memory is optimiser state"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let settings =
                    { AdaLora.standard with
                        TargetRank = 1
                        InitialRank = 4
                    }

                let steps = 12

                let begin' () =
                    let model =
                        Adapter.ofTechnique (AdaLora.technique settings) 1 (Tiny.model 1)
                        |> Tiny.shake 3 0.1

                    let parameters = Model.trained model

                    let optimizer =
                        Optimizer.adamW 0.9 0.999 1e-8 0.0 parameters
                        |> (AdaLora.technique settings).AroundOptimizer steps model

                    model, parameters, optimizer

                let train (model, parameters, optimizer) first last =
                    for step in first..last do
                        Trainer.step Pass.Evaluation 0.0 1e-2 optimizer parameters model [ Tiny.batch step 3 ]
                        |> ignore

                let values (_, parameters: (string * Modules.Parameter) list, _) =
                    parameters |> List.map (fun (name, value) -> name, value.detach().clone())

                let whole = begin' ()
                train whole 0 (steps - 1)

                let live =
                    values whole
                    |> List.filter (fun (name, _) -> name.EndsWith "lora_e")
                    |> List.sumBy (fun (_, e) -> e.ne(0.0.ToScalar()).sum().item<int64>())

                Expect.equal live 16L "one a map, on average"

                // Stopped after any step and begun again from parameters and optimiser state, it ends the same.
                for stop in [ 1; 5; 9 ] do
                    let first = begin' ()
                    train first 0 (stop - 1)
                    let _, _, halted = first

                    let state =
                        halted.State() |> List.map (fun (name, value) -> name, value.clone ()) |> dict

                    let second = begin' ()
                    let model, _, optimizer = second
                    AdapterFile.restore "the first half" (dict (values first) |> Dictionary) model
                    Optimizer.restore optimizer stop (Dictionary state)
                    train second stop (steps - 1)

                    for (name, left), (_, right) in List.zip (values whole) (values second) do
                        identical left right $"stopped after {stop}: {name}"

            testCase "the mean of products is remembered, and its fluctuation"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let tensor (value: float32) = torch.tensor [| value |]
                let first = RankAllocation.sense 0.5 0.5 None (tensor 2.0f) (tensor -3.0f)
                Expect.equal (first.Mean.item<float32>()) 3.0f "0.5 · |2 · -3|"
                Expect.equal (first.Uncertainty.item<float32>()) 1.5f "0.5 · |6 - 3|"
                let second = RankAllocation.sense 0.5 0.5 (Some first) (tensor 1.0f) (tensor 1.0f)
                Expect.equal (second.Mean.item<float32>()) 2.0f "0.5 · 3 + 0.5 · 1"
                Expect.equal (second.Uncertainty.item<float32>()) 1.25f "0.5 · 1.5 + 0.5 · |1 - 2|"
        ]

[<Tests>]
let tests = testList "Family" [ adaLora ]
