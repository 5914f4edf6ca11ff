/// The command line as a process of its own.
module Peft.Tests.CommandLine

open System.Diagnostics
open Expecto
open Peft

/// Runs `peft` in a folder with further variables, its standard input closed. Gives exit code, standard output and standard
/// error.
let run (folder: string) (variables: (string * string) list) (arguments: string list) : int * string * string =
    let program, first = BenchProcess.self ()

    let start =
        ProcessStartInfo(
            program,
            first @ arguments,
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true
        )

    for name, value in ("OMP_NUM_THREADS", "1") :: variables do
        start.Environment[name] <- value

    match Process.Start start with
    | null -> failtest "the command line does not start"
    | started ->
        use child = started
        child.StandardInput.Close()
        let error = child.StandardError.ReadToEndAsync()
        let output = child.StandardOutput.ReadToEnd()
        child.WaitForExit()
        child.ExitCode, output.Trim(), error.Result.Trim()

/// The same, where it must succeed; gives standard output.
let succeeds (folder: string) (variables: (string * string) list) (arguments: string list) : string =
    match run folder variables arguments with
    | 0, output, _ -> output
    | code, output, error -> failtest $"{arguments} ended with {code}: {error} {output}"
