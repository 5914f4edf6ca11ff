namespace Peft

open Peft.Kernels
open System
open TorchSharp

/// How a pass through the model treats chance: in training, dropout at `Dropout` (T5's rate); otherwise none.
[<NoComparison>]
type Pass =
    {
        IsTraining: bool
        /// The rate, from 0 to 1.
        Dropout: float
        /// Which member of a routed model each row of the batch picks (`Model.route`); none elsewhere.
        Routes: int[] option
        /// Where the masks of this pass through the model come from; none before it begins.
        Keys: MaskKeys option
        /// Whether the graph keeps the hidden states between blocks only, and the backward pass computes a block's inside again.
        Recomputes: bool
    }

    /// No dropout anywhere.
    static member Evaluation: Pass =
        {
            IsTraining = false
            Dropout = 0.0
            Routes = None
            Keys = None
            Recomputes = false
        }

    /// Training with this rate of T5's own dropout.
    static member Training(dropout: float) : Pass =
        {
            IsTraining = true
            Dropout = dropout
            Routes = None
            Keys = None
            Recomputes = false
        }

    /// The same pass over a batch whose row i picks member `routes[i]` of a routed model.
    member pass.Along(routes: int[]) : Pass = { pass with Routes = Some routes }

    /// The same pass, with blocks computed again in its backward pass: the same numbers in less memory and more time.
    member pass.Recomputing() : Pass = { pass with Recomputes = true }

    /// The pass over one batch: where there is dropout, one number is drawn from libtorch's generator for its masks.
    member internal pass.Begin() : Pass =
        if pass.IsTraining && pass.Keys.IsNone then
            { pass with Keys = Some(MaskKeys()) }
        else
            pass

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

/// Dropout in training; the tensor itself otherwise. Its definition is libtorch's dropout, which serves where the kernel
/// does not.
[<RequireQualifiedAccess>]
module internal Drop =
    /// Whether a pass drops anything at this rate.
    let isOn (pass: Pass) (rate: float) = pass.IsTraining && rate > 0.0

    let private keys (pass: Pass) =
        match pass.Keys with
        | Some keys -> keys
        | None -> MaskKeys()

    /// The key of the next mask; none where there is no dropout.
    let key (pass: Pass) : MaskKey option =
        if isOn pass pass.Dropout && pass.Dropout < 1.0 then
            Some(Mask.key (keys pass) pass.Dropout)
        else
            None

    /// dropout(x) with this rate.
    let apply (pass: Pass) (rate: float) (x: torch.Tensor) : torch.Tensor =
        if not (isOn pass rate) then
            x
        elif Dropout.serves rate x then
            Dropout.apply (Mask.key (keys pass) rate) x
        else
            torch.nn.functional.dropout (x, rate, training = true)

    /// residual + dropout(x) with the pass's rate.
    let add (pass: Pass) (residual: torch.Tensor) (x: torch.Tensor) : torch.Tensor =
        if isOn pass pass.Dropout && Dropout.servesSum pass.Dropout residual x then
            Dropout.add (Mask.key (keys pass) pass.Dropout) residual x
        else
            residual.add (apply pass pass.Dropout x)

/// A small two-layer net beside or behind a part of the model: scale · (Up f(Down x + down bias) + up bias), with `Down`
/// [width, in] and `Up` [out, width].
[<ReferenceEquality>]
type Bottleneck =
    {
        Down: Leaf
        DownBias: Leaf
        Up: Leaf
        UpBias: Leaf
        Activation: Activation
        /// What the net's output counts.
        Scale: float
    }

[<RequireQualifiedAccess>]
module Leaf =
    /// The shape in an adapter file: T-Few keeps its rescaling vectors as a row and a column, the others are as they are.
    let storedShape (name: string) (shape: int64 list) : int64 list =
        let isOf (suffix: string) =
            name.EndsWith($".{suffix}", StringComparison.Ordinal)
            || name.Contains($".{suffix}.", StringComparison.Ordinal)

        match shape with
        | [ length ] when isOf "multi_lora_a" -> [ 1L; length ]
        | [ length ] when isOf "multi_lora_b" -> [ length; 1L ]
        | _ -> shape

    /// A leaf that a run trains, from a copy of `tensor` in float32.
    let trained (tensor: torch.Tensor) : Leaf =
        Trained(new Modules.Parameter(tensor.detach().``to``(torch.float32, copy = true)))

    /// The tensor in `dtype`: itself where it has it, otherwise a copy through which gradients flow.
    let cast (dtype: torch.ScalarType) (leaf: Leaf) : torch.Tensor =
        let tensor = leaf.Value
        if tensor.dtype = dtype then tensor else tensor.``to`` dtype

    /// The tensor without gradient, sharing its storage.
    let freeze (leaf: Leaf) : Leaf =
        match leaf with
        | Frozen _ -> leaf
        | Trained parameter -> Frozen(parameter.detach ())

[<RequireQualifiedAccess>]
module Bottleneck =
    /// scale · (Up f(Down x + down bias) + up bias), in the dtype of `x`.
    let apply (bottleneck: Bottleneck) (x: torch.Tensor) : torch.Tensor =
        let linear (weight: Leaf) (bias: Leaf) (x: torch.Tensor) =
            (Product.linear (Leaf.cast x.dtype weight) x).add(Leaf.cast x.dtype bias)

        let update =
            x
            |> linear bottleneck.Down bottleneck.DownBias
            |> Activation.apply bottleneck.Activation
            |> linear bottleneck.Up bottleneck.UpBias

        if bottleneck.Scale = 1.0 then
            update
        else
            update.mul (bottleneck.Scale.ToScalar())

    /// Applies `f name leaf` to the four leaves.
    let mapLeaves (f: string -> Leaf -> Leaf) (name: string) (bottleneck: Bottleneck) : Bottleneck =
        { bottleneck with
            Down = f $"{name}_down" bottleneck.Down
            DownBias = f $"{name}_down_bias" bottleneck.DownBias
            Up = f $"{name}_up" bottleneck.Up
            UpBias = f $"{name}_up_bias" bottleneck.UpBias
        }
