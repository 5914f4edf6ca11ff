namespace Peft.Campaigns

open System
open System.Diagnostics
open System.IO
open System.Threading
open Peft

/// What is done to a running sweep.
type Blow =
    /// `kill -9` of the process that was started; its workers are alone.
    | KillMain
    /// `kill -9` of all processes.
    | KillGroup
    /// `kill -9` of one worker; the sweep goes on.
    | KillWorker
    /// SIGTERM to the process that was started.
    | Terminate
    /// SIGSTOP of a process that holds a lock, a second sweep beside it, SIGCONT.
    | Freeze
    /// The file system is filled, and emptied when the sweep has ended.
    | FillDisk
    /// The folder of results is removed.
    | RemoveFolder

/// A campaign of blows.
type KillSettings =
    {
        /// Holds the model, the data, the sweeps and what went wrong.
        Folder: string
        Kills: int
        Seed: int
        /// Seeds of the sweep: the more, the longer it is.
        Sweep: int list
        /// Jobs of the sweeps, in turn.
        Jobs: int list
    }

/// What a campaign came to.
type KillTally =
    {
        Sweeps: int
        Blows: Map<Blow, int>
        /// A line for each thing that was lost, differed, stayed or broke.
        Findings: string list
    }

[<RequireQualifiedAccess>]
module Kill =
    let private blows =
        [|
            KillMain
            KillMain
            KillMain
            KillGroup
            KillGroup
            KillGroup
            KillWorker
            KillWorker
            Terminate
            Terminate
            Freeze
            FillDisk
            RemoveFolder
        |]

    /// A file system of its own for results, where this process may make one: a disk that can be filled.
    let private mount (folder: string) : bool =
        Directory.CreateDirectory folder |> ignore

        try
            let code, _, _ =
                BenchProcess.run "mount" [ "-t"; "tmpfs"; "-o"; "size=16m"; "tmpfs"; folder ]

            code = 0
        with UserError _ ->
            false

    let private unmount (folder: string) =
        BenchProcess.run "umount" [ "-l"; folder ] |> ignore

    let private arguments settings (results: string) (adapters: string) (jobs: int) : string list =
        let at name = Path.Combine(settings.Folder, name)

        [
            "sweep"
            "--model"
            at "model"
            "--data"
            at "data"
            "--results"
            results
            "--adapters"
            adapters
        ]
        @ [
            "--tasks"
            "topic"
            "--techniques"
            "full"
            "lora"
            "bitfit"
            "prompt(tokens=5)"
            "--seeds"
        ]
        @ (settings.Sweep |> List.map string)
        @ [
            "--epochs"
            "12"
            "--patience"
            "12"
            "--batch-size"
            "4"
            "--accumulation"
            "1"
            "--rates"
            "1e-3"
            "1e-2"
        ]
        @ [ "1e-3"; "--input-limit"; "32"; "--threads"; "1"; "--jobs"; string jobs ]

    /// The largest file system that is filled: never that of the machine, should the small one have been unmounted meanwhile.
    let private mostFilled = 1L <<< 26

    /// Fills a small file system to the last byte; gives the file that does it.
    let private fill (folder: string) : string =
        let ballast = Path.Combine(folder, "ballast")

        if DriveInfo(folder).TotalSize > mostFilled then
            userError $"{folder} is no longer a small file system of its own: it is not filled."

        try
            use file =
                new FileStream(ballast, FileMode.Create, FileAccess.Write, FileShare.None, 0)

            let block = Array.zeroCreate<byte> 4096

            while true do
                file.Write(block, 0, block.Length)
        with :? IOException ->
            ()

        ballast

    let private complain (sweep: SweepProcess) : string list =
        [
            for line in sweep.Errors.Split '\n' do
                if
                    line.StartsWith("   at ", StringComparison.Ordinal)
                    || line.Contains "Unhandled exception"
                then
                    $"a stack trace: {line.Trim()}"
        ]
        |> List.truncate 1

    /// Seconds after which something that should have ended hangs, on a machine that others keep busy, too.
    let private patience = 900.0

    /// A sweep that is struck again and again until it has its share of blows or is finished.
    type private Struck(settings: KillSettings, chance: Chance, place: string, isDisk: bool, jobs: int, spread: float) =
        let results, adapters =
            Path.Combine(place, "results"), Path.Combine(place, "adapters")

        let findings = ResizeArray<string>()
        let done' = ResizeArray<Blow>()
        let leaders = ResizeArray<SweepProcess>()

        let start () =
            let sweep = SweepProcess(arguments settings results adapters jobs)
            leaders.Add sweep
            sweep

        let isAtWork () =
            Directory.Exists results && Directory.GetFiles(results, "*.lock").Length > 0

        let pause (seconds: float) =
            Thread.Sleep(TimeSpan.FromSeconds seconds)

        let rec await (sweep: SweepProcess) left =
            if not (sweep.HasEnded || isAtWork () || left = 0) then
                pause 0.05
                await sweep (left - 1)

        let one (items: int list) = chance.Pick(Array.ofList items)

        let strike (sweep: SweepProcess) (blow: Blow) =
            match blow with
            | KillMain -> Unix.signal Unix.hard sweep.Id
            | KillGroup -> Unix.signal Unix.hard -sweep.Id
            | KillWorker ->
                Unix.signal Unix.hard (one (sweep.Workers @ if sweep.Workers.IsEmpty then [ sweep.Id ] else []))
            | Terminate ->
                Unix.signal Unix.soft sweep.Id

                if not (sweep.Ends patience) then
                    findings.Add "SIGTERM: it did not end"
            | Freeze ->
                let frozen = one (sweep.Id :: sweep.Workers)
                Unix.signal Unix.stop frozen
                let other = start ()
                pause (0.5 + 1.5 * float (chance.Below 100) / 100.0)
                Unix.signal Unix.go frozen

                if not (other.Ends patience) then
                    findings.Add "a second sweep beside a frozen one did not end"
            | FillDisk ->
                let ballast = fill place
                sweep.Ends(1.0 + float (chance.Below 4)) |> ignore
                File.Delete ballast
            | RemoveFolder ->
                try
                    Directory.Delete(results, recursive = true)
                with :? IOException ->
                    ()

        /// The blows that make sense here.
        let draw () =
            match chance.Pick blows with
            | KillWorker when jobs = 1 -> KillMain
            | FillDisk when not isDisk -> KillGroup
            | blow -> blow

        let rec go (sweep: SweepProcess option) (left: int) =
            if left > 0 then
                let sweep = sweep |> Option.defaultWith start
                await sweep 1200
                pause (spread * float (chance.Below 1000) / 1000.0)

                if not sweep.HasEnded then
                    let blow = draw ()
                    strike sweep blow
                    done'.Add blow
                    // Half of the time what was killed is given time to be noticed.
                    if chance.Odds 0.5 then
                        pause 0.3

                    go (if sweep.HasEnded then None else Some sweep) (left - 1)
                elif sweep.ExitCode <> 0 then
                    go None left

        /// Undisturbed at last: twice at most, for the first may follow on a full disk.
        let rec finish tries =
            let sweep = start ()

            if not (sweep.Ends patience) then
                findings.Add "the last sweep did not end"
            elif sweep.ExitCode <> 0 then
                if tries > 0 then
                    finish (tries - 1)
                else
                    findings.Add $"the last sweep ended with {sweep.ExitCode}: {BenchProcess.lastLine sweep.Errors}"

        member _.Run(count: int) : unit =
            go None count

            for sweep in leaders do
                if not (sweep.Ends patience) then
                    findings.Add "a sweep that was struck did not end"

            finish 1

            // What has no parent any more must have noticed it.
            let alone () =
                leaders |> Seq.collect (fun sweep -> Unix.group sweep.Id) |> List.ofSeq

            let watch = Stopwatch.StartNew()

            while not (alone().IsEmpty) && watch.Elapsed.TotalSeconds < patience do
                pause 0.1

            if not (alone().IsEmpty) then
                findings.Add $"{(alone ()).Length} workers are left long after the end"

            for sweep in leaders do
                findings.AddRange(complain sweep)
                sweep.Remove()

        member _.Results = results
        member _.Adapters = adapters
        member _.Blows = List.ofSeq done'
        member _.Findings = findings

    let private undisturbed settings =
        let results, adapters =
            Path.Combine(settings.Folder, "undisturbed"), Path.Combine(settings.Folder, "undisturbed-adapters")

        let watch = Stopwatch.StartNew()
        let sweep = SweepProcess(arguments settings results adapters 1)

        if not (sweep.Ends 900.0) || sweep.ExitCode <> 0 then
            failwith $"the undisturbed sweep failed: {sweep.Errors}"

        sweep.Remove()
        Sweeps.read results adapters, watch.Elapsed.TotalSeconds

    /// Runs a campaign; `say` hears of every sweep. Where something is lost, the sweep's folder is kept.
    let run (settings: KillSettings) (say: string -> unit) : KillTally =
        if not (OperatingSystem.IsLinux()) then
            userError "Signals to groups and file systems of one's own are Linux's: run this campaign there."

        if Directory.Exists settings.Folder then
            userError $"{settings.Folder} exists: name a new folder with --folder."

        Workspace.writeModel (Path.Combine(settings.Folder, "model"))
        Workspace.writeData (Path.Combine(settings.Folder, "data")) "topic" 20 8
        let expected, seconds = undisturbed settings
        say $"undisturbed: {expected.Count} files in {seconds:F1} s"

        let rec sweeps number (tally: KillTally) =
            let finished = Seq.sum tally.Blows.Values

            if finished >= settings.Kills then
                tally
            else
                let chance = Chance.ofRow "kill" settings.Seed number
                let jobs = settings.Jobs[number % settings.Jobs.Length]
                let place = Path.Combine(settings.Folder, $"sweep-{number}")
                let isDisk = mount place
                let struck = Struck(settings, chance, place, isDisk, jobs, seconds / 10.0)
                struck.Run(min 10 (settings.Kills - finished))

                let problems =
                    List.ofSeq struck.Findings
                    @ Sweeps.differences expected (Sweeps.read struck.Results struck.Adapters)
                    |> List.map (fun problem -> $"sweep {number}, {jobs} jobs: {problem}")

                if not problems.IsEmpty then
                    let kept = Path.Combine(settings.Folder, "findings", $"sweep-{number}")
                    Directory.CreateDirectory kept |> ignore

                    if Directory.Exists struck.Results then
                        Workspace.copy struck.Results kept (fun _ -> true)

                    File.WriteAllLines(Path.Combine(kept, "note.txt"), problems)

                if isDisk then
                    unmount place

                Directory.Delete(place, recursive = true)
                let names = String.Join(", ", struck.Blows)
                say $"sweep {number} ({jobs} jobs): {names}: {problems.Length} findings"
                List.iter say problems

                sweeps
                    (number + 1)
                    {
                        Sweeps = number + 1
                        Blows =
                            (tally.Blows, struck.Blows)
                            ||> List.fold (fun blows blow ->
                                blows.Add(blow, 1 + (blows.TryFind blow |> Option.defaultValue 0)))
                        Findings = tally.Findings @ problems
                    }

        sweeps
            0
            {
                Sweeps = 0
                Blows = Map.empty
                Findings = []
            }

    /// A line for each kind of blow, and what was found.
    let table (tally: KillTally) : string =
        [
            "| blow         | times |"
            "| ------------ | ----: |"
            for pair in tally.Blows do
                $"| {string pair.Key, -12} | {pair.Value, 5} |"
            $"| all          | {Seq.sum tally.Blows.Values, 5} |"
            ""
            $"{tally.Sweeps} sweeps, {tally.Findings.Length} findings"
            yield! tally.Findings
        ]
        |> String.concat "\n"
