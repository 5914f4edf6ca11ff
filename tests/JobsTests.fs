/// Several processes on one sweep.
module Peft.Tests.JobsTests

open System
open System.Diagnostics
open System.IO
open System.Threading
open Argu
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

/// All that must be equal for two runs of one experiment: everything but times, memory and the command.
let private essence (results: string) (run: Run) =
    let scores = [ for score in run.Scores -> score.Key, score.Value ]

    let epochs =
        run.Epochs
        |> List.map (fun log -> log.Epoch, log.TrainingLoss, log.ValidationLoss)

    (run.Id, run.Status, run.Error, scores, epochs),
    (run.ConvergedEpoch, run.TrainableParameters, run.Versions["threads"]),
    if run.IsFinished then
        File.ReadAllText(Run.predictionsPath results run.Experiment)
    else
        ""

let private everything results =
    resultsIn results |> List.map (essence results)

let private options folder (results: string) (rest: string list) =
    [
        "--model"
        Path.Combine(folder, "model")
        "--data"
        Path.Combine(folder, "data")
        "--results"
        results
        "--tasks"
        "topic"
        "--techniques"
        "full"
        "paper-lora"
        "prompt(tokens=5)"
        "--seeds"
        "1"
        "2"
        "--epochs"
        "3"
        "--batch-size"
        "4"
        "--test-limit"
        "7"
        "--validation-limit"
        "8"
        "--input-limit"
        "32"
    ]
    @ rest

let private parse (arguments: string list) =
    ArgumentParser
        .Create<SweepOption>(programName = "sweep")
        .ParseCommandLine(List.toArray arguments, raiseOnUsage = true)

/// Starts what a sweep with `--jobs 2` starts.
let private startWorker (arguments: string list) (since: DateTime) : Process =
    let program, first = WorkerProgram.self "sweep"
    let options = parse arguments
    let model = options.GetResult(SweepOption.Model, "")

    let start =
        ProcessStartInfo(
            program,
            first @ Worker.arguments options model 1 since "the command",
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    match Process.Start start with
    | null -> failtest "no worker"
    | worker -> worker

/// Ends a process that a failed test leaves.
let private finally' (worker: Process) (body: unit -> 'a) : 'a =
    try
        body ()
    finally
        if not worker.HasExited then
            worker.Kill()

        worker.Dispose()

let private soon = TimeSpan.FromSeconds 30.0

let private until (what: string) (isSo: unit -> bool) =
    Expect.isTrue
        (SpinWait.SpinUntil(
            (fun () ->
                Thread.Sleep 5
                isSo ()),
            soon
        ))
        what

let private interleaved =
    testList
        "two sweeps at once on one folder"
        [
            testCase "they run every experiment once, with the results and the table of one sweep"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let plan =
                        { plan with
                            Methods = Method.baselines @ [ Tuned Full.technique ] @ plan.Methods
                            Seeds = [ 1; 2 ]
                        }

                    let alone, shared = Path.Combine(folder, "alone"), Path.Combine(folder, "shared")
                    let expected = sweep plan alone ignore CancellationToken.None
                    let started = ResizeArray()
                    let elsewhere = ResizeArray()
                    let mutable nested = 0

                    /// Another sweep, which runs one experiment and is then stopped.
                    let other () =
                        use source = new CancellationTokenSource()

                        let report event =
                            match event with
                            | Started(experiment, _, _, _) -> started.Add(Experiment.id experiment)
                            | Ended _
                            | Waiting _ -> source.Cancel()
                            | _ -> ()

                        nested <- nested + 1

                        try
                            sweep plan shared report source.Token |> ignore
                        with :? OperationCanceledException ->
                            ()

                    let report event =
                        match event with
                        | Started(experiment, _, _, _) ->
                            started.Add(Experiment.id experiment)
                            other ()
                        | EpochEnded(log, _) when log.Epoch = 2 -> other ()
                        | EndedElsewhere(run, place, count) ->
                            elsewhere.Add run.Id

                            Expect.equal
                                (place, count)
                                (1 + List.findIndex (fun (all: Run) -> all.Id = run.Id) expected, 10)
                                "its place"
                        | _ -> ()

                    let runs = sweep plan shared report CancellationToken.None
                    Expect.isGreaterThan elsewhere.Count 3 "the other did its part"
                    Expect.equal (Seq.distinct elsewhere |> Seq.length) elsewhere.Count "each is told once"

                    Expect.equal
                        (Seq.sort started |> List.ofSeq)
                        (expected |> List.map _.Id |> List.sort)
                        "each ran once"

                    Expect.equal
                        (runs |> List.map (essence shared))
                        (expected |> List.map (essence alone))
                        "equal, in order"

                    Expect.equal
                        (runs |> Tables.table1 |> Tables.toCsv)
                        (expected |> Tables.table1 |> Tables.toCsv)
                        "the same table"

                    Expect.isEmpty (Directory.GetFiles(shared, "*.lock")) "no lock is left"
                    Expect.isEmpty (Directory.GetFiles(shared, "*.safetensors")) "and no state")

            testCase "what fails in one of them is not tried again by the other"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "results")

                    let wild =
                        { plan with
                            Methods = [ ZeroShot; Tuned Full.technique ]
                            Overrides =
                                { plan.Overrides with
                                    Rates = Some(1e30, 1e30, 1e30)
                                }
                        }

                    let failures = ResizeArray()

                    let note event =
                        match event with
                        | Ended run when not run.IsFinished -> failures.Add run.Id
                        | _ -> ()

                    let other event =
                        use source = new CancellationTokenSource()

                        match event with
                        | Started _ ->
                            try
                                let report event =
                                    note event

                                    match event with
                                    | Waiting _ -> source.Cancel()
                                    | _ -> ()

                                sweep wild results report source.Token |> ignore
                            with :? OperationCanceledException ->
                                ()
                        | _ -> note event

                    let runs = sweep wild results other CancellationToken.None
                    Expect.equal (runs |> List.map _.Status) [ "finished"; "failed" ] "the other's failure"
                    Expect.equal failures.Count 1 "it was tried once")

            testCase "a lock file that a crash left over is taken over, and cleared where the result is there"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "results")
                    let run = (sweep plan results ignore CancellationToken.None).Head
                    File.Delete(Run.path results (run.Experiment))

                    let locks () = Directory.GetFiles(results, "*.lock")

                    for file in Directory.GetFiles(results, "*.predictions.jsonl") do
                        File.WriteAllText(file.Replace(".predictions.jsonl", ".lock"), "")

                    Expect.equal (locks ()).Length 2 "two lock files"
                    let again = sweep plan results ignore CancellationToken.None
                    Expect.equal (essence results again.Head) (essence results run) "run again"
                    Expect.isEmpty (locks ()) "both are gone")
        ]

let private processes =
    testList
        "processes"
        [
            testCase
                "the arguments of a worker read back as the sweep's, without the jobs, with the threads and the folder"
            <| fun () ->
                let given =
                    options
                        "."
                        "a folder"
                        [
                            "--jobs"
                            "3"
                            "--rates"
                            "1e-7"
                            "0.1"
                            "0.3333333333333333"
                            "--no-baselines"
                        ]
                    @ [
                        "--placements"
                        "late & q,v"
                        "--instruction"
                        "Say: {a}"
                        "--levels"
                        "low,medium"
                    ]

                let since = DateTime.UtcNow

                let rest = Worker.arguments (parse given) "elsewhere" 2 since "peft sweep --jobs 3"
                let all = (parse rest).GetAllResults() |> List.map string |> Set.ofList

                let expected =
                    (parse given).GetAllResults()
                    |> List.choose (function
                        | Jobs _ -> None
                        | SweepOption.Model _ -> Some(SweepOption.Model "elsewhere")
                        | other -> Some other)
                    |> List.append [ SweepOption.Threads 2; Worker(since.Ticks, "peft sweep --jobs 3") ]
                    |> List.map string
                    |> Set.ofList

                Expect.equal all expected "the same options"

            testCase "no more jobs than experiments, and no fewer than one"
            <| fun () ->
                let jobs arguments =
                    SweepOptions.jobs (parse arguments) false 5

                Expect.equal (jobs []) (1, None) "alone"
                Expect.equal (jobs [ "--jobs"; "3" ]) (3, None) "as told"
                Expect.equal (jobs [ "-j"; "300"; "--threads"; "4" ]) (5, Some 4) "as many as there are"
                Expect.stringContains (userErrorOf (fun () -> jobs [ "--jobs"; "0" ] |> ignore)) "--jobs" "none"

            testCase "the embedded model gets a process a core of one thread each, unless it is told otherwise"
            <| fun () ->
                let jobs arguments experiments =
                    SweepOptions.jobs (parse arguments) true experiments

                Expect.equal (jobs [] 100) (min 8 Environment.ProcessorCount, Some 1) "by itself"
                Expect.equal (jobs [] 1) (1, Some 1) "one run"
                Expect.equal (jobs [ "--threads"; "2" ] 100) (1, Some 2) "threads"
                Expect.equal (jobs [ "--jobs"; "2" ] 100) (2, None) "jobs"

            testCase "sweep --jobs 2 leaves the result files and the table of one process"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let alone, shared = Path.Combine(folder, "alone"), Path.Combine(folder, "shared")

                    let peft rest results =
                        OptionsTests.peft ("sweep" :: options folder results rest)

                    let code, _, error = peft [] alone
                    Expect.equal (code, error) (0, "") "alone"
                    let code, output, error = peft [ "--jobs"; "2"; "--threads"; "1" ] shared
                    Expect.equal (code, error) (0, "") "two jobs"
                    Expect.stringContains output "10 runs in" "all are told"
                    Expect.equal (everything shared) (everything alone) "equal"

                    Expect.equal
                        (File.ReadAllText(Path.Combine(shared, "table1.csv")))
                        (File.ReadAllText(Path.Combine(alone, "table1.csv")))
                        "the same table")

            testCase "a worker killed in its second epoch: another process goes on from its first, to the same result"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let alone, shared = Path.Combine(folder, "alone"), Path.Combine(folder, "shared")

                    let more =
                        [ "--no-baselines"; "--epochs"; "60"; "--patience"; "60"; "--seeds"; "1" ]

                    let given results =
                        options folder results []
                        |> List.filter (fun word ->
                            not (List.contains word [ "--seeds"; "1"; "2"; "--epochs"; "3"; "full"; "paper-lora" ]))
                        |> fun few -> few @ more

                    let worker = startWorker (given shared) DateTime.UtcNow

                    finally' worker (fun () ->
                        until "its state is kept" (fun () ->
                            Directory.Exists shared
                            && Directory.GetFiles(shared, "*.state.safetensors").Length > 0)

                        worker.Kill()
                        worker.WaitForExit())

                    Expect.isEmpty (resultsIn shared) "no result of half a run"
                    Expect.equal (Directory.GetFiles(shared, "*.lock")).Length 1 "its lock file is left"

                    let sweep results =
                        OptionsTests.peft ("sweep" :: given results)

                    let code, output, _ = sweep shared
                    Expect.equal code 0 "ended"
                    Expect.stringContains output "continued after epoch" "not from the start"
                    Expect.equal (let code, _, _ = sweep alone in code) 0 "undisturbed"
                    Expect.equal (everything shared) (everything alone) "equal")

            testCase "a worker runs a whole sweep under its parent's command, and ends when its standard input closes"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let results = Path.Combine(folder, "results")
                    let given = options folder results []
                    let session = SweepOptions.plan (parse given) |> fun plan -> Session plan.Session

                    let _, held =
                        Sweep.experiments session (SweepOptions.plan (parse given)) |> List.last

                    Directory.CreateDirectory results |> ignore

                    // One experiment is held here, so that the worker waits.
                    use _ =
                        FileLock.tryTake (Path.Combine(results, Experiment.name held + ".lock"))
                        |> Option.get

                    let worker = startWorker given DateTime.UtcNow

                    finally' worker (fun () ->
                        until "it does the others" (fun () -> (Directory.GetFiles(results, "*.json")).Length = 7)
                        Expect.isFalse worker.HasExited "it waits"
                        worker.StandardInput.Close()
                        Expect.isTrue (worker.WaitForExit soon) "it ends"
                        Expect.equal worker.ExitCode Guard.interrupted "as stopped"
                        Expect.equal (worker.StandardOutput.ReadToEnd()) "" "it says nothing"
                        Expect.equal (worker.StandardError.ReadToEnd()) "" "nor complains")

                    for run in resultsIn results do
                        Expect.equal run.Command "the command" "the parent's"
                        Expect.equal run.Versions["threads"] "1" "as told")
        ]

[<Tests>]
let tests = testList "Jobs" [ interleaved; processes ]
