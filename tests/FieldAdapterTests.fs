/// Adapters of Hugging Face's peft as people have them, against what peft computes.
module Peft.Tests.FieldAdapterTests

open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private field (parts: string list) = golden ("field" :: parts)

let private embedded () =
    Checkpoint.load torch.CPU torch.float32 (Path.Combine(root, "tests", "golden", "field", "base"))

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

let private adapters =
    Directory.GetDirectories(field [ "adapters" ])
    |> Array.map (Path.GetFileName >> string)
    |> Array.sort
    |> List.ofArray

/// Folders that peft reads with a warning and then computes the base: a word of our refusal of each.
let private refused =
    Map.ofList
        [
            "a04-zero3", "has shape [0]"
            "a05-default-keys", "lora_A.weight is missing"
            "a05-no-prefix", "tensor base_model.model.encoder"
            "a12-bin", "save_pretrained"
        ]

let private one (name: string) =
    testCase name
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let folder = field [ "adapters"; name ]

        match Map.tryFind name refused with
        | Some word ->
            let message =
                userErrorOf (fun () -> AdapterFolders.load folder "" (embedded ()) |> ignore)

            Expect.stringContains message word "the reason"
        | None ->
            let config, model = HuggingFace.load folder "" (embedded ())

            let expected =
                match (tensors (field [ "expected"; $"{name}.safetensors" ]))["logits"] with
                // One number stands where peft fails on a file of its own.
                | failed when failed.numel () = 1L -> logitsOf model
                | logits -> logits

            close 1e-3 (logitsOf model) expected "peft's logits"
            close 1e-3 (logitsOf (Merge.merged model)) expected "merged"

            inTemporaryFolder (fun target ->
                HuggingFace.save target "" config model
                let again = AdapterFolders.load target "" (embedded ())
                identical (logitsOf again) (logitsOf model) "saved and loaded")

/// A folder of the field with another configuration.
let private changed (name: string) (change: string -> string) (body: string -> unit) =
    inTemporaryFolder (fun folder ->
        for file in Directory.GetFiles(field [ "adapters"; name ]) do
            File.Copy(file, Path.Combine(folder, Path.GetFileName file |> string))

        let config = Path.Combine(folder, "adapter_config.json")
        File.WriteAllText(config, change (File.ReadAllText config))
        body folder)

let private written (config: HuggingFaceConfig) =
    use document =
        JsonDocument.Parse(HuggingFaceConfig.toJson (Model.shape (embedded ())) config)

    document.RootElement.Clone()

let private configurations =
    [
        testCase "an older peft counts the last number of a name as its layer"
        <| fun () ->
            use _ = torch.NewDisposeScope()

            for version in [ "\"peft_version\": \"0.19.1\"", true; "\"inference_mode\": true", false ] do
                let text, hasVersion = version

                changed
                    "a01-layers-int"
                    (fun json -> json.Replace("\"peft_version\": \"0.20.1.dev0@UNKNOWN\"", text))
                    (fun folder ->
                        let config = HuggingFaceConfig.load folder

                        let sites =
                            (Model.shape (embedded ())).Sites |> List.filter config.Technique.Sites.Value
                        // The last number of a T5's name is that of the layer in its block.
                        Expect.all
                            sites
                            (fun site -> site.Layer = LayerKind.CrossAttention)
                            "encoder-decoder attention"

                        Expect.isNonEmpty sites "some"
                        let again = written config
                        Expect.equal (fst (again.TryGetProperty "peft_version")) hasVersion "it goes on meaning that")

        testCase "AdaLoRA is written with steps that peft takes"
        <| fun () ->
            use _ = torch.NewDisposeScope()

            let check (config: HuggingFaceConfig) =
                let json = written config
                let number (key: string) = json.GetProperty(key).GetInt32()
                Expect.isGreaterThan (number "total_step") 0 "steps"
                Expect.isLessThan (number "tinit") (number "total_step" - number "tfinal") "peft's condition"

            check (HuggingFaceConfig.ofTechnique (Tiny.model 1).Shape (Technique.parse "adalora")).Value

            for steps in [ "null"; "3"; "100" ] do
                changed
                    "a39-adalora-pruned"
                    (fun json -> json.Replace("\"total_step\": 100", $"\"total_step\": {steps}"))
                    (fun folder -> check (HuggingFaceConfig.load folder))

        testCase "floats are written with their point, whole numbers without"
        <| fun () ->
            let raw (words: string) (key: string) =
                (written (HuggingFaceConfig.ofTechnique (Tiny.model 1).Shape (Technique.parse words)).Value)
                    .GetProperty(key)
                    .GetRawText()

            Expect.equal (raw "lora(rank=4,alpha=8)" "lora_dropout") "0.0" "a share"
            Expect.equal (raw "lora(rank=4,alpha=8)" "lora_alpha") "8" "alpha"
            Expect.equal (raw "lora(rank=4,alpha=8)" "r") "4" "a rank"
            Expect.equal (raw "adalora(orthogonality=1)" "orth_reg_weight") "1.0" "a weight"
            Expect.equal (raw "vera" "vera_dropout") "0.0" "VeRA's share"
            Expect.equal (raw "prompt(tokens=3)" "num_layers") "3" "layers"

        testCase "numbers that float32 cannot bear are refused in one line"
        <| fun () ->
            let said =
                userErrorOf (fun () -> Technique.parse "lora(rank=4,alpha=1e308)" |> ignore)

            Expect.stringContains said "1e308" "words"

            changed "a00-plain" (fun json -> json.Replace("\"lora_alpha\": 8", "\"lora_alpha\": 1e308")) (fun folder ->
                let said = userErrorOf (fun () -> HuggingFaceConfig.load folder |> ignore)
                Expect.stringContains said "lora_alpha" "a configuration")

        testCase "a pattern that begins with ^ is noticed"
        <| fun () ->
            match (AdapterFolders.summary (field [ "adapters"; "a10-alpha-anchored" ])).Notices with
            | [ notice ] -> Expect.stringContains notice "'^q'" "the pattern"
            | other -> failtest $"{other.Length} notices"

            Expect.isEmpty (AdapterFolders.summary (field [ "adapters"; "a10-alpha-full" ])).Notices "none"
    ]

/// What a description asks for beside what its file holds.
let private hostile =
    [
        testCase "nothing is made as large as a description says before the file was asked"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model = embedded ()

            let description technique =
                {
                    Format = AdapterFile.format
                    Technique = technique
                    Placement = "all"
                    Base = "abc"
                    BaseFolder = ""
                    TrainableParameters = 0L
                }

            let small words large =
                inTemporaryFolder (fun folder ->
                    Adapter.ofTechnique (Technique.parse words) 0 model
                    |> AdapterFile.save folder (description large)

                    let before = System.GC.GetTotalAllocatedBytes()
                    let said = userErrorOf (fun () -> AdapterFolders.load folder "abc" model |> ignore)
                    Expect.stringContains said "has shape" large
                    Expect.isLessThan (System.GC.GetTotalAllocatedBytes() - before) 100_000_000L "memory")

            small "adapter(width=2)" "adapter(width=999999)"
            small "prefix(tokens=2)" "prefix(tokens=999999)"
            small "vera(rank=2)" "vera(rank=999999)"
            small "prompt(tokens=2)" "prompt(tokens=999999)"

            inTemporaryFolder (fun folder ->
                let technique = Technique.parse "prompt(tokens=2)"
                let config = (HuggingFaceConfig.ofTechnique model.Shape technique).Value
                HuggingFace.save folder "" config (Adapter.ofTechnique technique 0 model)
                let path = Path.Combine(folder, "adapter_config.json")
                let text = File.ReadAllText path
                File.WriteAllText(path, text.Replace("\"num_virtual_tokens\": 2", "\"num_virtual_tokens\": 20000000"))
                let said = userErrorOf (fun () -> AdapterFolders.load folder "" model |> ignore)
                Expect.stringContains said "has shape" "peft's")

        testCase "the message of another base says so where none is stated"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model = embedded ()

            inTemporaryFolder (fun folder ->
                let technique = Technique.parse "lora(rank=2)"
                let config = (HuggingFaceConfig.ofTechnique model.Shape technique).Value
                HuggingFace.save folder "abc" config (Adapter.ofTechnique technique 0 model)
                let said = userErrorOf (fun () -> AdapterFolders.load folder "" model |> ignore)
                Expect.stringContains said "which base this is was not said" "no fingerprint")

        testCase "a listing counts what is trained"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model = embedded ()

            for words in [ "vera(rank=4)"; "prompt(tokens=3)"; "prefix(tokens=3)"; "lora(rank=2)" ] do
                inTemporaryFolder (fun folder ->
                    let technique = Technique.parse words
                    let adapted = Adapter.ofTechnique technique 0 model
                    HuggingFace.save folder "" (HuggingFaceConfig.ofTechnique model.Shape technique).Value adapted
                    Expect.equal (AdapterFolders.summary folder).Elements (Model.countTrained adapted) words)
    ]

[<Tests>]
let tests =
    testList "Field adapters" [ yield! List.map one adapters; yield! configurations; yield! hostile ]
