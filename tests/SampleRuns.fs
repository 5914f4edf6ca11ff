/// Runs and predictions made up for tests of what is derived from them.
module Peft.Tests.SampleRuns

open System.Collections.Generic
open Peft

let private files (name: string) (rows: int) : FileRows =
    {
        Files = [ name ]
        Rows = rows
        Digest = ""
    }

/// Rows that come from files of their own.
let source: SplitSource =
    {
        Train = files "train" 1_000
        Validation = None
        Test = files "test" 100
        IsTestedOnValidation = false
        UnlabelledValidation = []
        UnlabelledTest = []
        Level = Low
        Available = 900
        TrainRows = 100
        ValidationRows = 100
        TestRows = 100
        ValidationLimit = 2_500
        TestLimit = 2_500
        LeftOut = 0
    }

/// A finished run of a technique at a level with a score, seconds and parameters; its model is `m`.
let run
    (task: TaskDefinition)
    (method: Method)
    (level: Level option)
    (seed: int)
    (score: float)
    (seconds: float)
    : Run =
    let metric = task.Metric.Name

    let experiment =
        {
            Task = task.Name
            Method = method
            Placement = Placement.everywhere
            Level = level
            Seed = seed
            Model = "m"
            Data = $"d{seed}"
            Precision = "float32"
            InputLimit = 64
            TargetLimit = 16
            Beams = 1
            Constrain = None
            Training =
                match method, level with
                | Tuned technique, Some level -> Training.paper 0.1 technique level
                | _ -> Training.none
        }

    {
        Schema = Run.schema
        Id = Experiment.id experiment
        Name = Experiment.name experiment
        Experiment = experiment
        Base = "tiny"
        BaseCommit = None
        DataCommit = None
        Recipe =
            if Method.isBaseline method then
                None
            else
                Some(Recipe.preset "paper")
        Status = "finished"
        Error = ""
        Scores = Dictionary(dict [ metric, score ])
        Metric = metric
        Epochs = []
        ConvergedEpoch = if Method.isBaseline method then 0 else 2
        Timing =
            {
                Load = 0.0
                Tokenise = 0.0
                Train = seconds
                Validate = 0.0
                Test = 0.0
            }
        TrainableParameters =
            match method with
            | Tuned technique when technique = Full.technique -> 100_000_000L
            | Tuned _ -> 200_000L
            | _ -> 0L
        TotalParameters = 100_000_000L
        PeakMemoryMiB = 512.0
        TrainRows = level |> Option.map Level.rows |> Option.defaultValue 0
        ValidationRows = 50
        TestRows = 100
        Source = Some source
        Overlap = None
        Device = "cpu"
        Processor = None
        Versions = Dictionary()
        Command = "peft run"
        FinishedAt = "2026-01-01T00:00:00Z"
    }

/// The technique of the paper with its own settings.
let tuned (name: string) : Method = Method.parse name

/// Predictions with these scores on rows that are named by their number from `first`.
let predictions (first: int) (scores: float[]) : Prediction[] =
    scores
    |> Array.mapi (fun row score ->
        {
            Row = row
            Input = $"input {first + row}"
            Target = "yes"
            Prediction = if score = 1.0 then "yes" else $"no {score}"
            Ranked = None
            Score = score
        })

/// Numbers from 0 up to 1, the same for the same seed.
let uniform (seed: uint64) : unit -> float =
    let next = Shuffle.splitMix64 seed
    fun () -> float (next () >>> 11) / float (1UL <<< 53)

/// A run with another experiment, and the id that belongs to it.
let withExperiment (change: Experiment -> Experiment) (run: Run) : Run =
    let experiment = change run.Experiment

    { run with
        Experiment = experiment
        Id = Experiment.id experiment
        Name = Experiment.name experiment
    }

/// A run whose recipe replaces settings of its training.
let replacing (overrides: Overrides) (run: Run) : Run =
    let changed =
        run
        |> withExperiment (fun experiment ->
            { experiment with
                Training = Overrides.apply overrides experiment.Training
            })

    { changed with
        Recipe = run.Recipe |> Option.map (fun recipe -> { recipe with Overrides = overrides })
    }

/// A run on files of this digest; the word before the first blank of its split's fingerprint.
let digested (digest: string) (run: Run) : Run =
    { run with
        Source =
            Some
                { source with
                    Train = { source.Train with Digest = digest }
                }
    }

/// A run with other rows, finished at another hour: the first word of `data` is their digest.
let withData (data: string) (hour: int) (run: Run) : Run =
    { withExperiment (fun experiment -> { experiment with Data = data }) run with
        FinishedAt = $"2026-01-01T{hour:D2}:00:00Z"
    }
    |> digested (Seq.head (data.Split ' '))

let topic, dialogue = TaskDefinition.topic, TaskDefinition.dialogue
let lora, ia3, full = tuned "paper-lora", tuned "paper-ia3", tuned "full"

/// A cell of a table, where there is one.
let cellOf (frame: Deedle.Frame<RowKey, string>) (row: RowKey) (column: string) : Cell option =
    frame.GetRow<Cell>(row).TryGet column |> Deedle.OptionalValue.asOption
