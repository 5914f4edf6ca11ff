namespace Peft.Kernels

open System.Runtime.Intrinsics
open Peft
open TorchSharp

/// The random numbers of dropout: a hash of a key and a place, so that the backward pass finds the same mask again and
/// nothing is kept, and the mask does not depend on threads. Two rounds of a 32-bit mixer by multiplication and shift
/// (Ettinger's `lowbias32` and Wellons' `triple32` family) give 32 bits for two elements of 16 bits each.
[<Struct>]
type internal MaskKey =
    {
        First: uint32
        Second: uint32
        /// An element is dropped where its 16 bits are below this.
        Threshold: uint32
        /// 1 / (1 − the rate that the threshold stands for).
        Scale: float32
    }

/// One number drawn from libtorch's generator serves a whole pass: every place of dropout gets its own key from it.
[<Sealed>]
type MaskKeys private (chance: Chance) =
    static member private Drawn() : Chance =
        use _ = torch.NewDisposeScope()
        Chance(uint64 (torch.randint(0L, System.Int64.MaxValue, [| 1L |], dtype = torch.int64).item<int64>()))

    internal new() = MaskKeys(MaskKeys.Drawn())
    member internal _.Next() : uint64 = chance.Next()

    /// Keys that will be the same from here on.
    member internal _.Copy() : MaskKeys = MaskKeys(chance.Copy())

[<RequireQualifiedAccess>]
module internal Mask =
    /// Elements that one hash of eight lanes decides.
    [<Literal>]
    let Block = 16

    /// The key of no dropout: its scale is 0.
    let none: MaskKey =
        {
            First = 0u
            Second = 0u
            Threshold = 1u
            Scale = 0.0f
        }

    /// The key of the next place of dropout with this rate, which is above 0 and below 1.
    let key (keys: MaskKeys) (rate: float) : MaskKey =
        let drawn = keys.Next()
        let threshold = max 1u (min 65535u (uint32 (round (rate * 65536.0))))

        {
            First = uint32 drawn
            Second = uint32 (drawn >>> 32)
            Threshold = threshold
            Scale = 65536.0f / float32 (65536u - threshold)
        }

    let inline private stir (shift: int) (factor: uint32) (h: Vector256<uint32>) =
        Vector256.Multiply(Vector256.Xor(h, Vector256.ShiftRightLogical(h, shift)), Vector256.Create factor)

    /// 8 · 32 random bits of block `block`.
    let inline bits (key: MaskKey) (block: uint32) : Vector256<uint32> =
        let places =
            Vector256.Add(Vector256.Create(block * 8u), Vector256.Create(0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u))

        let h = Vector256.Xor(places, Vector256.Create key.First)
        let h = h |> stir 16 0x21f0aaadu |> stir 15 0x735a2d97u

        let h =
            Vector256.Add(Vector256.Xor(h, Vector256.ShiftRightLogical(h, 15)), Vector256.Create key.Second)

        let h = h |> stir 16 0x7feb352du |> stir 15 0x846ca68bu
        Vector256.Xor(h, Vector256.ShiftRightLogical(h, 16))

    /// The factors of the block's first eight elements: 0 or the scale.
    let inline low (key: MaskKey) (bits: Vector256<uint32>) : Vector256<float32> =
        let drawn = Vector256.BitwiseAnd(bits, Vector256.Create 0xffffu).AsInt32()
        let kept = Vector256.GreaterThan(drawn, Vector256.Create(int key.Threshold - 1))
        Vector256.BitwiseAnd(kept.AsSingle(), Vector256.Create key.Scale)

    /// The factors of the block's other eight elements.
    let inline high (key: MaskKey) (bits: Vector256<uint32>) : Vector256<float32> =
        let drawn = Vector256.ShiftRightLogical(bits, 16).AsInt32()
        let kept = Vector256.GreaterThan(drawn, Vector256.Create(int key.Threshold - 1))
        Vector256.BitwiseAnd(kept.AsSingle(), Vector256.Create key.Scale)

    /// The factors of a block's 16 elements, in two halves; ones where the key is that of no dropout.
    let inline factors (key: MaskKey) (block: uint32) : struct (Vector256<float32> * Vector256<float32>) =
        if key.Scale = 0.0f then
            struct (Vector256<float32>.One, Vector256<float32>.One)
        else
            let bits = bits key block
            struct (low key bits, high key bits)
