namespace Peft.T5

open Peft
open Peft.Kernels
open TorchSharp

/// T5's layers as functions of tensors. Hidden states are [rows, length, d_model] in the model's precision; scores and
/// position biases are float32.
[<RequireQualifiedAccess>]
module Layer =
    /// Dropout in training, the tensor itself otherwise.
    let drop (pass: Pass) (x: torch.Tensor) : torch.Tensor = Drop.apply pass pass.Dropout x

    /// T5's layer norm: the mean square in float32, the result in the dtype of `x`.
    let norm (norm: Norm) (x: torch.Tensor) : torch.Tensor =
        Layers.rootMeanSquare norm.Epsilon norm.Scale x

    /// [rows, length, heads · d_kv] → [rows, heads, length, d_kv].
    let splitHeads (config: Config) (x: torch.Tensor) : torch.Tensor =
        x.view(x.size 0, -1L, int64 config.Heads, int64 config.KeyWidth).transpose(1L, 2L)

    /// [rows, heads, length, d_kv] → [rows, length, heads · d_kv].
    let joinHeads (x: torch.Tensor) : torch.Tensor = x.transpose(1L, 2L).flatten(2L, 3L)

    /// x + dropout(Wo dropout(act(gate x̂) ∘ input x̂) + beside x̂), x̂ the normed x.
    let feedForward (pass: Pass) (config: Config) (layer: FeedForward) (x: torch.Tensor) : torch.Tensor =
        let normed = norm layer.Norm x
        let apply = Projection.apply pass

        let inner =
            match layer.Gate with
            | Some gate -> Layers.gated pass config.Activation (apply gate normed) (apply layer.Input normed)
            | None -> apply layer.Input normed |> Activation.apply config.Activation |> drop pass

        let main = apply layer.Output inner

        let whole =
            match layer.Beside with
            | Some bottleneck -> main.add (Bottleneck.apply bottleneck normed)
            | None -> main

        Drop.add pass x whole

/// Where one position stands to another: T5's relative attention buckets (Raffel et al. 2020, §2.1).
[<RequireQualifiedAccess>]
module Position =
    /// The bucket of `relative` = key position − query position. The encoder looks both ways with half of the buckets
    /// each; the decoder looks back only. Near distances have a bucket each, far ones share them logarithmically.
    let bucket (isEncoder: bool) (buckets: int) (maxDistance: int) (relative: int) : int =
        let count = if isEncoder then buckets / 2 else buckets
        let offset = if isEncoder && relative > 0 then count else 0
        let distance = if isEncoder then abs relative else max 0 -relative
        let exact = count / 2

        if distance < exact then
            offset + distance
        else
            // In float32, as Hugging Face computes it: a distance on a boundary must land on the same side.
            let share =
                System.MathF.Log(float32 distance / float32 exact)
                / System.MathF.Log(float32 maxDistance / float32 exact)

            offset + min (count - 1) (exact + int (share * float32 (count - exact)))

    /// The position bias [1, heads, queries, keys] of a stack, float32; queries are the last of the keys' positions.
    let bias (config: Config) (stack: Stack) (table: Leaf) (queries: int) (keys: int) : torch.Tensor =
        let isEncoder = stack = Stack.Encoder

        let buckets =
            Array.init (queries * keys) (fun cell ->
                let query, key = cell / keys + keys - queries, cell % keys
                int64 (bucket isEncoder config.Buckets config.MaxDistance (key - query)))

        let table = table.Value
        let ids = torch.tensor (buckets, device = table.device)

        // Contiguous, as the kernel of attention reads it.
        table
            .index_select(0L, ids)
            .view(int64 queries, int64 keys, int64 config.Heads)
            .permute(2L, 0L, 1L)
            .contiguous()
            .unsqueeze
            0L
