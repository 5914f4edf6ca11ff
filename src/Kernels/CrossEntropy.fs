namespace Peft.Kernels

#nowarn "9" // Addresses of tensors are plain numbers here.

open System.Runtime.Intrinsics
open Microsoft.FSharp.NativeInterop
open TorchSharp

[<AbstractClass; Sealed>]
type internal CrossEntropyLoops =
    static member inline private Label(labels: nativeint, row: int) : int64 =
        NativePtr.read (NativePtr.ofNativeInt<int64>(Lanes.at labels 8 row))

    /// The logarithm of the sum of exponentials and the loss of each row; the loss is 0 where the label is ignored.
    static member Forward
        (rows: Rows, ignored: int64, logits: nativeint, labels: nativeint, normalisers: nativeint, losses: nativeint)
        : unit =
        let isHalf, width = rows.IsHalf, rows.Width

        for row in rows.First .. rows.Last - 1 do
            let label = CrossEntropyLoops.Label(labels, row)

            if label = ignored then
                Lanes.set false losses row 0.0f
                Lanes.set false normalisers row 0.0f
            else
                let x = logits + nativeint (int64 row * int64 width * (if isHalf then 2L else 4L))
                let normaliser = LogSumExpLoops.Row(isHalf, width, x)
                Lanes.set false normalisers row normaliser
                Lanes.set false losses row (normaliser - Lanes.get isHalf x (int label))

    /// Replaces the logits by their gradient, (softmax − one at the label) · factor; 0 where the label is ignored.
    static member Backward
        (rows: Rows, ignored: int64, factor: float32, logits: nativeint, labels: nativeint, normalisers: nativeint)
        : unit =
        let isHalf, width = rows.IsHalf, rows.Width
        let factors = Vector256.Create factor

        for row in rows.First .. rows.Last - 1 do
            let label = CrossEntropyLoops.Label(labels, row)
            let x = logits + nativeint (int64 row * int64 width * (if isHalf then 2L else 4L))
            let mutable place = 0

            if label = ignored then
                while place < width do
                    Lanes.store isHalf x place Vector256<float32>.Zero
                    place <- place + Lanes.Width
            else
                let normaliser = Lanes.get false normalisers row
                let normalisers = Vector256.Create normaliser
                let ofLabel = (exp (Lanes.get isHalf x (int label) - normaliser) - 1.0f) * factor

                while place < width do
                    Lanes.store isHalf x place (Vector256.Exp(Lanes.load isHalf x place - normalisers) * factors)
                    place <- place + Lanes.Width

                Lanes.set isHalf x (int label) ofLabel

/// The mean cross-entropy in float32 of logits in their own precision. The backward pass writes their gradient over
/// them: they must not be used again.
[<RequireQualifiedAccess>]
module internal CrossEntropy =
    /// Whether the kernel serves these logits [.., vocabulary].
    let serves (logits: torch.Tensor) : bool =
        Kernel.serves Kernel.CrossEntropy logits
        && logits.is_contiguous ()
        && logits.size -1 % int64 Lanes.Width = 0L

    /// Fails unless each label that counts is in the vocabulary: the loops read at its address.
    let private check (logits: torch.Tensor) (labels: torch.Tensor) (isCounted: torch.Tensor) : unit =
        let width = logits.size -1

        use isOutside =
            labels.lt((0L).ToScalar()).logical_or(labels.ge (width.ToScalar())).logical_and isCounted

        if isOutside.any().item<bool>() then
            invalidArg (nameof labels) $"a label is outside the vocabulary of {width}"

    /// The mean over the labels that are not `ignored`, a float32 scalar.
    let apply (ignored: int64) (logits: torch.Tensor) (labels: torch.Tensor) : torch.Tensor =
        let rows = Rows.count logits

        if labels.dtype <> torch.int64 || labels.numel () <> int64 rows then
            invalidArg (nameof labels) $"there are {labels.numel ()} labels ({labels.dtype}) for {rows} rows of logits"

        let isRecording = Node.isRecording [ logits ]
        use _ = torch.no_grad ()
        use labels = labels.contiguous ()
        use losses = torch.empty (int64 rows, dtype = torch.float32)
        use normalisers = torch.empty (int64 rows, dtype = torch.float32)
        use isCounted = labels.ne (ignored.ToScalar())
        use counted = isCounted.sum ()
        let count = float32 (counted.item<int64>())
        check logits labels isCounted

        let from, places, tops, into =
            Libtorch.address logits, Libtorch.address labels, Libtorch.address normalisers, Libtorch.address losses

        Rows.each logits (fun rows -> CrossEntropyLoops.Forward(rows, ignored, from, places, tops, into))
        use total = losses.sum ()
        let mean = total.div (count.ToScalar())

        let backward (saved: torch.Tensor[]) (gradient: torch.Tensor) =
            let factor = gradient.item<float32>() / count

            let logits, places, tops =
                Libtorch.address saved[0], Libtorch.address saved[1], Libtorch.address saved[2]

            Rows.each saved[0] (fun rows -> CrossEntropyLoops.Backward(rows, ignored, factor, logits, places, tops))

            [| Some(saved[0].detach()) |]

        if isRecording then
            Node.create [ logits ] [ logits; labels; normalisers ] backward mean
        else
            mean
