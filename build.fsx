// The project's targets: dotnet fsi build.fsx <target> [options]. Each runs what it needs first.
//
//   restore   tools and packages
//   build     everything in Release (-p:TorchBackend=cuda and the like are passed on)
//   test      all tests; ends with "N passed, N failed, N skipped"
//   sweep     the default benchmark; options go to scripts/sweep.fsx
//   choose    a technique for your rows; options go to scripts/choose.fsx
//   format    Fantomas over all sources
open System
open System.Diagnostics
open System.IO

let root = __SOURCE_DIRECTORY__

/// Runs a program in the repository's folder; a failure ends the script with its exit code.
let run (program: string) (arguments: string list) : unit =
    let start = ProcessStartInfo(program, arguments, WorkingDirectory = root)

    match Process.Start start with
    | null ->
        eprintfn $"build.fsx: {program} could not be started"
        exit 1
    | started ->
        started.WaitForExit()

        if started.ExitCode <> 0 then
            exit started.ExitCode

let dotnet arguments = run "dotnet" arguments

let restore () =
    dotnet [ "tool"; "restore" ]
    dotnet [ "paket"; "restore" ]

let build options =
    restore ()

    dotnet (
        [
            "build"
            Path.Combine(root, "Peft.sln")
            "-c"
            "Release"
            "--nologo"
            "-v"
            "quiet"
        ]
        @ options
    )

let test options =
    build []
    dotnet ([ "run"; "--project"; "tests"; "-c"; "Release"; "--no-build"; "--" ] @ options)

let sweep options =
    build []
    dotnet ([ "fsi"; Path.Combine("scripts", "sweep.fsx") ] @ options)

let choose options =
    build []
    dotnet ([ "fsi"; Path.Combine("scripts", "choose.fsx") ] @ options)

let format () =
    restore ()
    dotnet [ "fantomas"; "src"; "tests"; "scripts"; "build.fsx" ]

let targets =
    [
        "restore", ignore >> restore
        "build", build
        "test", test
        "sweep", sweep
        "choose", choose
        "format", ignore >> format
    ]

match List.ofArray fsi.CommandLineArgs |> List.tail with
| name :: options when targets |> List.exists (fst >> (=) name) -> (dict targets)[name] options
| _ ->
    let names = targets |> List.map fst |> String.concat ", "
    eprintfn $"usage: dotnet fsi build.fsx <target> [options]; the targets are {names}"
    exit 1
