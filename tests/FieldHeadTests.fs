/// Embedding and head inside adapters, against the arithmetic written out.
module Peft.Tests.FieldHeadTests

open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private field (parts: string list) = golden ("field" :: parts)

let private own () =
    Checkpoint.load torch.CPU torch.float32 (Path.Combine(root, "tests", "golden", "field", "base"))

/// The same with the embedding as its head, scaled.
let private tied () =
    let mutable model = None

    inTemporaryFolder (fun folder ->
        let config = File.ReadAllText(field [ "checkpoints"; "c00-plain"; "config.json" ])

        File.WriteAllText(
            Path.Combine(folder, "config.json"),
            config.Replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true")
        )

        tensors (Path.Combine(root, "tests", "golden", "field", "base", "model.safetensors"))
        |> Seq.filter (fun pair -> pair.Key <> "lm_head.weight")
        |> Seq.map (fun pair -> pair.Key, pair.Value)
        |> List.ofSeq
        |> Safetensors.write (Path.Combine(folder, "model.safetensors")) Map.empty

        model <- Some(Checkpoint.load torch.CPU torch.float32 folder))

    model.Value

let private bases = [ "own head", own; "tied head", tied ]

let private batch () : Batch =
    let inputs = tensors (field [ "inputs.safetensors" ])

    {
        InputIds = inputs["input_ids"]
        Mask = Some inputs["attention_mask"]
        Labels = inputs["labels"]
    }

let private logitsOf (model: Model) =
    use _ = torch.no_grad ()
    Model.logits Pass.Evaluation model (batch ())

/// What the head reads.
let private beforeHead (model: Model) =
    let width = int64 (Model.shape model).Width
    logitsOf (model.WithHead(Dense(Frozen(torch.eye (width, dtype = torch.float32)))))

let private draw (generator: torch.Generator) (deviation: float) (shape: int64 list) =
    torch.randn(List.toArray shape, generator = generator).mul(deviation.ToScalar())

let private key (name: string) = $"base_model.model.{name}"

/// LoRA's tensors at q and v.
let private atSites generator (model: Model) =
    [
        for site in (Model.shape model).Sites do
            if site.Part = Q || site.Part = V then
                key $"{site.Name}.lora_A.weight", draw generator 0.1 [ 4L; site.In ]
                key $"{site.Name}.lora_B.weight", draw generator 0.1 [ site.Out; 4L ]
    ]

let private write folder (config: string) values =
    File.WriteAllText(Path.Combine(folder, "adapter_config.json"), config)
    Safetensors.write (Path.Combine(folder, "adapter_model.safetensors")) Map.empty values

let private configOf (name: string) =
    File.ReadAllText(field [ "checkpoints"; name; "adapter_config.json" ])

/// An adapter folder of the field, with tensors from a seed, on both bases: `extra` adds to LoRA's tensors.
let private withAdapter name (extra: torch.Generator -> Model -> (string * torch.Tensor) list) body =
    for kind, make in bases do
        use _ = torch.NewDisposeScope()
        use generator = new torch.Generator(17UL, torch.CPU)
        let model: Model = make ()
        let plain = atSites generator model
        let added = extra generator model

        inTemporaryFolder (fun folder ->
            let at name =
                Path.Combine(folder, name) |> Directory.CreateDirectory |> _.FullName

            write (at "plain") (File.ReadAllText(field [ "adapters"; "a00-plain"; "adapter_config.json" ])) plain
            write (at "adapter") (configOf name) (plain @ added)

            let adapted (model: Model) =
                AdapterFolders.load (at "plain") "" model

            body kind model adapted (dict added) (at "adapter"))

let private extents (model: Model) : int64 list =
    [ int64 (Model.shape model).Vocabulary; int64 (Model.shape model).Width ]

let private table name deviation generator model =
    [ key name, draw generator deviation (extents model) ]

let private keysOf folder =
    (Safetensors.header (Path.Combine(folder, "adapter_model.safetensors"))).Entries.Keys
    |> set

/// The adapter goes to disk and comes back, in peft's format, and merged.
let private returns (kind: string) (folder: string) (model: Model) (merges: bool) =
    let config, loaded = HuggingFace.load folder "" model

    inTemporaryFolder (fun target ->
        HuggingFace.save target "" config loaded
        Expect.equal (keysOf target) (keysOf folder) $"{kind}: the file's names"
        identical (logitsOf (AdapterFolders.load target "" model)) (logitsOf loaded) $"{kind}: saved and loaded")

    if merges then
        inTemporaryFolder (fun target ->
            let merged = Merge.merged loaded
            close 1e-4 (logitsOf merged) (logitsOf loaded) $"{kind}: merged"
            Checkpoint.save target torch.float32 merged
            let again = Checkpoint.load torch.CPU torch.float32 target
            identical (logitsOf again) (logitsOf merged) $"{kind}: the merged checkpoint")

let private generated (model: Model) =
    use _ = torch.no_grad ()
    let batch = batch ()

    Generate.run (Decoding.Greedy 24) model batch.InputIds batch.Mask
    |> Array.map (List.map _.Ids)

let private onHead =
    testCase "LoRA on the head"
    <| fun () ->
        let extra generator (model: Model) =
            match extents model with
            | [ vocabulary; width ] ->
                [
                    key "lm_head.lora_A.weight", draw generator 0.1 [ 4L; width ]
                    key "lm_head.lora_B.weight", draw generator 0.1 [ vocabulary; 4L ]
                ]
            | _ -> []

        withAdapter "a08-lora-on-head" extra (fun kind model adapted added folder ->
            let _, loaded = HuggingFace.load folder "" model
            let x = beforeHead (adapted model)
            let a, b = added[key "lm_head.lora_A.weight"], added[key "lm_head.lora_B.weight"]
            let weight = (Projection.weight model.Head).Value

            // alpha 8, rank 4.
            let expected =
                x.matmul(weight.t ()).add(x.matmul(a.t ()).matmul(b.t ()), 2.0.ToScalar())

            close 1e-4 (logitsOf loaded) expected kind
            Expect.equal loaded.Shared model.Shared $"{kind}: what is tied stays tied"
            let added = 4L * List.sum (extents model)
            Expect.equal (Model.count loaded) (Model.count (adapted model) + added) $"{kind}: no tensor twice"
            identical (logitsOf (Model.strip loaded)) (logitsOf model) $"{kind}: stripped"
            Expect.equal (generated loaded) (generated (Merge.merged loaded)) $"{kind}: token by token"
            returns kind folder model true)

let private savedHead =
    testCase "a head of its own, saved as a module"
    <| fun () ->
        withAdapter "a07-head-saved-untied" (table "lm_head.weight" 0.1) (fun kind model adapted added folder ->
            let _, loaded = HuggingFace.load folder "" model
            let x = beforeHead (adapted model)
            close 1e-4 (logitsOf loaded) (x.matmul (added[key "lm_head.weight"].t())) kind
            Expect.isFalse (List.contains "lm_head.weight" loaded.Shared) $"{kind}: it is its own"
            returns kind folder model true)

/// The base with other numbers as its embedding, and the head that it had.
let private withEmbedding (values: torch.Tensor) (model: Model) =
    let head = Dense(Frozen((Projection.weight model.Head).Value))

    model
    |> Model.mapLeaves (fun name leaf -> if name = "shared.weight" then Frozen values else leaf)
    |> fun changed -> changed.WithHead head

let private encoderName, private decoderName =
    "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"

let private savedEmbeddings =
    [
        testCase "an embedding for each stack"
        <| fun () ->
            let extra generator model =
                table encoderName 1.0 generator model @ table decoderName 1.0 generator model

            withAdapter "a45-embed-tokens" extra (fun kind model adapted added folder ->
                let loaded = AdapterFolders.load folder "" model
                let batch = batch ()

                let part name =
                    (adapted (withEmbedding added[key name] model)).Encoder.Value

                let source = (part encoderName).Encode Pass.Evaluation batch.InputIds batch.Mask

                let expected = (part decoderName).LogitsAfter Pass.Evaluation source batch.Labels
                close 1e-4 (logitsOf loaded) expected kind
                returns kind folder model false
                let said = userErrorOf (fun () -> Merge.merged loaded |> ignore)
                Expect.stringContains said "one embedding" "the reason")

        testCase "one embedding for both stacks merges"
        <| fun () ->
            let extra generator model =
                let one = draw generator 1.0 (extents model)
                [ key encoderName, one; key decoderName, one.clone () ]

            withAdapter "a45-embed-tokens" extra (fun kind model adapted added folder ->
                let loaded = AdapterFolders.load folder "" model
                let expected = logitsOf (adapted (withEmbedding added[key encoderName] model))
                close 1e-4 (logitsOf loaded) expected kind
                returns kind folder model true)

        testCase "embedding and head in the file, unnamed"
        <| fun () ->
            let extra generator (model: Model) =
                let shared = draw generator 1.0 (extents model)

                [
                    key "shared.weight", shared
                    if not (List.contains "lm_head.weight" model.Shared) then
                        key "lm_head.weight", draw generator 0.1 (extents model)
                ]

            withAdapter "a06-embedding-changed" extra (fun kind model adapted added folder ->
                let changed =
                    model
                    |> Model.mapLeaves (fun name leaf ->
                        match added.TryGetValue(key name) with
                        | true, values -> Frozen values
                        | false, _ -> leaf)

                let loaded = AdapterFolders.load folder "" model
                close 1e-4 (logitsOf loaded) (logitsOf (adapted changed)) kind
                returns kind folder model true

                inTemporaryFolder (fun target ->
                    let at name = Path.Combine(target, name)
                    let here = AdapterFolders.convert folder (at "own") "abc" model
                    Expect.stringContains here.Technique "modules(names=shared" "its words"
                    identical (logitsOf (AdapterFolders.load (at "own") "abc" model)) (logitsOf loaded) "converted"
                    AdapterFolders.convert (at "own") (at "back") "abc" model |> ignore
                    Expect.equal (keysOf (at "back")) (keysOf folder) "and back"
                    identical (logitsOf (AdapterFolders.load (at "back") "abc" model)) (logitsOf loaded) "the same"))

        testCase "a tied model takes one tensor for both, and refuses two"
        <| fun () ->
            let check (differs: bool) =
                let extra generator (model: Model) =
                    let shared = draw generator 1.0 (extents model)

                    let head =
                        if differs then
                            shared.add (1.0.ToScalar())
                        else
                            shared.clone ()

                    [ key "shared.weight", shared; key "lm_head.weight", head ]

                withAdapter "a06-embedding-changed" extra (fun kind model _ _ folder ->
                    if kind = "tied head" then
                        if differs then
                            let said = userErrorOf (fun () -> AdapterFolders.load folder "" model |> ignore)
                            Expect.stringContains said "lm_head" "the reason"
                        else
                            let loaded = AdapterFolders.load folder "" model
                            Expect.contains loaded.Shared "lm_head.weight" "tied")

            check true
            check false
    ]

let private counted =
    testCase "what shares a tensor is counted once it has one"
    <| fun () ->
        use _ = torch.NewDisposeScope()

        for _, make in bases do
            let model = make ()

            for words in [ "modules(names=lm_head)"; "modules(names=embed_tokens)" ] do
                let technique = Technique.parse words
                let adapted = Adapter.ofTechnique technique 0 model

                let count =
                    Accounting.count (Model.shape model) Convention.Paper technique Placement.everywhere

                Expect.equal (Model.countTrained adapted) count.Trainable words
                Expect.equal (Model.count adapted) count.Total words
                identical (logitsOf adapted) (logitsOf model) "it starts equal"

let private move (seed: int) (model: Model) =
    use _ = torch.no_grad ()
    use generator = new torch.Generator(uint64 seed, torch.CPU)

    for _, parameter in Model.trained model do
        parameter.add_ (draw generator 0.05 (List.ofArray parameter.shape)) |> ignore

let private shown =
    testCase "techniques that are shown the head merge, come off again and serve one batch together"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        for kind, make in bases do
            let model = make ()

            for words in [ "lora(rank=2,dora)"; "ia3"; "adalora(rank=2,start=3)"; "vera(rank=3)" ] do
                let technique = Technique.parse words

                let adapted =
                    Model.changeWithHead
                        (technique.Apply (fun site -> site.Part = Q || site.Name = Site.headName) 0)
                        model

                move 3 adapted

                Expect.exists (Model.trained adapted) (fun (name, _) -> name.StartsWith $"{Site.headName}.") words
                let expected, bare = logitsOf adapted, logitsOf model
                close 1e-3 (logitsOf (Model.merge adapted)) expected $"{kind}, {words}: merged"
                identical (logitsOf (Model.strip adapted)) bare $"{kind}, {words}: stripped"

                let together =
                    Model.logits (Pass.Evaluation.Along [| 0; 1 |]) (Model.route [ adapted; model ]) (batch ())

                close 1e-4 together[0] expected[0] $"{kind}, {words}: its own row"
                close 1e-4 together[1] bare[1] $"{kind}, {words}: the base's row"

                if technique.Name = "adalora" then
                    let a = Model.leaves adapted |> dict |> fun leaves -> leaves["lm_head.lora_a"]
                    Expect.isSome (Model.penalty adapted) "a penalty"
                    let before = (Model.penalty adapted).Value.item<float32>()
                    a.Value.mul_ (2.0.ToScalar()) |> ignore
                    Expect.notEqual ((Model.penalty adapted).Value.item<float32>()) before "the head is in it"

[<Tests>]
let tests =
    testList "Field adapters: embedding and head" [ onHead; savedHead; yield! savedEmbeddings; counted; shown ]
