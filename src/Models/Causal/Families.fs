namespace Peft.Causal

open System.IO
open System.Text.Json
open Peft

/// Every decoder-only family: what `config.json` says, as a description and back.
[<RequireQualifiedAccess>]
module Families =
    /// All of them.
    let all: Family list = [ GptNeo.family; GptJ.family; Bloom.family ] @ Llama.families

    let private find (modelType: string) : Family =
        all |> List.find (fun family -> family.ModelType = modelType)

    /// The `generation_config.json` beside a configuration, which may name further ends of an answer.
    let private beside (path: string) (modelType: string) : ConfigFields option =
        let file =
            match Path.GetDirectoryName path with
            | null -> "generation_config.json"
            | folder -> Path.Combine(folder, "generation_config.json")

        if File.Exists file then
            Some(ConfigFile.read file (fun json -> ConfigFields(file, modelType, json.Clone())))
        else
            None

    /// Reads a `config.json` as transformers 4 and 5 write it; `path` is for messages, and for what lies beside the file.
    let ofJson (path: string) (json: JsonElement) : Description =
        let modelType = Json.text (json.GetProperty "model_type")
        let family, fields = find modelType, ConfigFields(path, modelType, json)
        Reading.checkClass fields family.Classes

        family.Read fields (beside path modelType) |> Reading.checked' fields

    /// The configuration in the spelling of transformers 4, which 5 reads, too.
    let toJson (description: Description) : string =
        let family = find description.Family

        let common: (string * obj) list =
            [
                "architectures", [| family.Classes.Head |]
                match description.StartId with
                | Some id -> "bos_token_id", id
                | None -> ()
                match description.EosIds with
                | [ id ] -> "eos_token_id", id
                | ids -> "eos_token_id", ids
                "initializer_range", description.Deviation
                "model_type", description.Family
                match description.PadId with
                | Some id -> "pad_token_id", id
                | None -> ()
                "tie_word_embeddings", description.IsTied
                "use_cache", true
                "vocab_size", description.Vocabulary
            ]

        let values = common @ family.Write description |> List.sortBy fst
        JsonSerializer.Serialize(dict values, HuggingFaceJson.options ()) + "\n"

    /// A description of these dimensions for pretraining from random weights. Llama and Qwen, whose values are said by the same
    /// keys; none for other families.
    let fresh (modelType: string) (dimensions: Dimensions) : Description option =
        let heads = dimensions.Width / dimensions.HeadWidth

        let values: (string * obj) list =
            [
                "model_type", modelType
                "vocab_size", dimensions.Vocabulary
                "hidden_size", dimensions.Width
                "head_dim", dimensions.HeadWidth
                "num_attention_heads", heads
                "num_key_value_heads", heads
                "num_hidden_layers", dimensions.Layers
                "intermediate_size", dimensions.FeedForward
                "pad_token_id", dimensions.PadId
                "eos_token_id", dimensions.EosId
                "tie_word_embeddings", false
            ]

        Llama.families
        |> List.tryFind (fun family -> family.ModelType = modelType)
        |> Option.map (fun family ->
            let json = JsonSerializer.SerializeToElement(dict values)
            family.Read (ConfigFields("config.json", modelType, json)) None)
