namespace Peft.Kernels

#nowarn "9" // Addresses of tensors are plain numbers here.

open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.X86
open Microsoft.FSharp.NativeInterop

/// Eight numbers at once, from and to float32 or bfloat16 memory.
[<RequireQualifiedAccess>]
module internal Lanes =
    /// Numbers in a vector.
    [<Literal>]
    let Width = 8

    let inline at (address: nativeint) (bytes: int) (index: int) : nativeint =
        address + nativeint index * nativeint bytes

    let inline loadFloat (address: nativeint) (index: int) : Vector256<float32> =
        Vector256.Load(NativePtr.ofNativeInt<float32>(at address 4 index))

    let inline storeFloat (address: nativeint) (index: int) (value: Vector256<float32>) : unit =
        Vector256.Store(value, NativePtr.ofNativeInt<float32>(at address 4 index))

    /// Eight elements from `index` on.
    let inline load (isHalf: bool) (address: nativeint) (index: int) : Vector256<float32> =
        if isHalf then
            let bits =
                Avx2.ConvertToVector256Int32(Vector128.Load(NativePtr.ofNativeInt<uint16>(at address 2 index)))

            Vector256.ShiftLeft(bits, 16).AsSingle()
        else
            loadFloat address index

    /// Rounds to the nearest bfloat16, ties to even, as libtorch does.
    let inline round (value: Vector256<float32>) : Vector256<uint32> =
        let bits = value.AsUInt32()

        let odd =
            Vector256.BitwiseAnd(Vector256.ShiftRightLogical(bits, 16), Vector256.Create 1u)

        Vector256.ShiftRightLogical(Vector256.Add(Vector256.Add(bits, Vector256.Create 0x7fffu), odd), 16)

    /// Stores eight elements from `index` on.
    let inline store (isHalf: bool) (address: nativeint) (index: int) (value: Vector256<float32>) : unit =
        if isHalf then
            let bits = round value

            Vector128.Store(
                Vector128.Narrow(bits.GetLower(), bits.GetUpper()),
                NativePtr.ofNativeInt<uint16>(at address 2 index)
            )
        else
            storeFloat address index value

    /// One element.
    let inline get (isHalf: bool) (address: nativeint) (index: int) : float32 =
        if isHalf then
            let bits = NativePtr.read (NativePtr.ofNativeInt<uint16>(at address 2 index))
            System.BitConverter.UInt32BitsToSingle(uint32 bits <<< 16)
        else
            NativePtr.read (NativePtr.ofNativeInt<float32>(at address 4 index))

    /// Sets one element.
    let inline set (isHalf: bool) (address: nativeint) (index: int) (value: float32) : unit =
        if isHalf then
            let bits = System.BitConverter.SingleToUInt32Bits value
            let rounded = (bits + 0x7fffu + ((bits >>> 16) &&& 1u)) >>> 16
            NativePtr.write (NativePtr.ofNativeInt<uint16>(at address 2 index)) (uint16 rounded)
        else
            NativePtr.write (NativePtr.ofNativeInt<float32>(at address 4 index)) value

    /// The highest of the eight.
    let inline highest (vector: Vector256<float32>) : float32 =
        let mutable top = vector[0]

        for lane in 1 .. Width - 1 do
            top <- max top vector[lane]

        top

    let inline fma (a: Vector256<float32>) (b: Vector256<float32>) (c: Vector256<float32>) : Vector256<float32> =
        Fma.MultiplyAdd(a, b, c)
