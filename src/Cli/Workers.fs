namespace Peft

open System
open System.Collections.Generic
open System.ComponentModel
open System.Diagnostics
open System.IO
open System.Threading
open Argu

/// What a worker is started as.
[<RequireQualifiedAccess>]
module internal WorkerProgram =
    /// The program and the arguments that take the options of a command (`sweep`, `choose`): the command line's own, or the
    /// script that runs, since its plan is its own.
    let self (command: string) : string * string list =
        let given = Environment.GetCommandLineArgs() |> List.ofArray

        let isScript (part: string) =
            part.EndsWith(".fsx", StringComparison.Ordinal)

        match given, List.tryFindIndex isScript given with
        | interactive :: _, Some last when Path.GetFileNameWithoutExtension interactive = "fsi" ->
            "dotnet", List.take (last + 1) given
        | _ ->
            let program, first = BenchProcess.self ()
            program, first @ [ command ]

/// Processes of this program that work on a sweep beside it. They claim runs in the results folder as any other sweep does;
/// all that they hear from this process is the end of their standard input, which tells them to stop, also when this process
/// is killed.
[<Sealed>]
type internal Workers(command: string, count: int, arguments: string list, stop: CancellationToken) =
    /// Longer than a worker takes to its next micro-batch.
    let patience = TimeSpan.FromSeconds 30.0
    let started = List<Process>()
    let mutable isStarted = false
    let mutable isOver = false

    let tell (number: int) (line: string) = eprintfn $"worker {number}: {line}"

    let start (number: int) =
        let program, first = WorkerProgram.self command

        let child =
            new Process(
                StartInfo =
                    ProcessStartInfo(
                        program,
                        first @ arguments,
                        RedirectStandardInput = true,
                        RedirectStandardOutput = true,
                        RedirectStandardError = true
                    ),
                EnableRaisingEvents = true
            )

        let hear (received: DataReceivedEventArgs) =
            match received.Data with
            | null
            | "" -> ()
            | line -> tell number line

        // The rows of the hub, too, are those that this process has fetched.
        child.StartInfo.Environment["HF_HUB_OFFLINE"] <- "1"
        child.OutputDataReceived.Add hear
        child.ErrorDataReceived.Add hear

        child.Exited.Add(fun _ ->
            // Its own words come first.
            child.WaitForExit()

            let isWanted = isOver || stop.IsCancellationRequested || child.ExitCode = 0

            if not isWanted then
                tell number $"ended with exit code {child.ExitCode}; the work goes on without it.")

        try
            child.Start() |> ignore
            child.BeginOutputReadLine()
            child.BeginErrorReadLine()
            started.Add child
        with
        | :? Win32Exception
        | :? InvalidOperationException as error ->
            tell number $"could not be started ({error.Message}); the work goes on without it."

    /// Starts them, the first time.
    member _.Start() : unit =
        if not isStarted then
            isStarted <- true

            for number in 1..count do
                start number

    interface IDisposable with
        /// Ends them: at their next micro-batch, or by force.
        member _.Dispose() : unit =
            isOver <- true

            for child in started do
                try
                    child.StandardInput.Close()
                with :? IOException ->
                    ()

            for child in started do
                if not (child.WaitForExit patience) then
                    child.Kill()

                child.Dispose()

/// The two ends of a worker.
[<RequireQualifiedAccess>]
module internal Worker =
    /// The arguments for workers of a sweep that began at `since`: its own, with the folder of the model and the
    /// number of threads said.
    let arguments
        (options: ParseResults<SweepOption>)
        (modelFolder: string)
        (threads: int)
        (since: DateTime)
        (command: string)
        : string list =
        let kept =
            options.GetAllResults()
            |> List.choose (function
                | Jobs _
                | SweepOption.Threads _ -> None
                // What a name of the hub means was asked once, for all.
                | SweepOption.Model _ -> Some(SweepOption.Model modelFolder)
                | other -> Some other)

        let own = [ SweepOption.Threads threads; Worker(since.Ticks, command) ]

        List.ofArray (options.Parser.PrintCommandLineArguments(kept @ own))

    /// In a worker: cancels when standard input closes, that is, when the process that started this one stops it or has ended.
    let stopWithParent (source: CancellationTokenSource) : unit =
        let listen () =
            use input = Console.OpenStandardInput()

            while input.ReadByte() >= 0 do
                ()

            source.Cancel()

        Thread(listen, IsBackground = true).Start()
