module Peft.Tests.PeftTests

open System.Collections.Generic
open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// A reference folder of one of the paper's forms: the adapter that builds it, and its inputs.
[<ReferenceEquality>]
type private PaperCase =
    {
        Folder: string list
        Inputs: string list
        Adapter: Adapter
        /// Tensors of the adapter file that the technique holds fixed.
        Fixed: string -> bool
    }

let private inDecoderOrEncoderBlocks (from: int) : Selector = fun site -> site.Block >= from

let private notSelfAttention: Selector =
    fun site ->
        match site.Layer with
        | LayerKind.SelfAttention -> false
        | _ -> true

let private paperCases =
    let none _ = false
    let first = [ "peft"; "inputs.safetensors" ]
    let second = [ "extended"; "peft-inputs.safetensors" ]

    [
        {
            Folder = [ "paper-lora" ]
            Inputs = first
            Adapter = Adapter.paperLora 2 0 Selector.paperLora
            Fixed = none
        }
        {
            Folder = [ "paper-ia3" ]
            Inputs = first
            Adapter = Adapter.paperIa3 Selector.paperIa3
            Fixed = none
        }
        {
            Folder = [ "bitfit" ]
            Inputs = first
            Adapter = Adapter.bitFit Selector.everywhere
            Fixed = none
        }
        {
            Folder = [ "extended"; "paper-lora-late" ]
            Inputs = second
            Adapter = Adapter.paperLora 2 0 (Selector.both Selector.paperLora (inDecoderOrEncoderBlocks 1))
            Fixed = none
        }
        {
            Folder = [ "extended"; "paper-lora-no-self-attention" ]
            Inputs = second
            Adapter = Adapter.paperLora 2 0 (Selector.both Selector.paperLora notSelfAttention)
            Fixed = none
        }
        {
            Folder = [ "extended"; "paper-ia3-no-attention" ]
            Inputs = second
            Adapter = Adapter.paperIa3 (Selector.feedForward [ Up ])
            Fixed = none
        }
        {
            Folder = [ "extended"; "paper-ia3-b-only" ]
            Inputs = second
            Adapter = Ia3.outputOnly Selector.paperIa3
            // The published (IA)3 keeps the input's vector at one.
            Fixed = fun name -> name.EndsWith "multi_lora_a"
        }
    ]

let private withoutFixed (case: PaperCase) (file: string) =
    tensors (golden (case.Folder @ [ file ]))
    |> Seq.filter (fun pair -> not (case.Fixed pair.Key))
    |> Seq.map (fun pair -> KeyValuePair(pair.Key, pair.Value))
    |> Dictionary

let private adapted (case: PaperCase) =
    let model = case.Adapter(gated ())
    AdapterFile.restore "the reference" (withoutFixed case "adapter.safetensors") model
    model

let private paperTests (case: PaperCase) =
    let name = String.concat "/" case.Folder
    let inputs () = batchOf (golden case.Inputs)

    testList
        name
        [
            testCase "logits and loss equal the reference"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = adapted case, inputs ()
                let expected = tensors (golden (case.Folder @ [ "outputs.safetensors" ]))
                close 1e-4 (Model.logits Pass.Evaluation model batch) expected["logits"] "logits"
                close 1e-5 (Model.loss Pass.Evaluation model batch) (expected["loss"].squeeze()) "loss"

            testCase "gradients equal the reference"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = adapted case
                (Model.loss Pass.Evaluation model (inputs ())).backward()
                let expected = withoutFixed case "gradients.safetensors"
                Expect.equal (Model.trained model |> List.map fst |> set) (set expected.Keys) "one gradient a parameter"

                for name, parameter in Model.trained model do
                    match parameter.grad with
                    | null -> failtest $"{name} has no gradient"
                    // The key's bias shifts all scores of a query alike: its gradient is zero but for rounding.
                    | gradient when name.EndsWith "k.bias" -> Expect.isLessThan (magnitude gradient) 1e-5 name
                    | gradient -> close 1e-3 gradient (expected[name].view gradient.shape) name

            testCase "merged, it computes the same"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = adapted case, inputs ()
                let merged = Model.merge model
                Expect.isEmpty (Model.trained merged) "nothing is left to train"

                close
                    1e-4
                    (Model.logits Pass.Evaluation merged batch)
                    (Model.logits Pass.Evaluation model batch)
                    "logits"
        ]

let private mergedWeights (references: string) (case: PaperCase) =
    testCase $"merged weights equal extended/{references}"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let merged = adapted case |> Model.merge |> Model.leaves |> dict

        let expected =
            tensors (golden [ "extended"; references; "merged_some.safetensors" ])

        Expect.isNonEmpty expected.Keys "weights were read"

        for pair in expected do
            close 1e-5 merged[pair.Key].Value pair.Value pair.Key

let private techniqueNames =
    testList
        "Technique"
        [
            testCase "its words read back"
            <| fun () ->
                for technique in PaperLora.ofRank 7 :: Prompt.ofTokens 3 :: Technique.paper do
                    Expect.equal (Technique.parse (Technique.text technique)) technique (Technique.text technique)

            testCase "short forms take the paper's settings"
            <| fun () ->
                Expect.equal (List.map (Technique.name >> Technique.parse) Technique.paper) Technique.paper "all five"
                Expect.equal (Technique.parse " Paper-LoRA( 8 ) ") (PaperLora.ofRank 8) "blanks and case do not matter"

            testCase "words of any length are read in their length's time or refused"
            <| fun () ->
                let blanks = String.replicate 90_000 " "
                Expect.equal (Technique.parse $"prompt(tokens={blanks}3)") (Prompt.ofTokens 3) "blanks mean nothing"
                let chain = String.concat " >> " (List.replicate 9_000 "ia3")
                let message = userErrorOf (fun () -> Technique.parse (chain + blanks) |> ignore)
                Expect.stringContains message "the most is 100,000" "the bound is told"

            testCase "what is no technique is told with what there is"
            <| fun () ->
                for text in
                    [
                        ""
                        "lorra"
                        "lora(0)"
                        "lora(tokns=3)"
                        "ia3(2)"
                        "lora(rank=2"
                        "prompt(0)"
                    ] do
                    let message = userErrorOf (fun () -> Technique.parse text |> ignore)
                    Expect.stringContains message "bitfit" text
        ]

let private laws =
    let batch () =
        batchOf (golden [ "peft"; "inputs.safetensors" ])

    testList
        "laws"
        [
            for technique in [ Full.technique; Ia3.paper; BitFit.technique ] do
                testCase $"a fresh {Technique.text technique} computes what the base computes, bit for bit"
                <| fun () ->
                    use _ = torch.NewDisposeScope()
                    let model = gated ()
                    let fresh = Adapter.ofTechnique technique 3 model

                    identical
                        (Model.logits Pass.Evaluation fresh (batch ()))
                        (Model.logits Pass.Evaluation model (batch ()))
                        "logits"

            testCase "a fresh plain LoRA computes what the base computes, bit for bit"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = gated ()
                let fresh = PaperLora.lowRank 4 2.0 3 Selector.everywhere model

                identical
                    (Model.logits Pass.Evaluation fresh (batch ()))
                    (Model.logits Pass.Evaluation model (batch ()))
                    "logits"

            testCase "adapters share the base's tensors; full fine-tuning copies them"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = gated ()

                let shared =
                    Model.leaves model
                    |> List.map (fun (name, leaf) -> name, leaf.Value.Handle)
                    |> Map.ofList

                let sharing technique =
                    Adapter.ofTechnique technique 0 model
                    |> Model.leaves
                    |> List.filter (fun (name, leaf) -> Map.tryFind name shared = Some leaf.Value.Handle)
                    |> List.length

                for technique in [ PaperLora.ofRank 2; Ia3.paper; BitFit.technique; Prompt.ofTokens 5 ] do
                    Expect.equal (sharing technique) shared.Count (Technique.text technique)

                Expect.equal (sharing Full.technique) 0 "full"

            testCase "trained elements equal the closed form"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = gated ()

                let count technique =
                    Model.countTrained (Adapter.ofTechnique technique 0 model)
                // d_model 32 = inner 32, d_ff 64; 2 encoder and 3 decoder blocks: 2 + 2·3 attentions, 5 feed-forwards.
                Expect.equal
                    (count (PaperLora.ofRank 2))
                    (8L * 4L * (2L * 64L + 64L))
                    "lora: rank·(in + out) + in + out on q, k, v, o"

                Expect.equal (count Ia3.paper) (8L * 2L * 64L + 5L * 96L) "ia3: in + out on k, v, wi_1"
                Expect.equal (count BitFit.technique) (8L * 4L * 32L + 5L * (64L + 64L + 32L)) "bitfit: out everywhere"
                Expect.equal (count (Prompt.ofTokens 7)) (7L * 32L) "prompt: tokens · d_model"
                Expect.equal (count Full.technique) (Model.count model) "full: everything"

            testCase "one seed gives one start, another seed another"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = gated ()

                let start seed =
                    Adapter.ofTechnique (PaperLora.ofRank 2) seed model
                    |> Model.trained
                    |> List.map (fun (_, p) -> p.sum().item<float32>())

                Expect.equal (start 5) (start 5) "same"
                Expect.notEqual (start 5) (start 6) "different"

            testCase "padding changes nothing that counts"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let rows =
                    [|
                        {
                            Ids = [| 5; 9; 17; 1 |]
                            Labels = [| 8; 1 |]
                        }
                    |]

                let longer =
                    {
                        Ids = Array.append (Array.create 20 7) [| 1 |]
                        Labels = [| 8; 4; 4; 4; 1 |]
                    }

                for technique in [ PaperLora.ofRank 2; Ia3.paper; BitFit.technique; Prompt.ofTokens 4 ] do
                    let model = Adapter.ofTechnique technique 1 (gated ())
                    let alone = Model.logits Pass.Evaluation model (Batch.ofRows 0 torch.CPU rows)

                    let together =
                        Model.logits Pass.Evaluation model (Batch.ofRows 0 torch.CPU [| rows[0]; longer |])

                    close 1e-5 (together.narrow(0L, 0L, 1L).narrow(1L, 0L, 2L)) alone (Technique.text technique)

            testCase "a selector that matches nothing is refused"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = gated ()
                Expect.throws (fun () -> Adapter.bitFit (fun _ -> false) model |> ignore) "no site"
        ]

[<Tests>]
let tests =
    testList
        "Peft"
        [
            yield! List.map paperTests paperCases
            mergedWeights "paper-lora-merged" paperCases[0]
            mergedWeights "paper-ia3-merged" paperCases[1]
            techniqueNames
            laws
        ]
