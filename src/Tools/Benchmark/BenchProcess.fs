namespace Peft

open System
open System.Diagnostics
open System.IO
open System.Reflection

/// Other programs, and this one once more.
[<RequireQualifiedAccess>]
module BenchProcess =
    /// The program and the arguments that run this command line again.
    let self () : string * string list =
        // The command line lies beside this assembly, also in a build of scripts or tests.
        let folder =
            string (Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location))

        let assembly = Path.Combine(folder, "Peft.Cli.dll")

        let isNamed name (host: string) =
            let file = string (Path.GetFileName host)
            file = name || file = name + ".exe"

        match Environment.ProcessPath with
        | null -> "dotnet", [ assembly ]
        | host when isNamed "dotnet" host -> host, [ assembly ]
        // The program's own host, which `dotnet run` starts; a host of something else (tests) cannot run commands.
        | host when isNamed (string (Path.GetFileNameWithoutExtension assembly)) host -> host, []
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
