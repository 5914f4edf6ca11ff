namespace Peft

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.IO
open System.Reflection

/// Other programs, and this one once more.
[<RequireQualifiedAccess>]
module BenchProcess =
    /// The program and the arguments that run this command line again.
    let self () : string * string list =
        let assembly = Assembly.GetExecutingAssembly().Location

        match Environment.ProcessPath with
        | null -> "dotnet", [ assembly ]
        | host when Path.GetFileNameWithoutExtension host = "dotnet" -> host, [ assembly ]
        // The program's own host, which `dotnet run` starts; a host of something else (tests) cannot run commands.
        | host when Path.GetFileNameWithoutExtension host = Path.GetFileNameWithoutExtension assembly -> host, []
        | _ -> "dotnet", [ assembly ]

    /// Runs a program to its end; gives exit code, standard output and standard error. `UserError` where it cannot start.
    let run (program: string) (arguments: string list) : int * string * string =
        let start =
            ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

        try
            match Process.Start start with
            | null -> userError $"{program} could not be started."
            | started ->
                use child = started
                let error = child.StandardError.ReadToEndAsync()
                let output = child.StandardOutput.ReadToEnd()
                child.WaitForExit()
                child.ExitCode, output, error.Result
        with :? ComponentModel.Win32Exception as problem ->
            userError $"{program} could not be started: {problem.Message}"

    /// The last line that holds something.
    let lastLine (text: string) : string =
        text.Split('\n', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)
        |> Array.tryLast
        |> Option.defaultValue ""

/// Where the processor's time of the embedded default sweep goes, by Linux's `perf`: it stops the sweep's threads a few
/// hundred times a second and notes the library whose code each is in.
[<RequireQualifiedAccess>]
module ShareBench =
    /// What a library is, by its file name as `perf script` gives it.
    let kindOf (library: string) : string =
        let name = string (Path.GetFileName(library.Trim()))

        let isOf (starts: string list) =
            starts
            |> List.exists (fun start -> name.StartsWith(start, StringComparison.Ordinal))

        if isOf [ "libtorch"; "libc10"; "libgomp"; "libshm" ] then
            "libtorch"
        elif isOf [ "libLibTorchSharp" ] then
            "shim"
        elif isOf [ "libc."; "libc-"; "libm."; "libm-"; "libstdc++"; "ld-linux"; "[vdso]" ] then
            "libc"
        elif isOf [ "[kernel"; "[guest.kernel" ] then
            "kernel"
        else
            "dotnet"

    /// Samples of `perf script -F tid,ip,dso`, one a line (`  1234  7f2a.. (/path/libtorch_cpu.so)`), as thread and kind.
    let parse (lines: string seq) : (int * string) list =
        [
            for line in lines do
                let opening = line.LastIndexOf " ("
                let words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)

                match words |> Array.tryHead |> Option.map Int32.TryParse with
                | Some(true, thread) when opening >= 0 -> thread, kindOf (line.Substring(opening + 2).TrimEnd(')', ' '))
                | _ -> ()
        ]

    /// The share of each kind among the samples of the thread that runs the sweep: the one with the most samples outside of
    /// libtorch. Workers of OpenMP, which are in libtorch or spin, are left out, and so are the compiler's and collector's
    /// threads, which run beside it.
    let shares (samples: (int * string) list) : (string * float) list =
        match samples |> List.groupBy fst with
        | [] -> []
        | threads ->
            let outside (_, own) =
                own |> List.filter (fun (_, kind) -> kind <> "libtorch") |> List.length

            let _, own = threads |> List.maxBy outside

            [ "libtorch"; "libc"; "kernel"; "shim"; "dotnet" ]
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
        let folder = Path.Combine(Path.GetTempPath(), $"peft-bench-{Guid.NewGuid():N}")
        let at name = Path.Combine(folder, name)
        let program, arguments = BenchProcess.self ()
        let rate = samplesPerSecond.ToString CultureInfo.InvariantCulture

        let threads =
            if row.Threads > 0 then
                [ "--threads"; string row.Threads ]
            else
                []

        try
            Files.createFolder folder
            let watch = Stopwatch.StartNew()

            BenchProcess.run
                "perf"
                ([ "record"; "-q"; "-e"; "cpu-clock"; "-F"; rate; "-o"; at "perf.data"; "--" ]
                 @ (program :: arguments)
                 @ [ "sweep"; "--results"; at "results" ]
                 @ threads)
            |> checked' "the sweep under perf"
            |> ignore

            let seconds = watch.Elapsed.TotalSeconds

            let listing =
                BenchProcess.run "perf" [ "script"; "-i"; at "perf.data"; "-F"; "tid,ip,dso" ]
                |> checked' "perf script"

            let samples = parse (listing.Split '\n')

            {
                Seconds = [ seconds ]
                PeakMiB = 0.0
                Values =
                    ("samples", float samples.Length) :: shares samples
                    |> List.map KeyValuePair
                    |> Dictionary
            }
        finally
            if Directory.Exists folder then
                Directory.Delete(folder, recursive = true)
