namespace Peft.Causal

open Peft

/// Llama (Touvron et al. 2023; SmolLM and many others are of its kind) and its relatives Qwen2 and Qwen3: RMS norms, rotary
/// positions, a gated feed-forward layer, heads that share keys and values. They differ in biases and in norms of heads.
[<RequireQualifiedAccess>]
module Llama =
    let private names: Names =
        {
            Root = "model"
            Embedding = "embed_tokens"
            PositionTable = ""
            EmbeddingNorm = ""
            Blocks = "layers"
            FinalNorm = "norm"
            AttentionNorm = "input_layernorm"
            FeedForwardNorm = "post_attention_layernorm"
            QueryNorm = "self_attn.q_norm"
            KeyNorm = "self_attn.k_norm"
            Maps =
                [
                    Q, "self_attn.q_proj"
                    K, "self_attn.k_proj"
                    V, "self_attn.v_proj"
                    O, "self_attn.o_proj"
                    Gate, "mlp.gate_proj"
                    Up, "mlp.up_proj"
                    Down, "mlp.down_proj"
                ]
            Buffers = [ "self_attn.rotary_emb.inv_freq" ]
        }

    let private full, private sliding = "full_attention", "sliding_attention"

    let private noWindows (_: ConfigFields) (layers: int) : int option list = List.replicate layers None

    /// Qwen's: `layer_types` says which layers look back `sliding_window` tokens; without it those from `max_window_layers` on,
    /// where `use_sliding_window` is true.
    let private windows (fields: ConfigFields) (layers: int) : int option list =
        let isUsed = fields.Flag([ "use_sliding_window" ], false)

        let kinds =
            match fields.TryItems [ "layer_types" ] with
            | Some items -> Reading.texts items
            | None ->
                let first =
                    fields.TryWhole(0, [ "max_window_layers" ]) |> Option.defaultValue layers

                List.init layers (fun layer -> if isUsed && layer >= first then sliding else full)

        if kinds.Length <> layers then
            fields.Refuse $"layer_types is for {kinds.Length} layers, and num_hidden_layers is {layers}."

        kinds
        |> List.map (fun kind ->
            if kind = full then
                None
            elif kind = sliding then
                Some(fields.Need [ "sliding_window" ])
            else
                fields.Refuse $"layer_types has '{kind}'; {full} and {sliding} are known.")

    let private onQkv = [ Q; K; V ]

    let private attentionBiases (fields: ConfigFields) =
        if fields.Flag([ "attention_bias" ], false) then
            O :: onQkv
        else
            []

    let private feedForwardBiases (fields: ConfigFields) =
        if fields.Flag([ "mlp_bias" ], false) then
            [ Gate; Up; Down ]
        else
            []

    /// LoRA on q and v, (IA)3 on what `rescaled` gives, on v and on what the feed-forward layer's last map takes.
    let private usual (rescaled: Part) : (Part * Change) list =
        [
            Q, Change.Update
            V, Change.Update
            rescaled, Change.RescaleOutput
            V, Change.RescaleOutput
            Down, Change.RescaleInput
        ]

    let private read
        (modelType: string)
        (hasHeadNorms: bool)
        (biased: ConfigFields -> Part list)
        (windows: ConfigFields -> int -> int option list)
        (fields: ConfigFields)
        (beside: ConfigFields option)
        : Description =
        let width = fields.Need [ "hidden_size" ]
        let heads = fields.Need [ "num_attention_heads" ]
        let layers = Reading.layers fields [ "num_hidden_layers" ]

        let headWidth =
            match fields.TryWhole(1, [ "head_dim" ]) with
            | Some own -> own
            | None when hasHeadNorms -> 128
            | None -> Reading.headWidth fields width heads

        {
            Family = modelType
            Vocabulary = fields.Need [ "vocab_size" ]
            Width = width
            Layers = layers
            Heads = heads
            KeyValueHeads = fields.Whole([ "num_key_value_heads" ], heads)
            HeadWidth = headWidth
            ScoreScale = float headWidth ** -0.5
            IsFused = false
            HasHeadNorms = hasHeadNorms
            Windows = windows fields layers
            Positions = Positions.Rotary(RotaryConfig.read fields headWidth)
            MostPositions = fields.TryWhole(1, [ "max_position_embeddings" ])
            Norm = NormKind.RootMeanSquare
            Epsilon = fields.Share([ "rms_norm_eps" ], 1e-6)
            HasEmbeddingNorm = false
            Form = BlockForm.Sequential
            FeedForwardWidth = fields.Need [ "intermediate_size" ]
            IsGated = true
            Activation = Reading.activation fields "hidden_act" "silu"
            Biased = biased fields
            IsTied = fields.Flag([ "tie_word_embeddings" ], false)
            HasHeadBias = false
            Usual = usual (if modelType = "llama" then K else Q)
            Dropout = Reading.dropout fields None (Some "attention_dropout") None
            Deviation = fields.Share([ "initializer_range" ], 0.02)
            StartId = Reading.id fields "bos_token_id"
            PadId = Reading.id fields "pad_token_id"
            EosIds = Reading.eosIds fields beside (if modelType = "llama" then Some 2 else None)
            Names = names
        }

    let private common (description: Description) : (string * obj) list =
        [
            "attention_dropout", Reading.rateAt description.Dropout.OnAttention description
            "head_dim", description.HeadWidth
            "hidden_act", Activation.name description.Activation
            "hidden_size", description.Width
            "intermediate_size", description.FeedForwardWidth
            match description.MostPositions with
            | Some most -> "max_position_embeddings", most
            | None -> ()
            "num_attention_heads", description.Heads
            "num_hidden_layers", description.Layers
            "num_key_value_heads", description.KeyValueHeads
            "rms_norm_eps", description.Epsilon
            match description.Positions with
            | Positions.Rotary rotary -> yield! RotaryConfig.write description.HeadWidth rotary
            | _ -> ()
        ]

    let private flags (description: Description) : (string * obj) list =
        [
            "attention_bias", List.contains O description.Biased
            "mlp_bias", List.contains Down description.Biased
        ]

    let private windowed (description: Description) : (string * obj) list =
        match List.tryPick id description.Windows with
        | None -> [ "use_sliding_window", false ]
        | Some window ->
            let kinds =
                description.Windows
                |> List.map (fun window -> if window.IsSome then sliding else full)

            let first = List.findIndex Option.isSome description.Windows

            [
                "layer_types", kinds
                "max_window_layers", first
                "sliding_window", window
                "use_sliding_window", true
            ]

    /// How their configurations are read and written.
    let families: Family list =
        [
            {
                ModelType = "llama"
                Classes = [ "LlamaForCausalLM"; "LlamaModel" ]
                Names = names
                Read = read "llama" false (fun fields -> attentionBiases fields @ feedForwardBiases fields) noWindows
                Write = fun description -> common description @ flags description
            }
            {
                ModelType = "qwen2"
                Classes = [ "Qwen2ForCausalLM"; "Qwen2Model" ]
                Names = names
                Read = read "qwen2" false (fun _ -> onQkv) windows
                Write = fun description -> common description @ windowed description
            }
            {
                ModelType = "qwen3"
                Classes = [ "Qwen3ForCausalLM"; "Qwen3Model" ]
                Names = names
                Read = read "qwen3" true attentionBiases windows
                Write = fun description -> common description @ [ List.head (flags description) ] @ windowed description
            }
        ]
