namespace Peft.Causal

open Peft

/// GPT-J (Wang and Komatsuzaki 2021): attention and feed-forward layer side by side behind one norm, rotary positions on
/// neighbouring pairs of a part of each head, a head with a bias.
[<RequireQualifiedAccess>]
module GptJ =
    let private names: Names =
        {
            Root = "transformer"
            Embedding = "wte"
            PositionTable = ""
            EmbeddingNorm = ""
            Blocks = "h"
            FinalNorm = "ln_f"
            AttentionNorm = "ln_1"
            FeedForwardNorm = ""
            QueryNorm = ""
            KeyNorm = ""
            Maps =
                [
                    Q, "attn.q_proj"
                    K, "attn.k_proj"
                    V, "attn.v_proj"
                    O, "attn.out_proj"
                    Up, "mlp.fc_in"
                    Down, "mlp.fc_out"
                ]
            Buffers = [ "attn.bias"; "attn.masked_bias"; "attn.embed_positions" ]
        }

    let private read (fields: ConfigFields) (beside: ConfigFields option) : Description =
        let width = fields.Need [ "n_embd"; "hidden_size" ]
        let heads = fields.Need [ "n_head"; "num_attention_heads" ]
        let headWidth = Reading.headWidth fields width heads
        let layers = Reading.layers fields [ "n_layer"; "num_hidden_layers" ]

        {
            Family = "gptj"
            Vocabulary = fields.Need [ "vocab_size" ]
            Width = width
            Layers = layers
            Heads = heads
            KeyValueHeads = heads
            HeadWidth = headWidth
            ScoreScale = float headWidth ** -0.5
            IsFused = false
            HasHeadNorms = false
            Windows = List.replicate layers None
            Positions =
                Positions.Rotary
                    {
                        Base = 10000.0
                        Width = fields.Whole([ "rotary_dim" ], headWidth)
                        Layout = RotaryLayout.NeighbouringPairs
                        Scaling = RotaryScaling.Unscaled
                    }
            MostPositions = fields.TryWhole(1, [ "n_positions"; "max_position_embeddings" ])
            Norm = NormKind.MeanAndVariance
            Epsilon = fields.Share([ "layer_norm_epsilon" ], 1e-5)
            HasEmbeddingNorm = false
            Form = BlockForm.Parallel
            FeedForwardWidth = fields.Whole([ "n_inner" ], 4 * width)
            IsGated = false
            Activation = Reading.activation fields "activation_function" "gelu_new"
            Biased = [ Up; Down ]
            IsTied = fields.Flag([ "tie_word_embeddings" ], false)
            HasHeadBias = true
            Usual =
                [
                    Q, Change.Update
                    Q, Change.RescaleOutput
                    V, Change.Update
                    V, Change.RescaleOutput
                    Down, Change.RescaleInput
                ]
            Dropout = Reading.dropout fields (Some "embd_pdrop") (Some "attn_pdrop") (Some "resid_pdrop")
            Deviation = fields.Share([ "initializer_range" ], 0.02)
            StartId = Reading.id fields "bos_token_id"
            PadId = Reading.id fields "pad_token_id"
            EosIds = Reading.eosIds fields beside (Some 50256)
            Names = names
        }

    let private write (description: Description) : (string * obj) list =
        [
            "activation_function", Activation.name description.Activation
            "attn_pdrop", Reading.rateAt description.Dropout.OnAttention description
            "embd_pdrop", Reading.rateAt description.Dropout.OnEmbedding description
            "layer_norm_epsilon", description.Epsilon
            "n_embd", description.Width
            "n_head", description.Heads
            "n_inner", description.FeedForwardWidth
            "n_layer", description.Layers
            match description.MostPositions with
            | Some most -> "n_positions", most
            | None -> ()
            "resid_pdrop", Reading.rateAt description.Dropout.OnResidual description
            match description.Positions with
            | Positions.Rotary rotary -> "rotary_dim", rotary.Width
            | _ -> ()
        ]

    /// How its configurations are read and written.
    let family: Family =
        {
            ModelType = "gptj"
            Classes = [ "GPTJForCausalLM"; "GPTJModel" ]
            Names = names
            Read = read
            Write = write
        }
