namespace Peft

open System
open System.Collections.Generic
open System.Diagnostics
open System.Runtime.InteropServices
open System.Threading
open Peft.T5
open TorchSharp

/// What a sweep tells while it works.
[<NoComparison>]
type Report =
    /// The run `place` (from 1) of `count` begins, or goes on after so many finished epochs.
    | Started of experiment: Experiment * place: int * count: int * resumedEpochs: int
    /// Trained tensors that the first step's gradient did not reach: they will not learn.
    | Unreached of names: string list
    /// A micro-batch is done: its number of all the run's, and its loss.
    | Stepped of step: int * steps: int * loss: float
    | EpochEnded of log: EpochLog * epochs: int
    /// So many test rows of all are answered.
    | Tested of rows: int * allRows: int
    | Ended of Run
    /// A run had its result already.
    | Skipped of Experiment
    /// Another process that works on the same results folder has ended the run `place` of `count`.
    | EndedElsewhere of run: Run * place: int * count: int
    /// Nothing is left to begin, and other processes still have so many runs.
    | Waiting of runs: int

/// Where runs leave their results, and whom they tell.
[<ReferenceEquality>]
type Workshop =
    {
        Session: Session
        /// The folder of result files.
        Results: string
        Report: Report -> unit
        /// Ctrl-C: the run stops at the next micro-batch and can be continued.
        Stop: CancellationToken
        /// For the result file.
        Command: string
        /// The folder for a run's adapter; none where it is not kept.
        Adapter: Experiment -> string option
        ValidationLimit: int
        TestLimit: int
    }

/// One run or many: from an experiment to a result file.
[<RequireQualifiedAccess>]
module Pipeline =
    /// What a run needs of its experiment, made ready.
    [<ReferenceEquality>]
    type private Bench =
        {
            Shop: Workshop
            Task: TaskDefinition
            Experiment: Experiment
            Rows: EncodedSplit
        }

    /// Distinct for every seed and epoch, so that a continued run draws what an undisturbed one would have drawn.
    let private dropoutSeed (experiment: Experiment) (epoch: int) =
        int64 experiment.Seed * 1_000_003L + int64 epoch

    let private trainingBatches (bench: Bench) (epoch: int) : EncodedRow[][] =
        let rows = bench.Rows.Train

        Shuffle.order $"{bench.Experiment.Task}/epoch/{bench.Experiment.Seed}/{epoch}" rows.Length
        |> Array.map (fun place -> rows[place])
        |> Array.chunkBySize bench.Experiment.Training.BatchSize

    let private validationLoss (bench: Bench) (encodings: KeptEncodings) (model: Model) : float =
        use _ = torch.NewDisposeScope()
        let merged = Model.merge model
        let device = bench.Shop.Session.Device

        Batch.byLength (Evaluation.batchSize bench.Experiment.Training.BatchSize) bench.Rows.Validation
        |> Seq.map (fun group ->
            bench.Shop.Stop.ThrowIfCancellationRequested()
            Batch.ofRows model.Config.PadId device (Array.map snd group))
        |> Trainer.validationLossWith (encodings.Encode merged) merged

    /// One epoch of optimiser steps; gives the mean loss of its micro-batches.
    let private trainEpoch
        (bench: Bench)
        (model: Model)
        parameters
        (optimizer: Optimizer)
        (rate: int -> float)
        (epoch: int)
        =
        let training, device = bench.Experiment.Training, bench.Shop.Session.Device
        let batches = trainingBatches bench epoch
        let pass = Pass.Training training.Dropout
        let losses = ResizeArray()

        let inOneStep (group: EncodedRow[][]) =
            bench.Shop.Stop.ThrowIfCancellationRequested()
            use _ = torch.NewDisposeScope()

            let micro =
                group |> Array.map (Batch.ofRows model.Config.PadId device) |> List.ofArray

            let log =
                Trainer.step pass training.ClipNorm (rate optimizer.Steps) optimizer parameters model micro

            if optimizer.Steps = 1 then
                match Accounting.withoutGradient model with
                | [], _ -> ()
                | names, _ -> bench.Shop.Report(Unreached names)

            losses.AddRange log.Losses
            let before = (epoch - 1) * batches.Length
            bench.Shop.Report(Stepped(before + losses.Count, training.Epochs * batches.Length, List.last log.Losses))

        torch.manual_seed (dropoutSeed bench.Experiment epoch) |> ignore
        batches |> Array.chunkBySize training.Accumulation |> Array.iter inOneStep
        Seq.average losses

    let private hasConverged (training: Training) (standing: Standing) =
        let last = standing.Epochs.Length

        last >= training.Epochs
        || (last > 0 && last - standing.BestEpoch >= training.Patience)

    /// Trains until the validation loss no longer falls; the model then holds the best epoch's parameters.
    let private train (bench: Bench) (technique: Technique) (model: Model) (begin': Standing -> unit) : Standing =
        let training, results = bench.Experiment.Training, bench.Shop.Results
        let parameters = Model.trained model

        let steps =
            training.Epochs * Training.stepsPerEpoch training bench.Rows.Train.Length

        let optimizer =
            parameters
            |> Optimizer.grouped
                (Technique.rateMultiplier technique)
                (Optimizer.adamW 0.9 0.999 1e-8 training.WeightDecay)
            |> RankAllocation.forTechnique technique steps model

        let rate = Schedule.ofTraining training steps
        use encodings = new KeptEncodings(model)

        let rec continue' (standing: Standing) =
            if hasConverged training standing then
                standing
            else
                let epoch = standing.Epochs.Length + 1
                let watch = Stopwatch.StartNew()
                let trainingLoss = trainEpoch bench model parameters optimizer rate epoch
                let trained = watch.Elapsed.TotalSeconds
                let loss = validationLoss bench encodings model

                if not (Double.IsFinite loss) then
                    raise (
                        NonFinite
                            $"the validation loss is {loss} after epoch {epoch}: the training has diverged. Lower the learning rate"
                    )

                let log =
                    {
                        Epoch = epoch
                        TrainingLoss = trainingLoss
                        ValidationLoss = loss
                        TrainSeconds = trained
                        ValidationSeconds = watch.Elapsed.TotalSeconds - trained
                    }

                let next =
                    { standing with
                        Epochs = standing.Epochs @ [ log ]
                        Steps = optimizer.Steps
                        PeakMemoryMiB = max standing.PeakMemoryMiB (Memory.peakMiB ())
                    }

                if next.BestEpoch = epoch then
                    RunState.saveBest results bench.Experiment model

                RunState.save results bench.Experiment next optimizer model
                bench.Shop.Report(EpochEnded(log, training.Epochs))
                continue' next

        let fresh =
            {
                Id = Experiment.id bench.Experiment
                Epochs = []
                Steps = 0
                PeakMemoryMiB = 0.0
            }

        let standing =
            RunState.tryRestore results bench.Experiment optimizer model
            |> Option.defaultValue fresh

        begin' standing
        let reached = continue' standing
        RunState.restoreBest results bench.Experiment model
        reached

    let private decoding (bench: Bench) : Decoding =
        let limit =
            // A longer answer than the longest label cannot be one.
            match bench.Rows.LongestLabel with
            | Some longest -> min longest bench.Experiment.TargetLimit
            | None -> bench.Experiment.TargetLimit

        Decoding.Beam(bench.Experiment.Beams, limit)

    let private answers (bench: Bench) (model: Model) : string[] =
        use _ = torch.NewDisposeScope()
        let mutable finished = 0

        let advance count =
            finished <- finished + count
            bench.Shop.Report(Tested(finished, bench.Rows.Test.Length))
            bench.Shop.Stop.ThrowIfCancellationRequested()

        let size = Evaluation.batchSize bench.Experiment.Training.BatchSize
        let session = bench.Shop.Session

        Evaluation.generate
            (decoding bench)
            (Model.merge model)
            session.Tokenizer
            session.Device
            size
            advance
            bench.Rows.Test

    /// The most frequent training target for every test row; ties go to the first in ordinal order.
    let private majority (bench: Bench) : string[] =
        let label, _ =
            bench.Rows.Split.Train
            |> Array.countBy _.Target
            |> Array.sortWith (fun (a, n) (b, m) -> if n <> m then compare m n else String.CompareOrdinal(a, b))
            |> Array.head

        Array.create bench.Rows.Test.Length label

    let private versions () =
        [
            "peft", string (typeof<Run>.Assembly.GetName().Version)
            "torchsharp", string (typeof<torch>.Assembly.GetName().Version)
            "libtorch", torch.__version__
            "dotnet", RuntimeInformation.FrameworkDescription
            "os", RuntimeInformation.OSDescription
            // Sums of products are split by thread: the last digits of a float32 result may depend on their number.
            "threads", string (torch.get_num_threads ())
        ]
        |> List.map KeyValuePair
        |> Dictionary

    /// The result of a run before anything is known of it.
    let private unknown (shop: Workshop) (experiment: Experiment) : Run =
        {
            Schema = Run.schema
            Id = Experiment.id experiment
            Experiment = experiment
            Status = "finished"
            Error = ""
            Scores = Dictionary()
            Metric = ""
            Epochs = []
            ConvergedEpoch = 0
            Timing =
                {
                    Load = 0.0
                    Tokenise = 0.0
                    Train = 0.0
                    Validate = 0.0
                    Test = 0.0
                }
            TrainableParameters = 0L
            TotalParameters = 0L
            PeakMemoryMiB = 0.0
            TrainRows = 0
            ValidationRows = 0
            TestRows = 0
            Source = ""
            Overlap = ""
            Device = shop.Session.Place.Device
            Versions = versions ()
            Command = shop.Command
            FinishedAt = ""
        }

    let private blank (bench: Bench) : Run =
        let session, rows = bench.Shop.Session, bench.Rows
        let unknown = unknown bench.Shop bench.Experiment

        let trained (portion: 'a[]) =
            if Method.isBaseline bench.Experiment.Method then
                0
            else
                portion.Length

        { unknown with
            Metric = TaskDefinition.metric bench.Task
            Timing =
                { unknown.Timing with
                    Load = session.LoadSeconds
                    Tokenise = rows.Seconds
                }
            TotalParameters = Model.count session.Model
            TrainRows = trained rows.Train
            ValidationRows = trained rows.Validation
            TestRows = rows.Test.Length
            Source = rows.Split.Source
            Overlap = Overlap.describe rows.Split.Overlap
        }

    /// Scores the answers, writes predictions and result.
    let private conclude (bench: Bench) (watch: Stopwatch) (texts: string[]) (run: Run) : Run =
        let predictions = Evaluation.predictions bench.Task bench.Rows.Split.Test texts
        Evaluation.write (Run.predictionsPath bench.Shop.Results bench.Experiment) predictions

        let run =
            { run with
                Scores = Evaluation.scores bench.Task predictions
                Timing =
                    { run.Timing with
                        Test = watch.Elapsed.TotalSeconds
                    }
                PeakMemoryMiB = max run.PeakMemoryMiB (Memory.peakMiB ())
                FinishedAt = DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"
            }

        Run.write bench.Shop.Results run
        RunState.remove bench.Shop.Results bench.Experiment
        run

    let private keepAdapter (bench: Bench) (technique: Technique) (model: Model) =
        match bench.Shop.Adapter bench.Experiment with
        | None -> ()
        | Some folder ->
            let session = bench.Shop.Session

            AdapterFile.save
                folder
                {
                    Format = AdapterFile.format
                    Technique = Technique.text technique
                    Placement = Placement.text bench.Experiment.Placement
                    Base = session.Fingerprint
                    BaseFolder = session.Place.ModelFolder
                    TrainableParameters = Model.countTrained model
                }
                model

    let private runTuned (bench: Bench) (technique: Technique) (announce: int -> unit) : Run =
        let session = bench.Shop.Session

        let model =
            Placement.adapter technique bench.Experiment.Placement bench.Experiment.Seed session.Model

        let standing =
            train bench technique model (fun standing -> announce standing.Epochs.Length)

        keepAdapter bench technique model
        let watch = Stopwatch.StartNew()
        let texts = answers bench model
        let blank = blank bench

        { blank with
            Epochs = standing.Epochs
            ConvergedEpoch = standing.BestEpoch
            TrainableParameters = Model.countTrained model
            TotalParameters = Model.count model
            PeakMemoryMiB = standing.PeakMemoryMiB
            Timing =
                { blank.Timing with
                    Train = standing.Epochs |> List.sumBy _.TrainSeconds
                    Validate = standing.Epochs |> List.sumBy _.ValidationSeconds
                }
        }
        |> conclude bench watch texts

    /// The split that an experiment names; a baseline sees the largest level's training rows, for the majority.
    let private rowsOf (shop: Workshop) (task: TaskDefinition) (experiment: Experiment) =
        let level = experiment.Level |> Option.defaultValue High

        let split =
            shop.Session.Split(task, level, experiment.Seed, shop.ValidationLimit, shop.TestLimit)

        shop.Session.Encoded(task, split, experiment.InputLimit, experiment.TargetLimit)

    /// One run, from experiment to result file. It goes on from the last finished epoch where an interrupted run left its
    /// state. Exceptions pass through: `sweep` records them.
    let run (shop: Workshop) (task: TaskDefinition) (place: int) (count: int) (experiment: Experiment) : Run =
        use _ = torch.NewDisposeScope()
        Memory.resetPeak ()

        let bench =
            {
                Shop = shop
                Task = task
                Experiment = experiment
                Rows = rowsOf shop task experiment
            }

        let announce epochs =
            shop.Report(Started(experiment, place, count, epochs))

        let run =
            match experiment.Method with
            | Tuned technique -> runTuned bench technique announce
            | ZeroShot ->
                announce 0
                let watch = Stopwatch.StartNew()
                blank bench |> conclude bench watch (answers bench shop.Session.Model)
            | Majority ->
                announce 0
                let watch = Stopwatch.StartNew()
                blank bench |> conclude bench watch (majority bench)

        shop.Report(Ended run)
        run

    let private failed (shop: Workshop) (experiment: Experiment) (cause: string) : Run =
        { unknown shop experiment with
            Status = "failed"
            Error = cause
            PeakMemoryMiB = Memory.peakMiB ()
            FinishedAt = DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"
        }

    /// A cause that this run has and others need not share.
    let private isolated (error: exn) =
        match error with
        | NonFinite cause
        | UserError cause -> Some cause
        | :? OperationCanceledException -> None
        | other -> Some $"{other.Message.ReplaceLineEndings(string ' ')} ({other.GetType().Name})"

    /// The result file of an experiment, finished or failed.
    let private tryResult (path: string) (experiment: Experiment) : Run option =
        if IO.File.Exists path then
            let run = Run.read path

            if run.Experiment <> experiment then
                userError
                    $"{path} holds the result of another experiment. Move it away or name another folder with --results."

            Some run
        else
            None

    /// The result that an experiment has already; none where it failed, since it is then tried again.
    let tryFinished (results: string) (experiment: Experiment) : Run option =
        tryResult (Run.path results experiment) experiment |> Option.filter _.IsFinished

    /// One run whose failure is recorded; only a stop passes through.
    let private attempt (shop: Workshop) (task: TaskDefinition) place count (experiment: Experiment) : Run =
        try
            run shop task place count experiment
        with error ->
            match isolated error with
            | None -> reraise ()
            | Some cause ->
                let run = failed shop experiment cause
                Run.write shop.Results run
                shop.Report(Ended run)
                run

    /// An experiment of a sweep without a result yet. Its name, a hash, is asked for often.
    type private Piece =
        {
            Task: TaskDefinition
            Experiment: Experiment
            Place: int
            Name: string
        }

    let private lockPath results name =
        IO.Path.Combine(results, name + ".lock")

    /// Runs the pieces together with all other processes that do so in the same folder.
    let private together (shop: Workshop) (since: DateTime) (count: int) (pieces: Piece list) : Run list =
        let lockPath (piece: Piece) = lockPath shop.Results piece.Name

        // A failure from before is tried again; one of another process meanwhile is as good as an own one.
        let settled (piece: Piece) =
            let file = IO.Path.Combine(shop.Results, piece.Name + ".json")

            tryResult file piece.Experiment
            |> Option.filter (fun run -> run.IsFinished || IO.File.GetLastWriteTimeUtc file >= since)

        let settledElsewhere (piece: Piece) =
            let run = settled piece

            run
            |> Option.iter (fun run -> shop.Report(EndedElsewhere(run, piece.Place, count)))

            run

        let perform look (piece: Piece) =
            let report event =
                shop.Report event

                match event with
                | EpochEnded _ ->
                    // Another run's damaged file is not this run's failure: the next look between runs raises it again.
                    try
                        look ()
                    with UserError _ ->
                        ()
                | _ -> ()

            attempt { shop with Report = report } piece.Task piece.Place count piece.Experiment

        pieces
        |> SharedWork.each shop.Stop lockPath settledElsewhere _.IsFinished perform (Waiting >> shop.Report)

    /// `sweep` for a process that joins one which began at `since`: what failed after that is not tried again.
    let sweepSince (since: DateTime) (shop: Workshop) (experiments: (TaskDefinition * Experiment) list) : Run list =
        Files.createFolder shop.Results
        // Said now rather than after the first epoch.
        Files.checkWritable shop.Results

        // What stands in the way of all runs, or of writing the table in the end, is said before hours of work.
        let standing = experiments |> List.map (snd >> tryFinished shop.Results)

        if standing |> List.exists Option.isNone then
            shop.Session.CheckVocabulary()

        for (_, experiment), finished in List.zip experiments standing do
            if finished.IsSome then
                // Left over where a process ended between its result and its clean-up.
                RunState.remove shop.Results experiment
                SharedWork.clear (lockPath shop.Results (Experiment.name experiment))
                shop.Report(Skipped experiment)

        let made =
            List.zip experiments standing
            |> List.indexed
            |> List.choose (fun (index, ((task, experiment), finished)) ->
                if finished.IsSome then
                    None
                else
                    Some
                        {
                            Task = task
                            Experiment = experiment
                            Place = index + 1
                            Name = Experiment.name experiment
                        })
            |> together shop since experiments.Length

        standing
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
