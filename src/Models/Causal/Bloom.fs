namespace Peft.Causal

open Peft

/// BLOOM (BigScience 2022): biases of scores that grow with the distance (ALiBi), one map for queries, keys and values, a
/// norm behind the embedding.
[<RequireQualifiedAccess>]
module Bloom =
    let private names: Names =
        {
            Root = "transformer"
            Embedding = "word_embeddings"
            PositionTable = ""
            EmbeddingNorm = "word_embeddings_layernorm"
            Blocks = "h"
            FinalNorm = "ln_f"
            AttentionNorm = "input_layernorm"
            FeedForwardNorm = "post_attention_layernorm"
            QueryNorm = ""
            KeyNorm = ""
            Maps =
                [
                    QKV, "self_attention.query_key_value"
                    O, "self_attention.dense"
                    Up, "mlp.dense_h_to_4h"
                    Down, "mlp.dense_4h_to_h"
                ]
            Buffers = []
        }

    let private read (fields: ConfigFields) (beside: ConfigFields option) : Description =
        let width = fields.Need [ "hidden_size"; "n_embed" ]
        let heads = fields.Need [ "n_head"; "num_attention_heads" ]
        let headWidth = Reading.headWidth fields width heads
        let layers = Reading.layers fields [ "n_layer"; "num_hidden_layers" ]

        if fields.Flag([ "apply_residual_connection_post_layernorm" ], false) then
            fields.Refuse
                "apply_residual_connection_post_layernorm is true, which is not supported: no published BLOOM is."

        {
            Family = "bloom"
            Vocabulary = fields.Need [ "vocab_size" ]
            Width = width
            Layers = layers
            Heads = heads
            KeyValueHeads = heads
            HeadWidth = headWidth
            ScoreScale = float headWidth ** -0.5
            IsFused = true
            HasHeadNorms = false
            Windows = List.replicate layers None
            Positions = Positions.Alibi
            MostPositions = fields.TryWhole(1, [ "seq_length" ])
            Norm = NormKind.MeanAndVariance
            Epsilon = fields.Share([ "layer_norm_epsilon" ], 1e-5)
            HasEmbeddingNorm = true
            Form = BlockForm.Sequential
            // transformers reads no other width.
            FeedForwardWidth = 4 * width
            IsGated = false
            Activation = GeluNew
            Biased = [ QKV; O; Up; Down ]
            IsTied = fields.Flag([ "tie_word_embeddings" ], true)
            HasHeadBias = false
            Usual = [ QKV, Change.Update; QKV, Change.RescaleOutput; Down, Change.RescaleInput ]
            Dropout = Reading.dropout fields None (Some "attention_dropout") (Some "hidden_dropout")
            Deviation = fields.Share([ "initializer_range" ], 0.02)
            StartId = Reading.id fields "bos_token_id"
            PadId = Reading.id fields "pad_token_id"
            EosIds = Reading.eosIds fields beside (Some 2)
            Names = names
        }

    let private write (description: Description) : (string * obj) list =
        [
            "apply_residual_connection_post_layernorm", false
            "attention_dropout", Reading.rateAt description.Dropout.OnAttention description
            "hidden_dropout", Reading.rateAt description.Dropout.OnResidual description
            "hidden_size", description.Width
            "layer_norm_epsilon", description.Epsilon
            "n_head", description.Heads
            "n_layer", description.Layers
            match description.MostPositions with
            | Some most -> "seq_length", most
            | None -> ()
        ]

    /// How its configurations are read and written.
    let family: Family =
        {
            ModelType = "bloom"
            Classes = [ "BloomForCausalLM"; "BloomModel" ]
            Names = names
            Read = read
            Write = write
        }
