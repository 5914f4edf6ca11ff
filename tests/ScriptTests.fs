/// The scripts speak today's library: nothing else compiles them before a user does.
module Peft.Tests.ScriptTests

open System.Diagnostics
open System.IO
open Expecto
open Peft.Tests.Support

/// What the compiler says of files that it only reads.
let private complaints (file: string) : string =
    let start =
        ProcessStartInfo(
            "dotnet",
            [ "fsi"; "--typecheck-only"; "--quiet"; file ],
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    use compiler =
        match Process.Start start with
        | null -> skiptest "dotnet could not be started"
        | compiler -> compiler

    let errors = compiler.StandardError.ReadToEndAsync()
    let output = compiler.StandardOutput.ReadToEnd()
    compiler.WaitForExit()
    (errors.Result + output).Trim()

[<Tests>]
let tests =
    testList
        "Scripts"
        [
            testCase "every one type-checks against the library as it is"
            <| fun () ->
                let loads =
                    Directory.GetFiles(Path.Combine(root, "scripts"), "*.fsx")
                    |> Array.filter (fun path -> Path.GetFileName path <> "prelude.fsx")
                    |> Array.sort
                    |> Array.map (fun path -> $"#load @\"{path}\"")

                inTemporaryFolder (fun folder ->
                    let file = Path.Combine(folder, "all.fsx")
                    File.WriteAllLines(file, loads)
                    Expect.equal (complaints file) "" "the compiler has nothing to say")
        ]
