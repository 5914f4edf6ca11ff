namespace Peft.Kernels

open System
open System.Runtime.InteropServices
open System.Threading
open TorchSharp

/// Loops on libtorch's own threads: a second pool would fight with the first, which spins while it waits.
[<RequireQualifiedAccess>]
module internal Threads =
    [<UnmanagedFunctionPointer(CallingConvention.Cdecl)>]
    type private Work = delegate of nativeint -> unit

    type private Job(chunks: int, body: int -> unit) =
        let mutable next = -1
        let mutable failure: exn option = None

        /// An exception must not leave through native code: the first one is kept.
        member _.Run() : unit =
            try
                let mutable chunk = Interlocked.Increment(&next)

                while chunk < chunks do
                    body chunk
                    chunk <- Interlocked.Increment(&next)
            with error ->
                failure <- Some error

        member _.Failure = failure

    type private Entry() =
        static member val private Callback =
            Work(fun data ->
                match GCHandle.FromIntPtr(data).Target with
                | :? Job as job -> job.Run()
                | _ -> ())

        static member val Pointer: nativeint = Marshal.GetFunctionPointerForDelegate Entry.Callback

    /// Runs `body` for each of `chunks`; which thread takes which chunk is open, so a chunk must not depend on another.
    let run (chunks: int) (body: int -> unit) : unit =
        let threads = min chunks (torch.get_num_threads ())

        if threads <= 1 then
            for chunk in 0 .. chunks - 1 do
                body chunk
        else
            let job = Job(chunks, body)
            let handle = GCHandle.Alloc job

            try
                Libtorch.parallel' Entry.Pointer (GCHandle.ToIntPtr handle) threads
            finally
                handle.Free()

            job.Failure |> Option.iter raise

    /// Elements that a thread takes at once: fewer are not worth waking another for.
    let private grain = 16384

    /// Rows of `width` elements that a thread takes at once.
    let rowsPerPiece (width: int) : int = max 1 (grain / max 1 width)

    /// How many pieces `rows` makes, and which of them begins at row `first`.
    let pieces (count: int) (width: int) : int * (int -> int) =
        let perPiece = rowsPerPiece width
        (count + perPiece - 1) / perPiece, (fun first -> first / perPiece)

    /// Runs `body first last` over rows of `width` elements in pieces whose borders depend on the shape alone.
    let rows (count: int) (width: int) (body: int -> int -> unit) : unit =
        let perPiece = rowsPerPiece width

        run (fst (pieces count width)) (fun piece -> body (piece * perPiece) (min count ((piece + 1) * perPiece)))
