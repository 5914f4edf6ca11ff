namespace Peft

open System
open System.Collections.Generic
open System.IO
open System.Text.Json.Serialization

/// Where a run's wall-clock seconds went. Loading and tokenising are shared by the runs of a sweep; each is charged what
/// it would have cost alone.
type Timing =
    {
        /// Reading the base model.
        Load: float
        /// Reading and encoding the rows.
        Tokenise: float
        /// Optimiser steps of all epochs.
        Train: float
        /// Validations of all epochs.
        Validate: float
        /// Answering the test rows.
        Test: float
    }

    member timing.Total: float =
        timing.Load + timing.Tokenise + timing.Train + timing.Validate + timing.Test

/// The result of one run: every fact that tables, tests and reports are made of, as data. Sentences are made at the edge.
[<NoComparison>]
type Run =
    {
        Schema: int
        Id: string
        /// The stem of its files: readable, and unique by the id at its end.
        Name: string
        Experiment: Experiment
        /// The base model's folder or hub name; "" where it is not known.
        Base: string
        /// The commit of the hub that the base model is of, 40 hexadecimal digits; none for another folder.
        [<JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)>]
        BaseCommit: string option
        /// The same for the rows.
        [<JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)>]
        DataCommit: string option
        /// Where the training's values come from; none for a baseline and where nobody said so.
        Recipe: Recipe option
        /// `finished` or `failed`.
        Status: string
        /// The cause of a failure; empty otherwise.
        Error: string
        /// Test scores by metric name; empty after a failure.
        Scores: Dictionary<string, float>
        /// The metric that tables report.
        Metric: string
        Epochs: EpochLog list
        /// The epoch (from 1) with the lowest validation loss; 0 for a baseline.
        ConvergedEpoch: int
        Timing: Timing
        TrainableParameters: int64
        TotalParameters: int64
        /// The process's largest resident memory during the run.
        PeakMemoryMiB: float
        /// The rows that the run used: none in training for a baseline.
        TrainRows: int
        ValidationRows: int
        TestRows: int
        /// The files of the rows and what was taken of them; none where a run failed before it had read them.
        Source: SplitSource option
        /// What training, validation and test rows have in common.
        Overlap: Overlap option
        Device: string
        /// The kind of processor, whose digits the scores are; none in files of before it was told.
        [<JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)>]
        Processor: string option
        Versions: Dictionary<string, string>
        Command: string
        /// UTC, ISO 8601.
        FinishedAt: string
    }

    /// Whether the run has scores.
    [<JsonIgnore>]
    member run.IsFinished: bool = run.Status = "finished"

    /// The score that tables report; nan after a failure.
    [<JsonIgnore>]
    member run.Score: float =
        match run.Scores.TryGetValue run.Metric with
        | true, score -> score
        | false, _ -> nan

/// A run's files, and what may stand in them.
[<RequireQualifiedAccess>]
module Run =
    /// The version of the result's layout. Files of schema 1 are read by `Legacy`.
    let schema = 2

    /// The result of an experiment before anything is known of it, made on `device`.
    let unknown (device: string) (experiment: Experiment) : Run =
        {
            Schema = schema
            Id = Experiment.id experiment
            Name = Experiment.name experiment
            Experiment = experiment
            Base = experiment.Model
            BaseCommit = None
            DataCommit = None
            Recipe = None
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
            Source = None
            Overlap = None
            Device = device
            Processor = None
            Versions = Dictionary()
            Command = ""
            FinishedAt = ""
        }

    /// Where an experiment's result lies.
    let path (results: string) (experiment: Experiment) : string =
        Path.Combine(results, Experiment.name experiment + ".json")

    /// Where an experiment's test predictions lie, one JSON object a line, in the order of the split.
    let predictionsPath (results: string) (experiment: Experiment) : string =
        Path.Combine(results, Experiment.name experiment + ".predictions.jsonl")

    /// Where a run's predictions lie: beside its result, whatever that was called when it was written.
    let predictionsOf (results: string) (run: Run) : string =
        Path.Combine(results, run.Name + ".predictions.jsonl")

    /// What a base model is called: the hub's name where the folder is of its cache, else the folder's.
    let baseName (modelFolder: string) : string =
        let parts =
            Path.GetFullPath(modelFolder).Split([| '/'; '\\' |], StringSplitOptions.RemoveEmptyEntries)

        match parts |> Array.tryFindBack _.StartsWith("models--") with
        | Some cached -> cached.Substring("models--".Length).Replace("--", "/")
        | None -> parts |> Array.tryLast |> Option.defaultValue ""

    /// The longest text in a result, messages of failures aside.
    let private mostText = 4_096

    /// The longest message.
    let private mostMessage = 65_536

    let private texts (run: Run) : (string * string) list =
        let experiment = run.Experiment

        [
            "Id", run.Id
            "Name", run.Name
            "Task", experiment.Task
            "Model", experiment.Model
            "Data", experiment.Data
            "Precision", experiment.Precision
            "Base", run.Base
            "BaseCommit", Option.defaultValue "" run.BaseCommit
            "DataCommit", Option.defaultValue "" run.DataCommit
            "Metric", run.Metric
            "Device", run.Device
            "Processor", Option.defaultValue "" run.Processor
            "FinishedAt", run.FinishedAt
            for pair in run.Versions do
                pair.Key, pair.Value
            for pair in run.Scores do
                "Scores", pair.Key
        ]

    let private numbers (run: Run) : (string * float) list =
        let training, timing = run.Experiment.Training, run.Timing

        [
            "InitialRate", training.InitialRate
            "PeakRate", training.PeakRate
            "FinalRate", training.FinalRate
            "WarmupShare", training.WarmupShare
            "WeightDecay", training.WeightDecay
            "ClipNorm", training.ClipNorm
            "Dropout", training.Dropout
            "Load", timing.Load
            "Tokenise", timing.Tokenise
            "Train", timing.Train
            "Validate", timing.Validate
            "Test", timing.Test
            "PeakMemoryMiB", run.PeakMemoryMiB
            for pair in run.Scores do
                pair.Key, pair.Value
            for log in run.Epochs do
                "TrainingLoss", log.TrainingLoss
                "ValidationLoss", log.ValidationLoss
                "TrainSeconds", log.TrainSeconds
                "ValidationSeconds", log.ValidationSeconds
        ]

    let private counts (run: Run) : (string * int64) list =
        [
            "ConvergedEpoch", int64 run.ConvergedEpoch
            "TrainableParameters", run.TrainableParameters
            "TotalParameters", run.TotalParameters
            "TrainRows", int64 run.TrainRows
            "ValidationRows", int64 run.ValidationRows
            "TestRows", int64 run.TestRows
        ]

    /// What no run can have, in words that follow a file's name; none where all is well.
    let problem (run: Run) : string option =
        let texts = texts run

        // JSON's null stands where a text or an epoch belongs.
        let missing =
            ("Error", run.Error) :: ("Command", run.Command) :: texts
            |> List.tryFind (fun (_, text) -> isNull (box text))
            |> Option.map (fun (name, _) -> $"has null in {name}")

        let hasEpochs = run.Epochs |> List.forall (box >> isNull >> not)

        let long () =
            texts
            |> List.tryFind (fun (_, text) -> text.Length > mostText)
            |> Option.map (fun (name, text) -> $"has {text.Length} letters in {name}; {mostText} is the most")

        let infinite () =
            numbers run
            |> List.tryFind (fun (_, value) -> not (Double.IsFinite value))
            |> Option.map (fun (name, _) -> $"has a number in {name} that is none of this world")

        let negative () =
            counts run
            |> List.tryFind (fun (_, count) -> count < 0L)
            |> Option.map (fun (name, count) -> $"has {count} in {name}")

        if missing.IsSome then
            missing
        elif not hasEpochs then
            Some "has null in Epochs"
        elif run.Status <> "finished" && run.Status <> "failed" then
            Some "has a status that is neither finished nor failed"
        elif run.IsFinished && not (run.Scores.ContainsKey run.Metric) then
            Some "is finished, but has no score"
        elif run.Error.Length > mostMessage || run.Command.Length > mostMessage then
            Some $"has a message of more than {mostMessage} letters"
        else
            long () |> Option.orElseWith infinite |> Option.orElseWith negative
