namespace Peft.T5

open TorchSharp

/// Root-mean-square norm without mean or bias: y = scale ∘ x / sqrt(mean(x²) + epsilon), `scale` [d_model].
[<ReferenceEquality>]
type Norm = { Scale: Leaf; Epsilon: float }

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
        /// [vocabulary, d_model], used by both stacks.
        Embedding: Leaf
        /// [tokens, d_model]: soft tokens before the encoder's input (prompt tuning, Lester et al. 2021).
        Prompt: Leaf option
        Encoder: Tower
        Decoder: Tower
        /// [vocabulary, d_model]; none where the head is the embedding (T5 v1.0).
        Head: Leaf option
    }

[<RequireQualifiedAccess>]
module T5 =
    /// The one traversal of linear maps: replaces the projection at every site.
    let rewrite (f: Site -> Projection -> Projection) (model: T5) : T5 =
        let tower stack (tower: Tower) =
            let rewriteBlock index (block: Block) =
                let at role =
                    f
                        {
                            Stack = stack
                            Block = index
                            Role = role
                        }

                let attention role (attention: Attention) =
                    { attention with
                        Q = at (role Q) attention.Q
                        K = at (role K) attention.K
                        V = at (role V) attention.V
                        O = at (role O) attention.O
                    }

                let input = if block.FeedForward.Gate.IsSome then Wi1 else Wi

                {
                    SelfAttention = attention SelfAttention block.SelfAttention
                    CrossAttention = block.CrossAttention |> Option.map (attention CrossAttention)
                    FeedForward =
                        { block.FeedForward with
                            Gate = block.FeedForward.Gate |> Option.map (at (FeedForward Wi0))
                            Input = at (FeedForward input) block.FeedForward.Input
                            Output = at (FeedForward Wo) block.FeedForward.Output
                        }
                }

            { tower with
                Blocks = tower.Blocks |> List.mapi rewriteBlock
            }

        { model with
            Encoder = tower Encoder model.Encoder
            Decoder = tower Decoder model.Decoder
        }

    /// Every linear map with its address, in the order of computation.
    let projections (model: T5) : (Site * Projection) list =
        let found = ResizeArray()

        model
        |> rewrite (fun site projection ->
            found.Add(site, projection)
            projection)
        |> ignore

        List.ofSeq found

    let private mapNorms (f: string -> Leaf -> Leaf) (model: T5) : T5 =
        let tower stack (tower: Tower) =
            let name = Site.stackName stack

            let norm place (norm: Norm) =
                { norm with
                    Scale = f $"{name}.{place}.weight" norm.Scale
                }

            let mapBlock index (block: Block) =
                let layer position =
                    norm $"block.{index}.layer.{position}.layer_norm"

                {
                    SelfAttention =
                        { block.SelfAttention with
                            Norm = layer 0 block.SelfAttention.Norm
                        }
                    CrossAttention =
                        block.CrossAttention
                        |> Option.map (fun attention ->
                            { attention with
                                Norm = layer 1 attention.Norm
                            })
                    FeedForward =
                        { block.FeedForward with
                            Norm = layer (if stack = Encoder then 1 else 2) block.FeedForward.Norm
                        }
                }

            {
                RelativeBias =
                    f $"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight" tower.RelativeBias
                Blocks = tower.Blocks |> List.mapi mapBlock
                FinalNorm = norm "final_layer_norm" tower.FinalNorm
            }

        { model with
            Encoder = tower Encoder model.Encoder
            Decoder = tower Decoder model.Decoder
        }

    /// Applies `f name leaf` to every tensor of the model, under the names of a Hugging Face checkpoint; adapters'
    /// leaves carry the site's name and a suffix (`.lora_a`, `.bias`, …), the soft prompt is `prompt_embeddings`.
    let mapLeaves (f: string -> Leaf -> Leaf) (model: T5) : T5 =
        let outer =
            { model with
                Embedding = f "shared.weight" model.Embedding
                Prompt = model.Prompt |> Option.map (f "prompt_embeddings")
                Head = model.Head |> Option.map (f "lm_head.weight")
            }

        outer
        |> mapNorms f
        |> rewrite (fun site -> Projection.mapLeaves f (Site.name site))

    /// Every tensor with its name; each name once.
    let leaves (model: T5) : (string * Leaf) list =
        let found = ResizeArray()

        model
        |> mapLeaves (fun name leaf ->
            found.Add(name, leaf)
            leaf)
        |> ignore

        List.ofSeq found

    /// What an optimiser moves and an adapter file holds.
    let trained (model: T5) : (string * Modules.Parameter) list =
        leaves model
        |> List.choose (fun (name, leaf) ->
            match leaf with
            | Trained parameter -> Some(name, parameter)
            | Frozen _ -> None)

    /// Stops training everywhere; storage is shared.
    let freeze (model: T5) : T5 = mapLeaves (fun _ -> Leaf.freeze) model

    /// The same function with nothing to train and adapters folded into the weights: for evaluation, where adapters
    /// then cost nothing. A soft prompt stays, and so do biases.
    let merge (model: T5) : T5 =
        let kept name =
            if Leaf.isFloat32 name then torch.float32 else model.Precision

        model
        |> rewrite (fun _ -> Projection.merge model.Precision)
        |> mapLeaves (fun name leaf ->
            match leaf with
            | Frozen _ -> leaf
            | Trained parameter -> Frozen(parameter.detach().``to`` (kept name)))

    /// The number of trained elements.
    let countTrained (model: T5) : int64 =
        trained model |> List.sumBy (fun (_, parameter) -> parameter.numel ())

    /// The number of elements of all tensors, adapters included.
    let count (model: T5) : int64 =
        leaves model |> List.sumBy (fun (_, leaf) -> leaf.Value.numel ())
