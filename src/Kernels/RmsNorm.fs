namespace Peft.Kernels

open System.Runtime.Intrinsics
open TorchSharp

[<AbstractClass; Sealed>]
type internal RmsNormLoops =
    /// y = scale ∘ x / rms(x) of the rows, and 1 / rms(x) for the backward pass.
    static member Forward
        (rows: Rows, epsilon: float32, x: nativeint, scale: nativeint, y: nativeint, inverse: nativeint)
        : unit =
        let isHalf, width = rows.IsHalf, rows.Width

        for row in rows.First .. rows.Last - 1 do
            let from = row * width
            let mutable sum = Vector256<float32>.Zero
            let mutable place = 0

            while place < width do
                let v = Lanes.load isHalf x (from + place)
                sum <- Lanes.fma v v sum
                place <- place + Lanes.Width

            let factor = 1.0f / sqrt (Vector256.Sum sum / float32 width + epsilon)
            Lanes.set false inverse row factor
            let factors = Vector256.Create factor
            place <- 0

            while place < width do
                let normed = Lanes.load isHalf x (from + place) * factors
                // Hugging Face rounds to bfloat16 before it multiplies by the weight, which it rounds, too.
                let normed =
                    if isHalf then
                        Vector256.ShiftLeft(Lanes.round normed, 16).AsSingle()
                    else
                        normed

                Lanes.store isHalf y (from + place) (normed * Lanes.load isHalf scale place)
                place <- place + Lanes.Width

    /// The gradient of x: inverse (g ∘ scale − x̂ mean(g ∘ scale ∘ x̂)), x̂ = x inverse.
    static member Backward
        (rows: Rows, x: nativeint, scale: nativeint, inverse: nativeint, gradient: nativeint, result: nativeint)
        : unit =
        let isHalf, width = rows.IsHalf, rows.Width

        for row in rows.First .. rows.Last - 1 do
            let from = row * width
            let factor = Lanes.get false inverse row
            let mutable sum = Vector256<float32>.Zero
            let mutable place = 0

            while place < width do
                let weighted =
                    Lanes.load isHalf gradient (from + place) * Lanes.load isHalf scale place

                sum <- Lanes.fma weighted (Lanes.load isHalf x (from + place)) sum
                place <- place + Lanes.Width

            let mean = Vector256.Create(Vector256.Sum sum * factor * factor / float32 width)
            let factors = Vector256.Create factor
            place <- 0

            while place < width do
                let weighted =
                    Lanes.load isHalf gradient (from + place) * Lanes.load isHalf scale place

                let value = (weighted - Lanes.load isHalf x (from + place) * mean) * factors
                Lanes.store isHalf result (from + place) value
                place <- place + Lanes.Width

    /// Adds g ∘ x̂ of the rows to `sums` [width] float32.
    static member ScaleGradient
        (rows: Rows, x: nativeint, inverse: nativeint, gradient: nativeint, sums: nativeint)
        : unit =
        let isHalf, width = rows.IsHalf, rows.Width

        for row in rows.First .. rows.Last - 1 do
            let from = row * width
            let factors = Vector256.Create(Lanes.get false inverse row)
            let mutable place = 0

            while place < width do
                let term =
                    Lanes.load isHalf gradient (from + place)
                    * (Lanes.load isHalf x (from + place) * factors)

                Lanes.storeFloat sums place (Lanes.loadFloat sums place + term)
                place <- place + Lanes.Width

/// T5's norm in one pass forward and one back; it keeps its input and one number a row.
[<RequireQualifiedAccess>]
module internal RmsNorm =
    /// Whether the kernel serves `x` with this `scale`.
    let serves (scale: torch.Tensor) (x: torch.Tensor) : bool =
        Kernel.serves Kernel.Norm x
        && scale.dim () = 1L
        && scale.size 0 = x.size -1
        && scale.is_contiguous ()
        && x.size -1 % int64 Lanes.Width = 0L
        && x.numel () < 0x7fffffffL

    let private ofScale (source: torch.Tensor) (inverse: torch.Tensor) (gradient: torch.Tensor) : torch.Tensor =
        let width = int (source.size -1)
        let pieces, pieceOf = Threads.pieces (Rows.count source) width
        use sums = torch.zeros (int64 pieces, int64 width, dtype = torch.float32)

        let x, inverse, gradient, into =
            Libtorch.address source, Libtorch.address inverse, Libtorch.address gradient, Libtorch.address sums

        Rows.each source (fun rows ->
            RmsNormLoops.ScaleGradient(rows, x, inverse, gradient, Lanes.at into (4 * width) (pieceOf rows.First)))

        sums.sum [| 0L |]

    let private ofX (source: torch.Tensor) (scale: torch.Tensor) (inverse: torch.Tensor) (gradient: torch.Tensor) =
        let result = torch.empty_like gradient

        let x, scale, inverse =
            Libtorch.address source, Libtorch.address scale, Libtorch.address inverse

        let gradient, into = Libtorch.address gradient, Libtorch.address result
        Rows.each source (fun rows -> RmsNormLoops.Backward(rows, x, scale, inverse, gradient, into))
        result

    /// scale ∘ x / sqrt(mean(x²) + epsilon) of `x` [.., width] and `scale` [width] in the dtype of `x`.
    let apply (epsilon: float) (scale: torch.Tensor) (x: torch.Tensor) : torch.Tensor =
        let isRecording = Node.isRecording [ x; scale ]
        let wantsX, wantsScale = x.requires_grad, scale.requires_grad
        use _ = torch.no_grad ()
        use source = x.contiguous ()
        let y = torch.empty_like source
        use inverse = torch.empty (int64 (Rows.count x), dtype = torch.float32)

        let from, factors, into, inverses =
            Libtorch.address source, Libtorch.address scale, Libtorch.address y, Libtorch.address inverse

        Rows.each source (fun rows -> RmsNormLoops.Forward(rows, float32 epsilon, from, factors, into, inverses))

        let backward (saved: torch.Tensor[]) (gradient: torch.Tensor) =
            use gradient = gradient.contiguous ()
            let source, scale, inverse = saved[0], saved[1], saved[2]

            [|
                if wantsX then
                    Some(ofX source scale inverse gradient)
                else
                    None
                if wantsScale then
                    Some((ofScale source inverse gradient).``to`` scale.dtype)
                else
                    None
            |]

        if isRecording then
            Node.create [ x; scale ] [ source; scale; inverse ] backward y
        else
            y
