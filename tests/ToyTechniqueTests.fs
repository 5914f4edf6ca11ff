/// Every technique on a family that the library has never seen: places by what maps do, usual places by the family, and peft's
/// folders in the family's words.
module Peft.Tests.ToyTechniqueTests

open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private shape = lazy (Model.shape (ToyFamily.model 40 1))

let private placed (technique: string) (placement: string) : string list =
    Accounting.sites shape.Value Convention.Paper (Technique.parse technique) (Placement.parse placement)
    |> List.map (fun site -> site.Name.Replace("layers.", ""))

let private places =
    [
        testCase "a word means a map by what it does, whatever the family calls it"
        <| fun () ->
            for technique, placement, expected in
                [
                    "lora(rank=2)", "all", [ "0.attention.q"; "0.attention.v"; "1.attention.q"; "1.attention.v" ]
                    "lora(rank=2)", "late", [ "1.attention.q"; "1.attention.v" ]
                    "lora(rank=2)", "blocks(0) & v", [ "0.attention.v" ]
                    "lora(rank=2,on=k+down)", "late", [ "1.attention.k"; "1.mlp.down" ]
                    "lora(rank=2)", "only(mlp)", [ "0.mlp.up"; "0.mlp.down"; "1.mlp.up"; "1.mlp.down" ]
                    "paper-lora", "late & o", [ "1.attention.o" ]
                    "paper-ia3", "early & ffn", [ "0.mlp.up" ]
                    "ia3", "late", [ "1.attention.k"; "1.attention.v"; "1.mlp.down" ]
                    "ia3(on=q+down,inputs=down)", "early", [ "0.attention.q"; "0.mlp.down" ]
                    "adapter(width=2)", "early", [ "0.attention.o"; "0.mlp.down" ]
                    "adapter(width=2,parallel)", "all", [ "0.mlp.down"; "1.mlp.down" ]
                    "bitfit", "only(name(*.1.*.q))", [ "1.attention.q" ]
                ] do
                Expect.equal (placed technique placement) expected $"{technique} at {placement}"

        testCase "mlp is ffn by another name"
        <| fun () -> Expect.equal (Placement.text (Placement.parse "late & MLP")) "late & ffn" "canonical"

        testCase "what the family does not have is told with what it has"
        <| fun () ->
            for technique, placement, part in
                [
                    "paper-lora", "cross", "matches nothing in this model"
                    "paper-lora", "wi_1", "there are q, k, v, o, up, down"
                    "paper-lora", "gate", "gate matches nothing"
                    "layernorm", "all", "layernorm"
                ] do
                let told =
                    userErrorOf (fun () ->
                        Placement.adapter
                            (Technique.parse technique)
                            (Placement.parse placement)
                            0
                            (ToyFamily.model 40 1)
                        |> ignore)

                Expect.stringContains told part placement

            let told =
                userErrorOf (fun () ->
                    Adapter.ofTechnique (Technique.parse "lora(rank=2,on=wi)") 0 (ToyFamily.model 40 1)
                    |> ignore)

            Expect.stringContains told "there are q, k, v, o, up, down" "the maps there are"
    ]

let private trained (words: string) : Model =
    Adapter.ofTechnique (Technique.parse words) 3 (ToyFamily.model 40 1)
    |> Tiny.shake 5 0.2

let private inPeft =
    [
        "lora(rank=2,alpha=4)", "target_modules", """["q","v"]"""
        "lora(rank=2,alpha=4,dora,on=k+up)", "target_modules", """["k","up"]"""
        "ia3", "target_modules", """["k","v","down"]"""
        "ia3", "feedforward_modules", """["down"]"""
        "ia3(published)", "target_modules", """["k","v","up"]"""
        "ia3(published)", "feedforward_modules", "[]"
        "vera(rank=3)", "target_modules", """["q","v"]"""
        "adalora(rank=2,start=4,alpha=8,on=o)", "target_modules", """["o"]"""
        "prompt(tokens=3)", "num_transformer_submodules", "1"
        "prompt(tokens=3)", "num_layers", "2"
        "prefix(tokens=2)", "num_transformer_submodules", "1"
        "prefix(tokens=2)", "token_dim", "12"
        "prefix(tokens=2)", "encoder_hidden_size", "12"
    ]

let private interchange =
    [
        testCase "peft's folders say the technique in the family's words, and read back as the same function"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model, batch = ToyFamily.model 40 1, Tiny.batch 2 4

            for words, key, expected in inPeft do
                let adapted = trained words

                inTemporaryFolder (fun folder ->
                    let config =
                        (HuggingFaceConfig.ofTechnique model.Shape (Technique.parse words)).Value

                    HuggingFace.save folder "" config adapted

                    use written =
                        JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "adapter_config.json")))

                    let raw (key: string) =
                        JsonSerializer.Serialize(written.RootElement.GetProperty key)

                    Expect.equal (raw key) expected $"{words}: {key}"
                    Expect.equal (raw "task_type") "\"CAUSAL_LM\"" words
                    let read, again = HuggingFace.load folder "" model
                    close 1e-5 (Tiny.logits again batch) (Tiny.logits adapted batch) words

                    // What peft's folder says, this project's words say, too.
                    let said = (HuggingFaceConfig.technique read).Value

                    Expect.equal
                        (Accounting.count model.Shape Convention.Paper said Placement.everywhere)
                        (Accounting.count model.Shape Convention.Paper (Technique.parse words) Placement.everywhere)
                        $"{words}, read as {Technique.text said}")

        testCase "one place of several is said by its whole names"
        <| fun () ->
            use _ = torch.NewDisposeScope()

            let model, technique, placement =
                ToyFamily.model 40 1, Technique.parse "ia3", Placement.parse "late"

            let adapted = Placement.adapter technique placement 3 model |> Tiny.shake 5 0.2

            inTemporaryFolder (fun folder ->
                let own, theirs = Path.Combine(folder, "own"), Path.Combine(folder, "peft")

                AdapterFile.save
                    own
                    {
                        Format = AdapterFile.format
                        Technique = Technique.text technique
                        Placement = Placement.text placement
                        Base = "toy"
                        BaseFolder = ""
                        TrainableParameters = Model.countTrained adapted
                    }
                    adapted

                AdapterFolders.convert own theirs "toy" model |> ignore
                let _, again = HuggingFace.load theirs "toy" model
                let batch = Tiny.batch 2 4
                close 1e-5 (Tiny.logits again batch) (Tiny.logits adapted batch) "logits"

                Expect.equal
                    (List.map fst (Model.trained again))
                    (List.map fst (Model.trained adapted))
                    "the same maps, the same vectors")

        testCase "an adapter of an encoder-decoder is refused"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let t5 = Tiny.model 1
            let technique = Technique.parse "lora(rank=2)"

            inTemporaryFolder (fun folder ->
                let config = (HuggingFaceConfig.ofTechnique t5.Shape technique).Value
                HuggingFace.save folder "" config (Adapter.ofTechnique technique 0 t5)

                let told =
                    userErrorOf (fun () -> HuggingFace.load folder "" (ToyFamily.model 40 1) |> ignore)

                Expect.stringContains told "an adapter of this model has CAUSAL_LM" "says which is needed")
    ]

let private counts =
    testCase "soft tokens for each stack are those of the only one"
    <| fun () ->
        let count convention =
            (Accounting.count shape.Value convention (Technique.parse "prompt(tokens=3)") Placement.everywhere)
                .Trainable

        for convention in Convention.all do
            Expect.equal (count convention) 36L (Convention.name convention)

[<Tests>]
let tests = testList "ToyFamily" (places @ counts :: interchange)
