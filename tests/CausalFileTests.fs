/// Checkpoints of decoders as they are published, saved again, and damaged.
module Peft.Tests.CausalFileTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open TorchSharp
open Peft
open Peft.Causal
open Peft.Tests.Support
open Peft.Tests.CausalSupport

let private load folder =
    Checkpoint.load torch.CPU torch.float32 folder

let private expectSame (actual: Model) (expected: Model) =
    Expect.equal (Model.leaves actual |> List.map fst) (Model.leaves expected |> List.map fst) "the same tensors"

    for (name, a), (_, b) in List.zip (Model.leaves actual) (Model.leaves expected) do
        identical a.Value b.Value name

/// A copy of a reference's model, which `change` makes of its configuration and its tensors.
let private withChanged
    (architecture: string)
    (config: JsonObject -> unit)
    (weights: (string * torch.Tensor) list -> (string * torch.Tensor) list)
    (body: string -> unit)
    : unit =
    inTemporaryFolder (fun folder ->
        use _ = torch.NewDisposeScope()

        match JsonNode.Parse(File.ReadAllText(reference architecture [ "config.json" ])) with
        | null -> failtest "no JSON"
        | node ->
            config (node.AsObject())
            File.WriteAllText(Path.Combine(folder, "config.json"), node.ToJsonString())

        let tensors =
            [
                for pair in tensors (reference architecture [ "model.safetensors" ]) -> pair.Key, pair.Value
            ]

        Safetensors.write (Path.Combine(folder, "model.safetensors")) Map.empty (weights tensors)
        body folder)

let private published =
    testList
        "published"
        [
            // Mask buffers and a stored tied head; no prefix; shards with an index and frequencies.
            for architecture in [ "gpt_neo"; "bloom"; "llama" ] ->
                testCase $"{architecture} loads as it is published"
                <| fun () ->
                    use _ = torch.NewDisposeScope()
                    expectSame (load (reference architecture [ "published" ])) (model architecture)
        ]

let private saved =
    testList
        "saved"
        [
            each "a decoder is saved and loaded, its configuration included" (fun architecture ->
                let model = model architecture

                inTemporaryFolder (fun folder ->
                    Checkpoint.save folder torch.float32 model
                    let again = load folder
                    expectSame again model
                    Expect.equal again.Config model.Config "the configuration"))

            each "random weights follow from the seed, and have the checkpoint's names and shapes" (fun architecture ->
                let described = CausalFamily.architecture (describe architecture "config.json")
                let one, two = described.Random torch.float32 5, described.Random torch.float32 5
                expectSame one two

                Expect.equal
                    (Model.leaves one
                     |> List.map (fun (name, leaf) -> name, List.ofArray leaf.Value.shape)
                     |> List.sort)
                    (described.Shape.Tensors
                     |> List.map (fun outline -> outline.Name, outline.Shape)
                     |> List.sort)
                    "outlines")

            each "an untied head computes the same, and is saved as the model's own" (fun architecture ->
                let model = model architecture
                let inputs = batchOf (tensorsOf architecture "inputs")

                for name in model.Shared do
                    let untied = model.Untie name
                    identical (Tiny.logits untied inputs) (Tiny.logits model inputs) "logits"
                    Expect.isEmpty untied.Shared "nothing is shared"

                    inTemporaryFolder (fun folder ->
                        Checkpoint.save folder torch.float32 untied
                        expectSame (load folder) untied))

            testCase "a stored head that is not the embedding is the model's own, whatever the configuration says"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                withChanged "llama" (fun config -> config["tie_word_embeddings"] <- true) id (fun folder ->
                    expectSame (load folder) (model "llama"))

            testCase "generation_config.json names further ends of an answer"
            <| fun () ->
                withChanged "qwen3" ignore id (fun folder ->
                    File.WriteAllText(Path.Combine(folder, "generation_config.json"), """{"eos_token_id": [7, 4]}""")
                    Expect.equal (Checkpoint.shape folder).EosIds [ 4; 7 ] "both, the configuration's first")
        ]

/// What is wrong in a configuration, and words of the one line that says so.
let private wrongConfigs: (string * string * string * string * string list) list =
    [
        "an unknown family", "llama", "model_type", "\"mamba\"", [ "'mamba'"; "qwen3"; "t5" ]
        "another head",
        "llama",
        "architectures",
        """["LlamaForSequenceClassification"]""",
        [ "LlamaForSequenceClassification"; "LlamaForCausalLM" ]
        "a scaling that is not known",
        "llama3",
        "rope_parameters",
        """{"rope_type": "yarn", "factor": 4.0, "rope_theta": 500.0}""",
        [ "'yarn'"; "llama3" ]
        "a scaling without its factor",
        "llama3",
        "rope_parameters",
        """{"rope_type": "linear", "rope_theta": 500.0}""",
        [ "factor" ]
        "GPTQ", "qwen2", "quantization_config", """{"quant_method": "gptq", "bits": 4}""", [ "quantised (gptq)" ]
        "AWQ", "qwen2", "quantization_config", """{"quant_method": "awq", "bits": 4}""", [ "quantised (awq)" ]
        "bitsandbytes",
        "qwen2",
        "quantization_config",
        """{"quant_method": "bitsandbytes", "load_in_4bit": true}""",
        [ "quantised (bitsandbytes)" ]
        "heads that do not share", "llama", "num_key_value_heads", "3", [ "4 heads"; "3 heads" ]
        "heads that do not divide", "gpt_neo", "num_heads", "5", [ "32"; "5 heads" ]
        "an end beyond the vocabulary", "bloom", "eos_token_id", "144", [ "eos_token_id"; "144" ]
        "an activation", "gptj", "activation_function", "\"sine\"", [ "'sine'"; "gelu_new" ]
        "kinds of attention", "gpt_neo", "attention_types", """[[["global", "sparse"], 1]]""", [ "'sparse'" ]
        "fewer kinds than layers", "gpt_neo", "attention_types", """[[["global"], 1]]""", [ "1 layers"; "2" ]
        "a window without a size",
        "qwen3",
        "layer_types",
        """["full_attention", "sliding_attention"]""",
        [ "sliding_window" ]
        "too many layers", "llama", "num_hidden_layers", "100000000", [ "num_hidden_layers"; "1000" ]
        "a residual behind the norm",
        "bloom",
        "apply_residual_connection_post_layernorm",
        "true",
        [ "apply_residual_connection_post_layernorm" ]
        "an odd part of a head", "gptj", "rotary_dim", "3", [ "3 entries" ]
        "a text for a number", "llama", "hidden_size", "\"wide\"", [ "hidden_size"; "number" ]
    ]

let private refused =
    testList
        "refused in one line"
        [
            for name, architecture, key, value, words in wrongConfigs do
                testCase name
                <| fun () ->
                    withChanged architecture (fun config -> config[key] <- JsonNode.Parse value) id (fun folder ->
                        let message = userErrorOf (fun () -> load folder |> ignore)
                        Expect.stringContains message "config.json" "the file"

                        for word in words do
                            Expect.stringContains message word "the reason")

            testCase "a missing key"
            <| fun () ->
                withChanged "llama" (fun config -> config.Remove "intermediate_size" |> ignore) id (fun folder ->
                    let message = userErrorOf (fun () -> load folder |> ignore)
                    Expect.stringContains message "has no intermediate_size" "the key"
                    Expect.stringContains message "llama" "the family")

            testCase "weights of another model, a tensor too many or too few"
            <| fun () ->
                let fails config weights (words: string list) =
                    withChanged "qwen2" config weights (fun folder ->
                        let message = userErrorOf (fun () -> load folder |> ignore)

                        for word in words do
                            Expect.stringContains message word "the reason")

                let bias = "model.layers.1.self_attn.q_proj.bias"
                fails ignore (List.filter (fst >> (<>) bias)) [ bias ]

                fails
                    ignore
                    (fun tensors -> ("model.layers.2.mlp.up_proj.weight", torch.ones 1L) :: tensors)
                    [ "layers.2" ]

                fails (fun config -> config["intermediate_size"] <- 57) id [ "gate_proj"; "56"; "57" ]
                fails (fun config -> config["tie_word_embeddings"] <- false) id [ "lm_head.weight" ]
        ]

[<Tests>]
let tests = testList "Causal files" [ published; saved; refused ]
