namespace Peft

open System
open System.Diagnostics
open System.IO
open System.Threading

/// What a race tells while it runs.
[<NoComparison; NoEquality>]
type RaceEvent =
    /// What was found in the rows and what was left out, a line each.
    | Found of lines: string list
    /// What fits into the budget, and its seconds.
    | Planned of plan: TrialPlan * families: string list * seconds: float
    /// A stage begins: so many runs.
    | StageBegan of stage: Stage * runs: int
    /// What a run of this process tells.
    | RunTold of RunEvent
    /// What a rung came to, the best first.
    | RungEnded of stage: Stage * standings: Standing list

/// A race as a process runs it.
[<NoComparison; NoEquality>]
type internal Racing =
    {
        Ground: Ground
        Tell: RaceEvent -> unit
        /// Ctrl-C.
        Stop: CancellationToken
        Command: string
        /// When the command began, UTC: what failed before is tried again.
        Since: DateTime
        Clock: Stopwatch
        /// Seconds of earlier calls.
        Before: float
    }

    /// Seconds that the race has taken.
    member racing.Used: float = racing.Before + racing.Clock.Elapsed.TotalSeconds

    /// Seconds that are left of a share of the budget.
    member racing.Left(share: float) : float =
        share * racing.Ground.Question.Budget.TotalSeconds - racing.Used

/// One stage after the other.
[<RequireQualifiedAccess>]
module internal Race =
    let private shop (racing: Racing) (stage: Stage) (stop: CancellationToken) : Workshop =
        let ground = racing.Ground

        { Workshop.quiet ground.Session (Ground.folderOf ground stage) with
            Tell = RunTold >> racing.Tell
            Stop = stop
            Command = racing.Command
            Adapter =
                fun experiment ->
                    if stage.IsFinal && not (Method.isBaseline experiment.Method) then
                        Some(Path.Combine(ground.Question.Folder, "adapters", Experiment.name experiment))
                    else
                        None
            ValidationLimit =
                if stage.IsFinal then
                    Split.standardLimit
                else
                    Ground.validationLimit
            TestLimit =
                if stage.IsFinal then
                    Split.standardLimit
                else
                    Ground.answeredLimit
        }

    /// The results of a stage's runs that there are, in their order.
    let results (ground: Ground) (stage: Stage) : Run list =
        let folder = Ground.folderOf ground stage
        Ground.experiments ground stage |> List.choose (snd >> RunRecord.tryRead folder)

    /// Runs a stage, for so many seconds at most, and gives the results that there are then. Ctrl-C passes through.
    let perform (racing: Racing) (seconds: float) (stage: Stage) : Run list =
        let experiments = Ground.experiments racing.Ground stage
        racing.Tell(StageBegan(stage, experiments.Length))
        use source = CancellationTokenSource.CreateLinkedTokenSource racing.Stop
        source.CancelAfter(TimeSpan.FromSeconds(seconds |> max 0.05 |> min 2e6))

        try
            Pipeline.sweepSince racing.Since (shop racing stage source.Token) experiments
            |> ignore
        with :? OperationCanceledException when not racing.Stop.IsCancellationRequested ->
            ()

        results racing.Ground stage

    /// The stage of that name that a journal has decided, or else this one, which is noted.
    let decide (racing: Racing) (journal: Journal) (stage: Stage) : Stage * Journal =
        match journal.Stages |> List.tryFind (fun known -> known.Name = stage.Name) with
        | Some known -> known, journal
        | None ->
            let journal =
                { journal with
                    Stages = journal.Stages @ [ stage ]
                    Seconds = racing.Used
                }

            Journal.write racing.Ground.Question.Folder journal
            stage, journal

    let private rungStage (ground: Ground) (name: string) (contenders: Contender list) (examples: int) : Stage =
        let rows, epochs = TrialPlan.rowsAndEpochs ground.Rows.Train examples

        {
            Name = name
            IsFinal = false
            HasBaselines = false
            Contenders = contenders |> List.map Journal.ofContender
            Rows = rows
            Epochs = epochs
            Seed = 1
        }

    /// Batches that a technique is timed on.
    let private timedBatches = 4

    let private median (values: float list) = (List.sort values)[values.Length / 2]

    /// Times every family on a few batches. The very first run also loads and compiles the program: it is made twice.
    let measure (racing: Racing) : Pace =
        let ground = racing.Ground
        let usual = Ground.usualPeak ground
        let firsts = ground.Families |> List.collect (Contender.ofFamily usual 1)
        let examples = min ground.Rows.Train (timedBatches * ground.Question.BatchSize)
        let stage = rungStage ground "pace" firsts examples

        { stage with
            Name = "warm-up"
            Contenders = [ stage.Contenders.Head ]
            Seed = 2
        }
        |> perform racing (racing.Left 0.5)
        |> ignore

        let watch = Stopwatch.StartNew()
        let runs = perform racing (racing.Left 0.5) stage |> List.filter _.IsFinished
        let wall = watch.Elapsed.TotalSeconds

        if runs.IsEmpty then
            userError
                $"Half of the budget of {racing.Ground.Question.Budget.TotalSeconds:F0} s is over before a single technique has seen {examples} rows. Give a larger --budget, fewer --techniques or a smaller model."

        let inRows =
            runs
            |> List.sumBy (fun run -> run.Timing.Train + run.Timing.Validate + run.Timing.Test)

        let held = float ground.Rows.Validation

        {
            Train =
                runs
                |> List.choose (Standing.ofRun ground.Families)
                |> List.map (fun standing -> standing.Family, standing.Run.Timing.Train / float examples)
            Validate = median (runs |> List.map (fun run -> run.Timing.Validate / held))
            Answer = median (runs |> List.map (fun run -> run.Timing.Test / float ground.Rows.Answered))
            Run = max 0.01 ((wall - inRows) / float runs.Length)
        }

    /// The contenders of a rung: the first of each family, or the best of the rung before.
    let private contenders (ground: Ground) (rung: Rung) (before: Standing list option) : Contender list =
        match before with
        | None ->
            ground.Families
            |> List.collect (Contender.ofFamily (Ground.usualPeak ground) rung.Trials)
        | Some standings -> standings |> Standing.survivors rung.Trials |> List.map _.Contender

    /// Runs the rungs of a plan as far as `reserved` seconds are left for the finals; gives what the last rung came to that
    /// had results, how much longer it took than planned, and the journal.
    let rungs (racing: Racing) (journal: Journal) (pace: Pace) (plan: TrialPlan) (reserved: float) =
        let ground = racing.Ground
        let jobs = float ground.Question.Jobs
        let families = ground.Families |> List.map _.Name

        let rung (before: Standing list option, factor: float, journal: Journal) (number: int, rung: Rung) =
            let left = racing.Left 1.0 - reserved * factor

            // The first rung is run in any case, for as long as there is time.
            if before.IsSome && left <= 0.0 then
                before, factor, journal
            else
                let stage, journal =
                    rungStage ground $"rung {number + 1}" (contenders ground rung before) rung.Examples
                    |> decide racing journal

                let isNew = (results ground stage).IsEmpty
                let watch = Stopwatch.StartNew()

                let standings =
                    perform racing (max left 1.0) stage
                    |> List.choose (Standing.ofRun ground.Families)
                    |> Standing.ranked

                let expected = TrialPlan.rungSeconds pace ground.Rows families rung / jobs

                let factor =
                    if isNew then
                        watch.Elapsed.TotalSeconds / expected |> max 0.7 |> min 2.0
                    else
                        factor

                racing.Tell(RungEnded(stage, standings))

                // Out of time in the middle of a rung: techniques that it did not come to stay in with what they had.
                let there = standings |> Standing.survivors 1 |> List.map _.Family

                let missed =
                    before
                    |> Option.defaultValue []
                    |> List.filter (fun standing -> not (List.contains standing.Family there))

                match there, missed with
                | [], [] -> None, factor, journal
                | _ -> Some(Standing.ranked (standings @ missed)), factor, journal

        plan.Rungs |> List.indexed |> List.fold rung (None, 1.0, journal)
