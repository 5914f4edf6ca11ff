namespace Peft

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Threading
open Argu
open TorchSharp

/// A sweep as the command line runs it.
[<NoComparison; NoEquality>]
type private Sweeping =
    {
        Options: ParseResults<SweepOption>
        Plan: SweepPlan
        Session: Session
        Results: string
        Experiments: (TaskDefinition * Experiment) list
        Jobs: int
    }

/// `peft sweep` and `peft train`.
[<RequireQualifiedAccess>]
module SweepCommand =
    let private workshop (plan: SweepPlan) session results adapter (stop: CancellationToken) command tell : Workshop =
        { Workshop.quiet session results with
            Tell = tell
            Stop = stop
            Command = command
            Adapter = adapter
            ValidationLimit = plan.ValidationLimit
            TestLimit = plan.TestLimit
            Recipe = Some(SweepPlan.recipe plan)
        }

    let private shopOf (sweeping: Sweeping) =
        let adapter experiment =
            sweeping.Options.TryGetResult Adapters
            |> Option.map (fun folder -> Path.Combine(folder, Experiment.name experiment))

        workshop sweeping.Plan sweeping.Session sweeping.Results adapter

    /// The rows of a plan's first seed; its first level tells how many are trained on.
    let private splitOf (session: Session) (plan: SweepPlan) (task: TaskDefinition) (experiment: Experiment) : Split =
        session.Split(task, plan.Levels.Head, experiment.Seed, plan.ValidationLimit, plan.TestLimit)

    let private stateName (state: ForecastState) =
        match state with
        | Finished -> "finished"
        | Continued -> "to be continued"
        | New -> "new"

    let private dryRun (sweeping: Sweeping) : int =
        let forecasts = Sweep.forecast sweeping.Session sweeping.Plan sweeping.Results
        let jobs = sweeping.Jobs

        for task, experiment in sweeping.Experiments |> List.distinctBy (fun (task, _) -> task.Name) do
            splitOf sweeping.Session sweeping.Plan task experiment |> Options.tellOwn task

        for forecast in forecasts do
            let experiment = forecast.Experiment

            let trained =
                forecast.TrainedParameters.ToString("N0", CultureInfo.InvariantCulture)

            printfn
                $"{experiment.Task}, {Experiment.rowName experiment}, seed {experiment.Seed}: {forecast.TrainingRows} training, {forecast.TestRows} test rows, {trained} trained parameters, about {Progress.duration forecast.Seconds} ({stateName forecast.State})"

        let left =
            forecasts
            |> List.filter (fun forecast -> forecast.State <> Finished)
            |> List.sumBy _.Seconds

        let among = if jobs > 1 then $" for {jobs} jobs" else ""

        printfn
            $"\n{forecasts.Length} runs, about {Progress.duration (left / float jobs)} of work left{among} (from one forward pass; early stopping may shorten it)."

        0

    /// The tables of all that lies in the folder, which earlier sweeps may have filled too.
    let private writeTables (results: string) =
        let finished = Results.read results |> fst |> List.filter _.IsFinished
        let settings = Settings.ofRuns finished

        for index, (_, group) in finished |> Tables.bySetting |> List.indexed do
            let frame = Tables.table1In settings group
            let suffix = if index = 0 then "" else $"-{index + 1}"
            Files.writeAtomically (Path.Combine(results, $"table1{suffix}.md")) (Tables.toMarkdown frame + "\n")
            Files.writeAtomically (Path.Combine(results, $"table1{suffix}.csv")) (Tables.toCsv frame + "\n")

            if
                group
                |> List.exists (fun run -> run.Experiment.Placement <> Placement.everywhere)
            then
                let places = group |> Placed.ofRuns |> Tables.table2In settings
                Files.writeAtomically (Path.Combine(results, $"table2{suffix}.md")) (Tables.toMarkdown places + "\n")
                Files.writeAtomically (Path.Combine(results, $"table2{suffix}.csv")) (Tables.toCsv places + "\n")

    /// Works on another process's sweep until that one stops it or everything has a result.
    let private work (sweeping: Sweeping) (since: int64) (command: string) : int =
        let source = Guard.stopSource ()
        Worker.stopWithParent source
        let shop = shopOf sweeping source.Token command Progress.ofWorker

        try
            Pipeline.sweepSince (DateTime(since, DateTimeKind.Utc)) shop sweeping.Experiments
            |> ignore

            0
        with :? OperationCanceledException ->
            Guard.interrupted

    /// `UserError` where several processes cannot share a folder.
    let checkLocks (results: string) : unit =
        Files.createFolder results

        if not (SharedWork.keepsLocks results) then
            userError
                $"{results}: the file system keeps no locks, so that several jobs would do one run twice. Give --jobs 1."

    /// Runs the experiments, several at once where there are several jobs, and gives all runs.
    let private runAll (sweeping: Sweeping) : Run list =
        let began, command, jobs = DateTime.UtcNow, Guard.commandLine (), sweeping.Jobs
        let threads = torch.get_num_threads ()

        if jobs > 1 then
            checkLocks sweeping.Results
            printfn $"{jobs} jobs, {threads} of libtorch's threads each"

        let stop = Guard.stopOnCtrlC ()

        use workers =
            new Workers(
                "sweep",
                jobs - 1,
                Worker.arguments sweeping.Options sweeping.Plan.Session.ModelFolder threads began command,
                stop
            )

        let costs = Sweep.costs sweeping.Session sweeping.Plan sweeping.Experiments

        Progress.duringJobs jobs costs (fun tell ->
            let tell event =
                tell event

                match event with
                // By now all is checked that can be wrong with the whole sweep.
                | Started _ -> workers.Start()
                | _ -> ()

            Pipeline.sweepSince began (shopOf sweeping stop command tell) sweeping.Experiments)

    /// The experiments of a plan, and how many processes with how many threads work on them.
    let private prepare (options: ParseResults<SweepOption>) (plan: SweepPlan) : Sweeping =
        let results = options.GetResult(SweepOption.Results, "results")
        let session = Session(plan.Session, Downloads.settings)
        let experiments = Sweep.experiments session plan

        let open' =
            experiments
            |> List.filter (fun (_, experiment) -> (Pipeline.tryFinished results experiment).IsNone)

        let jobs, threads =
            SweepOptions.jobs options (Embedded.isModel plan.Session.ModelFolder) open'.Length

        Options.useThreads threads

        if jobs > 1 && threads.IsNone then
            torch.set_num_threads (max 1 (torch.get_num_threads () / jobs))

        {
            Options = options
            Plan = plan
            Session = session
            Results = results
            Experiments = experiments
            Jobs = jobs
        }

    /// Below so many optimiser steps an epoch a technique that learns slowly has hardly begun.
    let private fewSteps = 10

    /// The preset, and the levels whose epochs have few steps.
    let private tellSettings (sweeping: Sweeping) : unit =
        let plan = sweeping.Plan
        printfn $"""Settings: {String.concat ", " (plan.Preset + " preset" :: Overrides.words plan.Overrides)}."""

        let few =
            [
                for _, experiment in sweeping.Experiments do
                    match experiment.Level with
                    | Some level when level <> Level.everything ->
                        let steps = Training.stepsPerEpoch experiment.Training (Level.rows level)

                        if steps < fewSteps then
                            $"{steps} at {Level.name level}"
                    | _ -> ()
            ]
            |> List.distinct

        if not few.IsEmpty then
            printfn
                $"""Few optimiser steps an epoch ({String.concat ", " few}): --batch-size and --accumulation make more of them, --epochs and --patience go on longer."""

    /// Runs a plan as its options say and writes its tables beside the results. Gives all runs, or the exit code where there
    /// is nothing more to tell: after a dry run, in a worker, or when it was stopped.
    let runs (options: ParseResults<SweepOption>) (plan: SweepPlan) : Result<Run list, int> =
        let sweeping = prepare options plan

        match options.TryGetResult Worker with
        | _ when options.Contains Dry_Run -> Error(dryRun sweeping)
        | Some(since, command) -> Error(work sweeping since command)
        | None ->
            let watch = Stopwatch.StartNew()
            options.TryGetResult Adapters |> Option.iter Files.prepareFolder
            tellSettings sweeping

            for task, experiment in sweeping.Experiments |> List.distinctBy (fun (task, _) -> task.Name) do
                let split = splitOf sweeping.Session plan task experiment
                Options.tellOwn task split
                ModelCommands.tellScripts task split

            try
                let runs = runAll sweeping
                writeTables sweeping.Results

                printfn
                    $"\n{runs.Length} runs in {Progress.duration watch.Elapsed.TotalSeconds}; results, predictions and the table (Markdown, CSV) are in {sweeping.Results}."

                Ok runs
            with :? OperationCanceledException ->
                eprintfn
                    $"Stopped. The same command goes on from the last finished epoch; finished runs are in {sweeping.Results}."

                Error Guard.interrupted

    /// The exit code of a sweep: 1 where a run failed.
    let exitCode (runs: Run list) : int =
        if runs |> List.forall _.IsFinished then 0 else 1

    /// Runs a grid of experiments and prints Table 1, for the paper's ablations Table 2 too.
    let sweep (options: ParseResults<SweepOption>) : int =
        let plan = SweepOptions.plan options

        match runs options plan with
        | Error code -> code
        | Ok runs ->
            printfn $"\n{Tables.describe runs}"

            if plan.IsAblation then
                printfn $"\nTable 2\n\n{runs |> Placed.ofRuns |> Tables.table2 |> Tables.toText}"

            exitCode runs

    let private trainOne (options: ParseResults<SweepOption>) (plan: SweepPlan) : int =
        Options.useThreads (options.TryGetResult SweepOption.Threads)
        let results = options.GetResult(SweepOption.Results, "results")
        let session = Session(plan.Session, Downloads.settings)
        let experiments = Sweep.experiments session plan
        let task, experiment = experiments.Head
        splitOf session plan task experiment |> Options.tellOwn task
        let output = options.GetResult Adapters
        Files.createFolder results
        Files.prepareFolder output
        let shop = workshop plan session results (fun _ -> Some output)

        try
            let run =
                Progress.during (Sweep.costs session plan experiments) (fun tell ->
                    let shop = shop (Guard.stopOnCtrlC ()) (Guard.commandLine ()) tell
                    Pipeline.run shop task 1 1 experiment)

            let score = run.Score.ToString("F4", CultureInfo.InvariantCulture)
            printfn $"{run.Metric} {score} on {run.TestRows} test rows; the adapter is in {output}."
            0
        with :? OperationCanceledException ->
            eprintfn "Stopped. The same command goes on from the last finished epoch."
            Guard.interrupted

    /// Trains one technique on one task and keeps the adapter.
    let train (options: ParseResults<SweepOption>) : int =
        if not (options.Contains Adapters) then
            userError "train needs --output: the folder for the trained adapter."

        let plan = SweepOptions.plan options

        let plan =
            { plan with
                Methods = plan.Methods |> List.filter (Method.isBaseline >> not)
            }

        match plan.Tasks, plan.Methods, plan.Placements, plan.Levels, plan.Seeds with
        | [ _ ], [ _ ], [ _ ], [ _ ], [ _ ] when
            not (plan.IsAblation || options.Contains Dry_Run || options.Contains Jobs)
            ->
            trainOne options plan
        | _ ->
            userError
                "train takes one task, one technique, one placement, one level and one seed: --task topic --technique lora --level low --seed 1. For more, or for --dry-run, --ablations and --jobs, use sweep."
