namespace Peft.T5

open Peft

/// What stands for the embedding of both stacks and can have a tensor of its own: a stack's embedding, the head.
[<RequireQualifiedAccess>]
module Sharing =
    /// The names of what stands for the embedding and has no leaf of its own.
    let shared (model: T5) : string list =
        [
            if model.EncoderEmbedding.IsNone then
                Outlines.copyName Encoder
            if model.DecoderEmbedding.IsNone then
                Outlines.copyName Decoder
            if T5.isTied model then
                (Outlines.head model.Config).Name
        ]

    /// The same function, with a leaf of its own for one of `shared`.
    let untie (name: string) (model: T5) : T5 =
        let copy = Frozen(model.Embedding.Value.detach ())

        if name = Outlines.copyName Encoder then
            { model with
                EncoderEmbedding = Some copy
            }
        elif name = Outlines.copyName Decoder then
            { model with
                DecoderEmbedding = Some copy
            }
        else
            let own =
                T5.head model
                |> Projection.mapLeaves (fun _ leaf -> if leaf = model.Embedding then copy else leaf) Site.headName

            T5.withHead own model

    /// The same function with one embedding, as checkpoints have it; none where the stacks' embeddings differ.
    let joined (model: T5) : T5 option =
        let encoder = model.EncoderEmbedding |> Option.defaultValue model.Embedding
        let decoder = model.DecoderEmbedding |> Option.defaultValue model.Embedding

        let isSame (left: Leaf) (right: Leaf) =
            left = right || left.Value.eq(right.Value).all().item<bool>()

        if not (isSame encoder decoder) then
            None
        else
            // A head that was tied to another embedding keeps those numbers.
            let headed =
                if T5.isTied model && not (isSame encoder model.Embedding) then
                    untie (Outlines.head model.Config).Name model
                else
                    model

            Some
                { headed with
                    Embedding =
                        if isSame encoder model.Embedding then
                            model.Embedding
                        else
                            encoder
                    EncoderEmbedding = None
                    DecoderEmbedding = None
                }
