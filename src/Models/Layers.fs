namespace Peft

open Peft.Kernels
open TorchSharp

/// What transformer layers of several families compute, as functions of tensors. Hidden states are [rows, length, width] in the
/// model's precision; scores and their biases are float32.
[<RequireQualifiedAccess>]
module Layers =
    /// The norm without mean or bias, scale ∘ x / sqrt(mean(x²) + epsilon), `scale` [width]: the mean square in float32, the
    /// result in the dtype of `x`.
    let rootMeanSquare (epsilon: float) (scale: Leaf) (x: torch.Tensor) : torch.Tensor =
        if RmsNorm.serves scale.Value x then
            RmsNorm.apply epsilon (Leaf.cast x.dtype scale) x
        else
            let wide = x.``to`` torch.float32

            let inverse =
                wide.square().mean([| -1L |], keepdim = true).add_(epsilon.ToScalar()).rsqrt_()

            // Hugging Face rounds to bfloat16 before it multiplies by the weight.
            wide.mul(inverse).``to``(x.dtype).mul(Leaf.cast x.dtype scale)

    /// dropout(softmax(Q Kᵀ + bias)) V of `q` [rows, heads, queries, d], `k` and `v` [rows, heads, keys, d]; scores are not
    /// scaled. `bias` is additive, float32, broadcast to [rows, heads, queries, keys].
    let attend
        (pass: Pass)
        (bias: torch.Tensor option)
        (q: torch.Tensor)
        (k: torch.Tensor)
        (v: torch.Tensor)
        : torch.Tensor =
        if FusedAttention.serves bias q k v && (not pass.IsTraining || pass.Dropout < 1.0) then
            FusedAttention.apply (Drop.key pass) bias q k v
        else
            let scores = (Product.matmul q (k.transpose (2L, 3L))).``to`` torch.float32

            let biased =
                match bias with
                | Some bias -> scores.add_ bias
                | None -> scores

            Product.matmul (biased.softmax(-1L).``to`` q.dtype |> Drop.apply pass pass.Dropout) v

    /// dropout(act(gate) ∘ input), what a gated feed-forward layer computes between its maps.
    let gated (pass: Pass) (activation: Activation) (gate: torch.Tensor) (input: torch.Tensor) : torch.Tensor =
        if
            Gating.knows activation
            && Gating.serves gate input
            && (not pass.IsTraining || pass.Dropout < 1.0)
        then
            Gating.apply (Drop.key pass) activation gate input
        else
            (Activation.apply activation gate).mul input |> Drop.apply pass pass.Dropout
