namespace Peft

open System.Threading

/// Where runs leave their results, and whom they tell.
[<ReferenceEquality>]
type Workshop =
    {
        /// The base model, the tokenizer and the rows.
        Session: Session
        /// The folder of result files.
        Results: string
        /// Hears what happens, on the thread that works.
        Tell: RunEvent -> unit
        /// Ctrl-C: the run stops at the next micro-batch and can be continued.
        Stop: CancellationToken
        /// Called before anything of a run is written; raises where the run is another process's by now.
        Confirm: unit -> unit
        /// Called before a run's result is written; raises unless no other process will write it.
        Seal: unit -> unit
        /// For the result file.
        Command: string
        /// The folder for a run's adapter; none where it is not kept.
        Adapter: Experiment -> string option
        /// The most validation rows of a split.
        ValidationLimit: int
        /// The most test rows of a split.
        TestLimit: int
        /// Where the trainings' values come from, for the result file; none where nobody says so.
        Recipe: Recipe option
    }

[<RequireQualifiedAccess>]
module Workshop =
    /// One that tells nobody, keeps no adapter and cannot be stopped: results go to the folder `results`, and splits have
    /// the standard limits.
    let quiet (session: Session) (results: string) : Workshop =
        {
            Session = session
            Results = results
            Tell = ignore
            Stop = CancellationToken.None
            Confirm = ignore
            Seal = ignore
            Command = ""
            Adapter = fun _ -> None
            ValidationLimit = Split.standardLimit
            TestLimit = Split.standardLimit
            Recipe = None
        }

/// What a run needs of its experiment, made ready.
[<ReferenceEquality>]
type internal Prepared =
    {
        Shop: Workshop
        Task: TaskDefinition
        Experiment: Experiment
        Rows: EncodedSplit
    }

    member prepared.Training: Training = prepared.Experiment.Training

    /// Rows as tensors on the session's device.
    member prepared.Batch(rows: EncodedRow[]) : Batch =
        let session = prepared.Shop.Session
        Batch.ofRows session.Model.Shape.PadId session.Device rows

[<RequireQualifiedAccess>]
module internal Prepared =
    /// Reads and encodes the split that an experiment names; a baseline sees the largest level's training rows, for the
    /// majority.
    let create (shop: Workshop) (task: TaskDefinition) (experiment: Experiment) : Prepared =
        let level = experiment.Level |> Option.defaultValue High

        let split =
            shop.Session.Split(task, level, experiment.Seed, shop.ValidationLimit, shop.TestLimit)

        {
            Shop = shop
            Task = task
            Experiment = experiment
            Rows = shop.Session.Encoded(task, split, experiment.InputLimit, experiment.TargetLimit)
        }
