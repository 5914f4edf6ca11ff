namespace Peft.Kernels

open System.Runtime.Intrinsics

/// The loops around the product of an adapted linear map, over rows `first` to `last`. Parameters and sums are float32, `x`,
/// `z` and gradients of either dtype; `ranks`, the rank of the update made even, may be 0. An address of 0 is a part that
/// is not there.
[<AbstractClass; Sealed>]
type internal AdaptedLoops =
    static member inline private Broadcast(numbers: nativeint, index: int) : Vector256<float32> =
        Vector256.Create(Lanes.get false numbers index)

    static member inline private Add(sums: nativeint, place: int, term: Vector256<float32>) : unit =
        Lanes.storeFloat sums place (Lanes.loadFloat sums place + term)

    static member inline private AddProduct
        (sums: nativeint, place: int, a: Vector256<float32>, b: Vector256<float32>)
        : unit =
        Lanes.storeFloat sums place (Lanes.fma a b (Lanes.loadFloat sums place))

    /// target = factors ∘ x.
    static member Scale
        (isHalf: bool, width: int, factors: nativeint, x: nativeint, target: nativeint, first: int, last: int)
        : unit =
        for row in first .. last - 1 do
            let from = row * width
            let mutable place = 0

            while place < width do
                Lanes.store
                    isHalf
                    target
                    (from + place)
                    (Lanes.load isHalf x (from + place) * Lanes.loadFloat factors place)

                place <- place + Lanes.Width

    /// dots [rows, ranks] = x matrixᵀ of `matrix` [ranks, width].
    static member Dots
        (isHalf: bool, width: int, ranks: int, matrix: nativeint, x: nativeint, dots: nativeint, first: int, last: int)
        : unit =
        for row in first .. last - 1 do
            let from = row * width
            let mutable rank = 0

            while rank < ranks do
                let above, below = rank * width, (rank + 1) * width
                let mutable one = Vector256<float32>.Zero
                let mutable other = Vector256<float32>.Zero
                let mutable place = 0

                while place < width do
                    let v = Lanes.load isHalf x (from + place)
                    one <- Lanes.fma v (Lanes.loadFloat matrix (above + place)) one
                    other <- Lanes.fma v (Lanes.loadFloat matrix (below + place)) other
                    place <- place + Lanes.Width

                Lanes.set false dots (row * ranks + rank) (Vector256.Sum one)
                Lanes.set false dots (row * ranks + rank + 1) (Vector256.Sum other)
                rank <- rank + 2

    /// y = output ∘ z + bias + u matrix of `u` [rows, ranks] and `matrix` [ranks, width]; `y` may be `z`.
    static member Combine
        (
            isHalf: bool,
            width: int,
            ranks: int,
            output: nativeint,
            bias: nativeint,
            u: nativeint,
            matrix: nativeint,
            z: nativeint,
            y: nativeint,
            first: int,
            last: int
        ) : unit =
        for row in first .. last - 1 do
            let from = row * width
            let mutable place = 0

            while place < width do
                let mutable v = Lanes.load isHalf z (from + place)

                if output <> 0n then
                    v <- v * Lanes.loadFloat output place

                if bias <> 0n then
                    v <- v + Lanes.loadFloat bias place

                let mutable number = row * ranks
                let mutable at = place

                while at < ranks * width do
                    v <- Lanes.fma (AdaptedLoops.Broadcast(u, number)) (Lanes.loadFloat matrix at) v
                    v <- Lanes.fma (AdaptedLoops.Broadcast(u, number + 1)) (Lanes.loadFloat matrix (at + width)) v
                    number <- number + 2
                    at <- at + 2 * width

                Lanes.store isHalf y (from + place) v
                place <- place + Lanes.Width

    /// From the gradient g of y: dz = output ∘ g, and added to their sums over rows the gradients of `output` (g ∘ z), of
    /// `bias` (g) and of the update's matrix (uᵀ g).
    static member OfOutput
        (
            isHalf: bool,
            width: int,
            ranks: int,
            output: nativeint,
            u: nativeint,
            z: nativeint,
            gradient: nativeint,
            dz: nativeint,
            ofMatrix: nativeint,
            ofOutput: nativeint,
            ofBias: nativeint,
            first: int,
            last: int
        ) : unit =
        for row in first .. last - 1 do
            let from = row * width
            let mutable place = 0

            while place < width do
                let g = Lanes.load isHalf gradient (from + place)

                if dz <> 0n then
                    Lanes.store isHalf dz (from + place) (g * Lanes.loadFloat output place)

                if ofOutput <> 0n then
                    AdaptedLoops.AddProduct(ofOutput, place, g, Lanes.load isHalf z (from + place))

                if ofBias <> 0n then
                    AdaptedLoops.Add(ofBias, place, g)

                let mutable number = row * ranks
                let mutable at = place

                while at < ranks * width do
                    AdaptedLoops.AddProduct(ofMatrix, at, AdaptedLoops.Broadcast(u, number), g)
                    AdaptedLoops.AddProduct(ofMatrix, at + width, AdaptedLoops.Broadcast(u, number + 1), g)
                    number <- number + 2
                    at <- at + 2 * width

                place <- place + Lanes.Width

    /// From the gradient g of input ∘ x and v [rows, ranks], that of A x: that of x, input ∘ g + v A, in the place of g, and
    /// added to their sums over rows those of `input` (x ∘ g) and of A (vᵀ x).
    static member OfInput
        (
            isHalf: bool,
            width: int,
            ranks: int,
            input: nativeint,
            a: nativeint,
            v: nativeint,
            x: nativeint,
            gradient: nativeint,
            ofA: nativeint,
            ofInput: nativeint,
            first: int,
            last: int
        ) : unit =
        for row in first .. last - 1 do
            let from = row * width
            let mutable place = 0

            while place < width do
                let own = Lanes.load isHalf x (from + place)
                let mutable g = Vector256<float32>.Zero

                if gradient <> 0n then
                    g <- Lanes.load isHalf gradient (from + place)

                if ofInput <> 0n then
                    AdaptedLoops.AddProduct(ofInput, place, own, g)

                if input <> 0n then
                    g <- g * Lanes.loadFloat input place

                let mutable number = row * ranks
                let mutable at = place

                while at < ranks * width do
                    let one = AdaptedLoops.Broadcast(v, number)
                    let other = AdaptedLoops.Broadcast(v, number + 1)
                    g <- Lanes.fma one (Lanes.loadFloat a at) g
                    g <- Lanes.fma other (Lanes.loadFloat a (at + width)) g
                    AdaptedLoops.AddProduct(ofA, at, one, own)
                    AdaptedLoops.AddProduct(ofA, at + width, other, own)
                    number <- number + 2
                    at <- at + 2 * width

                if gradient <> 0n then
                    Lanes.store isHalf gradient (from + place) g

                place <- place + Lanes.Width

    /// Adds the pieces [pieces, length] into the first, in their order; `length` is a multiple of 8.
    static member Total(pieces: int, length: int, sums: nativeint) : unit =
        for piece in 1 .. pieces - 1 do
            let mutable place = 0

            while place < length do
                AdaptedLoops.Add(sums, place, Lanes.loadFloat sums (piece * length + place))
                place <- place + Lanes.Width
