module Peft.Tests.FamilyTests

open System.Collections.Generic
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

let private words =
    testList
        "words"
        [
            testCase "every technique's words read back"
            <| fun () ->
                for technique in Tiny.techniques @ Tiny.wider @ Technique.paper do
                    Expect.equal (Technique.parse (Technique.text technique)) technique (Technique.text technique)

            testCase "the canonical words are these"
            <| fun () ->
                let settings =
                    { LoraSettings.OfRank 8 with
                        Alpha = 16.0
                        IsRankStabilised = true
                        IsDora = true
                        Dropout = 0.1
                    }

                Expect.equal
                    (Technique.text (Lora.technique settings))
                    "lora(rank=8,alpha=16,rs,dora,dropout=0.1)"
                    "lora"

                Expect.equal (Technique.text (Vera.technique (4, 0))) "vera(rank=4)" "vera"
                Expect.equal (Technique.text (Prefix.ofTokens 20)) "prefix(tokens=20)" "prefix"

                Expect.equal
                    (Technique.text (BottleneckAdapter.technique (64, BottleneckPlace.Behind)))
                    "adapter(width=64)"
                    "adapter"

                Expect.equal (Technique.text LayerNorm.technique) "layernorm" "layernorm"

                Expect.equal
                    (Technique.parse "lora(8, alpha=16, RS, dora, dropout=0.1)")
                    (Lora.technique settings)
                    "as people write it"

                Expect.equal
                    (Technique.parse "layernorm>>prompt(5)")
                    (Chain.technique [ LayerNorm.technique; Prompt.ofTokens 5 ])
                    "one after the other"

            testCase "one word means one method, and older words still mean what they meant"
            <| fun () ->
                for words, today in
                    [
                        "lora", "paper-lora(rank=2)"
                        "lora(8)", "paper-lora(rank=8)"
                        "lora(rank=8)", "paper-lora(rank=8)"
                        "lora(rank=8,alpha=16,dora)", "lora(rank=8,alpha=16,dora)"
                        "lora(alpha=16)", "lora(rank=2,alpha=16)"
                        "ia3", "paper-ia3"
                        "ia3(hf)", "ia3"
                        "ia3(published)", "ia3(published)"
                        "bitfit >> lora(rank=2)", "bitfit >> paper-lora(rank=2)"
                        "prompt(tokens=5)", "prompt(tokens=5)"
                    ] do
                    Expect.equal (Technique.parseLegacy words).Words today words

                Expect.equal (Technique.parse "lora") (Technique.parse "lora(rank=8,alpha=8)") "peft's defaults"
                Expect.equal (Technique.parse "lora(rank=4)") (Technique.parse "lora(rank=4,alpha=4)") "counts once"

            testCase "what cannot be meant is refused in one line"
            <| fun () ->
                let wrong =
                    [
                        "lora(rank=8,alpha=x)"
                        "lora(rank=8,rs=1)"
                        "lora(rank=8,rank=4,alpha=2)"
                        "lora(rank=8,dropout=1,alpha=2)"
                        "lora(rank=8,on=z)"
                        "lora(alpha=-1)"
                        "prefix(0)"
                        "prefix(width=3)"
                        "adapter(width=)"
                        "vera(rank=0)"
                        "modules"
                        "prompt(5,init=text)"
                        "prompt(5,ids=x)"
                        "layernorm(3)"
                        "ia3(hf)"
                        "lora(rank=8,,)"
                        "lora >>"
                        "adalora(rank=-1)"
                    ]

                for text in wrong do
                    userErrorOf (fun () -> Technique.parse text |> ignore) |> ignore
        ]

let private counted (technique: Technique) (model: Model) =
    Model.countTrained (Adapter.ofTechnique technique 0 model)

let private forms =
    testList
        "forms"
        [
            testCase "trained elements equal the closed forms"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                // Gated, d_model 16, inner 12, d_ff 24; 2 + 2 · 3 attentions, 5 feed-forwards.
                let model = Tiny.model 1
                let width, inner, hidden, attentions, layers = 16L, 12L, 24L, 8L, 5L
                let lora = LoraSettings.OfRank 3

                let forms =
                    [
                        Lora.technique lora, attentions * 2L * 3L * (width + inner)
                        Lora.technique { lora with IsDora = true }, attentions * 2L * (3L * (width + inner) + inner)
                        Ia3.huggingFace, attentions * 2L * inner + layers * hidden
                        Ia3.published, attentions * 2L * inner + layers * hidden
                        Prompt.technique (5, Vocabulary), 5L * width
                        Prefix.ofTokens 3, 3L * 2L * 3L * inner
                        BottleneckAdapter.technique (4, BottleneckPlace.Behind),
                        (attentions + layers) * (2L * 4L * width + 4L + width)
                        BottleneckAdapter.technique (4, BottleneckPlace.Beside), layers * (2L * 4L * width + 4L + width)
                        LayerNorm.technique, (attentions + layers + 2L) * width
                        Vera.technique (3, 0), attentions * 2L * (3L + inner)
                        AdaLora.technique
                            { AdaLora.standard with
                                InitialRank = 4
                            },
                        attentions * 2L * (4L * (width + inner) + 4L)
                        ExtraModules.technique [ "lm_head" ], 40L * width
                    ]

                for technique, expected in forms do
                    Expect.equal (counted technique model) expected (Technique.text technique)

            testCase "rsLoRA counts alpha / sqrt(rank), LoRA alpha / rank"
            <| fun () ->
                let settings =
                    { LoraSettings.OfRank 4 with
                        Alpha = 8.0
                    }

                Expect.equal settings.Scale 2.0 "LoRA"

                Expect.equal
                    { settings with
                        IsRankStabilised = true
                    }
                        .Scale
                    4.0
                    "rsLoRA"

            testCase "PiSSA starts at the weight's largest singular directions and computes what the base computes"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = Tiny.model 4, Tiny.batch 4 3

                let before =
                    (Model.projections model |> List.head |> snd |> Projection.weight).Value.clone()

                let fresh = Lora.pissa (fun _ -> 3, 0.5) 0.0 (Selector.attention [ Q; V ]) model
                close 1e-5 (Tiny.logits fresh batch) (Tiny.logits model batch) "logits"

                identical
                    (Model.projections model |> List.head |> snd |> Projection.weight).Value
                    before
                    "the base's weight"

                match Model.projections fresh |> List.head |> snd with
                | LowRank(Dense rest, a, b, scale, _) ->
                    let values = torch.linalg.svdvals before
                    let left = torch.linalg.svdvals rest.Value
                    // What remains has the other singular values, then three zeros.
                    close
                        1e-5
                        (left.narrow (0L, 0L, left.size 0 - 3L))
                        (values.narrow (0L, 3L, values.size 0 - 3L))
                        "the rest"

                    close
                        1e-5
                        (torch.linalg.svdvals (b.Value.mm a.Value)).[torch.TensorIndex.Slice(0, 3)]
                        ((values / scale).narrow(0L, 0L, 3L))
                        "B A"
                | _ -> failtest "the first map is adapted"

            testCase "DoRA keeps the length of each row at its magnitude"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let model =
                    Adapter.ofTechnique
                        (Lora.technique
                            { LoraSettings.OfRank 3 with
                                IsDora = true
                            })
                        1
                        (Tiny.model 2)

                Tiny.shake 7 0.3 model |> ignore

                for _, projection in Model.projections model do
                    match projection with
                    | Directed(_, magnitude) ->
                        // A length is not negative; a magnitude that was shaken below zero turns the row around.
                        close 1e-5 (Projection.rowNorms projection) (magnitude.Value.abs ()) "row norms"
                    | _ -> ()

            testCase "soft prompts start at the embeddings of their ids, or of different pieces of vocabulary"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Tiny.model 1
                let row id = model.Embedding.Value[int64 id]

                let prompt technique =
                    Model.leaves (Adapter.ofTechnique technique 5 model)
                    |> List.find (fst >> (=) "prompt_embeddings")
                    |> fun (_, leaf) -> leaf.Value

                let fromIds = prompt (Prompt.technique (5, Ids [ 3; 9 ]))

                for place, id in List.indexed [ 3; 9; 3; 9; 3 ] do
                    identical (fromIds[int64 place]) (row id) $"token {place}"

                let sampled = prompt (Prompt.technique (40, Vocabulary))

                let column (rows: torch.Tensor) =
                    rows.select(1L, 0L).data<float32>().ToArray() |> Array.sort

                Expect.equal (column sampled) (column model.Embedding.Value) "each piece once"

                userErrorOf (fun () -> prompt (Prompt.technique (41, Vocabulary)) |> ignore)
                |> ignore

                userErrorOf (fun () -> prompt (Prompt.technique (2, Ids [ 40 ])) |> ignore)
                |> ignore

            testCase "a rank above the size of a map is refused in one line"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Tiny.model 1

                for technique in
                    [
                        PaperLora.ofRank 13
                        Lora.technique (LoraSettings.OfRank 13)
                        AdaLora.technique
                            { AdaLora.standard with
                                InitialRank = 13
                            }
                    ] do
                    let message =
                        userErrorOf (fun () -> Adapter.ofTechnique technique 0 model |> ignore)

                    Expect.stringContains message "13" "names the rank"

            testCase "extra modules that do not exist are refused"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let message =
                    userErrorOf (fun () ->
                        Adapter.ofTechnique (ExtraModules.technique [ "classifier" ]) 0 (Tiny.model 1)
                        |> ignore)

                Expect.stringContains message "classifier" "names it"

            testCase "dropout touches the update in training only"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let technique dropout =
                    Lora.technique
                        { LoraSettings.OfRank 3 with
                            Dropout = dropout
                        }

                let build dropout =
                    Adapter.ofTechnique (technique dropout) 1 (Tiny.model 1) |> Tiny.shake 3 0.3

                let batch = Tiny.batch 1 3
                identical (Tiny.logits (build 0.5) batch) (Tiny.logits (build 0.0) batch) "evaluation"
                let training = Model.logits (Pass.Training 0.0) (build 0.5) batch
                Expect.isGreaterThan (distance training (Tiny.logits (build 0.5) batch)) 1e-3 "training"

            testCase "LoRA+ moves B by its ratio"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let technique =
                    Lora.technique
                        { LoraSettings.OfRank 3 with
                            RateRatio = 16.0
                        }

                let model = Adapter.ofTechnique technique 1 (Tiny.model 1) |> Tiny.shake 3 0.1
                let parameters = Model.trained model

                let before =
                    parameters
                    |> List.map (fun (name, parameter) -> name, parameter.detach().clone())
                    |> dict

                let optimizer =
                    Optimizer.grouped technique.RateMultiplier (Optimizer.adamW 0.9 0.999 1e-12 0.0) parameters

                (Model.loss Pass.Evaluation model (Tiny.batch 1 3)).backward()
                optimizer.Step 1e-3
                Expect.equal optimizer.Steps 1 "one step"

                // Adam's first step is the rate in every number whose gradient is not nothing.
                for name, parameter in parameters do
                    let rate = if name.EndsWith "lora_b" then 16e-3 else 1e-3
                    Expect.isLessThan (abs (distance parameter before[name] - rate)) (1e-2 * rate) name

            testCase "two LoRAs on one site have their own names, and their updates add"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Tiny.model 1
                let where = Selector.attention [ Q ]
                let both = PaperLora.lowRank 2 1.0 1 where >> PaperLora.lowRank 3 0.5 2 where
                let stacked = Tiny.shake 5 0.3 (both model)
                let names = Model.leaves stacked |> List.map fst
                Expect.equal (List.distinct names) names "each name once"
                Expect.contains names "encoder.block.0.layer.0.SelfAttention.q.lora_b.2" "the outer one"
                let batch = Tiny.batch 1 3
                close 1e-5 (Tiny.logits (Model.merge stacked) batch) (Tiny.logits stacked batch) "merged"

            testCase "adapters change at run time around one base, which stays as it is"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = Tiny.model 2, Tiny.batch 2 2

                let before =
                    Model.leaves model |> List.map (fun (name, leaf) -> name, leaf.Value.clone ())

                let first = Tiny.logits model batch

                for technique in Tiny.techniques do
                    let adapted = Adapter.ofTechnique technique 3 model |> Tiny.shake 1 0.3
                    Tiny.logits adapted batch |> ignore

                identical (Tiny.logits model batch) first "the base's logits"

                for (name, copy), (_, leaf) in List.zip before (Model.leaves model) do
                    identical leaf.Value copy name

            testCase "prefixes and prompts do not let the decoder see more: a later target changes no earlier logit"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for technique in [ Prefix.ofTokens 3; Prompt.ofTokens 3 ] do
                    let model = Adapter.ofTechnique technique 1 (Tiny.model 1)

                    let row last =
                        [|
                            {
                                Ids = [| 4; 5; 1 |]
                                Labels = [| 7; 8; last; 1 |]
                            }
                        |]

                    let logits last =
                        Tiny.logits model (Batch.ofRows 0 torch.CPU (row last))

                    identical
                        ((logits 9).narrow(1L, 0L, 3L))
                        ((logits 10).narrow(1L, 0L, 3L))
                        (Technique.text technique)
        ]

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

                let pruned = (HuggingFaceConfig.ofTechnique (AdaLora.keeping kept settings)).Value

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

let private flanT5Base =
    { Tiny.config 1 with
        VocabularySize = 32128
        ModelWidth = 768
        KeyWidth = 64
        FeedForwardWidth = 2048
        EncoderLayers = 12
        DecoderLayers = 12
        Heads = 12
        Buckets = 32
        MaxDistance = 128
    }

let private counts =
    testList
        "counts"
        [
            testCase "a model without numbers counts what the live one has"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for technique in Tiny.techniques do
                    for seed in [ 1; 3 ] do
                        let live = counted technique (Tiny.model seed)
                        let skeleton = counted technique (skeletonT5 (Tiny.config seed))
                        Expect.equal skeleton live (Technique.text technique)

            testCase "the closed form of every technique, placed or not, is what the live model has"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for technique in Tiny.techniques do
                    for seed in [ 1; 3 ] do
                        let model = Tiny.model seed

                        let placements =
                            match technique.Sites with
                            | Some _ -> [ Placement.everywhere; Placement.early; Placement.late ]
                            | None -> [ Placement.everywhere ]

                        for placement in placements do
                            let live = Placement.adapter technique placement 0 model

                            let count =
                                Accounting.count (Model.shape model) Convention.Paper technique placement

                            let what = $"{Technique.text technique} at {Placement.text placement}"
                            Expect.equal count.Trainable (Model.countTrained live) what
                            Expect.equal count.Total (Model.count live) $"{what}, in all"

            testCase "the README states the counts on FLAN-T5-base"
            <| fun () ->
                let rows =
                    System.IO.File.ReadAllLines(System.IO.Path.Combine(root, "README.md"))
                    |> Array.filter _.StartsWith("| `")
                    |> Array.map (fun line -> line.Split '|' |> Array.map _.Trim())
                    |> Array.filter (fun cells -> cells.Length = 8)

                let stated =
                    rows
                    |> Array.map (fun cells -> Technique.parse (cells[1].Trim '`'), int64 (cells[3].Replace(",", "")))

                let all = Technique.paper @ Tiny.wider
                let named = stated |> Array.map fst
                Expect.equal (Array.distinct named).Length named.Length "one row each"
                Expect.isEmpty (set all - set named) "every usual one has a row"

                for spec in Technique.specs do
                    if spec.Name <> "modules" then
                        Expect.exists stated (fun (technique, _) -> technique.Name = spec.Name) $"{spec.Name} has a row"

                for technique, count in stated do
                    use _ = torch.NewDisposeScope()
                    Expect.equal count (counted technique (skeletonT5 flanT5Base)) (Technique.text technique)
        ]

[<Tests>]
let tests = testList "Family" [ words; forms; counts; adaLora ]
