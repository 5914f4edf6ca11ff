namespace Peft

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices

/// The peak of the process's resident memory, as Linux keeps it; elsewhere the runtime's figure for the whole process.
[<RequireQualifiedAccess>]
module Memory =
    [<DllImport("libc")>]
    extern int private malloc_trim(unativeint pad)

    /// Gives back what earlier work has freed: a run's peak should be its own.
    let private trim () : unit =
        GC.Collect()

        try
            malloc_trim 0un |> ignore
        with
        | :? DllNotFoundException
        | :? EntryPointNotFoundException -> ()

    /// Starts a new peak. Where the system does not allow that, peaks are those of the whole process so far.
    let resetPeak () : unit =
        trim ()

        try
            File.WriteAllText("/proc/self/clear_refs", "5")
        with
        | :? IOException
        | :? UnauthorizedAccessException -> ()

    let private linuxPeak () =
        File.ReadLines "/proc/self/status"
        |> Seq.tryFind _.StartsWith("VmHWM:", StringComparison.Ordinal)
        |> Option.map (fun line -> float (line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) / 1024.0)

    let private runtimePeak () =
        use self = Process.GetCurrentProcess()
        float self.PeakWorkingSet64 / 1048576.0

    /// The peak since the last reset, in MiB.
    let peakMiB () : float =
        try
            linuxPeak () |> Option.defaultWith runtimePeak
        with
        | :? IOException
        | :? UnauthorizedAccessException -> runtimePeak ()
