namespace Peft.T5

open Peft
open TorchSharp

/// How the attentions of a stack remember: whole sequences at once, or one step after the other with what is kept of the
/// steps before. Queries, keys, values and results are [rows, length, heads · d_kv].
type internal IAttending =
    /// Self-attention of the stack's block `block`.
    abstract Self: block: int * q: torch.Tensor * k: torch.Tensor * v: torch.Tensor -> torch.Tensor
    /// Attention to the encoder's output in block `block`, whose layer makes keys and values of it.
    abstract Cross: block: int * layer: Attention * q: torch.Tensor -> torch.Tensor

/// A transformer block, as training and decoding alike compute it.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Block =
    let private selfAttention pass (attending: IAttending) index (layer: Attention) (x: torch.Tensor) =
        let normed = Layer.norm layer.Norm x
        let project part = Projection.apply pass part normed
        // In this order: it is that of dropout's masks and of the sums of gradients.
        let k = project layer.K
        let v = project layer.V
        let q = project layer.Q

        attending.Self(index, q, k, v)
        |> Projection.apply pass layer.O
        |> Drop.add pass x

    let private crossAttention pass (attending: IAttending) index (layer: Attention) (x: torch.Tensor) =
        let q = Layer.norm layer.Norm x |> Projection.apply pass layer.Q

        attending.Cross(index, layer, q)
        |> Projection.apply pass layer.O
        |> Drop.add pass x

    /// The block number `index` of a stack on hidden states [rows, length, d_model].
    let apply
        (pass: Pass)
        (config: Config)
        (attending: IAttending)
        (index: int)
        (block: Block)
        (x: torch.Tensor)
        : torch.Tensor =
        let attended = selfAttention pass attending index block.SelfAttention x

        let informed =
            match block.CrossAttention with
            | Some layer -> crossAttention pass attending index layer attended
            | None -> attended

        Layer.feedForward pass config block.FeedForward informed
