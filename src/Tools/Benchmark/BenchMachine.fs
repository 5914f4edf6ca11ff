namespace Peft

open System
open System.Globalization
open System.IO
open System.Runtime.InteropServices
open TorchSharp

/// Where and when a benchmark ran.
type BenchMachine =
    {
        Processor: string
        Cores: int
        /// Threads of the tensor library that were asked for; 0 for its own default.
        Threads: int
        /// Processes that ran or waited to run, averaged over the last minute before the start; nan where unknown.
        Load: float
        System: string
        Libraries: string
        /// UTC, ISO 8601.
        StartedAt: string
        /// The command of the peer; "" without one.
        Peer: string
    }

[<RequireQualifiedAccess>]
module BenchMachine =
    let private firstOf (path: string) (pick: string -> string option) : string option =
        try
            File.ReadLines path |> Seq.tryPick pick
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None

    /// `Processor.name`.
    let processor () : string = Processor.name ()

    let private load () =
        match firstOf "/proc/loadavg" (fun line -> Some(line.Split(' ')[0])) with
        | Some first -> Double.Parse(first, CultureInfo.InvariantCulture)
        | None -> nan

    /// This machine, now.
    let here (threads: int) (peer: string) : BenchMachine =
        {
            Processor = processor ()
            Cores = Environment.ProcessorCount
            Threads = threads
            Load = load ()
            System = RuntimeInformation.OSDescription
            Libraries = $"{RuntimeInformation.FrameworkDescription}, libtorch {torch.__version__}"
            StartedAt = DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"
            Peer = peer
        }

    /// The machine in a line.
    let describe (machine: BenchMachine) : string =
        let threads =
            if machine.Threads > 0 then
                string machine.Threads
            else
                "all"

        let load = machine.Load.ToString("0.##", CultureInfo.InvariantCulture)

        $"{machine.Processor}, {machine.Cores} cores, threads: {threads}; {machine.Libraries}; {machine.System}; {machine.StartedAt}, load {load} at the start"
