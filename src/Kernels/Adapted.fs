namespace Peft.Kernels

open System
open TorchSharp

/// What stands around a frozen linear map W [out, in]: y = output ∘ (W (input ∘ x)) + scale · B (A x) + bias. All of it is
/// float32 and optional.
[<ReferenceEquality>]
type internal Around =
    {
        /// [in].
        Input: torch.Tensor option
        /// [out].
        Output: torch.Tensor option
        /// A [rank, in], B [out, rank] and the scale.
        Update: (torch.Tensor * torch.Tensor * float) option
        /// [out].
        Bias: torch.Tensor option
    }

    /// Nothing around the map.
    static member Nothing: Around =
        {
            Input = None
            Output = None
            Update = None
            Bias = None
        }

/// An adapted linear map in one step of the graph: a pass over the rows of x and one over those of y beside the product, and
/// the same back. It keeps x, A x (float32) and, where the output is rescaled, W (input ∘ x). The parameters are not rounded
/// to the dtype of x, and neither is A x.
[<RequireQualifiedAccess>]
module internal Adapted =
    /// Beyond this rank the products of the update are worth a product's call.
    let private mostRank = 16L

    let private parameters (around: Around) : torch.Tensor list =
        [
            yield! Option.toList around.Input
            yield! Option.toList around.Output
            match around.Update with
            | Some(a, b, _) ->
                a
                b
            | None -> ()
            yield! Option.toList around.Bias
        ]

    /// Whether the kernel serves `x` [.., in] through `weight` with these parts.
    let serves (around: Around) (weight: torch.Tensor) (x: torch.Tensor) : bool =
        let isLanes (size: int64) = size % int64 Lanes.Width = 0L
        let fanOut, fanIn = weight.size 0, weight.size 1

        Kernel.serves Kernel.Adapted x
        && weight.dtype = x.dtype
        && not weight.requires_grad
        && isLanes fanIn
        && isLanes fanOut
        && x.size -1 = fanIn
        && x.numel () / fanIn * max fanIn fanOut < 0x7fffffffL
        && parameters around
           |> List.forall (fun part ->
               part.dtype = torch.float32
               && part.device_type = DeviceType.CPU
               && part.is_contiguous ())
        && (match around.Update with
            | Some(a, _, _) -> a.size 0 <= mostRank
            | None -> true)

    let private wants (part: torch.Tensor option) : bool = part |> Option.exists _.requires_grad

    let private addressOf (tensor: torch.Tensor option) : nativeint =
        match tensor with
        | Some tensor -> Libtorch.address tensor
        | None -> 0n

    /// With a row of zeros where the number of rows is odd.
    let private even (matrix: torch.Tensor) : torch.Tensor =
        if matrix.size 0 % 2L = 0L then
            matrix.contiguous ()
        else
            torch.cat ([| matrix; torch.zeros (1L, matrix.size 1) |], 0L)

    /// A and scale · Bᵀ, both with an even number of rows, which is given, too: [ranks, in] and [ranks, out].
    let private matrices (around: Around) : (torch.Tensor * torch.Tensor) option * int =
        match around.Update with
        | Some(a, b, scale) ->
            let a = even a
            Some(a, even (b.t().mul(scale.ToScalar()))), int (a.size 0)
        | None -> None, 0

    /// Each piece of the rows has sums of its own: many long rows must not make more sums than rows.
    let private mostPieces = 64

    /// Runs `body` over the rows of `x` [.., width] with `parts` · `width` sums for each piece of them, and gives the total
    /// [parts, width], which does not depend on the number of threads.
    let private summed (x: torch.Tensor) (parts: int) (body: Rows -> nativeint -> unit) : torch.Tensor =
        let rows, width = Rows.count x, int (x.size -1)

        let perPiece =
            max (Threads.rowsPerPiece width) ((rows + mostPieces - 1) / mostPieces)

        let pieces = (rows + perPiece - 1) / perPiece
        let length = parts * width

        let sums =
            torch.zeros (int64 pieces, int64 parts, int64 width, dtype = torch.float32)

        let into = Libtorch.address sums
        Rows.pieces pieces perPiece x (fun rows piece -> body rows (Lanes.at into (4 * length) piece))
        AdaptedLoops.Total(pieces, length, into)
        sums.select (0L, 0L)

    /// W (input ∘ x), and A x where there is an update.
    let private inwards (around: Around) matrices ranks (weight: torch.Tensor) (x: torch.Tensor) =
        let from, factors = Libtorch.address x, addressOf around.Input

        let u = torch.empty (int64 (Rows.count x), int64 ranks, dtype = torch.float32)

        use scaled = if factors = 0n then x.alias () else torch.empty_like x
        let into, dots = Libtorch.address scaled, Libtorch.address u
        let a = addressOf (Option.map fst matrices)

        if factors <> 0n || ranks > 0 then
            Rows.each x (fun rows ->
                if factors <> 0n then
                    AdaptedLoops.Scale(rows, factors, from, into)

                AdaptedLoops.Dots(rows, ranks, a, from, dots))

        Product.linear weight scaled, u

    /// y of z = W (input ∘ x) and u = A x, in the place of z where z need not stay.
    let private outwards (around: Around) matrices ranks (u: torch.Tensor) (z: torch.Tensor) =
        if around.Output.IsNone && around.Bias.IsNone && ranks = 0 then
            z
        else
            let y = if around.Output.IsSome then torch.empty_like z else z

            let parts: OutwardParts =
                {
                    Output = addressOf around.Output
                    Bias = addressOf around.Bias
                    U = Libtorch.address u
                    Matrix = addressOf (Option.map snd matrices)
                    Z = Libtorch.address z
                    Y = Libtorch.address y
                }

            Rows.each z (fun rows -> AdaptedLoops.Combine(rows, ranks, parts))
            y

    /// From the gradient of y: that of z, that of A x, and the sums [ranks + 2, out]: uᵀ g, those of `output` and of `bias`.
    let private backOutwards
        (around: Around)
        matrices
        ranks
        wantsZ
        (u: torch.Tensor)
        (z: torch.Tensor option)
        (gradient: torch.Tensor)
        =
        let isRescaled = around.Output.IsSome && wantsZ

        let ofZ =
            if isRescaled then
                torch.empty_like gradient
            else
                gradient.alias ()

        let v = torch.empty_like u
        let b, ofU = addressOf (Option.map snd matrices), Libtorch.address v

        let parts: FromOutputParts =
            {
                Output = addressOf around.Output
                U = Libtorch.address u
                Z = addressOf z
                Gradient = Libtorch.address gradient
                OfZ = if isRescaled then Libtorch.address ofZ else 0n
                OfMatrix = 0n
                OfOutput = 0n
                OfBias = 0n
            }

        let sums =
            summed gradient (ranks + 2) (fun rows sums ->
                let part place isThere =
                    if isThere then Lanes.at sums (4 * rows.Width) place else 0n

                AdaptedLoops.Dots(rows, ranks, b, parts.Gradient, ofU)

                AdaptedLoops.FromOutput(
                    rows,
                    ranks,
                    { parts with
                        OfMatrix = sums
                        OfOutput = part ranks z.IsSome
                        OfBias = part (ranks + 1) around.Bias.IsSome
                    }
                ))

        ofZ, v, sums

    /// From v, the gradient of A x, and where it is owed that of input ∘ x, which becomes that of x: the sums [ranks + 1,
    /// in]: vᵀ x and that of `input`.
    let private backInwards
        (around: Around)
        matrices
        ranks
        (v: torch.Tensor)
        (x: torch.Tensor)
        (gradient: torch.Tensor option)
        =
        let parts: ToInputParts =
            {
                Input = addressOf around.Input
                A = addressOf (Option.map fst matrices)
                V = Libtorch.address v
                X = Libtorch.address x
                Gradient = addressOf gradient
                OfA = 0n
                OfInput = 0n
            }

        summed x (ranks + 1) (fun rows sums ->
            let ofInput =
                if parts.Input <> 0n && parts.Gradient <> 0n then
                    Lanes.at sums (4 * rows.Width) ranks
                else
                    0n

            AdaptedLoops.ToInput(
                rows,
                ranks,
                { parts with
                    OfA = sums
                    OfInput = ofInput
                }
            ))

    let private backward (around: Around) (wantsX: bool) (weight: torch.Tensor) x u z (gradient: torch.Tensor) =
        use gradient = gradient.contiguous ()
        let matrices, ranks = matrices around
        let needsProduct = wantsX || wants around.Input
        let dz, v, ofOutputs = backOutwards around matrices ranks needsProduct u z gradient

        let ofX = if needsProduct then Some(Product.back weight dz) else None

        dz.Dispose()

        let ofInputs =
            if ranks > 0 || around.Input.IsSome then
                Some(backInwards around matrices ranks v x ofX)
            else
                None

        GC.KeepAlive matrices

        let sum (sums: torch.Tensor) place (part: torch.Tensor) =
            if part.requires_grad then
                Some(sums.select(0L, int64 place).clone())
            else
                None

        let matrix (sums: torch.Tensor) (part: torch.Tensor) (rank: int64) (read: torch.Tensor -> torch.Tensor) =
            if part.requires_grad then
                Some(read (sums.narrow (0L, 0L, rank)))
            else
                None

        [|
            if wantsX then ofX else None
            match around.Input, ofInputs with
            | Some input, Some sums -> sum sums ranks input
            | _ -> ()
            match around.Output with
            | Some output -> sum ofOutputs ranks output
            | None -> ()
            match around.Update, ofInputs with
            | Some(a, b, scale), Some sums ->
                matrix sums a (a.size 0) _.clone()
                matrix ofOutputs b (a.size 0) (fun sum -> sum.t().contiguous().mul_(scale.ToScalar()))
            | _ -> ()
            match around.Bias with
            | Some bias -> sum ofOutputs (ranks + 1) bias
            | None -> ()
        |]

    /// output ∘ (W (input ∘ x)) + scale · B (A x) + bias of `x` [.., in] and the frozen `weight` [out, in]: [.., out] in the
    /// dtype of `x`. Weight and parameters must outlive the graph.
    let apply (around: Around) (weight: torch.Tensor) (x: torch.Tensor) : torch.Tensor =
        let inputs = x :: parameters around
        let isRecording, wantsX = Node.isRecording inputs, x.requires_grad
        use _ = torch.no_grad ()
        use source = x.contiguous ()
        let matrices, ranks = matrices around
        let z, u = inwards around matrices ranks weight source
        use u = u
        let y = outwards around matrices ranks u z
        // The loops know no more than addresses.
        GC.KeepAlive matrices
        let isRescaled = wants around.Output

        let result =
            if isRecording then
                let backward (saved: torch.Tensor[]) (gradient: torch.Tensor) =
                    let z = if isRescaled then Some saved[2] else None
                    backward around wantsX weight saved[0] saved[1] z gradient

                // Where x or z is not needed, u stands in its place: it is small.
                let x = if around.Input.IsSome || ranks > 0 then source else u
                Node.create inputs [ x; u; (if isRescaled then z else u) ] backward y
            else
                y

        if around.Output.IsSome then
            z.Dispose()

        result
