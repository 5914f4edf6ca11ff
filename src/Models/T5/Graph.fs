namespace Peft.T5

open Peft
open Peft.Kernels
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
        /// [vocabulary, d_model], used by both stacks.
        Embedding: Leaf
        /// [tokens, d_model]: soft tokens before the encoder's input (prompt tuning, Lester et al. 2021).
        Prompt: Leaf option
        /// The soft tokens of each member of a routed model (`T5.route`), none for a member without; otherwise empty.
        RoutedPrompts: Leaf option list
        /// [tokens, 2 · layers · heads · d_kv]: keys and values before those of the decoder's self-attentions (prefix
        /// tuning, Li and Liang 2021). Read as Hugging Face's peft reads it for an encoder-decoder: as 2 · layers blocks,
        /// of which layer i takes number 4 i (mod 2 · layers) as keys and the next as values.
        Prefix: Leaf option
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

    /// Every linear map with its address, in the order of computation.
    let projections (model: T5) : (Site * Projection) list =
        let found = ResizeArray()

        model
        |> rewrite (fun site projection ->
            found.Add(site, projection)
            projection)
        |> ignore

        List.ofSeq found

    /// Everything in the stacks that is no linear map: norms, position biases, adapters beside a layer.
    let private mapBetween (f: string -> Leaf -> Leaf) (model: T5) : T5 =
        let tower stack (tower: Tower) =
            let name = Site.stackName stack

            let norm place (norm: Norm) =
                { norm with
                    Scale = f $"{name}.{place}.weight" norm.Scale
                }

            let mapBlock index (block: Block) =
                let layer position =
                    norm $"block.{index}.layer.{position}.layer_norm"

                let last = if stack = Encoder then 1 else 2
                let output = $"{name}.block.{index}.layer.{last}.DenseReluDense.wo"

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
                            Norm = layer last block.FeedForward.Norm
                            Beside =
                                block.FeedForward.Beside
                                |> Option.map (Bottleneck.mapLeaves f $"{output}.parallel")
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
    /// leaves carry the site's name and a suffix (`.lora_a`, `.bias`, …), the soft prompt is `prompt_embeddings`, the
    /// prefix `prefix_embeddings`.
    let mapLeaves (f: string -> Leaf -> Leaf) (model: T5) : T5 =
        let outer =
            { model with
                Embedding = f "shared.weight" model.Embedding
                Prompt = model.Prompt |> Option.map (f "prompt_embeddings")
                RoutedPrompts =
                    model.RoutedPrompts
                    |> List.mapi (fun number -> Option.map (f $"prompt_embeddings.{number}"))
                Prefix = model.Prefix |> Option.map (f "prefix_embeddings")
                Head = model.Head |> Option.map (f "lm_head.weight")
            }

        outer
        |> mapBetween f
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

    /// Whether the encoder's output depends on a trained leaf: one of its own, the embedding, or a soft prompt.
    let trainsEncoder (model: T5) : bool =
        trained model
        |> List.exists (fun (name, _) ->
            [ "encoder."; "shared."; "prompt_embeddings" ]
            |> List.exists (fun start -> name.StartsWith(start, System.StringComparison.Ordinal)))

    /// Stops training everywhere; storage is shared.
    let freeze (model: T5) : T5 = mapLeaves (fun _ -> Leaf.freeze) model

    /// The same function with nothing to train and adapters folded into the weights: for evaluation, where adapters
    /// then cost nothing. A soft prompt stays, and so do biases.
    let merge (model: T5) : T5 =
        let kept name =
            if Leaf.isFloat32 name then
                torch.float32
            else
                model.Precision

        model
        |> rewrite (fun _ -> Projection.merge model.Precision)
        |> mapLeaves (fun name leaf ->
            match leaf with
            | Frozen _ -> leaf
            | Trained parameter -> Frozen(parameter.detach().``to``(kept name)))

    /// The same function with the decoder's frozen maps in the order in which oneDNN multiplies, where that pays: for steps of
    /// a few rows.
    let internal packDecoder (model: T5) : T5 =
        let isUsedInSteps (site: Site) =
            site.Stack = Decoder
            && not (site.Layer = LayerKind.CrossAttention && (site.Part = K || site.Part = V))

        model
        |> rewrite (fun site projection ->
            if isUsedInSteps site then
                Projection.pack model.Precision projection
            else
                projection)

    /// The number of trained elements.
    let countTrained (model: T5) : int64 =
        trained model |> List.sumBy (fun (_, parameter) -> parameter.numel ())

    /// The number of elements of all tensors, adapters included.
    let count (model: T5) : int64 =
        leaves model |> List.sumBy (fun (_, leaf) -> leaf.Value.numel ())

    /// AdaLoRA's orthogonality penalty (Zhang et al. 2023, eq. 4) as peft's loss has it: the mean over all A and B, each
    /// with its weight. None where no map is of that kind.
    let penalty (model: T5) : torch.Tensor option =
        match projections model |> List.collect (snd >> Projection.orthogonality) with
        | [] -> None
        | terms ->
            let share = 1.0 / float terms.Length

            terms
            |> List.map (fun (weight, distance) -> distance.mul ((weight * share).ToScalar()))
            |> List.reduce (fun total term -> total.add term)
            |> Some

    /// The model without its adapters: every linear map its base weight, no soft tokens. Tensors are shared, and what a
    /// technique copied or changed in place (full fine-tuning, trained norms, PiSSA) stays as it is.
    let strip (model: T5) : T5 =
        let bare =
            model |> rewrite (fun _ projection -> Dense(Projection.weight projection))

        let tower (tower: Tower) =
            { tower with
                Blocks =
                    tower.Blocks
                    |> List.map (fun block ->
                        { block with
                            FeedForward = { block.FeedForward with Beside = None }
                        })
            }

        { bare with
            Prompt = None
            RoutedPrompts = []
            Prefix = None
            Encoder = tower bare.Encoder
            Decoder = tower bare.Decoder
        }

    /// One model that serves several adapters of one base in one mixed batch: row i computes what `members[routes[i]]`
    /// computes, with the routes given by the pass (`Pass.Evaluation.Along routes`). Members differ in their linear maps
    /// and soft prompts only, so LoRA, (IA)3, BitFit, prompt tuning and the bare base go together.
    let route (members: T5 list) : T5 =
        let first =
            match members with
            | first :: _ -> first
            | [] -> invalidArg (nameof members) "there is no member to route to"

        let frame (model: T5) = leaves (strip model) |> List.map snd

        for other in members.Tail do
            if
                other.Config <> first.Config
                || not (List.forall2 (=) (frame first) (frame other))
            then
                invalidArg
                    (nameof members)
                    "the members do not share one base: embedding, norms and weights must be the same"

        let hasOthers (model: T5) =
            let besides (tower: Tower) =
                tower.Blocks |> List.exists _.FeedForward.Beside.IsSome

            model.Prefix.IsSome
            || not model.RoutedPrompts.IsEmpty
            || besides model.Encoder
            || besides model.Decoder

        if List.exists hasOthers members then
            invalidArg
                (nameof members)
                "a member with a prefix, a parallel adapter or routes of its own cannot be routed"

        let maps = members |> List.map (projections >> List.map snd >> Array.ofList)
        let mutable place = -1

        let routed =
            first
            |> rewrite (fun _ projection ->
                place <- place + 1
                let choices = maps |> List.map (fun map -> map[place])

                if List.forall ((=) projection) choices then
                    projection
                else
                    Routed choices)

        { routed with
            Prompt = None
            RoutedPrompts =
                if members |> List.exists _.Prompt.IsSome then
                    members |> List.map _.Prompt
                else
                    []
        }

type T5 with
    /// The number of elements of all tensors.
    member model.Elements: int64 = T5.count model

    /// The number of trained elements.
    member model.TrainedElements: int64 = T5.countTrained model
