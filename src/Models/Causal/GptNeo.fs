namespace Peft.Causal

open System.Text.Json
open Peft

/// GPT-Neo (Black et al. 2021): learned positions, every other layer looks back a window, scores are not scaled.
[<RequireQualifiedAccess>]
module GptNeo =
    let private names: Names =
        {
            Root = "transformer"
            Embedding = "wte"
            PositionTable = "wpe"
            EmbeddingNorm = ""
            Blocks = "h"
            FinalNorm = "ln_f"
            AttentionNorm = "ln_1"
            FeedForwardNorm = "ln_2"
            QueryNorm = ""
            KeyNorm = ""
            Maps =
                [
                    Q, "attn.attention.q_proj"
                    K, "attn.attention.k_proj"
                    V, "attn.attention.v_proj"
                    O, "attn.attention.out_proj"
                    Up, "mlp.c_fc"
                    Down, "mlp.c_proj"
                ]
            Buffers = [ "attn.attention.bias"; "attn.attention.masked_bias" ]
        }

    /// The kinds of attention by layer: `attention_types` is a list of [kinds, how often].
    let private kinds (fields: ConfigFields) (layers: int) : string list =
        let repeated (item: JsonElement) =
            match List.ofSeq (item.EnumerateArray()) with
            | [ kinds; times ] when times.ValueKind = JsonValueKind.Number && times.GetDouble() <= float layers ->
                let kinds = Reading.texts (List.ofSeq (kinds.EnumerateArray()))
                List.replicate (int (times.GetDouble())) kinds |> List.concat
            | _ -> fields.Refuse $"attention_types has {item.GetRawText()}; that is a list of kinds and how often."

        let kinds =
            match fields.TryItems [ "attention_types" ], fields.TryItems [ "attention_layers" ] with
            | Some items, _ -> List.collect repeated items
            | None, Some items -> Reading.texts items
            | None, None -> List.init layers (fun layer -> if layer % 2 = 0 then "global" else "local")

        if kinds.Length <> layers then
            fields.Refuse $"attention_types is for {kinds.Length} layers, and num_layers is {layers}."

        kinds

    let private window (fields: ConfigFields) (size: int) (kind: string) : int option =
        match kind with
        | "global" -> None
        | "local" -> Some size
        | other -> fields.Refuse $"attention_types has '{other}'; global and local are known."

    let private read (fields: ConfigFields) (beside: ConfigFields option) : Description =
        let width = fields.Need [ "hidden_size" ]
        let heads = fields.Need [ "num_heads"; "num_attention_heads" ]
        let layers = Reading.layers fields [ "num_layers"; "num_hidden_layers" ]
        let size = fields.Whole([ "window_size" ], 256)
        let most = fields.Need [ "max_position_embeddings" ]

        {
            Family = "gpt_neo"
            Vocabulary = fields.Need [ "vocab_size" ]
            Width = width
            Layers = layers
            Heads = heads
            KeyValueHeads = heads
            HeadWidth = Reading.headWidth fields width heads
            ScoreScale = 1.0
            IsFused = false
            HasHeadNorms = false
            Windows = kinds fields layers |> List.map (window fields size)
            Positions = Positions.Learned most
            MostPositions = Some most
            Norm = NormKind.MeanAndVariance
            Epsilon = fields.Share([ "layer_norm_epsilon" ], 1e-5)
            HasEmbeddingNorm = false
            Form = BlockForm.Sequential
            FeedForwardWidth = fields.Whole([ "intermediate_size" ], 4 * width)
            IsGated = false
            Activation = Reading.activation fields "activation_function" "gelu_new"
            Biased = [ O; Up; Down ]
            IsTied = fields.Flag([ "tie_word_embeddings" ], true)
            HasHeadBias = false
            Usual =
                [
                    Q, Change.Update
                    Q, Change.RescaleOutput
                    V, Change.Update
                    V, Change.RescaleOutput
                    Down, Change.RescaleInput
                ]
            Dropout = Reading.dropout fields (Some "embed_dropout") (Some "attention_dropout") (Some "resid_dropout")
            Deviation = fields.Share([ "initializer_range" ], 0.02)
            StartId = Reading.id fields "bos_token_id"
            PadId = Reading.id fields "pad_token_id"
            EosIds = Reading.eosIds fields beside (Some 50256)
            Names = names
        }

    let private write (description: Description) : (string * obj) list =
        let kinds =
            description.Windows
            |> List.map (fun window -> if window.IsSome then "local" else "global")

        let types: obj list list = [ [ kinds; 1 ] ]

        [
            "activation_function", Activation.name description.Activation
            "attention_dropout", Reading.rateAt description.Dropout.OnAttention description
            "attention_layers", kinds
            "attention_types", types
            "embed_dropout", Reading.rateAt description.Dropout.OnEmbedding description
            "hidden_size", description.Width
            "intermediate_size", description.FeedForwardWidth
            "layer_norm_epsilon", description.Epsilon
            match description.MostPositions with
            | Some most -> "max_position_embeddings", most
            | None -> ()
            "num_heads", description.Heads
            "num_layers", description.Layers
            "resid_dropout", Reading.rateAt description.Dropout.OnResidual description
            match List.tryPick id description.Windows with
            | Some size -> "window_size", size
            | None -> ()
        ]

    /// How its configurations are read and written.
    let family: Family =
        {
            ModelType = "gpt_neo"
            Classes = [ "GPTNeoForCausalLM"; "GPTNeoModel" ]
            Names = names
            Read = read
            Write = write
        }
