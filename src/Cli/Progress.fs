namespace Peft

open System
open System.Diagnostics
open System.Globalization
open Spectre.Console

/// Tells people how a sweep goes: bars on a terminal, a line for each event elsewhere.
[<RequireQualifiedAccess>]
module Progress =
    let private formatted (format: string) (value: float) =
        value.ToString(format, CultureInfo.InvariantCulture)

    let private fixed4 = formatted "F4"
    let private seconds = formatted "F1"

    /// A duration in words: `8 s`, `3 min 20 s`, `2 h 5 min`.
    let duration (seconds: float) : string =
        let span = TimeSpan.FromSeconds(max 0.0 seconds)

        if span.TotalSeconds < 60.0 then
            $"{span.TotalSeconds:F0} s"
        elif span.TotalMinutes < 60.0 then
            $"{int span.TotalMinutes} min {span.Seconds} s"
        else
            $"{int span.TotalHours} h {span.Minutes} min"

    let private label (experiment: Experiment) =
        $"{experiment.Task}, {Experiment.rowName experiment}, seed {experiment.Seed}"

    let private epochLine (log: EpochLog) epochs =
        $"epoch {log.Epoch}/{epochs}: training loss {fixed4 log.TrainingLoss}, validation loss {fixed4 log.ValidationLoss}, {seconds (log.TrainSeconds + log.ValidationSeconds)} s"

    let private runLine (run: Run) =
        if run.IsFinished then
            let epoch =
                if run.ConvergedEpoch > 0 then
                    $", best epoch {run.ConvergedEpoch}"
                else
                    ""

            $"{run.Metric} {fixed4 run.Score}{epoch}, {seconds (run.Timing.Train + run.Timing.Validate + run.Timing.Test)} s"
        else
            $"failed: {run.Error}"

    /// How much of a sweep's work is done, and from that the time that is left, where so many processes go on as fast as
    /// this one.
    type private Work(jobs: int, costs: (string * float) list) =
        let byId = dict costs
        let total = costs |> List.sumBy snd |> max 1e-9
        let clock = Stopwatch.StartNew()
        let mutable behind = 0.0
        let mutable skipped = 0.0
        let mutable current = 0.0

        member _.Begin(experiment: Experiment) =
            current <- byId[Experiment.id experiment]

        /// The share of the sweep that is done when `share` of the current run is.
        member _.Share(share: float) =
            (behind + skipped + share * current) / total

        member _.Skip(experiment: Experiment) =
            skipped <- skipped + byId[Experiment.id experiment]

        member _.End() =
            behind <- behind + current
            current <- 0.0

        /// The seconds left, once there is something to judge by.
        member _.Left(share: float) =
            let worked = behind + share * current

            if worked <= 0.0 || clock.Elapsed.TotalSeconds < 2.0 then
                None
            else
                let remaining = total - behind - skipped - share * current
                Some(clock.Elapsed.TotalSeconds / worked * remaining / float jobs)

        member work.LeftText(share: float) =
            match work.Left share with
            | Some seconds when seconds >= 1.0 -> $", about {duration seconds} left"
            | _ -> ""

    let private plain (work: Work) (write: string -> unit) (event: RunEvent) : unit =
        match event with
        | Started(experiment, number, count, resumed) ->
            work.Begin experiment

            let again =
                if resumed > 0 then
                    $", continued after epoch {resumed}"
                else
                    ""

            write $"[{number}/{count}] {label experiment}{again}"
        | EpochEnded(log, epochs) -> write $"  {epochLine log epochs}"
        | Unreached names ->
            write $"  {names.Length} trained tensors got no gradient and will not learn, the first is {names.Head}"
        | Ended run ->
            work.End()
            write $"  {runLine run}{work.LeftText 0.0}"
        | Skipped(run, number, count) ->
            work.Skip run.Experiment
            write $"[{number}/{count}] {label run.Experiment}, finished before: {runLine run}"
        | EndedElsewhere(run, number, count) ->
            work.Skip run.Experiment
            write $"[{number}/{count}] {label run.Experiment}, by another process: {runLine run}"
        | Waiting runs -> write $"waiting for other processes, runs left: {runs}"
        | Stepped _
        | Tested _ -> ()

    /// Training is most of a run; the rest is for answering the test rows.
    let private trainingShare = 0.8

    /// The lines of `plain` above two bars: the sweep's and the present run's.
    let private onTerminal (work: Work) (sweep: ProgressTask) (run: ProgressTask) (event: RunEvent) : unit =
        let show share text =
            sweep.Value <- 100.0 * work.Share share
            sweep.Description <- Markup.Escape $"sweep{work.LeftText share}"
            run.Value <- 100.0 * share
            run.Description <- Markup.Escape text

        plain work (Markup.Escape >> AnsiConsole.MarkupLine) event

        match event with
        | Started _ -> show 0.0 "starting"
        | Stepped(step, steps, value) ->
            show (trainingShare * float step / float steps) $"step {step}/{steps}, loss {fixed4 value}"
        | Tested(rows, all) ->
            let answered = float rows / float (max 1 all)
            show (trainingShare + (1.0 - trainingShare) * answered) $"test rows {rows}/{all}"
        | Ended _
        | Skipped _ -> show 0.0 "between runs"
        | Waiting _ -> show 0.0 "waiting for other processes"
        | EpochEnded _
        | EndedElsewhere _
        | Unreached _ -> ()

    /// Runs `body` with a reporter for a sweep whose runs cost what `costs` says (by experiment id, in any unit) and that so
    /// many processes of this machine share.
    let duringJobs (jobs: int) (costs: (string * float) list) (body: (RunEvent -> unit) -> 'a) : 'a =
        let work = Work(jobs, costs)

        if Console.IsOutputRedirected || not AnsiConsole.Profile.Capabilities.Interactive then
            body (plain work Console.Out.WriteLine)
        else
            AnsiConsole
                .Progress()
                .AutoClear(true)
                .Columns(TaskDescriptionColumn(Alignment = Justify.Left), ProgressBarColumn(), PercentageColumn())
                .Start(fun context -> body (onTerminal work (context.AddTask "sweep") (context.AddTask "starting")))

    /// `duringJobs` for a sweep alone.
    let during (costs: (string * float) list) (body: (RunEvent -> unit) -> 'a) : 'a = duringJobs 1 costs body

    /// The reporter of a worker: the process that started it tells of its runs, and hears of nothing but warnings.
    let ofWorker (event: RunEvent) : unit =
        match event with
        | Unreached _ -> plain (Work(1, [])) Console.Error.WriteLine event
        | _ -> ()
