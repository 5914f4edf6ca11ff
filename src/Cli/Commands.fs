namespace Peft

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Argu
open TorchSharp

/// What the command line and the scripts do: each command takes its options and gives an exit code.
[<RequireQualifiedAccess>]
module Commands =
    /// A command was stopped by Ctrl-C.
    let interrupted = 130

    let private useThreads (count: int option) =
        count |> Option.iter (Options.threads >> torch.set_num_threads)

    /// A source that Ctrl-C or `kill` cancels; a second time they end the process at once.
    let private stopSource () =
        let source = new CancellationTokenSource()

        /// Whether the signal is the first.
        let stop () =
            let isFirst = not source.IsCancellationRequested
            source.Cancel()
            isFirst

        Console.CancelKeyPress.Add(fun pressed -> pressed.Cancel <- stop ())

        // Left to itself the runtime takes libtorch apart while it computes.
        let termination =
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, (fun signal -> signal.Cancel <- stop ()))

        // Ends with the registration's owner: the source, which the handler of Ctrl-C keeps.
        source.Token.Register(fun () -> GC.KeepAlive termination) |> ignore
        source

    let private stopOnCtrlC () = (stopSource ()).Token

    let private commandLine () =
        Environment.GetCommandLineArgs()
        |> Array.skip 1
        |> Array.map (fun part ->
            if part.Contains ' ' || part.Contains '(' then
                $"'{part}'"
            else
                part)
        |> String.concat " "

    let private dryRun (session: Session) (plan: SweepPlan) results jobs =
        let forecasts = Sweep.forecast session plan results

        for forecast in forecasts do
            let experiment = forecast.Experiment

            let trained =
                forecast.TrainedParameters.ToString("N0", CultureInfo.InvariantCulture)

            let state =
                match forecast.State with
                | Finished -> "finished"
                | Continued -> "to be continued"
                | New -> "new"

            printfn
                $"{experiment.Task}, {Experiment.rowName experiment}, seed {experiment.Seed}: {forecast.TrainingRows} training, {forecast.TestRows} test rows, {trained} trained parameters, about {Progress.duration forecast.Seconds} ({state})"

        let left =
            forecasts
            |> List.filter (fun forecast -> forecast.State <> Finished)
            |> List.sumBy _.Seconds

        let among = if jobs > 1 then $" for {jobs} jobs" else ""

        printfn
            $"\n{forecasts.Length} runs, about {Progress.duration (left / float jobs)} of work left{among} (from one forward pass; early stopping may shorten it)."

        0

    let private workshop session (plan: SweepPlan) adapter results stop command tell : Workshop =
        {
            Session = session
            Results = results
            Tell = tell
            Stop = stop
            Command = command
            Adapter = adapter
            ValidationLimit = plan.ValidationLimit
            TestLimit = plan.TestLimit
        }

    let private writeTables (results: string) (runs: Run list) =
        let finished = runs |> List.filter _.IsFinished
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

    let private summary (plan: SweepPlan) results (runs: Run list) (seconds: float) =
        printfn $"\n{Tables.describe runs}"

        if plan.IsAblation then
            printfn $"\nTable 2\n\n{runs |> Placed.ofRuns |> Tables.table2 |> Tables.toText}"

        printfn
            $"\n{runs.Length} runs in {Progress.duration seconds}; results, predictions and this table (Markdown, CSV) are in {results}."

    /// Runs the experiments, `jobs` at once, and gives all runs.
    let private runAll
        (options: ParseResults<SweepOption>)
        costs
        jobs
        experiments
        (shopFor: string -> CancellationToken -> (RunEvent -> unit) -> Workshop)
        =
        let began, command = DateTime.UtcNow, commandLine ()
        let threads = torch.get_num_threads ()

        if jobs > 1 then
            let results = options.GetResult(SweepOption.Results, "results")
            Files.createFolder results

            if not (SharedWork.keepsLocks results) then
                userError
                    $"{results}: the file system keeps no locks, so that several jobs would do one run twice. Give --jobs 1."

            printfn $"{jobs} jobs, {threads} of libtorch's threads each"

        let stop = stopOnCtrlC ()

        use workers =
            new Workers(jobs - 1, Worker.arguments options threads began command, stop)

        Progress.duringJobs jobs costs (fun report ->
            let report event =
                report event

                match event with
                // By now all is checked that can be wrong with the whole sweep.
                | Started _ -> workers.Start()
                | _ -> ()

            Pipeline.sweepSince began (shopFor command stop report) experiments)

    /// Runs a grid of experiments and prints Table 1.
    let sweep (options: ParseResults<SweepOption>) : int =
        let plan = Options.plan options
        let results = options.GetResult(SweepOption.Results, "results")
        let session = Session plan.Session
        let experiments = Sweep.experiments session plan

        let open' =
            experiments
            |> List.filter (fun (_, experiment) -> (Pipeline.tryFinished results experiment).IsNone)

        let jobs, threads =
            Options.jobs options (Embedded.isModel plan.Session.ModelFolder) open'.Length

        useThreads threads

        let adapter experiment =
            options.TryGetResult Adapters
            |> Option.map (fun folder -> Path.Combine(folder, Experiment.name experiment))

        let shopFor command stop report =
            workshop session plan adapter results stop command report

        if jobs > 1 && threads.IsNone then
            torch.set_num_threads (max 1 (torch.get_num_threads () / jobs))

        match options.TryGetResult Worker with
        | _ when options.Contains Dry_Run -> dryRun session plan results jobs
        | Some(since, command) ->
            let source = stopSource ()
            Worker.stopWithParent source

            try
                Pipeline.sweepSince
                    (DateTime(since, DateTimeKind.Utc))
                    (shopFor command source.Token Progress.ofWorker)
                    experiments
                |> ignore

                0
            with :? OperationCanceledException ->
                interrupted
        | None ->
            let watch = Stopwatch.StartNew()

            try
                let runs =
                    runAll options (Sweep.costs session plan experiments) jobs experiments shopFor

                writeTables results runs
                summary plan results runs watch.Elapsed.TotalSeconds
                if runs |> List.forall _.IsFinished then 0 else 1
            with :? OperationCanceledException ->
                eprintfn
                    $"Stopped. The same command goes on from the last finished epoch; finished runs are in {results}."

                interrupted

    /// Trains one technique on one task and keeps the adapter.
    let train (options: ParseResults<SweepOption>) : int =
        if not (options.Contains Adapters) then
            userError "train needs --output: the folder for the trained adapter."

        let plan = Options.plan options

        let plan =
            { plan with
                Methods = plan.Methods |> List.filter (Method.isBaseline >> not)
            }

        match plan.Tasks, plan.Methods, plan.Placements, plan.Levels, plan.Seeds with
        | [ _ ], [ _ ], [ _ ], [ _ ], [ _ ] when
            not (plan.IsAblation || options.Contains Dry_Run || options.Contains Jobs)
            ->
            useThreads (options.TryGetResult SweepOption.Threads)
            let results = options.GetResult(SweepOption.Results, "results")
            let session = Session plan.Session
            let experiments = Sweep.experiments session plan
            let task, experiment = experiments.Head
            let output = options.GetResult Adapters
            Files.createFolder results
            Files.createFolder output

            try
                let run =
                    Progress.during (Sweep.costs session plan experiments) (fun report ->
                        let shop =
                            workshop
                                session
                                plan
                                (fun _ -> Some output)
                                results
                                (stopOnCtrlC ())
                                (commandLine ())
                                report

                        Pipeline.run shop task 1 1 experiment)

                let score = run.Score.ToString("F4", CultureInfo.InvariantCulture)
                printfn $"{run.Metric} {score} on {run.TestRows} test rows; the adapter is in {output}."
                0
            with
            | NonFinite cause -> userError cause
            | :? OperationCanceledException ->
                eprintfn "Stopped. The same command goes on from the last finished epoch."
                interrupted
        | _ ->
            userError
                "train takes one task, one technique, one placement, one level and one seed: --task topic --technique lora --level low --seed 1. For more, or for --dry-run, --ablations and --jobs, use sweep."

    let private sessionOptions (options: ParseResults<ModelOption>) : SessionOptions =
        for name, value in
            [
                "--test-limit", options.TryGetResult ModelOption.Test_Limit
                "--input-limit", options.TryGetResult ModelOption.Input_Limit
                "--target-limit", options.TryGetResult ModelOption.Target_Limit
                "--beams", options.TryGetResult ModelOption.Beams
            ] do
            match value with
            | Some value when value < 1 -> userError $"{name} is {value}; the least is 1."
            | _ -> ()

        {
            ModelFolder =
                options.TryGetResult ModelOption.Model
                |> Option.defaultWith Embedded.modelFolder
            DataFolder = options.TryGetResult ModelOption.Data |> Option.defaultWith Embedded.dataFolder
            Device = options.GetResult(ModelOption.Device, "cpu")
            Precision = options.GetResult(ModelOption.Dtype, "float32")
        }

    let private modelOf (session: Session) (options: ParseResults<ModelOption>) : Model =
        match options.TryGetResult ModelOption.Adapter with
        | None -> session.Model
        | Some folder -> AdapterFolders.load folder session.Fingerprint session.Model |> Model.merge

    let private decodingOf (options: ParseResults<ModelOption>) : Decoding =
        Decoding.Beam(options.GetResult(ModelOption.Beams, 1), options.GetResult(ModelOption.Target_Limit, 128))

    /// Answers a task's test rows and prints the scores.
    let evaluate (options: ParseResults<ModelOption>) : int =
        useThreads (options.TryGetResult ModelOption.Threads)
        let session = Session(sessionOptions options)

        let task =
            match Options.modelTask options with
            | Some task -> task
            | None -> userError "evaluate needs --task or --custom."

        let seed = options.GetResult(ModelOption.Seed, 1)
        let limit = options.GetResult(ModelOption.Test_Limit, Split.standardLimit)
        let split = session.Split(task, High, seed, Split.standardLimit, limit)

        let inputLimit, targetLimit =
            options.GetResult(ModelOption.Input_Limit, 512), options.GetResult(ModelOption.Target_Limit, 128)

        let rows = session.Encoded(task, split, inputLimit, targetLimit)
        let model = modelOf session options
        let watch = Stopwatch.StartNew()

        let predictions =
            rows.Test
            |> Evaluation.generate
                (decodingOf options)
                model
                session.Tokenizer
                session.Device
                (Evaluation.batchSize 16)
                ignore
            |> Evaluation.predictions task split.Test

        for score in Evaluation.scores task predictions do
            let value = score.Value.ToString("F4", CultureInfo.InvariantCulture)
            printfn $"{score.Key, -10} {value}"

        printfn $"{predictions.Length} test rows in {Progress.duration watch.Elapsed.TotalSeconds}"

        options.TryGetResult Predictions
        |> Option.iter (fun file -> Evaluation.write file predictions)

        0

    /// Answers texts from the command line, or lines of standard input.
    let generate (options: ParseResults<ModelOption>) : int =
        useThreads (options.TryGetResult ModelOption.Threads)
        let session = Session(sessionOptions options)
        session.CheckVocabulary()
        let model = modelOf session options
        let limit = options.GetResult(ModelOption.Input_Limit, 512)

        let word =
            match Options.modelTask options with
            | Some task -> Pools.word task
            | None -> id

        let inputs =
            match options.TryGetResult Text with
            | Some texts -> Seq.ofList texts
            | None ->
                Seq.initInfinite (fun _ -> Console.In.ReadLine())
                |> Seq.takeWhile (isNull >> not)
                |> Seq.choose Option.ofObj

        for chunk in inputs |> Seq.chunkBySize 32 do
            chunk
            |> Array.map (fun text ->
                {
                    Ids = session.Tokenizer.Encode(word text, limit)
                    Labels = [| model.Shape.EosId |]
                })
            |> Evaluation.generate (decodingOf options) model session.Tokenizer session.Device 32 ignore
            |> Array.iter (printfn "%s")

        0

    /// Trains a small T5 from random weights.
    let pretrain (options: ParseResults<PretrainOption>) : int =
        useThreads (options.TryGetResult PretrainOption.Threads)

        try
            PretrainCommand.run options (stopOnCtrlC ())
        with
        | NonFinite cause -> userError cause
        | :? OperationCanceledException ->
            eprintfn "Stopped. The same command goes on from the last checkpoint."
            interrupted

    /// Runs a command; an error becomes one line on standard error and an exit code: 1 for what a user can put right, 2 for
    /// options that cannot be read.
    let guarded (command: unit -> int) : int =
        let tell (message: string) =
            eprintfn $"peft: {message.ReplaceLineEndings(string ' ').Trim()}"
            1

        try
            command ()
        with
        | UserError message -> tell message
        | :? ArguParseException as error when error.ErrorCode = ErrorCode.HelpText ->
            printfn $"{error.Message}"
            0
        | :? ArguParseException as error ->
            let problem = error.Message.Split('\n', 2)[0]
            eprintfn $"peft: {problem.Trim()} (--help lists the options)"
            2
        | :? UnauthorizedAccessException
        | :? IOException as error -> tell error.Message
        | :? OutOfMemoryException ->
            tell "the memory is used up. Use a smaller --batch-size, shorter limits, or --dtype bfloat16."
        // Anything else is a fault of the program, and still no reason for a page of frames.
        | error when String.IsNullOrEmpty(Environment.GetEnvironmentVariable "PEFT_TRACE") ->
            tell $"{error.Message} ({error.GetType().Name}; PEFT_TRACE=1 shows where)"

    let private script (name: string) (command: ParseResults<'Options> -> int) (argv: string[]) : int =
        guarded (fun () ->
            Native.ensure () |> ignore
            let parser = ArgumentParser.Create<'Options>(programName = name)
            command (parser.ParseCommandLine(inputs = argv, raiseOnUsage = true)))

    /// `scripts/sweep.fsx`: `argv` are its own arguments.
    let sweepScript (argv: string[]) : int = script "sweep.fsx" sweep argv

    /// `scripts/pretrain.fsx`: `argv` are its own arguments.
    let pretrainScript (argv: string[]) : int = script "pretrain.fsx" pretrain argv
