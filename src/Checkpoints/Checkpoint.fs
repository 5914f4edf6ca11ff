namespace Peft

open System
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json
open System.Text.RegularExpressions
open Peft.Causal
open Peft.T5
open TorchSharp

/// What the library asks of a family before it has a model of it.
[<NoComparison; NoEquality>]
type private Family =
    {
        /// The values of `model_type` that it serves.
        ModelTypes: string list
        /// How it reads a configuration; the path is for messages.
        Read: string -> JsonElement -> Architecture
        /// What its linear maps are called in the end of their names.
        Maps: string list
        /// The modules that have a row for each token.
        Tables: string list
    }

/// Hugging Face checkpoint folders of every family: the one place that chooses a family by `model_type` of `config.json`.
[<RequireQualifiedAccess>]
module Checkpoint =
    let private families: Family list =
        [
            {
                ModelTypes = T5Family.modelTypes
                Read = T5Family.ofJson
                Maps = T5Family.maps
                Tables = T5Family.tables
            }
            {
                ModelTypes = CausalFamily.modelTypes
                Read = CausalFamily.ofJson
                Maps = CausalFamily.maps
                Tables = CausalFamily.tables
            }
        ]

    /// What linear maps are called, in any family.
    let maps: string list = families |> List.collect _.Maps |> List.distinct

    /// What embeddings and heads are called, in any family.
    let tables: string list = families |> List.collect _.Tables |> List.distinct

    /// Whether this is the name, or the end of the name, of an embedding in some family.
    let isEmbedding (name: string) : bool =
        tables
        |> List.filter ((<>) Site.headName)
        |> List.exists (fun table -> table = name || table.EndsWith($".{name}", StringComparison.Ordinal))

    /// Weights as integers or in blocks are other tensors than those that a configuration describes.
    let private checkPlain (path: string) (json: JsonElement) : unit =
        match json.TryGetProperty "quantization_config" with
        | true, config when config.ValueKind = JsonValueKind.Object ->
            let how =
                match config.TryGetProperty "quant_method" with
                | true, name -> Json.text name
                | false, _ -> "quantization_config"

            userError
                $"{path}: the weights are quantised ({how}), which is not supported: take the checkpoint that it was made from."
        | _ -> ()

    /// What a configuration describes; `path` is for messages. Without a `model_type` it is a T5's.
    let ofJson (path: string) (json: JsonElement) : Architecture =
        let modelType =
            match json.TryGetProperty "model_type" with
            | true, value -> Json.text value
            | false, _ -> "t5"

        checkPlain path json

        match families |> List.tryFind (_.ModelTypes >> List.contains modelType) with
        | Some family -> family.Read path json
        | None ->
            let known = families |> List.collect _.ModelTypes |> String.concat ", "
            userError $"{path}: models of model_type '{modelType}' are not supported; those of {known} are."

    /// What the `config.json` of a folder, or a file, describes.
    let architecture (path: string) : Architecture =
        let file =
            if Directory.Exists path then
                Path.Combine(path, "config.json")
            else
                path

        ConfigFile.read file (ofJson file)

    /// The shapes of the published sizes, by name.
    let sizes: (string * Shape) list =
        Sizes.all |> List.map (fun (name, config) -> name, Shapes.ofConfig config)

    /// What a built-in size (`xl`, `flan-t5-xl`, `google/flan-t5-xl`), a `config.json`, a folder with one, or a name of the hub
    /// describes.
    let named (text: string) : Architecture =
        match Sizes.tryFind text with
        | Some config -> T5Family.architecture config
        | None when Directory.Exists text || File.Exists text -> architecture text
        | None when (HubName.tryParse HubKind.Model text).IsSome ->
            architecture (Hub.description HubSettings.ofEnvironment text)
        | None ->
            userError
                $"'{text}' is neither a built-in size nor a config.json nor a folder with one nor a hub's owner/name: {Nearest.question (List.map fst sizes) (Sizes.short text)}"

    /// The shape of what `named` finds.
    let shape (text: string) : Shape = (named text).Shape

    /// A model of these dimensions with the weights that pretraining starts from, float32; `family` is a `model_type`.
    let fresh (family: string) (dimensions: Dimensions) (seed: int) : Model =
        match family with
        | "t5" -> T5Family.fresh dimensions seed
        | other ->
            match CausalFamily.fresh other dimensions seed with
            | Some model -> model
            | None -> userError $"models of the family '{other}' cannot be pretrained: t5, llama, qwen2 and qwen3 can."

    /// Loads a folder with every leaf frozen: matrices in `dtype` (float32 or bfloat16), norms and other small tensors in
    /// float32. float32, float16 and bfloat16 on disk are accepted, and read tensor by tensor. `UserError` names the first
    /// tensor that is missing, unknown or of another shape.
    let load (device: torch.Device) (dtype: torch.ScalarType) (folder: string) : Model =
        if not (Directory.Exists folder) then
            userError
                $"the model folder {folder} does not exist, and a name of the hub is owner/name, or owner/name@revision."

        (architecture folder).Load device dtype folder

    /// Writes a plain Hugging Face checkpoint with the weights in `dtype`. Adapters must have been merged.
    let save (folder: string) (dtype: torch.ScalarType) (model: Model) : unit =
        use _ = torch.NewDisposeScope()
        Files.createFolder folder

        let tensors =
            Model.leaves model
            |> List.map (fun (name, leaf) -> name, leaf.Value.detach().``to`` dtype)

        Safetensors.write (Path.Combine(folder, "model.safetensors")) (Map.ofList [ "format", "pt" ]) tensors
        Files.writeAtomically (Path.Combine(folder, "config.json")) model.Config

    /// The names of the tokenizer's files that a folder has.
    let private tokenizerFiles (folder: string) : string list =
        Tokenizer.Files
        |> List.filter (fun name -> File.Exists(Path.Combine(folder, name)))

    /// Whether a folder has files of a tokenizer.
    let hasTokenizer (folder: string) : bool =
        tokenizerFiles folder
        |> List.exists (fun name -> name <> "tokenizer_config.json" && name <> "special_tokens_map.json")

    /// The tokenizer of a folder.
    let tokenizer (folder: string) : Tokenizer = Tokenizer.Load folder

    /// Copies what belongs to a checkpoint besides model and configuration: its tokenizer, where there is one.
    let copyTokenizer (source: string) (target: string) : unit =
        for name in tokenizerFiles source do
            File.Copy(Path.Combine(source, name), Path.Combine(target, name), overwrite = true)

    /// Sixteen hexadecimal digits that tell one base model from another, from its files alone: config.json, the tokenizer
    /// where there is one, and each tensor's name, dtype, shape and a sample of its bytes.
    let fingerprint (folder: string) : string =
        // Written before floats kept their point, fingerprints go on telling the same models apart.
        let config =
            Regex.Replace((architecture folder).Config, @": (-?\d+)\.0(?=,?\r?\n)", ": $1")

        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        hash.AppendData(Encoding.UTF8.GetBytes config)

        // spiece.model alone where there is one: fingerprints of results that are there stay what they are.
        let vocabulary =
            match tokenizerFiles folder with
            | files when List.contains "spiece.model" files -> [ "spiece.model" ]
            | files -> files

        for name in vocabulary do
            hash.AppendData(Files.readBytes TokenizerFile.most (Path.Combine(folder, name)))

        for pair in WeightFiles.headers folder do
            Safetensors.sample pair.Value pair.Key |> hash.AppendData

        Convert.ToHexString(hash.GetHashAndReset()).Substring(0, 16).ToLowerInvariant()
