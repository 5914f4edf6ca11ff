namespace Peft

open System
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Encodings.Web
open System.Text.Json

/// How a run is optimised. `Training.standard` gives the paper's settings (arXiv 2304.14999, A.1).
type Training =
    {
        Epochs: int
        BatchSize: int
        /// Micro-batches whose gradients add up to one optimiser step.
        Accumulation: int
        /// The learning rate climbs linearly from `InitialRate` to `PeakRate` …
        InitialRate: float
        PeakRate: float
        /// … and falls linearly to `FinalRate`, which it would reach one step after the last.
        FinalRate: float
        /// The share of all optimiser steps spent climbing. The paper does not give it; 0.06 is T-Few's.
        WarmupShare: float
        WeightDecay: float
        /// The largest global norm of a step's gradient; 0 leaves it alone.
        ClipNorm: float
        /// -1 takes the model's own rate (`dropout_rate` in config.json).
        Dropout: float
        /// Epochs without a lower validation loss after which a run stops.
        Patience: int
    }

/// Everything that decides a run, as plain data: it prints, compares and serialises.
type Experiment =
    {
        Task: string
        /// `full`, `lora`, `ia3`, `bitfit`, `prompt`, or the baselines `zero-shot` and `majority`.
        Technique: string
        /// `low`, `medium`, `high`; `-` for a baseline, which sees no training rows.
        Level: string
        Seed: int
        /// The fingerprint of the base checkpoint.
        Model: string
        /// The fingerprint of the split's rows and wording.
        Data: string
        /// `float32` or `bfloat16`: the dtype of frozen weights and activations.
        Precision: string
        /// LoRA's rank.
        Rank: int
        /// The number of soft tokens of prompt tuning.
        PromptTokens: int
        InputLimit: int
        TargetLimit: int
        TestLimit: int
        Beams: int
        Training: Training
    }

/// One finished epoch.
type EpochLog =
    {
        Epoch: int
        TrainingLoss: float
        ValidationLoss: float
        Seconds: float
    }

/// Where a run's wall-clock seconds went.
type Timing =
    {
        Load: float
        Tokenise: float
        Train: float
        Validate: float
        Test: float
    }

    member timing.Total: float =
        timing.Load + timing.Tokenise + timing.Train + timing.Validate + timing.Test

/// The result file of one run.
[<NoComparison>]
type Run =
    {
        Schema: int
        Id: string
        Experiment: Experiment
        /// `finished` or `failed`.
        Status: string
        /// The cause of a failure; empty otherwise.
        Error: string
        /// Test scores by metric name; empty where the technique has none.
        Scores: Dictionary<string, float>
        /// The metric of Table 1.
        Metric: string
        Epochs: EpochLog list
        /// The epoch (from 1) with the lowest validation loss; 0 for a baseline.
        ConvergedEpoch: int
        Timing: Timing
        TrainableParameters: int64
        TotalParameters: int64
        PeakMemoryMiB: float
        TrainRows: int
        ValidationRows: int
        TestRows: int
        /// Train/validation/test overlap of the split, in words.
        Overlap: string
        Device: string
        Versions: Dictionary<string, string>
        Command: string
        FinishedAt: string
    }

[<RequireQualifiedAccess>]
module Training =
    /// The paper's settings for a technique at a level: at most 10, 5 and 1 epochs, batch 16 × 4.
    let standard (technique: string) (level: string) : Training =
        let initial, peak, final =
            match technique with
            | "full" -> 3e-5, 3e-4, 3e-5
            | "prompt" -> 3e-3, 3e-1, 3e-2
            | _ -> 3e-4, 3e-3, 3e-4

        let epochs =
            match level with
            | "low" -> 10
            | "medium" -> 5
            | "high" -> 1
            | _ -> 0

        {
            Epochs = epochs
            BatchSize = 16
            Accumulation = 4
            InitialRate = initial
            PeakRate = peak
            FinalRate = final
            WarmupShare = 0.06
            WeightDecay = 0.01
            ClipNorm = 1.0
            Dropout = -1.0
            Patience = 1
        }

[<RequireQualifiedAccess>]
module Experiment =
    /// Twelve hexadecimal digits of the SHA-256 of the record's JSON: equal records, equal ids, on every machine.
    let id (experiment: Experiment) : string =
        let json = JsonSerializer.Serialize(experiment, Json.line)
        let hash = SHA256.HashData(Encoding.UTF8.GetBytes json)
        Convert.ToHexString(hash).Substring(0, 12).ToLowerInvariant()

    /// A readable file name that is unique by the id at its end.
    let name (experiment: Experiment) : string =
        let level = if experiment.Level = "-" then "base" else experiment.Level
        $"{experiment.Task}-{experiment.Technique}-{level}-s{experiment.Seed}-{id experiment}"

[<RequireQualifiedAccess>]
module Run =
    /// The version of the result file's layout. A file of another version is refused by name.
    let schema = 1

    /// Where a run's result lies.
    let path (results: string) (experiment: Experiment) : string =
        Path.Combine(results, Experiment.name experiment + ".json")

    /// Where a run's test predictions lie, one JSON object a line.
    let predictionsPath (results: string) (experiment: Experiment) : string =
        Path.Combine(results, Experiment.name experiment + ".predictions.jsonl")

    /// Writes the result file, whole or not at all.
    let write (results: string) (run: Run) : unit =
        Files.writeAtomically (path results run.Experiment) (JsonSerializer.Serialize(run, Json.options) + "\n")

    /// Reads a result file; `UserError` where it is damaged or of another schema.
    let read (file: string) : Run =
        let refuse problem =
            userError $"{file} {problem}. Move it away or choose another --results folder; it was left untouched."

        try
            use document = JsonDocument.Parse(File.ReadAllText file)

            match document.RootElement.TryGetProperty "Schema" with
            | true, version when version.TryGetInt32() = (true, schema) ->
                match document.RootElement.Deserialize<Run>(Json.options) with
                | null -> refuse "is empty"
                | run -> run
            | true, version -> refuse $"has result schema {version}, and this version reads schema {schema}"
            | false, _ -> refuse "is not a result file: it states no Schema"
        with
        | :? JsonException as error -> refuse $"is not a readable result file ({error.Message})"
        | :? InvalidOperationException -> refuse "is not a result file: it is no JSON object"

    /// Every result in a folder, in order of file name.
    let readAll (results: string) : Run list =
        if Directory.Exists results then
            Directory.GetFiles(results, "*.json")
            |> Array.sort
            |> Array.map read
            |> List.ofArray
        else
            []
