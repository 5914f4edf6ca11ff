/// Adapter folders of Hugging Face's peft that are refused, and why.
module Peft.Tests.HuggingFaceFaultTests

open System.Collections.Generic
open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// A copy of a reference folder, spoiled.
let private spoiled
    (parts: string list)
    (edit: string -> string)
    (change: Dictionary<string, torch.Tensor> -> unit)
    : string =
    use _ = torch.NewDisposeScope()
    let source = golden parts
    let mutable message = ""

    inTemporaryFolder (fun folder ->
        let config = File.ReadAllText(Path.Combine(source, "adapter_config.json"))
        File.WriteAllText(Path.Combine(folder, "adapter_config.json"), edit config)
        let values = Dictionary(tensors (Path.Combine(source, "adapter_model.safetensors")))
        change values

        values
        |> Seq.map (fun pair -> pair.Key, pair.Value)
        |> List.ofSeq
        |> Safetensors.write (Path.Combine(folder, "adapter_model.safetensors")) Map.empty

        let model = gated ()

        let before =
            Model.leaves model |> List.map (fun (name, leaf) -> name, leaf.Value.clone ())

        message <- userErrorOf (fun () -> HuggingFace.load folder "abc" model |> ignore)

        for (name, copy), (_, leaf) in List.zip before (Model.leaves model) do
            identical leaf.Value copy $"{name}: nothing is half-loaded")

    message

let private badInput =
    let lora, prompt, vera =
        [ "peft"; "lora-qv" ], [ "peft"; "prompt" ], [ "extended"; "peft-vera" ]

    let first = "base_model.model.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight"

    /// A key's value replaced by another, as text.
    let key (name: string) (value: string) (config: string) =
        System.Text.RegularExpressions.Regex.Replace(
            config,
            $"\"{name}\": (\\[[^\\]]*\\]|\\{{[^}}]*\\}}|[^,\n]*)",
            $"\"{name}\": {value}"
        )

    let configs =
        [
            lora, key "peft_type" "\"LOHA\"", [ "LOHA"; "ADALORA" ]
            lora, key "peft_type" "3", [ "peft_type" ]
            lora, (fun config -> config.Substring 5), [ "not a readable" ]
            lora, key "r" "0", [ "r is 0" ]
            lora, key "r" "33", [ "lora_A"; "needs [33; 32]" ]
            lora, key "r" "3", [ "lora_A"; "needs [3; 32]" ]
            lora, key "r" "\"8\"", [ "r is" ]
            lora, key "lora_dropout" "1.5", [ "lora_dropout" ]
            lora, key "fan_in_fan_out" "true", [ "fan_in_fan_out" ]
            lora, key "lora_bias" "true", [ "lora_B.bias is missing" ]
            lora, key "use_qalora" "true", [ "use_qalora" ]
            lora, key "layer_replication" "[[0, 1]]", [ "layer_replication" ]
            lora, key "init_lora_weights" "\"olora\"", [ "init_lora_weights"; "pissa" ]
            lora, key "revision" "null, \"use_newer\": true", [ "use_newer"; "unknown" ]
            lora, key "task_type" "\"CAUSAL_LM\"", [ "SEQ_2_SEQ_LM" ]
            lora, key "target_modules" "[\"query\"]", [ "target_modules" ]
            lora, key "target_modules" "\"(\"", [ "regular expression" ]
            lora, key "target_modules" "[\"q\", \"v\", \"lm_head\"]", [ "lm_head" ]
            lora, key "target_modules" "[\"q\"]", [ "does not belong" ]
            lora, key "target_modules" "[\"q\", \"v\", \"o\"]", [ "is missing" ]
            lora, key "use_dora" "true", [ "lora_magnitude_vector"; "is missing" ]
            lora, key "modules_to_save" "[\"shared\"]", [ "shared" ]
            lora, key "rank_pattern" "{\"q\": 0}", [ "rank_pattern" ]
            prompt, key "num_virtual_tokens" "4", [ "prompt_embeddings"; "[8; 32]" ]
            vera, key "r" "5", [ "vera_lambda_d"; "needs [5]" ]
        ]

    testList
        "bad input"
        [
            testCase "what changes the function and is not supported is refused"
            <| fun () ->
                for folder, edit, words in configs do
                    let message = spoiled folder edit ignore

                    for word in words do
                        Expect.stringContains message word "the message"

            testCase "tensors that are missing, unknown, or of another model are refused"
            <| fun () ->
                let tensorCases: (string list * (Dictionary<string, torch.Tensor> -> unit) * string) list =
                    [
                        lora, (fun values -> values.Remove first |> ignore), "is missing"
                        lora, (fun values -> values["base_model.model.x"] <- torch.zeros 3L), "does not belong"
                        lora, (fun values -> values[first] <- torch.zeros (2L, 48L)), "another size"
                        lora, (fun values -> values[first] <- values[first].``to`` torch.int64), "Int64"
                        lora, (fun values -> values[first] <- values[first].t().contiguous()), "needs [2; 32]"
                        vera, (fun values -> values.Remove "base_model.vera_A" |> ignore), "vera_A"
                        vera, (fun values -> values["base_model.vera_B"] <- torch.zeros (64L, 4L)), "vera_B"
                    ]

                for folder, change, word in tensorCases do
                    Expect.stringContains (spoiled folder id change) word "the message"

            testCase "keys of a newer peft that are off are read past"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let config = File.ReadAllText(golden [ "peft"; "lora-qv"; "adapter_config.json" ])

                HuggingFaceConfig.ofJson "file" (key "revision" "null, \"use_newer\": false" config)
                |> ignore

            testCase "another base than the one an adapter was trained on is refused"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let config, model = HuggingFace.load (golden lora) "" (gated ())

                inTemporaryFolder (fun folder ->
                    HuggingFace.save folder "abc" config model
                    HuggingFace.load folder "abc" (gated ()) |> ignore

                    let message =
                        userErrorOf (fun () -> HuggingFace.load folder "def" (gated ()) |> ignore)

                    Expect.stringContains message "abc" "names the base it was trained on")

            testCase "an adapter that its configuration does not describe is not written"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let model =
                    Adapter.ofTechnique (Lora.technique (LoraSettings.OfRank 2)) 0 (gated ())

                let refuses technique =
                    inTemporaryFolder (fun folder ->
                        let config = (HuggingFaceConfig.ofTechnique model.Shape technique).Value
                        userErrorOf (fun () -> HuggingFace.save folder "" config model) |> ignore
                        Expect.isEmpty (Directory.GetFiles folder) "nothing is written")

                refuses (Lora.technique (LoraSettings.OfRank 3))

                refuses (
                    Lora.technique
                        { LoraSettings.OfRank 2 with
                            IsDora = true
                        }
                )

                refuses Ia3.huggingFace
                refuses (Prompt.ofTokens 3)
        ]

[<Tests>]
let tests = testList "HuggingFace" [ badInput ]
