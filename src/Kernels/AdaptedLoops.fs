namespace Peft.Kernels

open System.Runtime.Intrinsics

/// What y = output ∘ z + bias + u matrix is made of, by address; 0 is a part that is not there. Parameters and u are float32,
/// z and y of either dtype.
[<Struct; NoEquality; NoComparison>]
type internal OutwardParts =
    {
        /// [width].
        Output: nativeint
        /// [width].
        Bias: nativeint
        /// [rows, ranks].
        U: nativeint
        /// [ranks, width].
        Matrix: nativeint
        /// [rows, width]; `Y` may be the same.
        Z: nativeint
        Y: nativeint
    }

/// What a backward pass from y reads and writes, by address; 0 is a part that is not there.
[<Struct; NoEquality; NoComparison>]
type internal FromOutputParts =
    {
        Output: nativeint
        U: nativeint
        Z: nativeint
        /// That of y.
        Gradient: nativeint
        /// Where that of z goes.
        OfZ: nativeint
        /// Sums over rows: [ranks, width], [width] and [width], float32.
        OfMatrix: nativeint
        OfOutput: nativeint
        OfBias: nativeint
    }

/// What a backward pass to x reads and writes, by address; 0 is a part that is not there.
[<Struct; NoEquality; NoComparison>]
type internal ToInputParts =
    {
        Input: nativeint
        A: nativeint
        /// The gradient of A x, [rows, ranks] float32.
        V: nativeint
        X: nativeint
        /// That of input ∘ x, which becomes that of x.
        Gradient: nativeint
        /// Sums over rows: [ranks, width] and [width], float32.
        OfA: nativeint
        OfInput: nativeint
    }

/// The loops around the product of an adapted linear map. `ranks`, the rank of the update made even, may be 0.
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
    static member Scale(rows: Rows, factors: nativeint, x: nativeint, target: nativeint) : unit =
        let isHalf, width = rows.IsHalf, rows.Width

        for row in rows.First .. rows.Last - 1 do
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
    static member Dots(rows: Rows, ranks: int, matrix: nativeint, x: nativeint, dots: nativeint) : unit =
        let isHalf, width = rows.IsHalf, rows.Width

        for row in rows.First .. rows.Last - 1 do
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

    /// y = output ∘ z + bias + u matrix.
    static member Combine(rows: Rows, ranks: int, parts: OutwardParts) : unit =
        let isHalf, width = rows.IsHalf, rows.Width
        let output, bias, u, matrix = parts.Output, parts.Bias, parts.U, parts.Matrix
        let z, y = parts.Z, parts.Y

        for row in rows.First .. rows.Last - 1 do
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

    /// From the gradient g of y: that of z, output ∘ g, and added to their sums over rows the gradients of `output` (g ∘ z), of
    /// `bias` (g) and of the update's matrix (uᵀ g).
    static member FromOutput(rows: Rows, ranks: int, parts: FromOutputParts) : unit =
        let isHalf, width = rows.IsHalf, rows.Width

        let output, u, z, gradient, ofZ =
            parts.Output, parts.U, parts.Z, parts.Gradient, parts.OfZ

        let ofMatrix, ofOutput, ofBias = parts.OfMatrix, parts.OfOutput, parts.OfBias

        for row in rows.First .. rows.Last - 1 do
            let from = row * width
            let mutable place = 0

            while place < width do
                let g = Lanes.load isHalf gradient (from + place)

                if ofZ <> 0n then
                    Lanes.store isHalf ofZ (from + place) (g * Lanes.loadFloat output place)

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

    /// From the gradient g of input ∘ x and v, that of A x: that of x, input ∘ g + v A, in the place of g, and added to their
    /// sums over rows those of `input` (x ∘ g) and of A (vᵀ x).
    static member ToInput(rows: Rows, ranks: int, parts: ToInputParts) : unit =
        let isHalf, width = rows.IsHalf, rows.Width
        let input, a, v, x = parts.Input, parts.A, parts.V, parts.X
        let gradient, ofA, ofInput = parts.Gradient, parts.OfA, parts.OfInput

        for row in rows.First .. rows.Last - 1 do
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
