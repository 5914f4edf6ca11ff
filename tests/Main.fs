module Peft.Tests.Main

open System
open System.Text
open Expecto
open Expecto.Impl
open TorchSharp
open Peft

/// Expecto's printer, which also keeps the counts for the closing line.
let private counting (keep: TestRunSummary -> unit) : TestPrinters =
    let printer = TestPrinters.defaultPrinter

    { printer with
        summary =
            fun config summary ->
                keep summary
                printer.summary config summary
    }

/// Straight to standard output: Expecto's own console adds colour codes.
let private closingLine (summary: TestRunSummary) : unit =
    let failed = summary.failed.Length + summary.errored.Length

    let line =
        $"\n{summary.passed.Length} passed, {failed} failed, {summary.ignored.Length} skipped\n"

    use output = Console.OpenStandardOutput()
    output.Write(ReadOnlySpan(Encoding.UTF8.GetBytes line))

let private runAll (arguments: string[]) : int =
    let mutable counts = None

    let options =
        [
            CLIArguments.Sequenced
            CLIArguments.Printer(counting (fun summary -> counts <- Some summary))
        ]

    let code = runTestsInAssemblyWithCLIArgs options arguments
    counts |> Option.iter closingLine
    code

[<EntryPoint>]
let main arguments =
    Native.ensure () |> ignore
    // No test, and no program that a test starts, asks the hub of the world.
    Environment.SetEnvironmentVariable("HF_HUB_OFFLINE", "1")
    // OpenMP threads spin; the models here are tiny.
    torch.set_num_threads 1

    if arguments = [| MemoryTests.argument |] then
        MemoryTests.tell ()
        0
    else
        runAll arguments
