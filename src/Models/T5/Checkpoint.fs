namespace Peft.T5

open Peft.Kernels
open System
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json
open Peft
open TorchSharp

/// Hugging Face checkpoint folders: `config.json` and `model.safetensors`, or shards with an index.
[<RequireQualifiedAccess>]
module Checkpoint =
    /// The model's structure over tensors given by name and shape.
    let build (config: Config) (precision: torch.ScalarType) (tensor: string -> int64 list -> torch.Tensor) : T5 =
        let width, inner, hidden =
            int64 config.ModelWidth, int64 config.InnerWidth, int64 config.FeedForwardWidth

        let vocabulary = int64 config.VocabularySize
        let leaf name shape = Frozen(tensor name shape)

        let norm name : Norm =
            {
                Scale = leaf $"{name}.weight" [ width ]
                Epsilon = config.Epsilon
            }

        let attention layer name : Attention =
            let dense part shape =
                Projection.Dense(leaf $"{layer}.{name}.{part}.weight" shape)

            {
                Norm = norm $"{layer}.layer_norm"
                Q = dense "q" [ inner; width ]
                K = dense "k" [ inner; width ]
                V = dense "v" [ inner; width ]
                O = dense "o" [ width; inner ]
            }

        let feedForward layer : FeedForward =
            let dense part shape =
                Projection.Dense(leaf $"{layer}.DenseReluDense.{part}.weight" shape)

            {
                Norm = norm $"{layer}.layer_norm"
                Gate =
                    if config.IsGated then
                        Some(dense "wi_0" [ hidden; width ])
                    else
                        None
                Input = dense (if config.IsGated then "wi_1" else "wi") [ hidden; width ]
                Output = dense "wo" [ width; hidden ]
                Beside = None
            }

        let tower stack layers : Tower =
            let name = Site.stackName stack

            let block index : Block =
                let layer position =
                    $"{name}.block.{index}.layer.{position}"

                {
                    SelfAttention = attention (layer 0) "SelfAttention"
                    CrossAttention =
                        if stack = Stack.Decoder then
                            Some(attention (layer 1) "EncDecAttention")
                        else
                            None
                    FeedForward = feedForward (layer (if stack = Stack.Decoder then 2 else 1))
                }

            {
                RelativeBias =
                    leaf
                        $"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
                        [ int64 config.Buckets; int64 config.Heads ]
                Blocks = List.init layers block
                FinalNorm = norm $"{name}.final_layer_norm"
            }

        {
            Config = config
            Precision = precision
            Embedding = leaf "shared.weight" [ vocabulary; width ]
            Prompt = None
            RoutedPrompts = []
            Prefix = None
            Encoder = tower Stack.Encoder config.EncoderLayers
            Decoder = tower Stack.Decoder config.DecoderLayers
            Head =
                if config.IsTied then
                    None
                else
                    Some(leaf "lm_head.weight" [ vocabulary; width ])
        }

    /// Keys that published checkpoints carry besides the model: copies of the embedding and an unused bias.
    let private ignorable =
        set
            [
                "encoder.embed_tokens.weight"
                "decoder.embed_tokens.weight"
                "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
                "lm_head.weight"
            ]

    let private shardFiles (folder: string) (index: string) : string list =
        try
            use document = JsonDocument.Parse(Files.readText Files.mostDescription index)

            [
                for item in document.RootElement.GetProperty("weight_map").EnumerateObject() -> Json.text item.Value
            ]
            |> List.distinct
            |> List.map (fun name ->
                // A path here could lead out of the folder.
                if name <> string (Path.GetFileName name) then
                    userError $"{index} names the shard '{name}', which is no plain file name."

                Path.Combine(folder, name))
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? KeyNotFoundException -> userError $"{index} is not a readable index of shards."

    let private weightFiles (folder: string) : string list =
        let at name = Path.Combine(folder, name)

        if File.Exists(at "model.safetensors") then
            [ at "model.safetensors" ]
        elif File.Exists(at "model.safetensors.index.json") then
            shardFiles folder (at "model.safetensors.index.json")
        elif File.Exists(at "pytorch_model.bin") then
            userError
                $"{folder} holds pytorch_model.bin only, which is a Python pickle: convert it to model.safetensors."
        else
            userError $"{folder} holds no model.safetensors and no model.safetensors.index.json."

    /// The checked header of the file that holds a tensor, by the tensor's name.
    let private headers (folder: string) : Map<string, SafetensorsHeader> =
        [
            for file in weightFiles folder do
                let header = Safetensors.header file
                for name in header.Entries.Keys -> name, header
        ]
        |> Map.ofList

    /// transformers 5 writes one and the same configuration for a tied head and an own one. The weights decide: an own head
    /// differs from the embedding.
    let private hasOwnHead (tensors: Map<string, SafetensorsHeader>) : bool =
        match tensors.TryFind "lm_head.weight", tensors.TryFind "shared.weight" with
        | Some headFile, Some sharedFile ->
            use _ = torch.NewDisposeScope()
            let head = Safetensors.read headFile "lm_head.weight"
            let shared = Safetensors.read sharedFile "shared.weight"
            not (head.shape = shared.shape && head.eq(shared).all().item<bool>())
        | _ -> false

    /// One tensor in the dtype and on the device that are asked for; the file's own copy is freed at once.
    let private readAs (device: torch.Device) (dtype: torch.ScalarType) (header: SafetensorsHeader) (name: string) =
        use _ = torch.NewDisposeScope()
        (Safetensors.read header name).``to``(dtype, device).MoveToOuterDisposeScope()

    let private isFloat (dtype: torch.ScalarType) =
        List.contains dtype [ torch.float32; torch.float16; torch.bfloat16; torch.float64 ]

    /// Loads a folder with every leaf frozen: matrices in `dtype` (float32 or bfloat16), norms and position biases in
    /// float32. float32, float16 and bfloat16 on disk are accepted, and read tensor by tensor. `UserError` names the first
    /// tensor that is missing, unknown or of another shape; the headers are checked before any weight is read.
    let load (device: torch.Device) (dtype: torch.ScalarType) (folder: string) : T5 =
        if not (Directory.Exists folder) then
            userError $"the model folder {folder} does not exist."

        use _ = torch.NewDisposeScope()
        let config = Config.load (Path.Combine(folder, "config.json"))
        let tensors = headers folder
        let used = HashSet<string>()
        let listed (shape: int64 seq) = String.Join(", ", shape)

        let take (name: string) (shape: int64 list) =
            used.Add name |> ignore

            match tensors.TryFind name with
            | None ->
                userError
                    $"{folder}: the checkpoint has no tensor {name}; config.json asks for one of shape [{listed shape}]."
            | Some header ->
                let entry = header.Entries[name]

                if List.ofArray entry.Shape <> shape then
                    userError
                        $"{folder}: tensor {name} has shape [{listed entry.Shape}], and config.json asks for [{listed shape}]: the two files do not belong together."

                if not (isFloat entry.Dtype) then
                    userError $"{folder}: tensor {name} is {entry.Dtype}; weights are float32, float16 or bfloat16."

                readAs device (if Leaf.isFloat32 name then torch.float32 else dtype) header name

        let isTied = config.IsTied && not (hasOwnHead tensors)
        let model = build { config with IsTied = isTied } dtype take

        let unknown =
            tensors.Keys
            |> Seq.filter (fun name -> not (used.Contains name || ignorable.Contains name))

        match Seq.tryHead unknown with
        | Some name ->
            userError $"{folder}: tensor {Safetensors.shown name} does not belong to the T5 that config.json describes."
        | None ->
            for _, leaf in T5.leaves model do
                leaf.Value.MoveToOuterDisposeScope() |> ignore

            model

    /// Writes a plain Hugging Face checkpoint with the weights in `dtype`. Adapters must have been merged.
    let save (folder: string) (dtype: torch.ScalarType) (model: T5) : unit =
        use _ = torch.NewDisposeScope()
        Files.createFolder folder

        let tensors =
            T5.leaves model
            |> List.map (fun (name, leaf) -> name, leaf.Value.detach().``to`` dtype)

        Safetensors.write (Path.Combine(folder, "model.safetensors")) (Map.ofList [ "format", "pt" ]) tensors
        Files.writeAtomically (Path.Combine(folder, "config.json")) (Config.toJson model.Config)

    /// A T5 of this shape without numbers, on the meta device: for counting what a technique trains.
    let skeleton (config: Config) : T5 =
        build config torch.float32 (fun _ shape ->
            torch.empty (List.toArray shape, dtype = torch.float32, device = torch.META))

    /// A T5 with random weights as Hugging Face initialises it (factor 1), but for a head of its own, which starts at
    /// d_model^-0.5 instead of 1, so that the first losses are near ln(vocabulary). The numbers follow from `seed`. Matrices
    /// are in `dtype`, norms and position biases in float32; each matrix is drawn in float32 and cast before the next.
    let randomIn (dtype: torch.ScalarType) (config: Config) (seed: int) : T5 =
        use generator = new torch.Generator(uint64 seed, torch.CPU)

        let width, inner, hidden =
            float config.ModelWidth, float config.InnerWidth, float config.FeedForwardWidth

        let deviation (name: string) =
            let part = name.Split('.') |> Array.rev |> Array.item 1

            match part with
            | "shared" -> 1.0
            | "q" -> (width * float config.KeyWidth) ** -0.5
            | "o" -> inner ** -0.5
            | "wo" -> hidden ** -0.5
            | _ -> width ** -0.5

        build config dtype (fun name shape ->
            use _ = torch.NewDisposeScope()
            let kept = if Leaf.isFloat32 name then torch.float32 else dtype

            let numbers =
                if name.EndsWith("norm.weight", StringComparison.Ordinal) then
                    torch.ones (List.toArray shape, dtype = torch.float32)
                else
                    torch
                        .randn(List.toArray shape, dtype = torch.float32, generator = generator)
                        .mul_((deviation name).ToScalar())

            numbers.``to``(kept).MoveToOuterDisposeScope())

    /// `randomIn` float32.
    let random (config: Config) (seed: int) : T5 = randomIn torch.float32 config seed

    /// Sixteen hexadecimal digits that tell one base model from another, from its files alone: config.json, spiece.model
    /// where there is one, and each tensor's name, dtype, shape and a sample of its bytes.
    let fingerprint (folder: string) : string =
        let config = Config.load (Path.Combine(folder, "config.json"))
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        hash.AppendData(Encoding.UTF8.GetBytes(Config.toJson config))
        let vocabulary = Path.Combine(folder, "spiece.model")

        if File.Exists vocabulary then
            hash.AppendData(Files.readBytes Files.mostDescription vocabulary)

        for pair in headers folder do
            Safetensors.sample pair.Value pair.Key |> hash.AppendData

        Convert.ToHexString(hash.GetHashAndReset()).Substring(0, 16).ToLowerInvariant()
