/// Checkpoints as people have them, against what transformers computes.
module Peft.Tests.FieldCheckpointTests

open System
open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

let private field (parts: string list) = golden ("field" :: parts)

let private embedded () =
    let read =
        Safetensors.readAll (Path.Combine(root, "tests", "golden", "field", "base", "model.safetensors"))

    [ for pair in read -> pair.Key, pair.Value ]

/// The embedded model's tensors, changed, with a configuration of the field.
let private withFolder (config: string) change (body: string -> unit) =
    inTemporaryFolder (fun folder ->
        use _ = torch.NewDisposeScope()
        Safetensors.write (Path.Combine(folder, "model.safetensors")) Map.empty (change (embedded ()))
        File.WriteAllText(Path.Combine(folder, "config.json"), config)
        body folder)

let private configOf (name: string) =
    File.ReadAllText(field [ "checkpoints"; name; "config.json" ])

let private load folder =
    Checkpoint.load torch.CPU torch.float32 folder

let private logitsOf (model: Model) =
    let inputs = tensors (field [ "inputs.safetensors" ])

    Model.logits
        Pass.Evaluation
        model
        {
            InputIds = inputs["input_ids"]
            Mask = Some inputs["attention_mask"]
            Labels = inputs["labels"]
        }

/// The embedding under the names of its copies.
let private copied (names: string list) (tensors: (string * torch.Tensor) list) =
    tensors
    |> List.collect (fun (name, tensor) ->
        if name = "shared.weight" then
            names |> List.map (fun copy -> $"{copy}.embed_tokens.weight", tensor.clone ())
        else
            [ name, tensor ])

let private equal name change expected =
    testCase $"{name}: the logits equal the reference"
    <| fun () ->
        withFolder (configOf name) change (fun folder ->
            let reference =
                (tensors (field [ "expected"; $"{expected}.safetensors" ]))["logits"]

            close 1e-3 (logitsOf (load folder)) reference name)

/// `"__metadata__": null` in the header of the tensors' file, as some writers have it.
let private withoutMetadata =
    testCase "c16-metadata-null: the logits equal the reference"
    <| fun () ->
        withFolder (configOf "c16-metadata-null") id (fun folder ->
            let path = Path.Combine(folder, "model.safetensors")
            let whole = File.ReadAllBytes path
            let length = int (BitConverter.ToInt64(whole, 0))
            let header = Text.Encoding.UTF8.GetString(whole, 8, length).TrimEnd().Substring 1
            Expect.isFalse (header.Contains "__metadata__") "written without"
            let header = Text.Encoding.UTF8.GetBytes("{\"__metadata__\":null," + header)

            File.WriteAllBytes(
                path,
                Array.concat [ BitConverter.GetBytes(int64 header.Length); header; whole[8 + length ..] ]
            )

            let reference = (tensors (field [ "expected"; "c00-plain.safetensors" ]))["logits"]

            close 1e-3 (logitsOf (load folder)) reference "null")

let private c00 = configOf "c00-plain"

/// The four combinations of an own head and scaling, as transformers 5 says them.
let private combination (hasHead: bool) (scales: bool) =
    let config =
        c00.Replace(
            "\"tie_word_embeddings\": false",
            $"\"tie_word_embeddings\": true, \"scale_decoder_outputs\": {string(scales).ToLowerInvariant()}"
        )

    let change =
        if hasHead then
            id
        else
            List.filter (fst >> (<>) "lm_head.weight")

    config, change

let private heads =
    [
        testCase "the weights say whether there is a head, the configuration whether its input is scaled"
        <| fun () ->
            use _ = torch.NewDisposeScope()

            for hasHead in [ true; false ] do
                let logits scales =
                    let config, change = combination hasHead scales
                    let mutable found = Unchecked.defaultof<torch.Tensor>

                    withFolder config change (fun folder ->
                        let model = load folder
                        let names = Model.leaves model |> List.map fst
                        Expect.equal (List.contains "lm_head.weight" names) hasHead "the head"
                        found <- (logitsOf model).MoveToOuterDisposeScope()
                        // What is written is read as the same model.
                        let again = Path.Combine(folder, "again")
                        Checkpoint.save again torch.float32 model
                        identical (logitsOf (load again)) found "saved and loaded")

                    found

                close 1e-5 ((logits true).mul((sqrt 128.0).ToScalar())) (logits false) "scaled by d_model^-0.5"

        testCase "a configuration of one flag is written as it was published"
        <| fun () ->
            withFolder c00 id (fun folder ->
                let written = (load folder).Config
                Expect.isFalse (written.Contains "scale_decoder_outputs") "one flag"
                Expect.stringContains written "\"initializer_factor\": 1.0" "a float stays a float"
                Expect.stringContains written "\"d_ff\": 384," "a whole number stays whole")
    ]

let private activations =
    [
        testCase "every activation computes what its definition says"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let x = torch.tensor [| -4.0f; -1.0f; 0.5f; 2.0f; 12.0f |]

            let expected =
                [
                    "relu", [| 0.0; 0.0; 0.5; 2.0; 12.0 |]
                    "gelu", [| -0.000127; -0.158655; 0.345731; 1.954500; 12.0 |]
                    "gelu_new", [| -0.000070; -0.158808; 0.345714; 1.954598; 12.0 |]
                    "gelu_10", [| -0.000127; -0.158655; 0.345731; 1.954500; 10.0 |]
                    "quick_gelu", [| -0.004415; -0.154204; 0.350388; 1.935659; 12.0 |]
                    "silu", [| -0.071945; -0.268941; 0.311230; 1.761594; 11.999926 |]
                    "relu2", [| 0.0; 0.0; 0.25; 4.0; 144.0 |]
                    "relu6", [| 0.0; 0.0; 0.5; 2.0; 6.0 |]
                    "leaky_relu", [| -0.04; -0.01; 0.5; 2.0; 12.0 |]
                    "hardswish", [| 0.0; -0.333333; 0.291667; 1.666667; 12.0 |]
                    "mish", [| -0.072592; -0.303401; 0.375245; 1.943959; 12.0 |]
                    "laplace", [| 0.0; 0.0; 0.231421; 0.999998; 1.0 |]
                    "sigmoid", [| 0.017986; 0.268941; 0.622459; 0.880797; 0.999994 |]
                    "tanh", [| -0.999329; -0.761594; 0.462117; 0.964028; 1.0 |]
                    "linear", [| -4.0; -1.0; 0.5; 2.0; 12.0 |]
                ]

            let known = Activation.all |> List.choose Activation.tryFind |> List.distinct
            Expect.equal (set (List.map fst expected)) (set (List.map Activation.name known)) "every one"

            for name, values in expected do
                let found =
                    (Activation.apply (Option.get (Activation.tryFind name)) x).``to`` torch.float64

                Expect.isLessThan (distance found (torch.tensor values)) 2e-6 name

        testCase "feed_forward_proj is a name, with or without gate; dense_act_fn overrules it"
        <| fun () ->
            let read (text: string) =
                let config = Config.ofJson "config.json" (JsonDocument.Parse text).RootElement
                config.Activation, config.IsGated, config

            for name, activation, isGated in
                [
                    "c00-plain", GeluNew, true
                    "c15-gated-gelu-new", GeluNew, true
                    "c15-gated-silu", Silu, true
                    "c15-silu", Silu, false
                    "c15-gelu", Gelu, false
                    "c15-stray-act", Gelu, true
                ] do
                let found, gate, config = read (configOf name)
                Expect.equal (found, gate) (activation, isGated) name
                let _, _, again = read (Config.toJson config)
                Expect.equal again config $"{name}: written and read"

            let message =
                userErrorOf (fun () -> c00.Replace("gated-gelu", "gated-prelu") |> read |> ignore)

            Expect.stringContains message "prelu" "named"

        testCase "an unknown model_type is one line"
        <| fun () ->
            withFolder (c00.Replace("\"model_type\": \"t5\"", "\"model_type\": \"longt5\"")) id (fun folder ->
                let message = userErrorOf (fun () -> load folder |> ignore)
                Expect.stringContains message "model_type 'longt5'" "the type"
                Expect.stringContains message "t5, mt5" "what there is")
    ]

[<Tests>]
let tests =
    testList
        "FieldCheckpoints"
        [
            equal "c00-plain" id "c00-plain"
            equal "c13-no-shared" (copied [ "decoder" ]) "c00-plain"
            equal "c13-two-copies" (copied [ "encoder"; "decoder" ]) "c00-plain"
            equal "c15-stray-act" id "c15-stray-act"
            withoutMetadata
            testList "heads" heads
            testList "activations" activations
        ]
