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
        (
            isHalf: bool,
            width: int,
            ignored: int64,
            logits: nativeint,
            labels: nativeint,
            normalisers: nativeint,
            losses: nativeint,
            first: int,
            last: int
        ) : unit =
        for row in first .. last - 1 do
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
        (
            isHalf: bool,
            width: int,
            ignored: int64,
            factor: float32,
            logits: nativeint,
            labels: nativeint,
            normalisers: nativeint,
            first: int,
            last: int
        ) : unit =
        let factors = Vector256.Create factor

        for row in first .. last - 1 do
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

    /// The mean over the labels that are not `ignored`, a float32 scalar.
    let apply (ignored: int64) (logits: torch.Tensor) (labels: torch.Tensor) : torch.Tensor =
        let isHalf = logits.dtype = torch.bfloat16
        let width = int (logits.size -1)
        let rows = int (logits.numel () / int64 width)

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

        use isOutside =
            labels.lt((0L).ToScalar()).logical_or(labels.ge ((int64 width).ToScalar())).logical_and isCounted

        // The loops read at the label's address.
        if isOutside.any().item<bool>() then
            invalidArg (nameof labels) $"a label is outside the vocabulary of {width}"

        let from, places, tops, into =
            Libtorch.address logits, Libtorch.address labels, Libtorch.address normalisers, Libtorch.address losses

        Threads.rows rows width (fun first last ->
            CrossEntropyLoops.Forward(isHalf, width, ignored, from, places, tops, into, first, last))

        use total = losses.sum ()
        let mean = total.div (count.ToScalar())

        let backward (saved: torch.Tensor[]) (gradient: torch.Tensor) =
            let factor = gradient.item<float32>() / count

            let logits, places, tops =
                Libtorch.address saved[0], Libtorch.address saved[1], Libtorch.address saved[2]

            Threads.rows rows width (fun first last ->
                CrossEntropyLoops.Backward(isHalf, width, ignored, factor, logits, places, tops, first, last))

            [| Some(saved[0].detach()) |]

        if isRecording then
            Node.create [ logits ] [ logits; labels; normalisers ] backward mean
        else
            mean
