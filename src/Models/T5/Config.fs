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
        /// The rate of dropout in training, from 0 to 1.
        DropoutRate: float
        /// What norms add to the mean square.
        Epsilon: float
        Activation: Activation
        IsGated: bool
        /// Whether the head is the embedding, as in T5 v1.0; where there are weights, they decide.
        IsTied: bool
        /// Whether the decoder's output is scaled by d_model^-0.5 before the head, as in T5 v1.0.
        ScalesOutput: bool
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
            ScalesOutput = false
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

    let private tryText (json: JsonElement) (key: string) =
        match json.TryGetProperty key with
        | true, value when value.ValueKind <> JsonValueKind.Null -> Some(Json.text value)
        | _ -> None

    let private tryFlag (json: JsonElement) (key: string) =
        match json.TryGetProperty key with
        | true, value when value.ValueKind = JsonValueKind.True -> Some true
        | true, value when value.ValueKind = JsonValueKind.False -> Some false
        | _ -> None

    /// The activation and whether a gate goes through it: `feed_forward_proj` is a name, or `gated-` and a name, where
    /// `gated-gelu` means `gelu_new`; `dense_act_fn` and `is_gated_act` overrule it.
    let private activation (path: string) (json: JsonElement) : Activation * bool =
        let projection = tryText json "feed_forward_proj" |> Option.defaultValue "relu"
        let start = "gated-"
        let isGated = projection.StartsWith(start, StringComparison.Ordinal)

        let key, name =
            match tryText json "dense_act_fn" with
            | Some name -> "dense_act_fn", name
            | None when projection = "gated-gelu" -> "feed_forward_proj", "gelu_new"
            | None when isGated -> "feed_forward_proj", projection.Substring start.Length
            | None -> "feed_forward_proj", projection

        match Activation.tryFind name with
        | Some activation -> activation, tryFlag json "is_gated_act" |> Option.defaultValue isGated
        | None ->
            let known = String.concat ", " Activation.all
            userError $"{path}: {key} '{name}' is not supported: {known}, and gated- with each of them are."

    /// Whether the head is the embedding, as far as the configuration tells, and whether the output is scaled before it.
    /// transformers 5 always writes `tie_word_embeddings: true`, says `scale_decoder_outputs: false` for a T5 v1.1, and leaves
    /// it to the weights whether there is a head; transformers 4 says both with `tie_word_embeddings` alone. An mT5 is never
    /// scaled, and transformers 5 writes that it is tied whatever its head is.
    let private head (json: JsonElement) : bool * bool =
        let isTied = tryFlag json "tie_word_embeddings" |> Option.defaultValue true

        let isMultilingual =
            match json.TryGetProperty "model_type" with
            | true, name -> name.ValueKind = JsonValueKind.String && name.ValueEquals "mt5"
            | false, _ -> false

        match tryFlag json "scale_decoder_outputs" with
        | Some scales -> (isTied && scales), scales
        | None -> isTied, (isTied && not isMultilingual)

    /// Far above every T5 there is: a description of more blocks is damaged, and its sites alone would fill memory.
    let private mostLayers = 1000

    /// Ids of special tokens must be rows of the embedding, and there are only so many blocks.
    let private checked' (path: string) (config: Config) =
        for key, layers in
            [
                "num_layers", config.EncoderLayers
                "num_decoder_layers", config.DecoderLayers
            ] do
            if layers > mostLayers then
                userError $"{path}: {key} is {layers}; the most is {mostLayers}."

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

        let activation, isGated = activation path json
        let isTied, scalesOutput = head json
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
            IsTied = isTied
            ScalesOutput = scalesOutput
            PadId = give 0 "pad_token_id" 0
            EosId = give 0 "eos_token_id" 1
            StartId = give 0 "decoder_start_token_id" 0
        }
        |> checked' path

    /// Reads a `config.json` file.
    let load (path: string) : Config = ConfigFile.read path (ofJson path)

    /// The configuration in the layout of the published FLAN-T5 files.
    let toJson (config: Config) : string =
        let name = Activation.name config.Activation

        // `gated-gelu` would mean `gelu_new`.
        let projection =
            match config.Activation, config.IsGated with
            | (GeluNew | Gelu), true -> "gated-gelu"
            | _, true -> $"gated-{name}"
            | _, false -> name

        // One flag says both in the published files; transformers 5 reads two facts from two flags and the weights.
        let isUsual = config.IsTied = config.ScalesOutput

        let values: (string * obj) list =
            [
                "architectures", [| "T5ForConditionalGeneration" |]
                "d_ff", config.FeedForwardWidth
                "d_kv", config.KeyWidth
                "d_model", config.ModelWidth
                "decoder_start_token_id", config.StartId
                if config.Activation = Gelu && config.IsGated then
                    "dense_act_fn", name
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
                if not isUsual then
                    "scale_decoder_outputs", config.ScalesOutput
                "tie_word_embeddings", (config.IsTied || not isUsual)
                "use_cache", true
                "vocab_size", config.VocabularySize
            ]

        JsonSerializer.Serialize(dict values, HuggingFaceJson.options ()) + "\n"
