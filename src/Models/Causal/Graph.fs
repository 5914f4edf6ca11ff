namespace Peft.Causal

open Peft
open Peft.Kernels
open TorchSharp

/// A norm before a layer, of the embedding or of a head.
[<ReferenceEquality>]
type Norm =
    {
        Kind: NormKind
        /// [width].
        Scale: Leaf
        /// [width]; none of a norm without mean.
        Shift: Leaf option
        /// What is added under the root.
        Epsilon: float
    }

/// The maps from hidden states to queries, keys and values.
[<RequireQualifiedAccess; ReferenceEquality>]
type AttentionInputs =
    | Separate of q: Projection * k: Projection * v: Projection
    /// Laid out head by head: q, k and v of the first, then of the next.
    | Fused of Projection

/// One attention with the norm before it.
[<ReferenceEquality>]
type Attention =
    {
        Norm: Norm
        Inputs: AttentionInputs
        /// Of each head's query and key.
        HeadNorms: (Norm * Norm) option
        O: Projection
    }

/// One feed-forward layer: down(act(gate x) ∘ up x), or down(act(up x)) without gate.
[<ReferenceEquality>]
type FeedForward =
    {
        /// None in a block whose layers share one norm.
        Norm: Norm option
        Gate: Projection option
        Up: Projection
        Down: Projection
        /// An adapter beside the whole layer: it reads the normed input, and its result joins the layer's (He et al. 2022).
        Beside: Bottleneck option
    }

/// One transformer block.
[<ReferenceEquality>]
type Block =
    {
        Attention: Attention
        FeedForward: FeedForward
    }

/// A decoder-only model as a value: tensors and the functions between them are all in these records.
[<ReferenceEquality>]
type Causal =
    {
        Description: Description
        /// The dtype of activations and frozen matrices: float32 or bfloat16.
        Precision: torch.ScalarType
        /// [vocabulary, width].
        Embedding: Leaf
        /// What an adapter changes of the embedding.
        Table: TableChange list
        /// [positions, width]; none where positions are not learned.
        PositionTable: Leaf option
        EmbeddingNorm: Norm option
        /// Soft tokens before the input.
        Prompt: SoftPrompt
        /// [tokens, 2 · layers · key and value heads · width of a head]: keys and values before those of the attentions
        /// (prefix tuning, Li and Liang 2021). Layer i takes block 2 i as keys and the next as values, as peft has it.
        Prefix: Leaf option
        Blocks: Block list
        FinalNorm: Norm
        /// From width to the vocabulary; around the embedding's own leaf where it is tied to it.
        Head: Projection
    }

[<RequireQualifiedAccess>]
module Causal =
    let private mapBlocks (change: int -> Block -> Block) (model: Causal) : Causal =
        { model with
            Blocks = List.mapi change model.Blocks
        }

    /// The one traversal of linear maps: replaces the projection at every site.
    let rewrite (f: Site -> Projection -> Projection) (model: Causal) : Causal =
        model
        |> mapBlocks (fun index block ->
            let at part =
                f (Sites.at model.Description index part)

            // Bound one by one: the order of a traversal is that of the sites.
            let inputs =
                match block.Attention.Inputs with
                | AttentionInputs.Fused qkv -> AttentionInputs.Fused(at QKV qkv)
                | AttentionInputs.Separate(q, k, v) ->
                    let q = at Q q
                    let k = at K k
                    AttentionInputs.Separate(q, k, at V v)

            let o = at O block.Attention.O
            let gate = block.FeedForward.Gate |> Option.map (fun gate -> at Gate gate)
            let up = at Up block.FeedForward.Up

            {
                Attention =
                    { block.Attention with
                        Inputs = inputs
                        O = o
                    }
                FeedForward =
                    { block.FeedForward with
                        Gate = gate
                        Up = up
                        Down = at Down block.FeedForward.Down
                    }
            })

    /// Replaces the net beside every feed-forward layer; the site is the layer's `Down`.
    let mapBeside (f: Site -> Bottleneck option -> Bottleneck option) (model: Causal) : Causal =
        model
        |> mapBlocks (fun index block ->
            { block with
                FeedForward =
                    { block.FeedForward with
                        Beside = f (Sites.at model.Description index Down) block.FeedForward.Beside
                    }
            })

    let private mapNorm (f: string -> Leaf -> Leaf) (name: string) (norm: Norm) : Norm =
        { norm with
            Scale = f $"{name}.weight" norm.Scale
            Shift = norm.Shift |> Option.map (f $"{name}.bias")
        }

    /// Everything in the blocks that is no linear map: norms, and nets beside a layer.
    let private mapBetween (f: string -> Leaf -> Leaf) (model: Causal) : Causal =
        let names = model.Description.Names

        model
        |> mapBlocks (fun index block ->
            let norm name =
                mapNorm f (Sites.inBlock model.Description index name)

            let beside = Sites.at model.Description index Down |> Outlines.beside

            {
                Attention =
                    { block.Attention with
                        Norm = norm names.AttentionNorm block.Attention.Norm
                        HeadNorms =
                            block.Attention.HeadNorms
                            |> Option.map (fun (q, k) -> norm names.QueryNorm q, norm names.KeyNorm k)
                    }
                FeedForward =
                    { block.FeedForward with
                        Norm = block.FeedForward.Norm |> Option.map (norm names.FeedForwardNorm)
                        Beside = block.FeedForward.Beside |> Option.map (Bottleneck.mapLeaves f beside)
                    }
            })

    /// Applies `f name leaf` to every tensor of the model (`Model.mapLeaves`).
    let mapLeaves (f: string -> Leaf -> Leaf) (model: Causal) : Causal =
        let description = model.Description

        let norm name =
            mapNorm f (Sites.inRoot description name)

        let embedding = f (Outlines.embedding description).Name model.Embedding

        let table =
            Option.map2
                (fun (outline: Outline) -> f outline.Name)
                (Outlines.positionTable description)
                model.PositionTable

        // A head that is tied to the embedding has no weight of its own.
        let inHead name leaf =
            if leaf = model.Embedding then embedding else f name leaf

        { model with
            Embedding = embedding
            Table =
                model.Table
                |> TableChange.mapLeaves f (Shape.moduleOf (Outlines.embedding description).Name)
            PositionTable = table
            EmbeddingNorm = model.EmbeddingNorm |> Option.map (norm description.Names.EmbeddingNorm)
            Prompt = model.Prompt |> SoftPrompt.mapLeaves f
            Prefix = model.Prefix |> Option.map (f Model.prefixName)
            FinalNorm = norm description.Names.FinalNorm model.FinalNorm
            Head = model.Head |> Projection.mapLeaves inHead Site.headName
        }
        |> mapBetween f
        |> rewrite (fun site -> Projection.mapLeaves f site.Name)

    /// Every tensor with its name; each name once.
    let leaves (model: Causal) : (string * Leaf) list =
        Traversal.visited (fun f -> mapLeaves f model)

    /// Whether the head is the embedding.
    let isTied (model: Causal) : bool =
        Projection.weight model.Head = model.Embedding

    /// The model with this head; one around the embedding's own leaf is tied to it.
    let withHead (head: Projection) (model: Causal) : Causal =
        { model with
            Description =
                { model.Description with
                    IsTied = Projection.weight head = model.Embedding
                }
            Head = head
        }

    /// The same function, with a weight of its own in the head.
    let untie (model: Causal) : Causal =
        let copy = Frozen(model.Embedding.Value.detach ())

        let own =
            model.Head
            |> Projection.mapLeaves (fun _ leaf -> if leaf = model.Embedding then copy else leaf) Site.headName

        withHead own model

    /// The same function with its frozen maps in the order in which oneDNN multiplies, where that pays: for steps of a few
    /// rows.
    let internal pack (model: Causal) : Causal =
        model |> rewrite (fun _ -> Projection.pack model.Precision)
