/// Every technique on a T5: its closed forms and its counts.
module Peft.Tests.FamilyTests

open System.Collections.Generic
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

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

            testCase "the guide to the techniques states the counts on FLAN-T5-base"
            <| fun () ->
                let rows =
                    System.IO.File.ReadAllLines(System.IO.Path.Combine(root, "docs", "techniques.md"))
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
let tests = testList "Family" [ forms; counts ]
