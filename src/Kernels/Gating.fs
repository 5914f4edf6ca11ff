namespace Peft.Kernels

open Peft
open System.Runtime.Intrinsics
open TorchSharp

/// The activations that the loops know.
type internal GateKind =
    | Positive = 0
    | Gelu = 1
    | Swish = 2

[<AbstractClass; Sealed>]
type internal GateLoops =
    /// sigmoid(2 √(2/π) (a + 0.044715 a³)): gelu_new(a) is a times this.
    static member inline private Share(a: Vector256<float32>) : Vector256<float32> =
        let cubic =
            Lanes.fma (a * a) (Vector256.Create -0.0713548162726f) (Vector256.Create -1.59576912161f)

        Vector256<float32>.One / (Vector256<float32>.One + Vector256.Exp(a * cubic))

    /// act(a) and act'(a).
    static member inline private Activate
        (gate: GateKind, a: Vector256<float32>)
        : struct (Vector256<float32> * Vector256<float32>) =
        if gate = GateKind.Gelu then
            let share = GateLoops.Share a
            let value = a * share

            let slope =
                Lanes.fma (a * a) (Vector256.Create 0.2140644488178f) (Vector256.Create 1.59576912161f)

            struct (value, Lanes.fma (value * (Vector256<float32>.One - share)) slope share)
        elif gate = GateKind.Swish then
            let share = Vector256<float32>.One / (Vector256<float32>.One + Vector256.Exp(-a))

            let value = a * share
            struct (value, Lanes.fma value (Vector256<float32>.One - share) share)
        else
            let kept = Vector256.GreaterThan(a, Vector256<float32>.Zero)
            struct (Vector256.BitwiseAnd(kept, a), Vector256.BitwiseAnd(kept, Vector256<float32>.One))

    /// y = mask ∘ act(a) ∘ b, block by block; the mask counts where the key's scale is not 0.
    static member Forward(blocks: Rows, key: MaskKey, gate: GateKind, a: nativeint, b: nativeint, y: nativeint) : unit =
        let isHalf = blocks.IsHalf

        for block in blocks.First .. blocks.Last - 1 do
            let struct (low, high) = Mask.factors key (uint32 block)

            for half in 0..1 do
                let place = block * Mask.Block + half * Lanes.Width
                let struct (value, _) = GateLoops.Activate(gate, Lanes.load isHalf a place)
                let mask = if half = 0 then low else high
                Lanes.store isHalf y place (value * Lanes.load isHalf b place * mask)

    /// The gradients of a and b.
    static member Backward
        (
            blocks: Rows,
            key: MaskKey,
            gate: GateKind,
            a: nativeint,
            b: nativeint,
            gradient: nativeint,
            ofA: nativeint,
            ofB: nativeint
        ) : unit =
        let isHalf = blocks.IsHalf

        for block in blocks.First .. blocks.Last - 1 do
            let struct (low, high) = Mask.factors key (uint32 block)

            for half in 0..1 do
                let place = block * Mask.Block + half * Lanes.Width
                let struct (value, slope) = GateLoops.Activate(gate, Lanes.load isHalf a place)
                let g = Lanes.load isHalf gradient place * (if half = 0 then low else high)
                Lanes.store isHalf ofA place (g * Lanes.load isHalf b place * slope)
                Lanes.store isHalf ofB place (g * value)

/// The inside of a gated feed-forward layer, dropout(act(a) ∘ b), in one pass forward and one back.
[<RequireQualifiedAccess>]
module internal Gating =
    let private gateOf (activation: Activation) : GateKind option =
        match activation with
        | Relu -> Some GateKind.Positive
        | GeluNew -> Some GateKind.Gelu
        | Silu -> Some GateKind.Swish
        | _ -> None

    /// Whether the kernel computes this activation.
    let knows (activation: Activation) : bool = (gateOf activation).IsSome

    /// Whether the kernel serves these tensors.
    let serves (a: torch.Tensor) (b: torch.Tensor) : bool =
        Kernel.serves Kernel.Gate a
        && a.dtype = b.dtype
        && a.is_contiguous ()
        && b.is_contiguous ()
        && a.shape = b.shape
        && a.numel () % int64 Mask.Block = 0L
        && a.numel () < 0x7fffffffL

    /// mask ∘ act(a) ∘ b, without mask where there is no key.
    let apply (key: MaskKey option) (activation: Activation) (a: torch.Tensor) (b: torch.Tensor) : torch.Tensor =
        let key = key |> Option.defaultValue Mask.none
        let gate = (gateOf activation).Value
        let isRecording = Node.isRecording [ a; b ]
        use _ = torch.no_grad ()
        let y = torch.empty_like a
        let fromA, fromB, into = Libtorch.address a, Libtorch.address b, Libtorch.address y

        Rows.blocks Mask.Block a (fun blocks -> GateLoops.Forward(blocks, key, gate, fromA, fromB, into))

        let backward (saved: torch.Tensor[]) (gradient: torch.Tensor) =
            use gradient = gradient.contiguous ()
            let ofA, ofB = torch.empty_like gradient, torch.empty_like gradient
            let a, b = Libtorch.address saved[0], Libtorch.address saved[1]

            let gradients, intoA, intoB =
                Libtorch.address gradient, Libtorch.address ofA, Libtorch.address ofB

            Rows.blocks Mask.Block gradient (fun blocks ->
                GateLoops.Backward(blocks, key, gate, a, b, gradients, intoA, intoB))

            [| Some ofA; Some ofB |]

        if isRecording then
            Node.create [ a; b ] [ a; b ] backward y
        else
            y
