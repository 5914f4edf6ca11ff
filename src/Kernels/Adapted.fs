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

    /// Runs `body first last sums` over the rows, with `parts` · `width` sums for each piece of them, and gives the total
    /// [parts, width], which does not depend on the number of threads.
    let private summed (rows: int) (width: int) (parts: int) (body: int -> int -> nativeint -> unit) : torch.Tensor =
        let perPiece =
            max (Threads.rowsPerPiece width) ((rows + mostPieces - 1) / mostPieces)

        let pieces = (rows + perPiece - 1) / perPiece
        let length = parts * width

        let sums =
            torch.zeros (int64 pieces, int64 parts, int64 width, dtype = torch.float32)

        let into = Libtorch.address sums

        Threads.run pieces (fun piece ->
            body (piece * perPiece) (min rows ((piece + 1) * perPiece)) (Lanes.at into (4 * length) piece))

        AdaptedLoops.Total(pieces, length, into)
        sums.select (0L, 0L)

    /// W (input ∘ x), and A x where there is an update.
    let private inwards (around: Around) matrices ranks (weight: torch.Tensor) (x: torch.Tensor) =
        let isHalf, width = x.dtype = torch.bfloat16, int (x.size -1)
        let rows = int (x.numel ()) / width
        let from, factors = Libtorch.address x, addressOf around.Input
        let u = torch.empty (int64 rows, int64 ranks, dtype = torch.float32)
        use scaled = if factors = 0n then x.alias () else torch.empty_like x
        let into, dots = Libtorch.address scaled, Libtorch.address u
        let a = addressOf (Option.map fst matrices)

        if factors <> 0n || ranks > 0 then
            Threads.rows rows width (fun first last ->
                if factors <> 0n then
                    AdaptedLoops.Scale(isHalf, width, factors, from, into, first, last)

                AdaptedLoops.Dots(isHalf, width, ranks, a, from, dots, first, last))

        Product.linear weight scaled, u

    /// y of z = W (input ∘ x) and u = A x, in the place of z where z need not stay.
    let private outwards (around: Around) matrices ranks (u: torch.Tensor) (z: torch.Tensor) =
        let isHalf, width = z.dtype = torch.bfloat16, int (z.size -1)
        let rows = int (z.numel ()) / width

        if around.Output.IsNone && around.Bias.IsNone && ranks = 0 then
            z
        else
            let y = if around.Output.IsSome then torch.empty_like z else z
            let from, into, dots = Libtorch.address z, Libtorch.address y, Libtorch.address u
            let output, bias = addressOf around.Output, addressOf around.Bias
            let b = addressOf (Option.map snd matrices)

            Threads.rows rows width (fun first last ->
                AdaptedLoops.Combine(isHalf, width, ranks, output, bias, dots, b, from, into, first, last))

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
        let isHalf, width = gradient.dtype = torch.bfloat16, int (gradient.size -1)
        let rows = int (gradient.numel ()) / width
        let isRescaled = around.Output.IsSome && wantsZ

        let dz =
            if isRescaled then
                torch.empty_like gradient
            else
                gradient.alias ()

        let v = torch.empty_like u

        let g, into =
            Libtorch.address gradient, (if isRescaled then Libtorch.address dz else 0n)

        let output, kept = addressOf around.Output, addressOf z
        let b = addressOf (Option.map snd matrices)
        let dots, ofDots = Libtorch.address u, Libtorch.address v

        let sums =
            summed rows width (ranks + 2) (fun first last sums ->
                let beside part isThere =
                    if isThere then Lanes.at sums (4 * width) part else 0n

                AdaptedLoops.Dots(isHalf, width, ranks, b, g, ofDots, first, last)

                AdaptedLoops.OfOutput(
                    isHalf,
                    width,
                    ranks,
                    output,
                    dots,
                    kept,
                    g,
                    into,
                    sums,
                    beside ranks z.IsSome,
                    beside (ranks + 1) around.Bias.IsSome,
                    first,
                    last
                ))

        dz, v, sums

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
        let isHalf, width = x.dtype = torch.bfloat16, int (x.size -1)
        let rows = int (x.numel ()) / width

        let factors, from, g =
            addressOf around.Input, Libtorch.address x, addressOf gradient

        let a, dots = addressOf (Option.map fst matrices), Libtorch.address v

        summed rows width (ranks + 1) (fun first last sums ->
            let ofInput =
                if factors <> 0n && g <> 0n then
                    Lanes.at sums (4 * width) ranks
                else
                    0n

            AdaptedLoops.OfInput(isHalf, width, ranks, factors, a, dots, from, g, sums, ofInput, first, last))

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
