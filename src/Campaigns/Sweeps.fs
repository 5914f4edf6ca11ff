namespace Peft.Campaigns

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Text
open System.Text.Json
open System.Threading
open Peft

/// Signals and processes of a Unix system.
[<RequireQualifiedAccess>]
module internal Unix =
    [<DllImport("libc", SetLastError = true)>]
    extern int private kill(int pid, int signal)

    let hard, soft, stop, go = 9, 15, 19, 18

    /// Sends a signal to a process, or, with a negative number, to a group.
    let signal (signal: int) (pid: int) : unit = kill (pid, signal) |> ignore

    /// Parent and group of every process, by its number; those that have ended and wait to be noted are left out.
    let processes () : (int * int * int) list =
        [
            for folder in Directory.GetDirectories "/proc" do
                match Int32.TryParse(Path.GetFileName folder) with
                | true, pid ->
                    let status =
                        try
                            File.ReadAllText(Path.Combine(folder, "stat"))
                        with
                        | :? IOException
                        | :? UnauthorizedAccessException -> ""

                    // The name stands in brackets and may hold anything.
                    match status.LastIndexOf ')' with
                    | -1 -> ()
                    | at ->
                        let words = status.Substring(at + 2).Split ' '

                        if words[0] <> "Z" then
                            pid, int words[1], int words[2]
                | _ -> ()
        ]

    let children (parent: int) : int list =
        processes ()
        |> List.choose (fun (pid, above, _) -> if above = parent then Some pid else None)

    let group (leader: int) : int list =
        processes ()
        |> List.choose (fun (pid, _, group) -> if group = leader then Some pid else None)

/// A sweep as a process in a group of its own.
[<Sealed>]
type SweepProcess(arguments: string list) =
    let errors = StringBuilder()

    let start =
        ProcessStartInfo(
            "setsid",
            "dotnet" :: Path.Combine(Workspace.programs, "Peft.Cli.dll") :: arguments,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    let main =
        start.Environment["OMP_NUM_THREADS"] <- "1"

        match Process.Start start with
        | null -> failwith "the sweep could not be started"
        | main -> main

    do
        main.ErrorDataReceived.Add(fun line -> lock errors (fun () -> errors.AppendLine(string line.Data) |> ignore))

        main.OutputDataReceived.Add ignore
        main.BeginErrorReadLine()
        main.BeginOutputReadLine()

    member _.Id: int = main.Id
    member _.HasEnded: bool = main.HasExited
    member _.Workers: int list = Unix.children main.Id

    /// Whether it ends within some seconds.
    member _.Ends(seconds: float) : bool =
        main.WaitForExit(TimeSpan.FromSeconds seconds)

    member _.ExitCode: int = main.ExitCode

    /// What it wrote to standard error.
    member _.Errors: string = lock errors (fun () -> errors.ToString())

    /// Ends the whole group.
    member _.Remove() : unit =
        Unix.signal Unix.hard -main.Id
        main.WaitForExit()
        main.Dispose()

/// What a sweep leaves, and how two are compared.
[<RequireQualifiedAccess>]
module Sweeps =
    /// What differs between two undisturbed sweeps, too.
    let private incidental =
        set
            [
                "Timing"
                "TrainSeconds"
                "ValidationSeconds"
                "PeakMemoryMiB"
                "Command"
                "FinishedAt"
            ]

    let rec private essence (value: JsonElement) : JsonTree =
        match value.ValueKind with
        | JsonValueKind.Object ->
            Members
                [
                    for item in value.EnumerateObject() do
                        if not (incidental.Contains item.Name) then
                            $"\"{item.Name}\"", essence item.Value
                ]
        | JsonValueKind.Array -> Items [ for item in value.EnumerateArray() -> essence item ]
        | _ -> Raw(value.GetRawText())

    let private result (file: string) : string =
        use document = JsonDocument.Parse(File.ReadAllText file)
        JsonMutation.print (essence document.RootElement)

    /// Everything that must be equal: results without times and memory, predictions and adapters byte by byte, and the names
    /// of whatever else lies there.
    let read (results: string) (adapters: string) : IReadOnlyDictionary<string, string> =
        let all = SortedDictionary<string, string>(StringComparer.Ordinal)

        let bytes (file: string) =
            Convert.ToHexString(Security.Cryptography.SHA256.HashData(File.ReadAllBytes file))

        let under folder =
            if Directory.Exists folder then
                Directory.GetFiles(folder, "*", SearchOption.AllDirectories)
            else
                [||]

        for file in under results do
            let name = Path.GetRelativePath(results, file)

            all[name] <-
                if name.EndsWith(".predictions.jsonl", StringComparison.Ordinal) then
                    bytes file
                elif name.EndsWith(".json", StringComparison.Ordinal) then
                    result file
                else
                    ""

        for file in under adapters do
            all["adapters/" + Path.GetRelativePath(adapters, file)] <- bytes file

        all

    /// What is missing, too much or different; nothing where all is equal.
    let differences
        (expected: IReadOnlyDictionary<string, string>)
        (found: IReadOnlyDictionary<string, string>)
        : string list =
        [
            for pair in expected do
                match found.TryGetValue pair.Key with
                | false, _ -> $"{pair.Key} is missing"
                | true, value when value <> pair.Value -> $"{pair.Key} differs"
                | _ -> ()

            for name in found.Keys do
                if not (expected.ContainsKey name) then
                    $"{name} is left over"
        ]
