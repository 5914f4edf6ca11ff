namespace Peft

open System
open System.Diagnostics
open TorchSharp

/// A model on its way: what its steps move, and by which rule.
[<ReferenceEquality>]
type internal Trainee =
    {
        Model: Model
        Parameters: (string * Modules.Parameter) list
        Optimizer: Optimizer
        /// The learning rate of a step, counted from 0.
        Rate: int -> float
    }

/// The training of one run: epochs of optimiser steps, each followed by the validation loss, until that no longer falls.
[<RequireQualifiedAccess>]
module internal Fit =
    /// Distinct for every seed and epoch, so that a continued run draws what an undisturbed one would have drawn.
    let private dropoutSeed (experiment: Experiment) (epoch: int) =
        int64 experiment.Seed * 1_000_003L + int64 epoch

    let private trainingBatches (run: Prepared) (epoch: int) : EncodedRow[][] =
        let rows = run.Rows.Train

        Shuffle.order $"{run.Experiment.Task}/epoch/{run.Experiment.Seed}/{epoch}" rows.Length
        |> Array.map (fun index -> rows[index])
        |> Array.chunkBySize run.Training.BatchSize

    let private validationLoss (run: Prepared) (encodings: KeptEncodings) (model: Model) : float =
        use _ = torch.NewDisposeScope()
        let merged = Model.merge model

        Batch.byLength (Evaluation.batchSize run.Training.BatchSize) run.Rows.Validation
        |> Seq.map (fun group ->
            run.Shop.Stop.ThrowIfCancellationRequested()
            run.Batch(Array.map snd group))
        |> Trainer.validationLossWith (encodings.Loss merged)

    let private tellUnreached (run: Prepared) (model: Model) =
        match Accounting.withoutGradient model with
        | [], _ -> ()
        | names, _ -> run.Shop.Tell(Unreached names)

    /// One epoch of optimiser steps; gives the mean loss of its micro-batches.
    let private trainEpoch (run: Prepared) (trainee: Trainee) (epoch: int) : float =
        let training, optimizer = run.Training, trainee.Optimizer
        let batches = trainingBatches run epoch
        let pass = Training.pass training
        let losses = ResizeArray()

        let inOneStep (group: EncodedRow[][]) =
            run.Shop.Stop.ThrowIfCancellationRequested()
            use _ = torch.NewDisposeScope()
            let micro = group |> Array.map run.Batch |> List.ofArray
            let rate = trainee.Rate optimizer.Steps

            let log =
                Trainer.stepWeighted
                    training.WeightBy
                    pass
                    training.ClipNorm
                    rate
                    optimizer
                    trainee.Parameters
                    trainee.Model
                    micro

            if optimizer.Steps = 1 then
                tellUnreached run trainee.Model

            losses.AddRange log.Losses
            let before = (epoch - 1) * batches.Length
            run.Shop.Tell(Stepped(before + losses.Count, training.Epochs * batches.Length, List.last log.Losses))

        torch.manual_seed (dropoutSeed run.Experiment epoch) |> ignore
        batches |> Array.chunkBySize training.Accumulation |> Array.iter inOneStep
        Seq.average losses

    let private checkConverging (epoch: int) (loss: float) =
        if not (Double.IsFinite loss) then
            raise (
                NonFinite
                    $"the validation loss is {loss} after epoch {epoch}: the training has diverged. Lower the learning rate"
            )

    /// Trains and validates one epoch and keeps what it reached.
    let private oneMore (run: Prepared) (encodings: KeptEncodings) (trainee: Trainee) (log: TrainingLog) : TrainingLog =
        let results, epoch = run.Shop.Results, log.Epochs.Length + 1
        let watch = Stopwatch.StartNew()
        let trainingLoss = trainEpoch run trainee epoch
        let trained = watch.Elapsed.TotalSeconds
        let loss = validationLoss run encodings trainee.Model
        checkConverging epoch loss

        let epochLog =
            {
                Epoch = epoch
                TrainingLoss = trainingLoss
                ValidationLoss = loss
                TrainSeconds = trained
                ValidationSeconds = watch.Elapsed.TotalSeconds - trained
            }

        let next =
            { log with
                Epochs = log.Epochs @ [ epochLog ]
                Steps = trainee.Optimizer.Steps
                PeakMemoryMiB = max log.PeakMemoryMiB (Memory.peakMiB ())
            }

        run.Shop.Confirm()

        if next.BestEpoch = epoch then
            RunState.saveBest results run.Experiment trainee.Model

        RunState.save results run.Experiment next trainee.Optimizer trainee.Model
        run.Shop.Tell(EpochEnded(epochLog, run.Training.Epochs))
        next

    let private hasConverged (training: Training) (log: TrainingLog) =
        let last = log.Epochs.Length

        last >= training.Epochs
        || (last > 0 && last - log.BestEpoch >= training.Patience)

    /// What trains the trained leaves of `model` as the run's experiment says.
    let private trainee (run: Prepared) (technique: Technique) (model: Model) : Trainee =
        let training, parameters = run.Training, Model.trained model

        let steps = training.Epochs * Training.stepsPerEpoch training run.Rows.Train.Length

        {
            Model = model
            Parameters = parameters
            Optimizer =
                parameters
                |> Optimizer.ofTechnique technique training.WeightDecay
                |> technique.AroundOptimizer steps model
            Rate = Schedule.ofTraining training steps
        }

    /// Trains until the validation loss no longer falls, from where an interrupted run was left; `begin'` hears after how
    /// many epochs that is. The model then holds the best epoch's parameters.
    let toBest (run: Prepared) (technique: Technique) (model: Model) (begin': int -> unit) : TrainingLog =
        let results = run.Shop.Results
        let trainee = trainee run technique model
        use encodings = new KeptEncodings(model)

        let rec continue' (log: TrainingLog) =
            if hasConverged run.Training log then
                log
            else
                oneMore run encodings trainee log |> continue'

        let fresh =
            {
                Id = Experiment.id run.Experiment
                Epochs = []
                Steps = 0
                PeakMemoryMiB = 0.0
            }

        let log =
            RunState.tryRestore results run.Experiment trainee.Optimizer model
            |> Option.defaultValue fresh

        begin' log.Epochs.Length
        let reached = continue' log
        RunState.restoreBest results run.Experiment model
        reached
