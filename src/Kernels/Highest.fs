namespace Peft.Kernels

open System
open System.Runtime.Intrinsics
open TorchSharp

[<AbstractClass; Sealed>]
type internal HighestLoops =
    /// Puts a number in its place among those before place `last`, behind its equals; what stood at `last` is gone.
    static member private Insert(value: float32, id: int64, last: int, values: float32[], ids: int64[]) : unit =
        let mutable place = last

        while place > 0 && value > values[place - 1] do
            values[place] <- values[place - 1]
            ids[place] <- ids[place - 1]
            place <- place - 1

        values[place] <- value
        ids[place] <- id

    /// The highest of `width` numbers (a multiple of a vector's) from `x` on, best first, of equals the first; as many as the
    /// arrays have room for.
    static member Row(isHalf: bool, width: int, x: nativeint, values: float32[], ids: int64[]) : unit =
        let last = values.Length - 1

        for place in 0..last do
            HighestLoops.Insert(Lanes.get isHalf x place, place, place, values, ids)

        // The rest of the vector in which the first ones end.
        let start = (values.Length + Lanes.Width - 1) / Lanes.Width * Lanes.Width

        for place in values.Length .. start - 1 do
            let value = Lanes.get isHalf x place

            if value > values[last] then
                HighestLoops.Insert(value, place, last, values, ids)

        let mutable place = start

        while place < width do
            if Vector256.GreaterThanAny(Lanes.load isHalf x place, Vector256.Create values[last]) then
                for lane in place .. place + Lanes.Width - 1 do
                    let value = Lanes.get isHalf x lane

                    if value > values[last] then
                        HighestLoops.Insert(value, lane, last, values, ids)

            place <- place + Lanes.Width

/// The highest scores of each line.
type internal Highest =
    {
        /// Best first.
        Values: float32[]
        Ids: int64[]
    }

/// What decoding asks of scores [lines, vocabulary], in one pass over them on the CPU.
[<RequireQualifiedAccess>]
module internal Scores =
    let private serves (scores: torch.Tensor) =
        Kernel.serves Kernel.Scores scores
        && scores.is_contiguous ()
        && scores.size 1 % int64 Lanes.Width = 0L

    /// `body` of each line, with its address.
    let private ofLines (scores: torch.Tensor) (body: bool -> int -> nativeint -> 'found) : 'found[] =
        let isHalf = scores.dtype = torch.bfloat16
        let lines, width = int (scores.size 0), int (scores.size 1)
        let first, size = Libtorch.address scores, (if isHalf then 2 else 4)
        let found = Array.zeroCreate lines

        Threads.run lines (fun line ->
            found[line] <- body isHalf width (first + nativeint line * nativeint (width * size)))

        // The loops know no more than its address.
        GC.KeepAlive scores
        found

    /// The logarithm of the sum of exponentials of each line, float32.
    let logSumExp (scores: torch.Tensor) : float32[] =
        if serves scores then
            ofLines scores (fun isHalf width x -> LogSumExpLoops.Row(isHalf, width, x))
        else
            use _ = torch.NewDisposeScope()
            scores.``to``(torch.float32).logsumexp(1L).cpu().data<float32>().ToArray()

    /// The `count` highest of each line, or all where there are fewer.
    let highest (count: int) (scores: torch.Tensor) : Highest[] =
        let count = min count (int (scores.size 1))

        if serves scores then
            ofLines scores (fun isHalf width x ->
                let found =
                    {
                        Values = Array.zeroCreate count
                        Ids = Array.zeroCreate count
                    }

                HighestLoops.Row(isHalf, width, x, found.Values, found.Ids)
                found)
        else
            use _ = torch.NewDisposeScope()
            let struct (values, ids) = scores.``to``(torch.float32).topk count

            let values, ids =
                values.flatten().cpu().data<float32>().ToArray(), ids.flatten().cpu().data<int64>().ToArray()

            Array.zip (Array.chunkBySize count values) (Array.chunkBySize count ids)
            |> Array.map (fun (values, ids) -> { Values = values; Ids = ids })
