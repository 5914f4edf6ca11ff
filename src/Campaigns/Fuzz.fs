namespace Peft.Campaigns

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open System.Threading
open Peft

/// What the inputs of one reader came to.
type FuzzTally =
    {
        Reader: string
        Inputs: int
        /// Inputs that were read after all.
        Read: int
        /// Inputs that were refused in one line.
        Refused: int
        /// Inputs that ended in another way, by kind.
        Findings: Map<string, int>
    }

/// A campaign over readers.
type FuzzSettings =
    {
        /// Holds the corpus, the progress and the findings.
        Folder: string
        /// Over all readers; quick ones get three times as many as those that load a model.
        Inputs: int
        Seed: int
        /// All where there is none.
        Readers: string list
    }

[<RequireQualifiedAccess>]
module Fuzz =
    /// Of each kind of finding so many inputs are kept.
    let private kept = 3

    let private slow =
        set
            [
                yield!
                    [
                        "weights"
                        "shard-index"
                        "config"
                        "generation-config"
                        "adapter-config"
                        "adapter-weights"
                    ]
                yield! [ "own-adapter"; "own-adapter-weights"; "spiece" ]
            ]

    let private progressFile settings =
        Path.Combine(settings.Folder, $"progress-{settings.Seed}.json")

    let corpusOf (settings: FuzzSettings) : string = Path.Combine(settings.Folder, "corpus")

    let private load settings : FuzzTally list =
        let file = progressFile settings

        if File.Exists file then
            match JsonSerializer.Deserialize<FuzzTally list>(File.ReadAllText file) with
            | null -> []
            | tallies -> tallies
        else
            []

    let private save settings (tallies: FuzzTally list) =
        Files.writeAtomically (progressFile settings) (JsonSerializer.Serialize(tallies, Json.options))

    /// How many inputs each reader gets.
    let private goals settings (names: string list) : Map<string, int> =
        let weight name = if slow.Contains name then 1 else 3
        let total = names |> List.sumBy weight

        names
        |> List.map (fun name -> name, max 1 (settings.Inputs * weight name / total))
        |> Map.ofList

    /// Keeps the input of a finding, with what is needed to make it again.
    let private keep settings (reader: Reader) index (kind: string) (description: string) =
        let corpus = corpusOf settings
        let victims = FuzzInput.victims corpus reader
        let number, bytes = FuzzInput.make reader.Name settings.Seed index victims

        let folder =
            Path.Combine(settings.Folder, "findings", $"{reader.Name}-{settings.Seed}-{index}")

        Directory.CreateDirectory folder |> ignore
        File.WriteAllBytes(Path.Combine(folder, fst victims[number]), bytes)

        File.WriteAllText(
            Path.Combine(folder, "note.txt"),
            $"reader {reader.Name}, seed {settings.Seed}, input {index}, from corpus/{reader.Name}/{number}\n{kind}\n{description}\n"
        )

    let private count (outcome: string) (tally: FuzzTally) : FuzzTally =
        let tally = { tally with Inputs = tally.Inputs + 1 }

        match outcome with
        | "o" -> { tally with Read = tally.Read + 1 }
        | "r" ->
            { tally with
                Refused = tally.Refused + 1
            }
        | kind ->
            let before = tally.Findings.TryFind kind |> Option.defaultValue 0

            { tally with
                Findings = tally.Findings.Add(kind, before + 1)
            }

    let private start settings (parts: FuzzPart list) : Process =
        let words = [ for part in parts -> $"{part.Reader}:{part.From}:{part.To}" ]

        let start =
            ProcessStartInfo(
                "dotnet",
                [
                    typeof<FuzzTally>.Assembly.Location
                    "fuzz-worker"
                    corpusOf settings
                    string settings.Seed
                ]
                @ words,
                RedirectStandardOutput = true,
                RedirectStandardError = true
            )

        // One thread computes, so that processor time is the input's own; a crash is told, not dumped.
        start.Environment["OMP_NUM_THREADS"] <- "1"
        start.Environment["DOTNET_gcConcurrent"] <- "0"
        start.Environment["DOTNET_DbgEnableMiniDump"] <- "0"

        match Process.Start start with
        | null -> failwith "the worker could not be started"
        | worker -> worker

    /// What a worker says next: a line, the end, or nothing for too long.
    let private next (worker: Process) (isReading: bool) : Result<string option, string> =
        let line = worker.StandardOutput.ReadLineAsync()
        let watch = Stopwatch.StartNew()
        let mutable since = TimeSpan.MinValue
        let mutable late = None

        while late.IsNone && not (line.Wait 200) do
            // On a busy machine a second on the clock is no second of work: processor time decides, and the clock late.
            let used =
                try
                    worker.TotalProcessorTime
                with :? InvalidOperationException ->
                    TimeSpan.Zero

            if since = TimeSpan.MinValue then
                since <- used

            if isReading && (used - since).TotalSeconds > FuzzWorker.slowest then
                late <- Some "hangs: more than 5 s of processor time"
            elif watch.Elapsed.TotalSeconds > 120.0 then
                late <- Some "blocks: nothing for two minutes"

        match late with
        | Some how -> Error how
        | None -> Ok(Option.ofObj line.Result)

    /// Runs a campaign, going on from where an earlier one of this seed stopped; `say` hears of progress.
    let run (settings: FuzzSettings) (say: string -> unit) : FuzzTally list =
        Native.ensure () |> ignore
        let corpus = corpusOf settings
        Corpus.ensure corpus
        let all = Reader.all corpus
        let known = all |> List.map _.Name

        for name in settings.Readers do
            if not (List.contains name known) then
                let names = String.Join(", ", known)
                userError $"there is no reader {name}; the readers are {names}."

        let names =
            if settings.Readers.IsEmpty then
                known
            else
                known |> List.filter (fun name -> List.contains name settings.Readers)

        let goals = goals settings names

        let mutable tallies =
            load settings |> List.map (fun tally -> tally.Reader, tally) |> Map.ofList

        let tally name =
            tallies.TryFind name
            |> Option.defaultValue
                {
                    Reader = name
                    Inputs = 0
                    Read = 0
                    Refused = 0
                    Findings = Map.empty
                }

        let note name (outcome: string) =
            let before = tally name

            match outcome.Split '\t' with
            | [| "f"; kind; description |] ->
                if (before.Findings.TryFind kind |> Option.defaultValue 0) < kept then
                    keep settings (all |> List.find (fun reader -> reader.Name = name)) before.Inputs kind description
                    say $"{name}, input {before.Inputs}: {kind}: {description}"

                tallies <- tallies.Add(name, count kind before)
            | _ -> tallies <- tallies.Add(name, count outcome before)

        let saved = Stopwatch.StartNew()

        let save () =
            save settings (tallies.Values |> List.ofSeq)

        let left () =
            [
                for name in names do
                    let finished = (tally name).Inputs

                    if finished < goals[name] then
                        {
                            Reader = name
                            From = finished
                            To = goals[name]
                        }
            ]

        let rec follow (worker: Process) (errors: Tasks.Task<string>) (current: string option) =
            if saved.Elapsed.TotalSeconds > 10.0 then
                save ()
                saved.Restart()

            match next worker current.IsSome, current with
            | Ok(Some line), _ when line.StartsWith("ready ", StringComparison.Ordinal) ->
                let name = line.Substring 6
                say $"{name}: from {(tally name).Inputs} to {goals[name]}"
                follow worker errors (Some name)
            | Ok(Some line), Some name ->
                note name line

                // Its peak hides smaller ones from now on.
                if line.StartsWith("f\tmemory", StringComparison.Ordinal) then
                    worker.Kill()
                else
                    follow worker errors (if (tally name).Inputs = goals[name] then None else current)
            | Error how, Some name ->
                worker.Kill()
                note name $"f\t{how}\tprocess killed"
            | Ok None, Some name ->
                worker.WaitForExit()
                let last = BenchProcess.lastLine errors.Result
                note name $"f\tcrash: exit code {worker.ExitCode}\t{last.Replace('\t', ' ')}"
            | Ok None, None when left().IsEmpty -> ()
            | Ok None, None
            | Ok(Some _), None
            | Error _, None ->
                worker.Kill()
                failwith $"the fuzzer's worker ended before its first input: {errors.Result}"

        while not (left().IsEmpty) do
            use worker = start settings (left ())
            let errors = worker.StandardError.ReadToEndAsync()

            try
                follow worker errors None
            finally
                if not worker.HasExited then
                    worker.Kill()

                worker.WaitForExit()

                // One that was killed leaves its inputs.
                if Directory.Exists(FuzzWorker.scratch worker.Id) then
                    Directory.Delete(FuzzWorker.scratch worker.Id, recursive = true)

                save ()

        names |> List.map tally

    /// The table of a campaign: a line a reader and one for all.
    let table (tallies: FuzzTally list) : string =
        let line (name: string) (inputs: int) (refused: int) (read: int) (findings: int) =
            $"| {name, -20} | {inputs, 9:N0} | {refused, 9:N0} | {read, 9:N0} | {findings, 8:N0} |"

        let found (tally: FuzzTally) = Seq.sum tally.Findings.Values

        [
            "| reader               |    inputs |   refused |      read | findings |"
            "| -------------------- | --------: | --------: | --------: | -------: |"
            for tally in tallies do
                line tally.Reader tally.Inputs tally.Refused tally.Read (found tally)
            line
                "all"
                (tallies |> List.sumBy _.Inputs)
                (tallies |> List.sumBy _.Refused)
                (tallies |> List.sumBy _.Read)
                (tallies |> List.sumBy found)
            for tally in tallies do
                for pair in tally.Findings do
                    $"{tally.Reader}: {pair.Value} × {pair.Key}"
        ]
        |> String.concat "\n"
