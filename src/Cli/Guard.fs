namespace Peft

open System
open System.IO
open System.Runtime.CompilerServices
open System.Runtime.InteropServices
open System.Text.RegularExpressions
open System.Threading
open Argu
open Microsoft.Win32.SafeHandles

/// A command line that names no command, or an option that the command has not: exit code 2.
exception Misused of problem: string with
    override error.Message = error.problem

/// What stands around every command: signals, faults and the console.
[<RequireQualifiedAccess>]
module Guard =
    /// The exit code of a command that Ctrl-C stopped.
    let interrupted = 130

    /// A source that Ctrl-C or `kill` cancels; a second time they end the process at once.
    let stopSource () : CancellationTokenSource =
        let source = new CancellationTokenSource()

        /// Whether the signal is the first.
        let stop () =
            let isFirst = not source.IsCancellationRequested
            source.Cancel()
            isFirst

        Console.CancelKeyPress.Add(fun pressed -> pressed.Cancel <- stop ())

        // Left to itself the runtime takes libtorch apart while it computes.
        let termination =
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, (fun signal -> signal.Cancel <- stop ()))

        // Ends with the registration's owner: the source, which the handler of Ctrl-C keeps.
        source.Token.Register(fun () -> GC.KeepAlive termination) |> ignore
        source

    /// The token of `stopSource`.
    let stopOnCtrlC () : CancellationToken = (stopSource ()).Token

    /// The command as it was given, for result files.
    let commandLine () : string =
        Environment.GetCommandLineArgs()
        |> Array.skip 1
        |> Array.map (fun part ->
            if part.Contains ' ' || part.Contains '(' then
                $"'{part}'"
            else
                part)
        |> String.concat " "

    /// Whether `ulimit -v` bounds this process.
    let isAddressSpaceBounded () =
        try
            File.ReadLines "/proc/self/limits"
            |> Seq.exists (fun line -> line.StartsWith "Max address space" && not (line.Contains "unlimited"))
        with
        | :? IOException
        | :? UnauthorizedAccessException -> false

    let private memory () =
        if isAddressSpaceBounded () then
            "the address space that this process may use is used up. Raise the limit (ulimit -v unlimited), or use a smaller --batch-size or shorter limits."
        else
            "the memory is used up. Use a smaller --batch-size, shorter limits, or --dtype bfloat16."

    let private handles =
        "this process may open no more files. Raise the limit (ulimit -n 1024), or use fewer --jobs."

    let private isOutOfMemory (text: string) =
        [
            "can't allocate memory"
            "not enough memory"
            "out of memory"
            "Cannot allocate memory"
        ]
        |> List.exists (fun words -> text.Contains(words, StringComparison.OrdinalIgnoreCase))

    let private isOutOfHandles (text: string) =
        text.Contains("Too many open files", StringComparison.OrdinalIgnoreCase)

    /// The part of the program that cannot be loaded although its file is there: there is no handle left to open it with.
    let private isUnopened (text: string) =
        let found =
            Regex.Match(text, "Could not load file or assembly '([^,']+)", RegexOptions.IgnoreCase)

        found.Success
        && [ AppContext.BaseDirectory; RuntimeEnvironment.GetRuntimeDirectory() ]
           |> List.exists (fun folder -> File.Exists(Path.Combine(folder, found.Groups[1].Value + ".dll")))

    /// What libtorch says before it lists its own stack.
    let private withoutFrames (text: string) =
        text.Split([| "Exception raised from"; "frame #0" |], StringSplitOptions.None)[0]

    let private messageOf (error: exn) =
        match error with
        | UserError message -> message
        | _ -> error.Message

    /// The cause of a fault in one line, with what to do about it.
    let rec describe (error: exn) : string =
        match error with
        | _ when isOutOfHandles (messageOf error) || isUnopened (messageOf error) -> handles
        | UserError message -> message
        | NonFinite cause -> cause
        | :? OutOfMemoryException -> memory ()
        | _ when isOutOfMemory error.Message -> memory ()
        | :? UnauthorizedAccessException
        | :? IOException -> error.Message
        | :? AggregateException
        | :? TypeInitializationException as wrapped ->
            match wrapped.InnerException with
            | null -> wrapped.Message
            | inner -> describe inner
        // Anything else is a fault of the program, and still no reason for a page of frames.
        | _ -> $"{(withoutFrames error.Message).Trim()} ({error.GetType().Name}; PEFT_TRACE=1 shows where)"

    /// Characters of a message: beyond, it repeats what a user gave.
    let private longest = 1500

    let private tell (message: string) : unit =
        eprintfn $"peft: {Printable.short longest (message.Trim())}"

    let private codeOf (error: exn) : int =
        match error with
        | :? ArguParseException as error when error.ErrorCode = ErrorCode.HelpText ->
            printfn $"{error.Message}"
            0
        | Misused problem ->
            eprintfn $"peft: {Printable.short 300 problem} (--help lists what there is)"
            2
        | :? ArguParseException ->
            let problem = error.Message.Split('\n', 2)[0]
            eprintfn $"peft: {Printable.short 300 (problem.Trim())} (--help lists the options)"
            2
        | _ ->
            tell (describe error)
            1

    /// Whether it is this program's fault rather than the user's or the machine's.
    [<MethodImpl(MethodImplOptions.NoInlining)>]
    let private isFault (error: exn) =
        match error with
        | UserError _
        | NonFinite _
        | Misused _ -> false
        | :? ArguParseException
        | :? UnauthorizedAccessException
        | :? IOException
        | :? OutOfMemoryException -> false
        | _ -> true

    let private isTraced () =
        not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "PEFT_TRACE"))

    /// The exit code of an error, after the handles in hand are let go to tell it. What could not be loaded before will not be
    /// loaded now either: then all that is left is one line of which nothing needs loading.
    let private outcome (spare: (SafeFileHandle | null)[]) (error: exn) : int =
        SpareHandles.release spare

        try
            codeOf error
        with _ ->
            SpareHandles.say ()
            1

    let private isShown (error: exn) = isTraced () && isFault error

    /// Of its own, so that what it needs is loaded inside the `try` of its caller.
    [<MethodImpl(MethodImplOptions.NoInlining)>]
    let private withLossyConsole (spare: (SafeFileHandle | null)[]) (command: unit -> int) : int =
        let output, error = Console.Out, Console.Error
        use lossyOutput = new LossyWriter(output)
        use lossyError = new LossyWriter(error)

        try
            Console.SetOut lossyOutput
            Console.SetError lossyError

            let code =
                try
                    command ()
                with error when not (isShown error) ->
                    outcome spare error

            lossyOutput.Flush()

            match lossyOutput.Loss with
            | "" -> code
            | cause ->
                tell $"standard output could not be written ({cause.TrimEnd '.'}); what it would have said is lost."
                max code 1
        finally
            Console.SetOut output
            Console.SetError error

    /// Runs a command; an error becomes one line on standard error and an exit code: 1 for what a user can put right, 2 for
    /// options that cannot be read. Output that cannot be written stops no command: the code is 1 in the end. Where too few
    /// files may be opened for all that, it says so.
    let run (command: unit -> int) : int =
        match SpareHandles.take () with
        | null -> 1
        | spare ->
            try
                try
                    withLossyConsole spare command
                with error when not (isShown error) ->
                    outcome spare error
            finally
                SpareHandles.release spare
