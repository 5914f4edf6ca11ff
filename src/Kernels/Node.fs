namespace Peft.Kernels

open System
open System.Collections.Concurrent
open System.Runtime.InteropServices
open TorchSharp

/// A step of the computation with a backward pass of its own. TorchSharp's `SingleTensorFunction` does the same, but keeps
/// a copy-sized output and every gradient until the end of the step.
[<RequireQualifiedAccess>]
module internal Node =
    [<Struct; StructLayout(LayoutKind.Sequential)>]
    type Handles =
        val mutable Items: nativeint
        val mutable Count: int64

    [<Struct; StructLayout(LayoutKind.Sequential)>]
    type Pointers =
        val mutable Shared: nativeint
        val mutable Weak: nativeint

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Apply = delegate of gradients: nativeint * count: int -> Handles

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Release = delegate of unit -> unit

    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type Allocate = delegate of length: unativeint -> nativeint

    [<DllImport("LibTorchSharp")>]
    extern Pointers private THSAutograd_CSharpNode_ctor(nativeint apply, nativeint release)

    [<DllImport("LibTorchSharp")>]
    extern void private THSAutograd_CSharpNode_setNextEdges(
        Pointers node,
        Handles inputs,
        [<MarshalAs(UnmanagedType.U1)>] bool isExecutable
    )

    [<DllImport("LibTorchSharp")>]
    extern void private THSAutograd_CSharpNode_clearInputMetadata(Pointers node)

    [<DllImport("LibTorchSharp")>]
    extern void private THSAutograd_CSharpNode_disposeSharedPtr(Pointers node)

    [<DllImport("LibTorchSharp")>]
    extern void private THSAutograd_CSharpNode_disposeWeakPtr(Pointers node)

    [<DllImport("LibTorchSharp")>]
    extern void private THSAutograd_Function_wrapOutputs(
        Handles inputs,
        Handles nonDifferentiable,
        Handles dirty,
        Handles outputs,
        Pointers node,
        nativeint allocate
    )

    /// What a node returned stays until the next one runs: by then the engine holds it.
    type private Returned() =
        [<ThreadStatic; DefaultValue>]
        static val mutable private tensors: torch.Tensor list | null

        static member Replace(fresh: torch.Tensor list) : unit =
            match Returned.tensors with
            | null -> ()
            | earlier -> earlier |> List.iter _.Dispose()

            Returned.tensors <- fresh

    /// An exception must not leave through native code: the first one of a backward pass waits here.
    let private failed = System.Collections.Concurrent.ConcurrentQueue<exn>()

    /// Raises what went wrong in a backward pass: its gradients are missing.
    let raiseFailure () : unit =
        match failed.TryDequeue() with
        | true, error ->
            failed.Clear()
            raise (InvalidOperationException($"a backward pass failed: {error.Message}", error))
        | false, _ -> ()

    /// Inputs for which a node has room from the beginning; more make it grow.
    let private usualInputs = 8

    /// One node of a graph. Its callbacks cost more to make than to call, so a node that the graph has let go serves again.
    type private Live() as this =
        let mutable places = usualInputs
        let mutable room = Marshal.AllocHGlobal(usualInputs * sizeof<nativeint>)
        let apply = Apply(fun gradients _ -> this.Apply gradients)
        let release = Release(fun () -> this.Release())
        let applyPointer = Marshal.GetFunctionPointerForDelegate apply
        let releasePointer = Marshal.GetFunctionPointerForDelegate release
        let mutable pointers = Pointers()
        let mutable saved: torch.Tensor[] = [||]
        let mutable inputCount = 0

        let mutable backward: (torch.Tensor[] -> torch.Tensor -> torch.Tensor option[]) option =
            None

        // A delegate that native code holds must not be collected.
        member val Callbacks: Delegate list = [ apply; release ]
        member _.Pointers = pointers
        member _.Room = room

        member _.Begin
            (inputs: int, tensors: torch.Tensor[], how: torch.Tensor[] -> torch.Tensor -> torch.Tensor option[])
            : unit =
            if inputs > places then
                room <- Marshal.ReAllocHGlobal(room, nativeint (inputs * sizeof<nativeint>))
                places <- inputs

            inputCount <- inputs
            saved <- tensors
            backward <- Some how
            pointers <- THSAutograd_CSharpNode_ctor(applyPointer, releasePointer)

        member private _.Forget() =
            for tensor in saved do
                tensor.Dispose()

            saved <- [||]
            backward <- None

        member private _.Gradients(gradients: nativeint) : torch.Tensor option[] =
            use gradient = torch.Tensor.UnsafeCreateTensor(Marshal.ReadIntPtr gradients)
            use _ = torch.NewDisposeScope()

            let found =
                match backward with
                | Some backward -> backward saved gradient
                | None -> invalidOp "this graph has been differentiated once already"

            if found.Length <> inputCount then
                invalidOp $"a backward pass gave {found.Length} gradients for {inputCount} inputs"

            for tensor in found do
                tensor |> Option.iter (fun tensor -> tensor.DetachFromDisposeScope() |> ignore)

            found

        member private this.Apply(gradients: nativeint) : Handles =
            Returned.Replace []

            let found =
                try
                    this.Gradients gradients
                with error ->
                    failed.Enqueue error
                    Array.create inputCount None

            for place in 0 .. found.Length - 1 do
                let handle =
                    match found[place] with
                    | Some tensor -> tensor.Handle
                    | None -> 0n

                Marshal.WriteIntPtr(room, place * sizeof<nativeint>, handle)

            Returned.Replace(found |> Array.choose id |> List.ofArray)
            this.Forget()
            Handles(Items = room, Count = int64 found.Length)

        member private this.Release() =
            this.Forget()
            THSAutograd_CSharpNode_disposeWeakPtr pointers
            Live.Idle.Push this

        static member val Idle: ConcurrentStack<Live> = ConcurrentStack()

        /// Nodes in use, so that the collector leaves their callbacks alone: all that ever were.
        static member val All: ConcurrentBag<Live> = ConcurrentBag()

        static member Take() : Live =
            match Live.Idle.TryPop() with
            | true, live -> live
            | false, _ ->
                let live = Live()
                Live.All.Add live
                live

    /// Whether gradients are wanted at all.
    let isRecording (inputs: torch.Tensor list) : bool =
        torch.is_grad_enabled () && inputs |> List.exists _.requires_grad

    /// Where libtorch puts the handle of the one output.
    type private Output() =
        [<ThreadStatic; DefaultValue>]
        static val mutable private room: nativeint

        static member Room: nativeint =
            if Output.room = 0n then
                Output.room <- Marshal.AllocHGlobal(2 * sizeof<nativeint>)

            Output.room

        /// Where the result's handle goes; the first place holds the output's.
        static member Result: nativeint = Output.Room + nativeint sizeof<nativeint>
        static member val private Callback = Allocate(fun _ -> Output.Result)
        static member val Allocator: nativeint = Marshal.GetFunctionPointerForDelegate Output.Callback

    /// `output` as a function of `inputs` with this backward pass: from the tensors `saved` and the gradient of the output
    /// to those of the inputs, none where there is none. `output` must be fresh and computed without gradients; its handle
    /// is given up for the result's. Tensors that `backward` returns must be fresh, too.
    let create
        (inputs: torch.Tensor list)
        (saved: torch.Tensor list)
        (backward: torch.Tensor[] -> torch.Tensor -> torch.Tensor option[])
        (output: torch.Tensor)
        : torch.Tensor =
        raiseFailure ()
        let node = Live.Take()
        node.Begin(inputs.Length, saved |> List.map Libtorch.share |> Array.ofList, backward)

        inputs
        |> List.iteri (fun place input -> Marshal.WriteIntPtr(node.Room, place * sizeof<nativeint>, input.Handle))

        let given = Handles(Items = node.Room, Count = int64 inputs.Length)
        let nothing = Handles(Items = 0n, Count = 0L)
        let room = Output.Room
        Marshal.WriteIntPtr(room, output.Handle)
        Marshal.WriteIntPtr(Output.Result, 0n)
        let outputs = Handles(Items = room, Count = 1L)
        THSAutograd_CSharpNode_setNextEdges(node.Pointers, given, true)
        THSAutograd_CSharpNode_clearInputMetadata node.Pointers
        THSAutograd_Function_wrapOutputs(given, nothing, nothing, outputs, node.Pointers, Output.Allocator)
        THSAutograd_CSharpNode_disposeSharedPtr node.Pointers

        match Marshal.ReadIntPtr Output.Result with
        | 0n -> invalidOp "libtorch did not take a step of the computation into its graph"
        | handle ->
            output.Dispose()
            torch.Tensor.UnsafeCreateTensor handle
