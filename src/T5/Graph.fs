namespace Peft.T5

open TorchSharp

/// The two halves of T5.
type Stack =
    | Encoder
    | Decoder

/// The four linear maps of one attention.
type AttentionPart =
    | Q
    | K
    | V
    | O

/// The linear maps of a feed-forward layer: `Wi` and `Wo` in T5 v1.0; `Wi0` (gate), `Wi1` and `Wo` in v1.1 and FLAN-T5.
type FeedForwardPart =
    | Wi
    | Wi0
    | Wi1
    | Wo

/// What a linear map does in its block.
type Role =
    | SelfAttention of AttentionPart
    | CrossAttention of AttentionPart
    | FeedForward of FeedForwardPart

/// The address of one linear map in T5.
type Site =
    { Stack: Stack; Block: int; Role: Role }

/// A tensor of the model, and whether a run may change it.
[<ReferenceEquality>]
type Leaf =
    | Frozen of torch.Tensor
    | Trained of Modules.Parameter

    /// The tensor itself.
    member leaf.Value: torch.Tensor =
        match leaf with
        | Frozen tensor -> tensor
        | Trained parameter -> parameter

/// What a site computes. Adapters wrap: the base weight stays inside, untouched.
[<ReferenceEquality>]
type Projection =
    /// y = W x, with `weight` of shape [out, in].
    | Dense of weight: Leaf
    /// y = inner x + scale · B (A dropout(x)), with `a` [rank, in] and `b` [out, rank] (LoRA, Hu et al. 2021, eq. 3).
    | LowRank of inner: Projection * a: Leaf * b: Leaf * scale: float * dropout: float
    /// y = output ∘ inner(input ∘ x), with `input` [in] and `output` [out] ((IA)3; T-Few's LoRALinear).
    | Rescaled of inner: Projection * input: Leaf option * output: Leaf option
    /// y = inner x + bias, with `bias` [out] (BitFit, Ben Zaken et al. 2022).
    | Shifted of inner: Projection * bias: Leaf

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
module Site =
    let private attentionPart =
        function
        | Q -> "q"
        | K -> "k"
        | V -> "v"
        | O -> "o"

    let private feedForwardPart =
        function
        | Wi -> "wi"
        | Wi0 -> "wi_0"
        | Wi1 -> "wi_1"
        | Wo -> "wo"

    /// The folder of a stack in Hugging Face's names.
    let stackName (stack: Stack) : string =
        match stack with
        | Encoder -> "encoder"
        | Decoder -> "decoder"

    /// The module's name in a Hugging Face checkpoint, for example `decoder.block.3.layer.1.EncDecAttention.q`.
    let name (site: Site) : string =
        let layer =
            match site.Role with
            | SelfAttention part -> $"0.SelfAttention.{attentionPart part}"
            | CrossAttention part -> $"1.EncDecAttention.{attentionPart part}"
            | FeedForward part ->
                let position = if site.Stack = Encoder then 1 else 2
                $"{position}.DenseReluDense.{feedForwardPart part}"

        $"{stackName site.Stack}.block.{site.Block}.layer.{layer}"

[<RequireQualifiedAccess>]
module Leaf =
    /// A leaf that a run trains, from a copy of `tensor` in float32.
    let trained (tensor: torch.Tensor) : Leaf =
        Trained(new Modules.Parameter(tensor.detach().``to``(torch.float32, copy = true)))

    /// The tensor without gradient, sharing its storage.
    let freeze (leaf: Leaf) : Leaf =
        match leaf with
        | Frozen _ -> leaf
        | Trained parameter -> Frozen(parameter.detach ())

[<RequireQualifiedAccess>]
module Projection =
    /// The base weight [out, in] at the centre of all wrappers.
    let rec weight (projection: Projection) : torch.Tensor =
        match projection with
        | Dense weight -> weight.Value
        | LowRank(inner = inner)
        | Rescaled(inner = inner)
        | Shifted(inner = inner) -> weight inner

    /// Applies `f name leaf` to every leaf, from the inside out. The suffixes are the names in adapter files.
    let rec mapLeaves (f: string -> Leaf -> Leaf) (name: string) (projection: Projection) : Projection =
        match projection with
        | Dense weight -> Dense(f $"{name}.weight" weight)
        | LowRank(inner, a, b, scale, dropout) ->
            LowRank(mapLeaves f name inner, f $"{name}.lora_a" a, f $"{name}.lora_b" b, scale, dropout)
        | Rescaled(inner, input, output) ->
            Rescaled(
                mapLeaves f name inner,
                input |> Option.map (f $"{name}.multi_lora_a"),
                output |> Option.map (f $"{name}.multi_lora_b")
            )
        | Shifted(inner, bias) -> Shifted(mapLeaves f name inner, f $"{name}.bias" bias)

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

    /// The number of trained elements.
    let countTrained (model: T5) : int64 =
        trained model |> List.sumBy (fun (_, parameter) -> parameter.numel ())

    /// The number of elements of all tensors, adapters included.
    let count (model: T5) : int64 =
        leaves model |> List.sumBy (fun (_, leaf) -> leaf.Value.numel ())
