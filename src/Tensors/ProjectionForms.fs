namespace Peft

open TorchSharp

/// VeRA's random matrices, frozen and one for all sites: `A` [rank, largest in] and `B` [largest out, rank], cut to a
/// site's shape where they are used. They follow from a seed, so they are no leaves: peft, too, keeps them as buffers.
[<ReferenceEquality>]
type Basis =
    {
        /// [rank, largest in].
        A: torch.Tensor
        /// [largest out, rank].
        B: torch.Tensor
    }

/// What a site computes. Adapters wrap: the base weight stays inside, untouched.
[<ReferenceEquality>]
type Projection =
    /// y = W x, with `weight` of shape [out, in].
    | Dense of weight: Leaf
    /// y = W x + bias, with `weight` [out, in] and `bias` [out]: a map whose checkpoint has a bias.
    | Affine of weight: Leaf * bias: Leaf
    /// W x of a frozen weight, computed from a copy of it in the order in which oneDNN multiplies. For decoding: there is
    /// no backward pass.
    | Packed of weight: Leaf * copy: torch.Tensor
    /// y = inner x + scale · B (A dropout(x)), with `a` [rank, in] and `b` [out, rank] (LoRA, Hu et al. 2021, eq. 3).
    | LowRank of inner: Projection * a: Leaf * b: Leaf * scale: float * dropout: float
    /// y = output ∘ inner(input ∘ x), with `input` [in] and `output` [out] ((IA)3; T-Few's LoRALinear).
    | Rescaled of inner: Projection * input: Leaf option * output: Leaf option
    /// y = inner x + bias, with `bias` [out] (BitFit, Ben Zaken et al. 2022).
    | Shifted of inner: Projection * bias: Leaf
    /// y = inner x + scale · bias, with `bias` [out]: the bias that peft's LoRA may have behind B.
    | Raised of inner: Projection * bias: Leaf * scale: float
    /// y = R (inner x): pairs of outputs are turned and stretched (RoAd, Liao et al. 2024, eq. 4).
    | Turned of inner: Projection * turn: Turn
    /// y = (magnitude / ‖W'‖) ∘ inner x, with W' the weight that `inner` amounts to, ‖W'‖ the norms of its rows, held out
    /// of the gradient, and `magnitude` [out] (DoRA, Liu et al. 2024, eq. 5 and §4.3).
    | Directed of inner: Projection * magnitude: Leaf
    /// y = inner x + scale · B (E ∘ (A dropout(x))), with `a` [rank, in], `e` [rank, 1] and `b` [out, rank] (AdaLoRA,
    /// Zhang et al. 2023, eq. 3). The loss gains `penalty` · the mean of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖ (eq. 4).
    | Singular of inner: Projection * a: Leaf * e: Leaf * b: Leaf * scale: float * dropout: float * penalty: float
    /// y = inner x + b ∘ (B (d ∘ (A dropout(x)))), with A and B random and shared, `d` [rank] and `b` [out] (VeRA,
    /// Kopiczko et al. 2024, eq. 2).
    | SharedBasis of inner: Projection * basis: Basis * d: Leaf * b: Leaf * dropout: float
    /// y = u + bottleneck(u), u = inner x (Houlsby et al. 2019, §2.1: the serial adapter). It is not linear: it stays
    /// when the rest is merged.
    | Serial of inner: Projection * bottleneck: Bottleneck
    /// Row i of the batch computes member `routes[i]`: several adapters around one base weight serve one mixed batch.
    | Routed of members: Projection list
