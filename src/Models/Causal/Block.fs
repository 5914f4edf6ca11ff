namespace Peft.Causal

open Peft
open TorchSharp

/// How the attentions of the blocks remember: whole sequences at once, or one step after the other with what is kept of the
/// steps before. Queries are [rows, length, heads, width of a head], keys and values [rows, length, heads of keys, width], the
/// result is [rows, length, heads · width].
type internal IAttending =
    /// The attention of block number `block`.
    abstract Attend: block: int * q: torch.Tensor * k: torch.Tensor * v: torch.Tensor -> torch.Tensor

/// The layers of a decoder as functions of hidden states [rows, length, width] in the model's precision.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Block =
    /// A norm over the last dimension.
    let norm (norm: Norm) (x: torch.Tensor) : torch.Tensor =
        match norm.Kind with
        | NormKind.RootMeanSquare -> Layers.rootMeanSquare norm.Epsilon norm.Scale x
        | NormKind.MeanAndVariance ->
            let cast = Leaf.cast x.dtype

            let widths = [| x.size -1 |]

            match norm.Shift with
            | Some shift -> torch.nn.functional.layer_norm (x, widths, cast norm.Scale, cast shift, eps = norm.Epsilon)
            | None -> torch.nn.functional.layer_norm (x, widths, cast norm.Scale, eps = norm.Epsilon)

    /// The pass at a place that drops or does not.
    let at (isOn: bool) (pass: Pass) : Pass =
        if isOn then pass else { pass with Dropout = 0.0 }

    /// softmax(Q Kᵀ + bias) V of queries as `IAttending` has them and keys and values [rows, heads of keys, keys, width]: the
    /// heads of queries that share a head of keys are its queries side by side, so that no key is copied.
    let attend
        (pass: Pass)
        (description: Description)
        (bias: torch.Tensor option)
        (q: torch.Tensor)
        (k: torch.Tensor)
        (v: torch.Tensor)
        : torch.Tensor =
        let rows, length, width = q.size 0, q.size 1, int64 description.HeadWidth

        let queries =
            q.transpose(1L, 2L).reshape(rows, int64 description.KeyValueHeads, -1L, width)

        (Layers.attend (at description.Dropout.OnAttention pass) bias queries k v)
            .view(rows, int64 description.Heads, length, width)
            .transpose(1L, 2L)
            .flatten(2L)

    let private inputs
        pass
        (description: Description)
        (turning: Turning)
        (attention: Attention)
        (normed: torch.Tensor)
        =
        let byHead (heads: int) (x: torch.Tensor) =
            x.view (x.size 0, x.size 1, int64 heads, int64 description.HeadWidth)

        let project heads part =
            Projection.apply pass part normed |> byHead heads

        let q, k, v =
            match attention.Inputs with
            | AttentionInputs.Separate(q, k, v) ->
                let q = project description.Heads q
                let k = project description.KeyValueHeads k
                q, k, project description.KeyValueHeads v
            | AttentionInputs.Fused qkv ->
                let all =
                    (Projection.apply pass qkv normed)
                        .view(normed.size 0, normed.size 1, int64 description.Heads, 3L, -1L)

                all.select (3L, 0L), all.select (3L, 1L), all.select (3L, 2L)

        let q, k =
            match attention.HeadNorms with
            | Some(ofQuery, ofKey) -> norm ofQuery q, norm ofKey k
            | None -> q, k

        turning.Query q, turning.Key k, v

    let private feedForward pass (description: Description) (layer: FeedForward) (normed: torch.Tensor) =
        let apply part = Projection.apply pass part normed

        let inner =
            match layer.Gate with
            | Some gate -> Layers.gated (at false pass) description.Activation (apply gate) (apply layer.Up)
            | None -> apply layer.Up |> Activation.apply description.Activation

        let main = Projection.apply pass layer.Down inner

        match layer.Beside with
        | Some net -> main.add (Bottleneck.apply net normed)
        | None -> main

    /// The block number `index` on hidden states [rows, length, width].
    let apply
        (pass: Pass)
        (description: Description)
        (turning: Turning)
        (attending: IAttending)
        (index: int)
        (block: Block)
        (x: torch.Tensor)
        : torch.Tensor =
        let add = Drop.add (at description.Dropout.OnResidual pass)
        let normed = norm block.Attention.Norm x

        let q, k, v = inputs pass description turning block.Attention normed

        let attended =
            attending.Attend(index, q, k, v)
            |> Projection.apply pass block.Attention.O
            |> add x

        match block.FeedForward.Norm with
        | Some own ->
            norm own attended
            |> feedForward pass description block.FeedForward
            |> add attended
        | None -> feedForward pass description block.FeedForward normed |> add attended
