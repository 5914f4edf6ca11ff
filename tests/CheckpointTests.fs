module Peft.Tests.CheckpointTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

let private gated = golden [ "t5-gated" ]
let private tied = golden [ "t5-relu-tied" ]

let private load folder =
    Checkpoint.load torch.CPU torch.float32 folder

let private file (folder: string) (name: string) = Path.Combine(folder, name)
let private weights folder = file folder "model.safetensors"

/// A copy of a golden model's two files that `body` may damage.
let private withCopy (source: string) (body: string -> unit) : unit =
    inTemporaryFolder (fun folder ->
        for name in [ "config.json"; "model.safetensors" ] do
            File.Copy(file source name, file folder name)

        body folder)

/// Writes the tensors anew, changed by `change`.
let private rewrite (folder: string) (change: (string * torch.Tensor) list -> (string * torch.Tensor) list) : unit =
    use _ = torch.NewDisposeScope()

    let tensors =
        [ for pair in Safetensors.readAll (weights folder) -> pair.Key, pair.Value ]

    Safetensors.write (weights folder) Map.empty (change tensors)

let private edit (folder: string) (change: JsonObject -> unit) : unit =
    let path = file folder "config.json"

    match JsonNode.Parse(File.ReadAllText path) with
    | null -> failtest "no JSON"
    | node ->
        change (node.AsObject())
        File.WriteAllText(path, node.ToJsonString())

let private expectSame (left: Model) (right: Model) =
    Expect.equal (Model.leaves left |> List.map fst) (Model.leaves right |> List.map fst) "the same tensors"

    for (name, a), (_, b) in List.zip (Model.leaves left) (Model.leaves right) do
        identical a.Value b.Value name

/// Splits a model's file in two shards with an index, as transformers writes them.
let private shard (folder: string) : unit =
    use _ = torch.NewDisposeScope()

    let tensors =
        [ for pair in Safetensors.readAll (weights folder) -> pair.Key, pair.Value ]

    let map = Dictionary<string, string>()

    tensors
    |> List.splitInto 2
    |> List.iteri (fun index part ->
        let name = $"model-{index + 1:d5}-of-00002.safetensors"
        Safetensors.write (file folder name) Map.empty part

        for key, _ in part do
            map[key] <- name)

    File.WriteAllText(
        file folder "model.safetensors.index.json",
        JsonSerializer.Serialize
            {|
                metadata = {| total_size = 1 |}
                weight_map = map
            |}
    )

    File.Delete(weights folder)

let private refusedBy (source: string) (damage: string -> unit) (parts: string list) =
    withCopy source (fun folder ->
        damage folder
        let message = userErrorOf (fun () -> load folder |> ignore)

        for part in folder :: parts do
            Expect.stringContains message part "the message says what and where")

let private refused (name: string) damage parts =
    testCase $"{name}: one line" <| fun () -> refusedBy gated damage parts

let private reading =
    testList
        "is read"
        [
            testCase "with the config.json of transformers 4 and of transformers 5 alike"
            <| fun () ->
                let inner = golden [ "extended"; "t5-gated-inner" ]
                let configOf name = Config.load (file inner name)

                Expect.equal
                    (configOf "config.json")
                    { configOf "config.transformers5.json" with
                        IsTied = (configOf "config.json").IsTied
                    }
                    "one model"

            for precision in [ torch.float16; torch.bfloat16; torch.float64 ] do
                testCase $"from {precision} on disk"
                <| fun () ->
                    use _ = torch.NewDisposeScope()

                    withCopy gated (fun folder ->
                        rewrite folder (List.map (fun (name, tensor) -> name, tensor.``to`` precision))

                        for (name, actual), (_, original) in
                            List.zip (Model.leaves (load folder)) (Model.leaves (load gated)) do
                            Expect.equal actual.Value.dtype torch.float32 name
                            identical actual.Value (original.Value.``to``(precision).``to`` torch.float32) name)

            testCase "to bfloat16 but for norms and position biases"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for name, leaf in Model.leaves (Checkpoint.load torch.CPU torch.bfloat16 gated) do
                    let isSmall =
                        name.EndsWith "norm.weight" || name.EndsWith "relative_attention_bias.weight"

                    Expect.equal leaf.Value.dtype (if isSmall then torch.float32 else torch.bfloat16) name

            testCase "from shards with an index; its fingerprint is the whole file's"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                withCopy gated (fun folder ->
                    shard folder
                    expectSame (load folder) (load gated)
                    Expect.equal (Checkpoint.fingerprint folder) (Checkpoint.fingerprint gated) "fingerprint")

            testCase "with the extra keys that published checkpoints carry"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                withCopy gated (fun folder ->
                    rewrite folder (fun tensors ->
                        let shared = tensors |> List.find (fst >> (=) "shared.weight") |> snd

                        [
                            "encoder.embed_tokens.weight", shared
                            "decoder.embed_tokens.weight", shared
                            "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
                            torch.ones (32L, 4L)
                        ]
                        @ tensors)

                    expectSame (load folder) (load gated))

            testCase "with a head of its own where the configuration says tied but the weights differ"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                withCopy gated (fun folder ->
                    edit folder (fun config ->
                        config["tie_word_embeddings"] <- true
                        config.Remove "scale_decoder_outputs" |> ignore)

                    let model = load folder
                    Expect.stringContains model.Config "\"scale_decoder_outputs\": true" "scaled, as a tied one"
                    Expect.contains (Model.leaves model |> List.map fst) "lm_head.weight" "own head")

            testCase "with the embedding as its head where lm_head is a copy of it"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                withCopy tied (fun folder ->
                    rewrite folder (fun tensors ->
                        ("lm_head.weight", tensors |> List.find (fst >> (=) "shared.weight") |> snd)
                        :: (tensors |> List.filter (fst >> (<>) "lm_head.weight")))

                    let model = load folder
                    Expect.stringContains model.Config "\"tie_word_embeddings\": true" "tied"
                    Expect.isFalse (Model.leaves model |> List.exists (fst >> (=) "lm_head.weight")) "no head")

            testCase "and nothing of the file stays in memory besides the leaves"
            <| fun () ->
                use outer = torch.NewDisposeScope()
                let model = Checkpoint.load torch.CPU torch.bfloat16 gated
                Expect.equal outer.DisposablesCount (Model.leaves model).Length "one tensor a leaf"

            testCase "saved, then loaded, is equal bit for bit"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for source in [ gated; tied; golden [ "extended"; "t5-gated-inner" ] ] do
                    inTemporaryFolder (fun folder ->
                        let model = load source
                        let target = Path.Combine(folder, "new", "folder")
                        Checkpoint.save target torch.float32 model
                        let again = load target
                        expectSame again model
                        Expect.equal again.Config model.Config "configuration"
                        Checkpoint.save target torch.bfloat16 model
                        let rounded = Checkpoint.load torch.CPU torch.bfloat16 target

                        for (name, actual), (_, original) in List.zip (Model.leaves rounded) (Model.leaves model) do
                            identical (actual.Value.``to`` torch.bfloat16) (original.Value.``to`` torch.bfloat16) name)
        ]

let private damaged =
    testList
        "damage"
        [
            testCase "a folder that does not exist: one line"
            <| fun () -> userErrorOf (fun () -> load "/no/such/folder" |> ignore) |> ignore

            refused "no config.json" (fun folder -> File.Delete(file folder "config.json")) [ "config.json" ]
            refused "no weights" (fun folder -> File.Delete(weights folder)) [ "model.safetensors" ]

            refused
                "a pickle only"
                (fun folder -> File.Move(weights folder, file folder "pytorch_model.bin"))
                [ "pytorch_model.bin"; "convert" ]

            refused
                "a half-written file"
                (fun folder ->
                    let bytes = File.ReadAllBytes(weights folder)
                    File.WriteAllBytes(weights folder, Array.truncate (bytes.Length / 2) bytes))
                [ "model.safetensors"; "outside the file" ]

            refused "an empty file" (fun folder -> File.WriteAllBytes(weights folder, [||])) [ "0 bytes" ]

            refused
                "a tensor that is missing"
                (fun folder ->
                    rewrite folder (List.filter (fst >> (<>) "encoder.block.1.layer.0.SelfAttention.v.weight")))
                [ "encoder.block.1.layer.0.SelfAttention.v.weight" ]

            refused
                "a wrong shape"
                (fun folder ->
                    rewrite
                        folder
                        (List.map (fun (name, t) -> name, (if name.EndsWith "wo.weight" then t.t () else t))))
                [ "wo.weight"; "[64, 32]"; "[32, 64]" ]

            refused
                "integers"
                (fun folder ->
                    rewrite
                        folder
                        (List.map (fun (name, t) -> name, (if name = "shared.weight" then t.``to`` torch.int8 else t))))
                [ "shared.weight"; "Int8" ]

            refused
                "an unknown tensor"
                (fun folder -> rewrite folder (fun all -> ("encoder.block.7.extra.weight", torch.ones 3L) :: all))
                [ "encoder.block.7.extra.weight" ]

            refused
                "an index that is no JSON"
                (fun folder ->
                    shard folder
                    File.WriteAllText(file folder "model.safetensors.index.json", "{"))
                [ "index" ]
            refused
                "an index without a map"
                (fun folder ->
                    shard folder
                    File.WriteAllText(file folder "model.safetensors.index.json", "{}"))
                [ "index" ]

            refused
                "a missing shard"
                (fun folder ->
                    shard folder
                    File.Delete(file folder "model-00002-of-00002.safetensors"))
                [ "model-00002-of-00002.safetensors" ]

            for path in [ "../other.safetensors"; "/etc/passwd"; "sub/file.safetensors"; ""; ".." ] do
                refused
                    $"a shard listed as '{path}'"
                    (fun folder ->
                        shard folder

                        File.WriteAllText(
                            file folder "model.safetensors.index.json",
                            JsonSerializer.Serialize
                                {|
                                    weight_map = dict [ "shared.weight", path ]
                                |}
                        ))
                    []

            for key, value in
                [
                    "d_model", "0"
                    "d_model", "\"x\""
                    "num_heads", "-1"
                    "vocab_size", "1e300"
                    "num_layers", "2.5"
                    "dropout_rate", "2"
                    "layer_norm_epsilon", "-1"
                    "dense_act_fn", "\"prelu\""
                    "feed_forward_proj", "7"
                    "eos_token_id", "[1]"
                    "pad_token_id", "99999"
                    "num_decoder_layers", "0"
                    "num_decoder_layers", "999999"
                    "d_ff", "null"
                ] do
                refused
                    $"config.json with {key} {value}"
                    (fun folder -> edit folder (fun config -> config[key] <- JsonNode.Parse value))
                    [ "config.json" ]

            for text in [ ""; "[]"; "7"; "{"; "{}"; "\u0000" ] do
                refused
                    $"config.json that is '{text}'"
                    (fun folder -> File.WriteAllText(file folder "config.json", text))
                    [ "config.json" ]

            testCase "a failed loading leaves no tensor behind"
            <| fun () ->
                withCopy gated (fun folder ->
                    rewrite folder (List.filter (fst >> (<>) "decoder.final_layer_norm.weight"))
                    use outer = torch.NewDisposeScope()
                    userErrorOf (fun () -> load folder |> ignore) |> ignore
                    Expect.equal outer.DisposablesCount 0 "none")
        ]

let private fingerprints =
    testList
        "fingerprint"
        [
            testCase "is sixteen digits, the same every time"
            <| fun () ->
                let first = Checkpoint.fingerprint gated
                Expect.equal first.Length 16 "length"
                Expect.all first Char.IsAsciiHexDigitLower "digits"
                Expect.equal (Checkpoint.fingerprint gated) first "stable"

            testCase "tells weights, configurations and vocabularies apart"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                withCopy gated (fun folder ->
                    let one = Checkpoint.fingerprint folder

                    rewrite
                        folder
                        (List.map (fun (name, t) ->
                            name,
                            (if name.EndsWith "wo.weight" then
                                 t.add (1e-6f.ToScalar())
                             else
                                 t)))

                    let two = Checkpoint.fingerprint folder
                    edit folder (fun config -> config["layer_norm_epsilon"] <- 1e-5)
                    let three = Checkpoint.fingerprint folder
                    File.Copy(golden [ "tokenizer"; "english8k.model" ], file folder "spiece.model")
                    let four = Checkpoint.fingerprint folder
                    Expect.equal (List.distinct [ one; two; three; four ]).Length 4 "four models")
        ]

[<Tests>]
let tests = testList "Checkpoint" [ reading; damaged; fingerprints ]
