namespace Peft.Kernels

open System
open System.Runtime.InteropServices
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.X86
open Peft
open TorchSharp

/// What the kernels call beside TorchSharp: libtorch's C interface for compiled models (`aoti_torch_…`, stable across
/// releases) and the OpenMP runtime that libtorch runs on. Where the libraries lack an entry, `isHere` is false and the
/// ordinary operations of TorchSharp are used.
[<RequireQualifiedAccess>]
module internal Libtorch =
    [<DllImport("libtorch_cpu", EntryPoint = "aoti_torch_new_tensor_handle")>]
    extern int private newHandle(nativeint tensor, nativeint& copy)

    [<DllImport("libtorch_cpu", EntryPoint = "aoti_torch_get_data_ptr")>]
    extern int private dataPointer(nativeint tensor, nativeint& pointer)

    [<DllImport("libtorch_cpu", EntryPoint = "aoti_torch_cpu__linear_pointwise")>]
    extern int private linearPointwise(
        nativeint x,
        nativeint weight,
        nativeint bias,
        nativeint after,
        nativeint scalars,
        int64 scalarCount,
        nativeint algorithm,
        nativeint& result
    )

    [<DllImport("libtorch_cpu", EntryPoint = "aoti_torch_call_dispatcher")>]
    extern int private callOperator(nativeint operator, nativeint overload, uint64[] stack)

    [<DllImport("libtorch_cpu", EntryPoint = "GOMP_parallel")>]
    extern void private gompParallel(nativeint work, nativeint data, uint32 threads, uint32 flags)

    let private has (names: string list) =
        let mutable library = 0n

        Native.ensure () |> ignore

        RuntimeInformation.ProcessArchitecture = Architecture.X64
        && OperatingSystem.IsLinux()
        && NativeLibrary.TryLoad("libtorch_cpu.so", &library)
        && names
           |> List.forall (fun name ->
               let mutable entry = 0n
               NativeLibrary.TryGetExport(library, name, &entry))

    let private here =
        lazy
            (Vector256.IsHardwareAccelerated
             && Fma.IsSupported
             && has [ "aoti_torch_new_tensor_handle"; "aoti_torch_get_data_ptr"; "GOMP_parallel" ])

    /// Intel's library keeps its widest kernels for Intel's processors: elsewhere oneDNN's float32 product is up to 2.3
    /// times as fast (AMD Zen 5, AVX-512).
    let private isIntel () =
        X86Base.IsSupported
        && (let struct (_, vendor, _, _) = X86Base.CpuId(0, 0) in vendor = 0x756e6547)

    let private oneDnn =
        lazy (here.Value && not (isIntel ()) && has [ "aoti_torch_cpu__linear_pointwise" ])

    let private packing =
        lazy
            (here.Value
             && has [ "aoti_torch_cpu__linear_pointwise"; "aoti_torch_call_dispatcher" ])

    /// Whether the kernels of this folder can run.
    let isHere () : bool = here.Value

    /// Whether float32 products go to oneDNN.
    let prefersOneDnn () : bool = oneDnn.Value

    /// Whether a weight of this dtype gains by standing in oneDNN's order. Without AVX-512 oneDNN has no bfloat16 product.
    let canPack (dtype: torch.ScalarType) : bool =
        packing.Value
        && (if dtype = torch.bfloat16 then Avx512BW.IsSupported
            elif dtype = torch.float32 then oneDnn.Value
            else false)

    let private check (code: int) =
        if code <> 0 then
            invalidOp "a call of libtorch's C interface failed; its message is on standard error"

    /// Another handle of the same tensor, which no scope disposes of.
    let share (tensor: torch.Tensor) : torch.Tensor =
        let mutable copy = 0n
        check (newHandle (tensor.Handle, &copy))
        torch.Tensor.UnsafeCreateTensor(copy).DetachFromDisposeScope()

    /// The address of a contiguous CPU tensor's first element.
    let address (tensor: torch.Tensor) : nativeint =
        let mutable pointer = 0n
        check (dataPointer (tensor.Handle, &pointer))
        pointer

    let private none = lazy (Marshal.StringToCoTaskMemUTF8 "none")

    /// x Wᵀ by oneDNN, of `x` [.., in] and `weight` [out, in], both in any order in memory. Not differentiated.
    let product (x: torch.Tensor) (weight: torch.Tensor) : torch.Tensor =
        let mutable result = 0n
        check (linearPointwise (x.Handle, weight.Handle, 0n, none.Value, 0n, 0L, 0n, &result))
        torch.Tensor.UnsafeCreateTensor result

    let private reorder =
        lazy (Marshal.StringToCoTaskMemUTF8 "mkldnn::_reorder_linear_weight")

    let private firstOverload = lazy (Marshal.StringToCoTaskMemUTF8 "")

    /// `weight` [out, in] in the order in which oneDNN multiplies: an opaque tensor that only `product` takes.
    let pack (weight: torch.Tensor) : torch.Tensor =
        let mutable copy = 0n
        check (newHandle (weight.Handle, &copy))
        // The operator's arguments, which it takes over: the weight, and no number of rows. The result replaces the first.
        let stack = [| uint64 copy; 0UL |]
        check (callOperator (reorder.Value, firstOverload.Value, stack))
        torch.Tensor.UnsafeCreateTensor(nativeint stack[0])

    /// Runs `work data` once on each of `threads` of libtorch's own threads.
    let parallel' (work: nativeint) (data: nativeint) (threads: int) : unit =
        gompParallel (work, data, uint32 threads, 0u)
