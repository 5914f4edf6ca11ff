namespace Peft

open TorchSharp
open Peft.T5

// For the time of a move: the names that the rest of the library uses of a model, with T5 as the only family behind them.

/// A model as the rest of the library sees it.
type Model = T5

[<RequireQualifiedAccess>]
module Model =
    /// The model without its weights.
    let shape (model: Model) : Shape = Shapes.ofConfig model.Config

    /// The built-in sizes without their weights, by name.
    let sizes: (string * Shape) list =
        Sizes.all |> List.map (fun (name, config) -> name, Shapes.ofConfig config)

    /// The shape of a built-in size (`xl`, `google/flan-t5-xl`), of a `config.json`, or of a folder with one.
    let named (text: string) : Shape = Shapes.ofConfig (Sizes.config text)

    /// Where its tensors lie.
    let device (model: Model) : torch.Device = model.Embedding.Value.device

    /// The one traversal of linear maps: replaces the projection at every site.
    let rewrite (f: Site -> Projection -> Projection) (model: Model) : Model = T5.rewrite f model

    /// Every linear map with its address, in the order of computation.
    let projections (model: Model) : (Site * Projection) list = T5.projections model

    /// Applies `f name leaf` to every tensor of the model, under the names of a Hugging Face checkpoint; adapters' leaves
    /// carry the site's name and a suffix, the soft prompt is `prompt_embeddings`, the prefix `prefix_embeddings`.
    let mapLeaves (f: string -> Leaf -> Leaf) (model: Model) : Model = T5.mapLeaves f model

    /// Every tensor with its name; each name once.
    let leaves (model: Model) : (string * Leaf) list = T5.leaves model

    /// What an optimiser moves and an adapter file holds.
    let trained (model: Model) : (string * Modules.Parameter) list = T5.trained model

    /// Stops training everywhere; storage is shared.
    let freeze (model: Model) : Model = T5.freeze model

    /// The same function with nothing to train and adapters folded into the weights.
    let merge (model: Model) : Model = T5.merge model

    /// The model without its adapters.
    let strip (model: Model) : Model = T5.strip model

    /// The number of trained elements.
    let countTrained (model: Model) : int64 = T5.countTrained model

    /// The number of elements of all tensors, adapters included.
    let count (model: Model) : int64 = T5.count model

    /// Whether the encoder's output depends on a trained leaf.
    let trainsEncoder (model: Model) : bool = T5.trainsEncoder model

    /// The embedding of a token id [width], without gradient.
    let embeddingOf (id: int) (model: Model) : torch.Tensor =
        model.Embedding.Value.select (0L, int64 id)

    /// The model with soft tokens [tokens, width] before its input.
    let withPrompt (rows: Leaf) (model: Model) : Model = { model with Prompt = Some rows }

    /// The model with keys and values [tokens, `Shape.PrefixWidth`] before those of the decoder's self-attentions.
    let withPrefix (rows: Leaf) (model: Model) : Model = { model with Prefix = Some rows }

    /// The model with a net beside the feed-forward layers whose `Down` map `choose` gives one for.
    let withBeside (choose: Site -> Bottleneck option) (model: Model) : Model =
        let tower stack (tower: Tower) =
            { tower with
                Blocks =
                    tower.Blocks
                    |> List.mapi (fun index block ->
                        match choose (Sites.at model.Config stack index LayerKind.FeedForward Down) with
                        | None -> block
                        | beside ->
                            { block with
                                FeedForward =
                                    { block.FeedForward with
                                        Beside = beside
                                    }
                            })
            }

        { model with
            Encoder = tower Encoder model.Encoder
            Decoder = tower Decoder model.Decoder
        }
