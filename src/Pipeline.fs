namespace Peft

open System
open System.Diagnostics
open TorchSharp

/// One run or many: from an experiment to a result file.
[<RequireQualifiedAccess>]
module Pipeline =
    // One run: the rows of its experiment (`Prepared`), a technique on the base model, training (`Fit`), answers to the test
    // rows, scores, and a result file (`RunRecord`).

    /// How the test rows of a run are answered. A longer answer than the longest label cannot be one.
    let private decoding (run: Prepared) : Decoding =
        let labels = run.Rows.Labels

        let limit =
            if labels.Length = 0 then
                run.Experiment.TargetLimit
            else
                labels |> Array.map _.Length |> Array.max

        let free = Decoding.Beam(run.Experiment.Beams, limit)

        match run.Experiment.Constrain with
        | Some AnswerLimit.Labels when labels.Length > 0 -> free.Within labels
        | _ -> free

    /// A model's answers to the test rows, in their order, with the labels ranked beside them.
    let private answers (run: Prepared) (model: Model) : Generated[] =
        use _ = torch.NewDisposeScope()
        let shop, test = run.Shop, run.Rows.Test
        let mutable finished = 0

        let advance count =
            finished <- finished + count
            shop.Tell(Tested(finished, test.Length))
            shop.Stop.ThrowIfCancellationRequested()

        let size = Evaluation.batchSize run.Training.BatchSize
        let tokenizer, device = shop.Session.Tokenizer, shop.Session.Device
        Evaluation.answers run.Rows.Labels (decoding run) (Model.merge model) tokenizer device size advance test

    /// The most frequent training target for every test row; ties go to the first in ordinal order.
    let private majority (run: Prepared) : Generated[] =
        let label, _ =
            run.Rows.Split.Train
            |> Array.countBy _.Target
            |> Array.sortWith (fun (a, n) (b, m) -> if n <> m then compare m n else String.CompareOrdinal(a, b))
            |> Array.head

        Array.create
            run.Rows.Test.Length
            {
                Text = label
                Ranked = run.Task.Labels |> List.tryFindIndex ((=) label)
            }

    /// Scores the answers, writes predictions and result, and removes what a continued run would have needed.
    let private conclude (run: Prepared) (watch: Stopwatch) (answers: Generated[]) (record: Run) : Run =
        let predictions = Evaluation.predictions run.Task run.Rows.Split.Test answers
        run.Shop.Seal()
        Evaluation.write (Run.predictionsPath run.Shop.Results run.Experiment) predictions

        let record =
            { record with
                Scores = Evaluation.scores run.Task predictions
                Timing =
                    { record.Timing with
                        Test = watch.Elapsed.TotalSeconds
                    }
                PeakMemoryMiB = max record.PeakMemoryMiB (Memory.peakMiB ())
                FinishedAt = RunRecord.now ()
            }

        Results.write run.Shop.Results record
        RunState.remove run.Shop.Results run.Experiment
        record

    /// Writes the trained adapter where the workshop wants it.
    let private keepAdapter (run: Prepared) (technique: Technique) (model: Model) : unit =
        match run.Shop.Adapter run.Experiment with
        | None -> ()
        | Some folder ->
            let session = run.Shop.Session
            run.Shop.Confirm()

            AdapterFile.save
                folder
                {
                    Format = AdapterFile.format
                    Technique = Technique.text technique
                    Placement = Placement.text run.Experiment.Placement
                    Base = session.Fingerprint
                    BaseFolder = session.Options.ModelFolder
                    TrainableParameters = Model.countTrained model
                }
                model

            AdapterTask.ofExperiment run.Task run.Experiment |> AdapterTask.save folder

    /// Adapts the base model, trains it and answers with it; `begin'` hears after how many finished epochs it goes on.
    let private runTuned (run: Prepared) (technique: Technique) (begin': int -> unit) : Run =
        let model =
            run.Shop.Session.Model
            |> Placement.adapter technique run.Experiment.Placement run.Experiment.Seed

        // Said now rather than after the training.
        run.Shop.Adapter run.Experiment |> Option.iter Files.prepareFolder
        let log = Fit.toBest run technique model begin'
        keepAdapter run technique model
        let watch = Stopwatch.StartNew()
        let answers = answers run model
        let record = RunRecord.ofPrepared run

        { record with
            Epochs = log.Epochs
            ConvergedEpoch = log.BestEpoch
            TrainableParameters = Model.countTrained model
            TotalParameters = Model.count model
            PeakMemoryMiB = log.PeakMemoryMiB
            Timing =
                { record.Timing with
                    Train = log.Epochs |> List.sumBy _.TrainSeconds
                    Validate = log.Epochs |> List.sumBy _.ValidationSeconds
                }
        }
        |> conclude run watch answers

    /// Answers without training.
    let private runBaseline (run: Prepared) (begin': int -> unit) (answer: Prepared -> Generated[]) : Run =
        begin' 0
        let watch = Stopwatch.StartNew()
        let record = RunRecord.ofPrepared run
        conclude run watch (answer run) record

    /// One run, from experiment to result file: the run `number` (from 1) of `count`. It goes on from the last finished epoch
    /// where an interrupted run left its state. Exceptions pass through: `sweep` records them.
    let run (shop: Workshop) (task: TaskDefinition) (number: int) (count: int) (experiment: Experiment) : Run =
        use _ = torch.NewDisposeScope()
        Memory.resetPeak ()
        let prepared = Prepared.create shop task experiment

        let begin' epochs =
            shop.Tell(Started(experiment, number, count, epochs))

        let record =
            match experiment.Method with
            | Tuned technique -> runTuned prepared technique begin'
            | ZeroShot -> runBaseline prepared begin' (fun run -> answers run shop.Session.Model)
            | Majority -> runBaseline prepared begin' majority

        shop.Tell(Ended record)
        record

    // One sweep: every experiment without a result is run, by this process or by another that works in the same folder.

    /// A cause that this run has and others need not share.
    let private isolated (error: exn) =
        match error with
        | NonFinite cause
        | UserError cause -> Some cause
        | :? OperationCanceledException
        | LeaseLost _ -> None
        | other -> Some $"{other.Message.ReplaceLineEndings(string ' ')} ({other.GetType().Name})"

    /// One run whose failure is recorded; only a stop passes through.
    let private attempt (shop: Workshop) (piece: Piece) : Run =
        try
            run shop piece.Task piece.Number piece.Count piece.Experiment
        with error ->
            match isolated error with
            | None -> reraise ()
            | Some cause ->
                shop.Seal()
                let record = RunRecord.failed shop piece.Experiment cause
                Results.write shop.Results record
                shop.Tell(Ended record)
                record

    /// The result that an experiment has already; none where it failed, since it is then tried again.
    let tryFinished (results: string) (experiment: Experiment) : Run option =
        RunRecord.tryRead results experiment |> Option.filter _.IsFinished

    /// `sweep` for a process that joins one which began at `since`: what failed after that is not tried again.
    let sweepSince (since: DateTime) (shop: Workshop) (experiments: (TaskDefinition * Experiment) list) : Run list =
        Files.createFolder shop.Results
        // Said now rather than after the first epoch.
        Files.checkWritable shop.Results

        // What stands in the way of all runs, or of writing the table in the end, is said before hours of work.
        let known = experiments |> List.map (snd >> tryFinished shop.Results)

        if known |> List.exists Option.isNone then
            shop.Session.CheckVocabulary()

        let pieces =
            [
                for number, ((task, experiment), finished) in List.indexed (List.zip experiments known) do
                    match finished with
                    | Some run ->
                        SharedSweep.tidy shop.Results experiment
                        shop.Tell(Skipped(run, number + 1, experiments.Length))
                    | None ->
                        {
                            Task = task
                            Experiment = experiment
                            Number = number + 1
                            Count = experiments.Length
                            Name = Experiment.name experiment
                        }
            ]

        let made = SharedSweep.each shop since attempt pieces

        known
        |> List.mapFold
            (fun made finished ->
                match finished with
                | Some run -> run, made
                | None -> List.head made, List.tail made)
            made
        |> fst

    /// Runs every experiment that has no result yet; a run that fails is recorded, and the others go on. Gives all runs in
    /// the order of the experiments. Several processes may sweep into one folder: each experiment is run by one of them, and
    /// each of them waits for all results. Raises `OperationCanceledException` when stopped.
    let sweep (shop: Workshop) (experiments: (TaskDefinition * Experiment) list) : Run list =
        sweepSince DateTime.UtcNow shop experiments
