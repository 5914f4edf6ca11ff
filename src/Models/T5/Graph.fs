namespace Peft.T5

open Peft
open TorchSharp

/// Root-mean-square norm without mean or bias: y = scale ∘ x / sqrt(mean(x²) + epsilon), `scale` [d_model].
[<ReferenceEquality>]
type Norm =
    {
        /// [width].
        Scale: Leaf
        /// What is added to the mean square.
        Epsilon: float
    }

/// One attention with the norm before it. The maps q, k, v go from d_model to heads · d_kv, o comes back.
[<ReferenceEquality>]
type Attention =
    {
        Norm: Norm
        Q: Projection
        K: Projection
        V: Projection
        O: Projection
    }

/// One feed-forward layer with the norm before it: output(act(gate x) ∘ input x), or output(act(input x)) without gate.
[<ReferenceEquality>]
type FeedForward =
    {
        Norm: Norm
        Gate: Projection option
        Input: Projection
        Output: Projection
        /// An adapter beside the whole layer: it reads the normed input, and its result joins the layer's (He et al. 2022).
        Beside: Bottleneck option
    }

/// One transformer block; only the decoder's blocks have a cross-attention.
[<ReferenceEquality>]
type Block =
    {
        SelfAttention: Attention
        CrossAttention: Attention option
        FeedForward: FeedForward
    }

/// One stack of blocks. `RelativeBias` [buckets, heads] belongs to the first block and serves all of them.
[<ReferenceEquality>]
type Tower =
    {
        RelativeBias: Leaf
        Blocks: Block list
        FinalNorm: Norm
    }

/// A T5 as a value: tensors and the functions between them are all in these records.
[<ReferenceEquality>]
type T5 =
    {
        Config: Config
        /// The dtype of activations and frozen matrices: float32 or bfloat16.
        Precision: torch.ScalarType
        /// [vocabulary, d_model], used by both stacks, but for one that has its own.
        Embedding: Leaf
        /// [vocabulary, d_model]; none where the encoder uses the embedding of both.
        EncoderEmbedding: Leaf option
        /// [vocabulary, d_model]; none where the decoder uses the embedding of both.
        DecoderEmbedding: Leaf option
        /// What an adapter changes of the embedding of both.
        Table: TableChange list
        /// Soft tokens before the encoder's input.
        Prompt: SoftPrompt
        /// [tokens, 2 · layers · heads · d_kv] (prefix tuning, Li and Liang 2021), read as Hugging Face's peft does for an
        /// encoder-decoder: 2 · layers blocks, of which decoder layer i takes number 4 i (mod 2 · layers) as keys, the next as values.
        Prefix: Leaf option
        Encoder: Tower
        Decoder: Tower
        /// From d_model to the vocabulary; none where the head is the embedding and nothing else (T5 v1.0).
        Head: Projection option
    }

[<RequireQualifiedAccess>]
module T5 =
    /// The one traversal of linear maps: replaces the projection at every site.
    let rewrite (f: Site -> Projection -> Projection) (model: T5) : T5 =
        let tower stack (tower: Tower) =
            let rewriteBlock index (block: Block) =
                let at kind part =
                    f (Sites.at model.Config stack index kind part)

                let attention kind (attention: Attention) =
                    { attention with
                        Q = at kind Q attention.Q
                        K = at kind K attention.K
                        V = at kind V attention.V
                        O = at kind O attention.O
                    }

                let dense = at LayerKind.FeedForward

                {
                    SelfAttention = attention LayerKind.SelfAttention block.SelfAttention
                    CrossAttention = block.CrossAttention |> Option.map (attention LayerKind.CrossAttention)
                    FeedForward =
                        { block.FeedForward with
                            Gate = block.FeedForward.Gate |> Option.map (dense Gate)
                            Input = dense Up block.FeedForward.Input
                            Output = dense Down block.FeedForward.Output
                        }
                }

            { tower with
                Blocks = tower.Blocks |> List.mapi rewriteBlock
            }

        { model with
            Encoder = tower Encoder model.Encoder
            Decoder = tower Decoder model.Decoder
        }

    /// Replaces the net beside every feed-forward layer; the site is the layer's `Down`.
    let mapBeside (f: Site -> Bottleneck option -> Bottleneck option) (model: T5) : T5 =
        let tower stack (tower: Tower) =
            let mapBlock index (block: Block) =
                let site = Sites.at model.Config stack index LayerKind.FeedForward Down

                { block with
                    FeedForward =
                        { block.FeedForward with
                            Beside = f site block.FeedForward.Beside
                        }
                }

            { tower with
                Blocks = tower.Blocks |> List.mapi mapBlock
            }

        { model with
            Encoder = tower Encoder model.Encoder
            Decoder = tower Decoder model.Decoder
        }

    /// Everything in the stacks that is no linear map: norms, position biases, nets beside a layer.
    let private mapBetween (f: string -> Leaf -> Leaf) (model: T5) : T5 =
        let config = model.Config

        let tower stack (tower: Tower) =
            let mapNorm (outline: Outline) (norm: Norm) =
                { norm with
                    Scale = f outline.Name norm.Scale
                }

            let mapBlock index (block: Block) =
                let before kind =
                    mapNorm (Outlines.norm config stack index kind)

                let beside =
                    Sites.at config stack index LayerKind.FeedForward Down |> Outlines.beside

                let attention kind (attention: Attention) =
                    { attention with
                        Norm = before kind attention.Norm
                    }

                {
                    SelfAttention = attention LayerKind.SelfAttention block.SelfAttention
                    CrossAttention = block.CrossAttention |> Option.map (attention LayerKind.CrossAttention)
                    FeedForward =
                        { block.FeedForward with
                            Norm = before LayerKind.FeedForward block.FeedForward.Norm
                            Beside = block.FeedForward.Beside |> Option.map (Bottleneck.mapLeaves f beside)
                        }
                }

            {
                RelativeBias = f (Outlines.relativeBias config stack).Name tower.RelativeBias
                Blocks = tower.Blocks |> List.mapi mapBlock
                FinalNorm = mapNorm (Outlines.finalNorm config stack) tower.FinalNorm
            }

        { model with
            Encoder = tower Encoder model.Encoder
            Decoder = tower Decoder model.Decoder
        }

    /// Applies `f name leaf` to every tensor of the model (`Model.mapLeaves`).
    let mapLeaves (f: string -> Leaf -> Leaf) (model: T5) : T5 =
        let embedding = f (Outlines.embedding model.Config).Name model.Embedding

        // An adapter around the embedding as head stands around no weight of its own.
        let inHead name leaf =
            if leaf = model.Embedding then embedding else f name leaf

        let outer =
            { model with
                Embedding = embedding
                EncoderEmbedding = model.EncoderEmbedding |> Option.map (f (Outlines.copyName Encoder))
                DecoderEmbedding = model.DecoderEmbedding |> Option.map (f (Outlines.copyName Decoder))
                Table =
                    model.Table
                    |> TableChange.mapLeaves f (Shape.moduleOf (Outlines.embedding model.Config).Name)
                Prompt = model.Prompt |> SoftPrompt.mapLeaves f
                Prefix = model.Prefix |> Option.map (f Model.prefixName)
                Head = model.Head |> Option.map (Projection.mapLeaves inHead Site.headName)
            }

        outer
        |> mapBetween f
        |> rewrite (fun site -> Projection.mapLeaves f (Site.name site))

    /// Every tensor with its name; each name once.
    let leaves (model: T5) : (string * Leaf) list =
        Traversal.visited (fun f -> mapLeaves f model)

    /// Whether the encoder's output depends on a trained leaf: one of its own, the embedding, or a soft prompt.
    let trainsEncoder (model: T5) : bool =
        let isBefore (name: string) =
            [ "encoder."; "shared."; SoftPrompt.leafName ]
            |> List.exists (fun start -> name.StartsWith(start, System.StringComparison.Ordinal))

        leaves model
        |> List.exists (fun (name, leaf) ->
            match leaf with
            | Trained _ -> isBefore name
            | Frozen _ -> false)

    /// The map from the decoder's output to logits: around the embedding's own leaf where the head is tied to it.
    let head (model: T5) : Projection =
        model.Head |> Option.defaultValue (Dense model.Embedding)

    /// Whether the head is the embedding.
    let isTied (model: T5) : bool =
        Projection.weight (head model) = model.Embedding

    /// The model with this head; one around the embedding's own leaf is tied to it.
    let withHead (head: Projection) (model: T5) : T5 =
        let isTied = Projection.weight head = model.Embedding

        { model with
            Config = { model.Config with IsTied = isTied }
            Head =
                match head with
                | Dense _ when isTied -> None
                | _ -> Some head
        }
