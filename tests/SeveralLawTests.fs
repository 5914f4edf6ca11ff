/// Laws of several adapters around one base.
module Peft.Tests.SeveralLawTests

open System
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support
open Peft.Tests.LawSupport

let private several =
    let lora =
        Lora.technique
            { LoraSettings.OfRank 3 with
                Alpha = 6.0
            }

    testList
        "several adapters"
        [
            law "transforms of different places commute, bit for bit" (fun seed ->
                let model, batch = Tiny.model seed, Tiny.batch seed 3

                let parts: Adapter list =
                    [
                        PaperLora.lowRank 2 0.5 1 (Selector.attention [ Q ])
                        Ia3.outputOnly (Selector.attention [ V ])
                        Adapter.bitFit (Selector.feedForward [ Down ])
                        Adapter.prompt 2 3
                        LayerNorm.adapter
                        Prefix.adapter 2 4
                        BottleneckAdapter.beside 3 5 Selector.everywhere
                        Vera.adapter 2 0 (Selector.attention [ K ])
                    ]

                let forwards = model |> List.reduce (>>) parts |> Tiny.shake seed 0.1
                let backwards = model |> List.reduce (>>) (List.rev parts) |> Tiny.shake seed 0.1
                identical (Tiny.logits forwards batch) (Tiny.logits backwards batch) "logits")

            law "LoRA and a bias on one site commute" (fun seed ->
                let model, batch = Tiny.model seed, Tiny.batch seed 3
                let where = Selector.attention [ Q; O ]

                let left =
                    model
                    |> (PaperLora.lowRank 2 0.5 1 where >> Adapter.bitFit where)
                    |> Tiny.shake seed 0.1

                let right =
                    model
                    |> (Adapter.bitFit where >> PaperLora.lowRank 2 0.5 1 where)
                    |> Tiny.shake seed 0.1

                close tolerance (Tiny.logits left batch) (Tiny.logits right batch) "logits")

            law "complementary placements add up to the whole" (fun seed ->
                let model = Tiny.model seed
                let isEarly: Selector = fun site -> site.Block < 1
                let isLate: Selector = isEarly >> not

                let kinds: (string * (Selector -> Adapter)) list =
                    [
                        "lora", Lora.adapter (fun _ -> 2, 1.0) 0.0 seed
                        "ia3", Adapter.paperIa3
                        "bitfit", Adapter.bitFit
                        "vera", Vera.adapter 2 0
                        "adapter", BottleneckAdapter.behind 3 seed
                        "adalora",
                        AdaLora.adapter
                            { AdaLora.standard with
                                InitialRank = 3
                            }
                            seed
                    ]

                for name, kind in kinds do
                    let trained where =
                        Model.trained (kind where model)
                        |> List.map (fun (name, one) -> name, one.numel ())
                        |> set

                    let early, late = trained isEarly, trained isLate
                    Expect.isEmpty (Set.intersect early late) name
                    Expect.equal (Set.union early late) (trained Selector.everywhere) name

                // What each placement adds to the weights.
                let updates where =
                    let merged =
                        model
                        |> Lora.adapter (fun _ -> 2, 1.0) 0.0 seed where
                        |> Tiny.refill seed 0.3
                        |> Model.merge

                    List.zip (Model.leaves merged) (Model.leaves model)
                    |> List.map (fun ((name, left), (_, right)) -> name, left.Value - right.Value)

                let whole, early, late =
                    updates Selector.everywhere, updates isEarly, updates isLate

                for (name, whole), ((_, early), (_, late)) in List.zip whole (List.zip early late) do
                    identical (early + late) whole name)

            lawOfTokens "a mixed batch is its rows' adapters, each alone" (fun seed ->
                let baseModel = Tiny.model seed
                let member' technique = moved technique seed baseModel

                let members =
                    [|
                        baseModel
                        member' (PaperLora.ofRank 2)
                        member' Ia3.paper
                        member' BitFit.technique
                        member' (Prompt.ofTokens 3)
                        member' (Prompt.ofTokens 5)
                        member' lora
                    |]

                let random = Random seed
                let routes = Array.init 8 (fun _ -> random.Next members.Length)
                let rows = Tiny.rows seed 8
                let batch = Batch.ofRows 0 torch.CPU rows
                let routed = Model.route (List.ofArray members)
                let mixed = Model.logits (Pass.Evaluation.Along routes) routed batch

                for place, row in Array.indexed rows do
                    let alone = Tiny.logits members[routes[place]] (Batch.ofRows 0 torch.CPU [| row |])

                    close
                        tolerance
                        (mixed.narrow(0L, int64 place, 1L).narrow(1L, 0L, alone.size 1))
                        alone
                        $"row {place}"

                for decoding in [ Decoding.Greedy 6; Decoding.Beam(3, 6) ] do
                    let together = Generate.runRouted routes decoding routed batch.InputIds batch.Mask

                    for place, row in Array.indexed rows do
                        let own = Batch.ofRows 0 torch.CPU [| row |]
                        let alone = Generate.run decoding members[routes[place]] own.InputIds own.Mask

                        Expect.equal
                            (together[place] |> List.map _.Ids)
                            (alone[0] |> List.map _.Ids)
                            $"row {place}, generated")

            law "a routed model holds each tensor once, and its members can be merged" (fun seed ->
                let baseModel = Tiny.model seed

                let members =
                    [
                        moved lora seed baseModel
                        moved Ia3.paper seed baseModel
                        moved (Prompt.ofTokens 3) seed baseModel
                    ]

                let routed = Model.route members
                let leaves = Model.leaves routed
                Expect.equal (leaves |> List.distinctBy fst |> List.length) leaves.Length "names"
                Expect.equal (Model.countTrained routed) (members |> List.sumBy Model.countTrained) "trained"

                Expect.equal
                    (Model.count routed)
                    (Model.count baseModel + Model.countTrained routed)
                    "the base is counted once"

                let batch, pass = Tiny.batch seed 3, Pass.Evaluation.Along [| 2; 0; 1 |]

                close
                    tolerance
                    (Model.logits pass (Model.merge routed) batch)
                    (Model.logits pass routed batch)
                    "merged")

            testCase "what does not share one base is not routed together"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Tiny.model 1

                let refused members =
                    Expect.throws (fun () -> Model.route members |> ignore) "refused"

                refused []
                refused [ model; Tiny.model 1 ]
                refused [ model; adapted LayerNorm.technique 0 model ]
                refused [ model; adapted (Prefix.ofTokens 2) 0 model ]
                let routed = Model.route [ model; adapted BitFit.technique 0 model ]
                Expect.throws (fun () -> Tiny.logits routed (Tiny.batch 1 2) |> ignore) "a pass without routes"
        ]

[<Tests>]
let tests = testList "Laws" [ several ]
