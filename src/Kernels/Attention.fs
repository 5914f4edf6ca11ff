namespace Peft.Kernels

open System
open System.Runtime.Intrinsics
open TorchSharp

/// An additive bias of scores, by address: row r's begins at `Offsets[r / Queries]` + r % `Queries` · `Stride` (elements).
[<Struct; NoEquality; NoComparison>]
type internal BiasRows =
    {
        Numbers: nativeint
        /// One for each head of each row of the batch; empty where there is no bias.
        Offsets: int[]
        Queries: int
        Stride: int
    }

[<AbstractClass; Sealed>]
type internal SoftmaxLoops =
    /// Puts scores + bias of one row into `buffer`, −∞ behind them, and gives the highest of each lane.
    static member inline private Gather
        (isHalf: bool, width: int, scores: nativeint, hasBias: bool, bias: nativeint, buffer: float32[])
        : Vector256<float32> =
        let whole = width / Lanes.Width * Lanes.Width
        let mutable highest = Vector256.Create Single.NegativeInfinity
        let mutable place = 0

        while place < whole do
            let mutable v = Lanes.load isHalf scores place

            if hasBias then
                v <- v + Lanes.loadFloat bias place

            highest <- Vector256.Max(highest, v)
            v.CopyTo(buffer, place)
            place <- place + Lanes.Width

        for rest in whole .. buffer.Length - 1 do
            buffer[rest] <-
                if rest >= width then
                    Single.NegativeInfinity
                elif hasBias then
                    Lanes.get isHalf scores rest + Lanes.get false bias rest
                else
                    Lanes.get isHalf scores rest

        if whole < buffer.Length then
            highest <- Vector256.Max(highest, Vector256.Create(buffer, whole))

        highest

    /// Replaces numbers from `first` on, whole vectors up to `last`, by the exponentials of their distance to `top`, and gives
    /// the sum of each lane.
    static member inline Exponentials(numbers: float32[], first: int, last: int, top: float32) : Vector256<float32> =
        let tops = Vector256.Create top
        let mutable sum = Vector256<float32>.Zero
        let mutable place = first

        while place < last do
            let e = Vector256.Exp(Vector256.Create(numbers, place) - tops)
            sum <- sum + e
            e.CopyTo(numbers, place)
            place <- place + Lanes.Width

        sum

    /// Replaces scores by softmax(scores + bias), row by row.
    static member Forward(rows: Rows, bias: BiasRows, scores: nativeint) : unit =
        let isHalf, width = rows.IsHalf, rows.Width
        let padded = (width + Lanes.Width - 1) / Lanes.Width * Lanes.Width
        let buffer = Array.zeroCreate<float32> padded
        let whole = width / Lanes.Width * Lanes.Width
        let hasBias = bias.Offsets.Length > 0
        let size = if isHalf then 2 else 4

        for row in rows.First .. rows.Last - 1 do
            let into = Lanes.at scores size (row * width)

            let beside =
                if hasBias then
                    Lanes.at bias.Numbers 4 (bias.Offsets[row / bias.Queries] + row % bias.Queries * bias.Stride)
                else
                    0n

            let highest = SoftmaxLoops.Gather(isHalf, width, into, hasBias, beside, buffer)
            let sum = SoftmaxLoops.Exponentials(buffer, 0, padded, Lanes.highest highest)
            let share = 1.0f / Vector256.Sum sum
            let shares = Vector256.Create share
            let mutable place = 0

            while place < whole do
                Lanes.store isHalf into place (Vector256.Create(buffer, place) * shares)
                place <- place + Lanes.Width

            for rest in whole .. width - 1 do
                Lanes.set isHalf into rest (buffer[rest] * share)

    /// The factor of column `place` of the mask: blocks of 16 columns within a row, rows of `blocks` blocks.
    static member FillMask(key: MaskKey, blocks: int, row: int, mask: float32[]) : unit =
        for block in 0 .. blocks - 1 do
            let bits = Mask.bits key (uint32 (row * blocks + block))
            (Mask.low key bits).CopyTo(mask, block * Mask.Block)
            (Mask.high key bits).CopyTo(mask, block * Mask.Block + Lanes.Width)

    /// target = mask ∘ source, row by row.
    static member Drop(rows: Rows, key: MaskKey, source: nativeint, target: nativeint) : unit =
        let isHalf, width = rows.IsHalf, rows.Width
        let blocks = (width + Mask.Block - 1) / Mask.Block
        let mask = Array.zeroCreate<float32>(blocks * Mask.Block)
        let whole = width / Lanes.Width * Lanes.Width

        for row in rows.First .. rows.Last - 1 do
            SoftmaxLoops.FillMask(key, blocks, row, mask)
            let from = row * width
            let mutable place = 0

            while place < whole do
                Lanes.store
                    isHalf
                    target
                    (from + place)
                    (Lanes.load isHalf source (from + place) * Vector256.Create(mask, place))

                place <- place + Lanes.Width

            for rest in whole .. width - 1 do
                Lanes.set isHalf target (from + rest) (Lanes.get isHalf source (from + rest) * mask[rest])

    /// Replaces the gradient of the dropped shares by that of the scores: p ∘ (mask ∘ g − Σ p ∘ mask ∘ g).
    static member Backward(rows: Rows, key: MaskKey, shares: nativeint, gradient: nativeint) : unit =
        let isHalf, width = rows.IsHalf, rows.Width
        let blocks = (width + Mask.Block - 1) / Mask.Block
        let mask = Array.create (blocks * Mask.Block) 1.0f
        let padded = blocks * Mask.Block
        let g, p = Array.zeroCreate<float32> padded, Array.zeroCreate<float32> padded
        let whole = width / Lanes.Width * Lanes.Width

        for row in rows.First .. rows.Last - 1 do
            if key.Scale <> 0.0f then
                SoftmaxLoops.FillMask(key, blocks, row, mask)

            let from = row * width

            for rest in whole .. width - 1 do
                g[rest] <- Lanes.get isHalf gradient (from + rest) * mask[rest]
                p[rest] <- Lanes.get isHalf shares (from + rest)

            let mutable sum = Vector256<float32>.Zero
            let mutable place = 0

            while place < whole do
                let masked =
                    Lanes.load isHalf gradient (from + place) * Vector256.Create(mask, place)

                let share = Lanes.load isHalf shares (from + place)
                masked.CopyTo(g, place)
                sum <- Lanes.fma masked share sum
                place <- place + Lanes.Width

            let mutable total = Vector256.Sum sum

            for rest in whole .. width - 1 do
                total <- total + g[rest] * p[rest]

            let totals = Vector256.Create total
            place <- 0

            while place < whole do
                let share = Lanes.load isHalf shares (from + place)
                Lanes.store isHalf gradient (from + place) (share * (Vector256.Create(g, place) - totals))
                place <- place + Lanes.Width

            for rest in whole .. width - 1 do
                Lanes.set isHalf gradient (from + rest) (p[rest] * (g[rest] - total))

/// dropout(softmax(Q Kᵀ + bias)) V as one step: it keeps Q, K, V and the softmax, and neither scores nor mask.
[<RequireQualifiedAccess>]
module internal FusedAttention =
    /// Whether the kernel serves these tensors.
    let serves (bias: torch.Tensor option) (q: torch.Tensor) (k: torch.Tensor) (v: torch.Tensor) : bool =
        let isBroadcast (bias: torch.Tensor) (dimension: int) (size: int64) =
            bias.size dimension = 1L || bias.size dimension = size

        Kernel.serves Kernel.Attention q
        && k.dtype = q.dtype
        && v.dtype = q.dtype
        && k.numel () > 0L
        && q.size 0 * q.size 1 * q.size 2 * k.size 2 < 0x7fffffffL
        && (match bias with
            | Some bias ->
                bias.dtype = torch.float32
                && bias.dim () = 4L
                && isBroadcast bias 0 (q.size 0)
                && isBroadcast bias 1 (q.size 1)
                && isBroadcast bias 2 (q.size 2)
                && bias.size 3 = k.size 2
                && bias.stride 3 = 1L
            | None -> true)

    let private noBias =
        {
            Numbers = 0n
            Offsets = [||]
            Queries = 1
            Stride = 0
        }

    /// Where the bias of each row of scores [rows · heads · queries, keys] stands.
    let private layout (bias: torch.Tensor) (rows: int64) (heads: int64) (queries: int64) : BiasRows =
        let step dimension =
            if bias.size dimension = 1L then
                0L
            else
                bias.stride dimension

        let perRow, perHead = step 0, step 1

        {
            Numbers = Libtorch.address bias
            Offsets =
                Array.init (int (rows * heads)) (fun place ->
                    let place = int64 place
                    int (place / heads * perRow + place % heads * perHead))
            Queries = int queries
            Stride = int (step 2)
        }

    /// [rows, heads, n, width] → [rows · heads, n, width], contiguous.
    let private flat (x: torch.Tensor) = x.reshape (-1L, x.size 2, x.size 3)

    let private softmax (bias: BiasRows) (scores: torch.Tensor) : unit =
        let into = Libtorch.address scores
        Rows.each scores (fun rows -> SoftmaxLoops.Forward(rows, bias, into))

    let private drop (key: MaskKey) (shares: torch.Tensor) : torch.Tensor =
        let dropped = torch.empty_like shares
        let from, into = Libtorch.address shares, Libtorch.address dropped
        Rows.each shares (fun rows -> SoftmaxLoops.Drop(rows, key, from, into))
        dropped

    let private ofScores (key: MaskKey) (shares: torch.Tensor) (gradient: torch.Tensor) : unit =
        let from, into = Libtorch.address shares, Libtorch.address gradient
        Rows.each shares (fun rows -> SoftmaxLoops.Backward(rows, key, from, into))

    /// What a backward pass must know beside the tensors that are kept.
    [<ReferenceEquality>]
    type private Attended =
        {
            /// Its scale is 0 where nothing was dropped.
            Key: MaskKey
            Rows: int64
            Heads: int64
            Queries: int64
            Keys: int64
            WantsQ: bool
            WantsK: bool
            WantsV: bool
            /// The bias's shape, and whether it wants a gradient: the tensor itself may be gone when that is asked.
            Bias: (int64[] * bool) option
        }

        member attended.HasMask = attended.Key.Scale <> 0.0f

        /// [rows · heads, length, width] as [rows, heads, length, width].
        member attended.Split (length: int64) (x: torch.Tensor) : torch.Tensor =
            x.view (attended.Rows, attended.Heads, length, -1L)

    let private isWanted (wants: bool) (gradient: unit -> torch.Tensor) : torch.Tensor option =
        if wants then Some(gradient ()) else None

    let private ofValues (attended: Attended) (shares: torch.Tensor) (gradient: torch.Tensor) : torch.Tensor =
        use dropped =
            if attended.HasMask then
                drop attended.Key shares
            else
                shares.alias ()

        (dropped.transpose (1L, 2L)).bmm gradient |> attended.Split attended.Keys

    /// The gradient of a bias of this shape: that of the scores, summed where the bias was broadcast.
    let private ofBias (attended: Attended) (shape: int64[]) (scores: torch.Tensor) : torch.Tensor =
        let wide = (attended.Split attended.Queries scores).``to`` torch.float32

        let over =
            [|
                for dimension in 0..3 do
                    if shape[dimension] = 1L && wide.size dimension > 1L then
                        int64 dimension
            |]

        if over.Length = 0 then
            wide.clone ()
        else
            wide.sum (over, keepdim = true)

    /// The gradients of q, k, v and, where there is one, the bias.
    let private backward (attended: Attended) (saved: torch.Tensor[]) (gradient: torch.Tensor) =
        let flatQ, flatK, flatV, shares = saved[0], saved[1], saved[2], saved[3]
        use gradient = gradient.contiguous ()
        let ofV = isWanted attended.WantsV (fun () -> ofValues attended shares gradient)

        let wantsBias =
            match attended.Bias with
            | Some(_, wants) -> wants
            | None -> false

        if not (attended.WantsQ || attended.WantsK || wantsBias) then
            [|
                None
                None
                ofV
                if attended.Bias.IsSome then
                    None
            |]
        else
            use scores = gradient.bmm (flatV.transpose (1L, 2L))
            ofScores attended.Key shares scores

            [|
                isWanted attended.WantsQ (fun () -> scores.bmm flatK |> attended.Split attended.Queries)
                isWanted attended.WantsK (fun () ->
                    (scores.transpose (1L, 2L)).bmm flatQ |> attended.Split attended.Keys)
                ofV
                match attended.Bias with
                | Some(shape, wants) -> isWanted wants (fun () -> ofBias attended shape scores)
                | None -> ()
            |]

    /// What `apply` computes, as [rows · heads, queries, d_kv].
    let private mix
        (key: MaskKey option)
        (bias: torch.Tensor option)
        (q: torch.Tensor)
        (k: torch.Tensor)
        (v: torch.Tensor)
        : torch.Tensor =
        let inputs = [ q; k; v ] @ Option.toList bias
        let isRecording = Node.isRecording inputs

        let attended =
            {
                Key = key |> Option.defaultValue Mask.none
                Rows = q.size 0
                Heads = q.size 1
                Queries = q.size 2
                Keys = k.size 2
                WantsQ = q.requires_grad
                WantsK = k.requires_grad
                WantsV = v.requires_grad
                Bias = bias |> Option.map (fun bias -> bias.shape, bias.requires_grad)
            }

        use _ = torch.no_grad ()
        use flatQ = flat q
        use flatK = flat k
        use flatV = flat v
        use transposed = flatK.transpose (1L, 2L)
        use shares = flatQ.bmm transposed

        softmax
            (match bias with
             | Some bias -> layout bias attended.Rows attended.Heads attended.Queries
             | None -> noBias)
            shares

        // The loops know no more than its address.
        GC.KeepAlive bias

        let mixed =
            if attended.HasMask then
                use dropped = drop attended.Key shares
                dropped.bmm flatV
            else
                shares.bmm flatV

        if isRecording then
            Node.create inputs [ flatQ; flatK; flatV; shares ] (backward attended) mixed
        else
            mixed

    /// Of `q` [rows, heads, queries, d_kv], `k` and `v` [rows, heads, keys, d_kv] and a `bias` that broadcasts to [rows,
    /// heads, queries, keys] in float32: [rows, heads, queries, d_kv] in the dtype of `q`.
    let apply (key: MaskKey option) (bias: torch.Tensor option) (q: torch.Tensor) (k: torch.Tensor) (v: torch.Tensor) =
        (mix key bias q k v).view(q.size 0, q.size 1, q.size 2, v.size 3)
