namespace Peft.T5

open Peft.Kernels
open System
open System.Text.Json
open Peft

/// The shape and constants of a T5, as `config.json` states them.
type Config =
    {
        VocabularySize: int
        ModelWidth: int
        KeyWidth: int
        FeedForwardWidth: int
        EncoderLayers: int
        DecoderLayers: int
        Heads: int
        Buckets: int
        MaxDistance: int
        DropoutRate: float
        Epsilon: float
        Activation: Activation
        IsGated: bool
        /// T5 v1.0: the head is the embedding, and the decoder's output is scaled by d_model^-0.5 before it.
        IsTied: bool
        PadId: int
        EosId: int
        StartId: int
    }

    /// Heads · d_kv: the width between q, k, v and o; not always d_model.
    member config.InnerWidth: int = config.Heads * config.KeyWidth

[<RequireQualifiedAccess>]
module Config =
    /// T5 v1.1 of these dimensions, with its published constants: a gated GELU, a head of its own, 32 buckets up to
    /// distance 128, dropout 0.1, and padding 0, `</s>` 1.
    let gated (vocabulary: int) (width: int) (keyWidth: int) (heads: int) (feedForward: int) (layers: int) : Config =
        {
            VocabularySize = vocabulary
            ModelWidth = width
            KeyWidth = keyWidth
            FeedForwardWidth = feedForward
            EncoderLayers = layers
            DecoderLayers = layers
            Heads = heads
            Buckets = 32
            MaxDistance = 128
            DropoutRate = 0.1
            Epsilon = 1e-6
            Activation = GeluNew
            IsGated = true
            IsTied = false
            PadId = 0
            EosId = 1
            StartId = 0
        }

    let private number (path: string) (json: JsonElement) (key: string) (fallback: float option) : float =
        match json.TryGetProperty key, fallback with
        | (true, value), _ when value.ValueKind = JsonValueKind.Number -> value.GetDouble()
        | (true, value), Some default' when value.ValueKind = JsonValueKind.Null -> default'
        | (true, value), _ -> userError $"{path}: {key} is {value.GetRawText()}, and should be a number."
        | (false, _), Some default' -> default'
        | (false, _), None -> userError $"{path} has no {key}: it is not a T5 configuration."

    let private activation path (projection: string) =
        match projection with
        | "relu" -> Relu, false
        | "gated-gelu" -> GeluNew, true
        | "gated-relu" -> Relu, true
        | "gelu_new" -> GeluNew, false
        | other ->
            userError $"{path}: feed_forward_proj '{other}' is not supported: relu, gated-relu, gelu_new or gated-gelu."

    /// transformers 5 always writes `tie_word_embeddings: true` and says `scale_decoder_outputs: false` where the head
    /// is its own; transformers 4 says it with `tie_word_embeddings` alone.
    let private isTied (json: JsonElement) =
        let flag (key: string) =
            match json.TryGetProperty key with
            | true, value when value.ValueKind = JsonValueKind.True -> Some true
            | true, value when value.ValueKind = JsonValueKind.False -> Some false
            | _ -> None

        match flag "scale_decoder_outputs", flag "tie_word_embeddings" with
        | Some scales, _ -> scales
        | None, Some tied -> tied
        | None, None -> true

    /// Ids of special tokens must be rows of the embedding.
    let private checked' (path: string) (config: Config) =
        for key, id in
            [
                "pad_token_id", config.PadId
                "eos_token_id", config.EosId
                "decoder_start_token_id", config.StartId
            ] do
            if id >= config.VocabularySize then
                userError $"{path}: {key} is {id}, and vocab_size is {config.VocabularySize}."

        config

    /// Reads `config.json` as transformers 4 and 5 write it; `path` is for messages.
    let ofJson (path: string) (json: JsonElement) : Config =
        let whole least key value =
            if value < float least || value > float Int32.MaxValue || value <> floor value then
                userError $"{path}: {key} is {value}; it is a whole number from {least}."

            int value

        let need key =
            number path json key None |> whole 1 key

        let give least key (fallback: int) =
            number path json key (Some(float fallback)) |> whole least key

        let share key fallback =
            match number path json key (Some fallback) with
            | value when value >= 0.0 && value < 1.0 -> value
            | value -> userError $"{path}: {key} is {value}; it is from 0 up to, not including, 1."

        let projection =
            match json.TryGetProperty "feed_forward_proj" with
            | true, value -> Json.text value
            | false, _ -> "relu"

        let activation, isGated = activation path projection
        let layers = need "num_layers"

        {
            VocabularySize = need "vocab_size"
            ModelWidth = need "d_model"
            KeyWidth = need "d_kv"
            FeedForwardWidth = need "d_ff"
            EncoderLayers = layers
            DecoderLayers = give 1 "num_decoder_layers" layers
            Heads = need "num_heads"
            Buckets = give 1 "relative_attention_num_buckets" 32
            MaxDistance = give 1 "relative_attention_max_distance" 128
            DropoutRate = share "dropout_rate" 0.1
            Epsilon = share "layer_norm_epsilon" 1e-6
            Activation = activation
            IsGated = isGated
            IsTied = isTied json
            PadId = give 0 "pad_token_id" 0
            EosId = give 0 "eos_token_id" 1
            StartId = give 0 "decoder_start_token_id" 0
        }
        |> checked' path

    /// Reads a `config.json` file.
    let load (path: string) : Config = ConfigFile.read path (ofJson path)

    /// The configuration in the layout of the published FLAN-T5 files.
    let toJson (config: Config) : string =
        let projection =
            match config.Activation, config.IsGated with
            | Relu, false -> "relu"
            | Relu, true -> "gated-relu"
            | GeluNew, false -> "gelu_new"
            | GeluNew, true -> "gated-gelu"

        let values: (string * obj) list =
            [
                "architectures", [| "T5ForConditionalGeneration" |]
                "d_ff", config.FeedForwardWidth
                "d_kv", config.KeyWidth
                "d_model", config.ModelWidth
                "decoder_start_token_id", config.StartId
                "dropout_rate", config.DropoutRate
                "eos_token_id", config.EosId
                "feed_forward_proj", projection
                "initializer_factor", 1.0
                "is_encoder_decoder", true
                "layer_norm_epsilon", config.Epsilon
                "model_type", "t5"
                "num_decoder_layers", config.DecoderLayers
                "num_heads", config.Heads
                "num_layers", config.EncoderLayers
                "pad_token_id", config.PadId
                "relative_attention_max_distance", config.MaxDistance
                "relative_attention_num_buckets", config.Buckets
                "tie_word_embeddings", config.IsTied
                "use_cache", true
                "vocab_size", config.VocabularySize
            ]

        JsonSerializer.Serialize(dict values, Json.options) + "\n"
