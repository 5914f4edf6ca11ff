namespace Peft.Kernels

open System
open System.Runtime.Intrinsics
open TorchSharp

/// Where the keys and the values of one line of a batch stand: the address of the first head at each position.
type internal Places =
    {
        Keys: nativeint[]
        Values: nativeint[]
        /// Positions that count.
        mutable Count: int
        /// The line's additive bias: head h's begins `BiasStride` · h numbers after this address; 0 where there is none.
        mutable Bias: nativeint
        BiasStride: int
    }

/// What a thread needs for one line at a time.
type internal LineRooms =
    {
        /// [heads · width]
        Query: float32[]
        /// [heads, positions and a vector]
        Scores: float32[]
        /// [heads · width]
        Mixed: float32[]
    }

[<AbstractClass; Sealed>]
type internal StepAttentionLoops =
    /// q · k of the head whose numbers begin at `first`.
    static member inline private Dot(isHalf: bool, first: int, width: int, query: float32[], key: nativeint) : float32 =
        let mutable sum = Vector256<float32>.Zero
        let mutable place = first

        while place < first + width do
            sum <- Lanes.fma (Vector256.Create(query, place)) (Lanes.load isHalf key place) sum
            place <- place + Lanes.Width

        Vector256.Sum sum

    /// Replaces `count` scores from `first` on by their softmax; there is room for a vector behind them.
    static member inline private Softmax(first: int, count: int, scores: float32[]) : unit =
        let padded = (count + Lanes.Width - 1) / Lanes.Width * Lanes.Width

        for rest in count .. padded - 1 do
            scores[first + rest] <- Single.NegativeInfinity

        let mutable highest = Vector256.Create Single.NegativeInfinity
        let mutable place = first

        while place < first + padded do
            highest <- Vector256.Max(highest, Vector256.Create(scores, place))
            place <- place + Lanes.Width

        let sum =
            SoftmaxLoops.Exponentials(scores, first, first + padded, Lanes.highest highest)

        let share = Vector256.Create(1.0f / Vector256.Sum sum)
        place <- first

        while place < first + padded do
            (Vector256.Create(scores, place) * share).CopyTo(scores, place)
            place <- place + Lanes.Width

    /// Adds share · v of one head.
    static member inline private Mix
        (isHalf: bool, first: int, width: int, share: float32, value: nativeint, mixed: float32[])
        : unit =
        let shares = Vector256.Create share
        let mutable place = first

        while place < first + width do
            (Lanes.fma shares (Lanes.load isHalf value place) (Vector256.Create(mixed, place))).CopyTo(mixed, place)
            place <- place + Lanes.Width

    /// One line: softmax(q Kᵀ + bias) V for every head, from the line's query to the line's result. All heads of a position
    /// are read together: they stand side by side, and memory is what the loop waits for.
    static member inline private LineOf
        (isHalf: bool, heads: int, width: int, places: Places, rooms: LineRooms, from: nativeint, into: nativeint)
        : unit =
        let query, scores, mixed = rooms.Query, rooms.Scores, rooms.Mixed
        let stride = scores.Length / heads
        let mutable place = 0

        while place < heads * width do
            (Lanes.load isHalf from place).CopyTo(query, place)
            Vector256<float32>.Zero.CopyTo(mixed, place)
            place <- place + Lanes.Width

        for position in 0 .. places.Count - 1 do
            for head in 0 .. heads - 1 do
                scores[head * stride + position] <-
                    StepAttentionLoops.Dot(isHalf, head * width, width, query, places.Keys[position])

        for head in 0 .. heads - 1 do
            if places.Bias <> 0n then
                for position in 0 .. places.Count - 1 do
                    scores[head * stride + position] <-
                        scores[head * stride + position]
                        + Lanes.get false places.Bias (head * places.BiasStride + position)

            StepAttentionLoops.Softmax(head * stride, places.Count, scores)

        for position in 0 .. places.Count - 1 do
            for head in 0 .. heads - 1 do
                StepAttentionLoops.Mix(
                    isHalf,
                    head * width,
                    width,
                    scores[head * stride + position],
                    places.Values[position],
                    mixed
                )

        place <- 0

        while place < heads * width do
            Lanes.store isHalf into place (Vector256.Create(mixed, place))
            place <- place + Lanes.Width

    /// One line in its dtype: the loops are compiled for each, without a question at every vector.
    static member Line
        (isHalf: bool, heads: int, width: int, places: Places, rooms: LineRooms, from: nativeint, into: nativeint)
        : unit =
        if isHalf then
            StepAttentionLoops.LineOf(true, heads, width, places, rooms, from, into)
        else
            StepAttentionLoops.LineOf(false, heads, width, places, rooms, from, into)

/// Attention of one new token a line, over keys and values that stand wherever they were computed: nothing is copied
/// together before. Not differentiated.
[<RequireQualifiedAccess>]
module internal StepAttention =
    /// Whether the kernel serves tensors like this one, with heads of `width`.
    let serves (width: int) (sample: torch.Tensor) : bool =
        Kernel.serves Kernel.StepAttention sample && width % Lanes.Width = 0

    /// Of queries `q` [lines, .., heads · width], contiguous, over at most `longest` positions: a tensor like `q`. `locate line
    /// places` fills in where a line's keys and values stand; a bias's heads lie `biasStride` apart.
    let apply
        (heads: int)
        (longest: int)
        (biasStride: int)
        (locate: int -> Places -> unit)
        (q: torch.Tensor)
        : torch.Tensor =
        let isHalf = q.dtype = torch.bfloat16
        let inner = int (q.size -1)
        let lines, width = int (q.numel ()) / inner, inner / heads
        let size = if isHalf then 2 else 4
        let mixed = torch.empty_like q
        let from, into = Libtorch.address q, Libtorch.address mixed

        Threads.rows lines (inner * longest) (fun first last ->
            let places =
                {
                    Keys = Array.zeroCreate longest
                    Values = Array.zeroCreate longest
                    Count = 0
                    Bias = 0n
                    BiasStride = biasStride
                }

            let rooms =
                {
                    Query = Array.zeroCreate inner
                    Scores = Array.zeroCreate (heads * (longest + Lanes.Width))
                    Mixed = Array.zeroCreate inner
                }

            for line in first .. last - 1 do
                locate line places

                StepAttentionLoops.Line(
                    isHalf,
                    heads,
                    width,
                    places,
                    rooms,
                    Lanes.at from size (line * inner),
                    Lanes.at into size (line * inner)
                ))

        // The loops know no more than its address.
        GC.KeepAlive q
        mixed
