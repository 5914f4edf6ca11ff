namespace Peft

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.IO
open Peft.Kernels

/// Where the processor's time of the embedded default sweep goes, by Linux's `perf`: it stops the sweep's threads a few
/// hundred times a second and notes the function and the library that each is in.
[<RequireQualifiedAccess>]
module ShareBench =
    let private holdsAny (marks: string list) (text: string) =
        marks |> List.exists (fun mark -> text.Contains(mark, StringComparison.Ordinal))

    /// Functions of libtorch that compute on numbers: matrix products (MKL, oneDNN), loops over elements, which are compiled
    /// once for each instruction set, mathematical functions, random numbers.
    let private isKernel (symbol: string) =
        // The dispatcher's wrappers have `kernel` in their names.
        not (holdsAny [ "wrap_kernel_functor"; "make_boxed" ] symbol)
        && holdsAny
            [
                "mkl_"
                "dnnl"
                "gemm"
                "Sleef"
                "AVX2"
                "AVX512"
                "DEFAULT"
                "kernel_impl"
                "_kernel"
                "loop_2d"
                "cascade_sum"
                "random64"
            ]
            symbol

    /// The kernels' loops, also where the compiler has put them into the function that hands out their rows, and the exponentials
    /// that they call.
    let private ownMarks =
        [
            "Loops::"
            for home in List.choose Kernel.home Kernel.all do
                $"Peft.Kernels.{home}+"
            "System.Runtime.Intrinsics."
        ]

    /// What a sample is part of: `kernels` of libtorch, the project's `own kernels`, the rest of `libtorch` (dispatch, autograd, allocation), TorchSharp's
    /// native `shim`, `libc` (copies and allocation, whoever asks), the operating `system`, `dotnet`, or `unknown`.
    /// Waiting for OpenMP's other threads is waiting for a kernel.
    let kindOf (symbol: string) (library: string) : string =
        let name = string (Path.GetFileName(library.Trim()))

        let isOf (starts: string list) =
            starts
            |> List.exists (fun start -> name.StartsWith(start, StringComparison.Ordinal))

        if isOf [ "libgomp" ] then
            "kernels"
        // .NET's map names all that .NET compiled: what is left without a name is oneDNN's, which writes its products at run time.
        elif isOf [ "perf-" ] && symbol.EndsWith("[unknown]", StringComparison.Ordinal) then
            "kernels"
        elif holdsAny ownMarks symbol then
            "own kernels"
        elif isOf [ "libtorch" ] && isKernel symbol then
            "kernels"
        elif isOf [ "libtorch"; "libc10" ] then
            "libtorch"
        elif isOf [ "libLibTorchSharp" ] then
            "shim"
        elif isOf [ "libc."; "libc-"; "libm."; "libm-"; "libstdc++"; "ld-linux"; "[vdso]" ] then
            "libc"
        elif isOf [ "[kernel"; "[guest.kernel" ] then
            "system"
        elif isOf [ "[unknown]"; "anon"; "[heap]" ] then
            "unknown"
        else
            "dotnet"

    /// The kinds, in the order in which they are told.
    let kinds: string list =
        [
            "kernels"
            "own kernels"
            "libtorch"
            "shim"
            "libc"
            "system"
            "dotnet"
            "unknown"
        ]

    /// Samples of `perf script -F tid,ip,sym,dso`, one a line: `  1234  7f2a41 at::native::add (/path/libtorch_cpu.so)`, as
    /// thread and kind.
    let parse (lines: string seq) : (int * string) list =
        [
            for line in lines do
                let line = line.TrimEnd().Replace(" (deleted)", "")
                let opening = line.LastIndexOf " ("
                let words = line.Split(' ', 3, StringSplitOptions.RemoveEmptyEntries)

                match words |> Array.tryHead |> Option.map Int32.TryParse with
                | Some(true, thread) when opening >= 0 && words.Length = 3 ->
                    // Without a symbol the third word is the library.
                    let symbol = line.Substring(0, opening)
                    thread, kindOf symbol (line.Substring(opening + 2).TrimEnd ')')
                | _ -> ()
        ]

    /// The share of each kind among the samples of the thread that runs the sweep: the one with the most samples outside of
    /// kernels. Workers of OpenMP, which are in kernels or spin, are left out, and so are the threads of the just-in-time
    /// compiler and the collector, which run beside it.
    let shares (samples: (int * string) list) : (string * float) list =
        match samples |> List.groupBy fst with
        | [] -> []
        | threads ->
            let outside (_, own) =
                own |> List.filter (fun (_, kind) -> kind <> "kernels") |> List.length

            let _, own = threads |> List.maxBy outside

            kinds
            |> List.map (fun kind ->
                let count = own |> List.filter (snd >> (=) kind) |> List.length
                kind, float count / float own.Length)

    let private samplesPerSecond = 199

    let private checked' (what: string) (code: int, output: string, error: string) : string =
        if code <> 0 then
            userError $"{what} failed: {BenchProcess.lastLine error}"

        output

    /// Runs the sweep under `perf`; seconds are its wall clock, values the shares.
    let measure (row: BenchRow) : Measurement =
        let program, arguments = BenchProcess.self ()
        let rate = samplesPerSecond.ToString CultureInfo.InvariantCulture

        // One process, with the one thread that each job of this sweep has.
        let threads = [ "--threads"; string (max 1 row.Threads) ]

        Files.inTemporary "bench" (fun folder ->
            let at name = Path.Combine(folder, name)
            Files.createFolder folder
            let watch = Stopwatch.StartNew()

            BenchProcess.run
                "perf"
                ([ "record"; "-q"; "-e"; "cpu-clock"; "-F"; rate; "-o"; at "perf.data"; "--" ]
                 // .NET then names its functions for perf; code that is mapped twice, to be written and to be run, perf would
                 // not find under its names.
                 @ ("env"
                    :: "DOTNET_PerfMapEnabled=3"
                    :: "DOTNET_EnableWriteXorExecute=0"
                    :: program
                    :: arguments)
                 @ [ "sweep"; "--results"; at "results" ]
                 @ threads)
            |> checked' "the sweep under perf"
            |> ignore

            let seconds = watch.Elapsed.TotalSeconds

            let listing =
                BenchProcess.run "perf" [ "script"; "-i"; at "perf.data"; "-F"; "tid,ip,sym,dso" ]
                |> checked' "perf script"

            let samples = parse (listing.Split '\n')

            {
                Seconds = [ seconds ]
                PeakMiB = 0.0
                Values =
                    ("samples", float samples.Length) :: shares samples
                    |> List.map KeyValuePair
                    |> Dictionary
            })
