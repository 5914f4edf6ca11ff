namespace Peft.Kernels

open System
open System.Runtime.Intrinsics

[<AbstractClass; Sealed>]
type internal LogSumExpLoops =
    /// The logarithm of the sum of exponentials of `width` numbers from `x` on; `width` is a multiple of a vector's.
    static member Row(isHalf: bool, width: int, x: nativeint) : float32 =
        let mutable highest = Vector256.Create Single.NegativeInfinity
        let mutable place = 0

        while place < width do
            highest <- Vector256.Max(highest, Lanes.load isHalf x place)
            place <- place + Lanes.Width

        let top = Lanes.highest highest
        let tops = Vector256.Create top
        let mutable sum = Vector256<float32>.Zero
        place <- 0

        while place < width do
            sum <- sum + Vector256.Exp(Lanes.load isHalf x place - tops)
            place <- place + Lanes.Width

        top + log (Vector256.Sum sum)
