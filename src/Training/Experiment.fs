namespace Peft

open System
open System.Security.Cryptography
open System.Text
open System.Text.Json
open System.Text.Json.Serialization

/// How much each micro-batch of an optimiser step counts.
[<RequireQualifiedAccess>]
type MicroBatchWeight =
    /// As many parts as it has label tokens: the step is that of one batch of all rows. transformers' Trainer does so.
    | Tokens

/// What a training step computes a second time instead of keeping it.
[<RequireQualifiedAccess>]
type Recomputed =
    /// The inside of every block: the graph keeps the hidden states between blocks.
    | Blocks

/// How a run is optimised. `Training.paper` gives the paper's settings (arXiv 2304.14999, A.1).
type Training =
    {
        Epochs: int
        BatchSize: int
        /// Micro-batches whose gradients add up to one optimiser step.
        Accumulation: int
        /// The learning rate climbs linearly from `InitialRate` to `PeakRate` …
        InitialRate: float
        /// The highest rate.
        PeakRate: float
        /// … and falls linearly to `FinalRate`, which it would reach one step after the last.
        FinalRate: float
        /// The share of all optimiser steps spent climbing.
        WarmupShare: float
        /// AdamW's, decoupled from the gradient.
        WeightDecay: float
        /// The largest global norm of a step's gradient; 0 leaves it alone.
        ClipNorm: float
        /// The rate of T5's dropout while training.
        Dropout: float
        /// Epochs without a lower validation loss after which a run stops.
        Patience: int
        /// None: every micro-batch of a step counts the same, whatever its length, as in T-Few's code.
        [<JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)>]
        WeightBy: MicroBatchWeight option
        /// None: nothing. The numbers are the same either way; time and memory are not.
        [<JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)>]
        Recompute: Recomputed option
    }

/// What answers the test rows: a baseline that learns nothing, or a model tuned by a technique.
type Method =
    /// The base model as it is.
    | ZeroShot
    /// The most frequent training label for every row; classification only.
    | Majority
    | Tuned of Technique

/// What answers are limited to.
[<RequireQualifiedAccess>]
type AnswerLimit =
    /// The task's labels.
    | Labels

/// Everything that decides a run, as plain data: it prints, compares and serialises.
type Experiment =
    {
        Task: string
        Method: Method
        /// Where the technique goes; everywhere it usually goes for a baseline.
        Placement: Placement
        /// None for a baseline, which is the same at every level.
        Level: Level option
        /// Decides the split, the order of rows, dropout and the adapter's start.
        Seed: int
        /// The fingerprint of the base checkpoint.
        Model: string
        /// The fingerprint of the split: its rows and their wording.
        Data: string
        /// `float32` or `bfloat16`: the dtype of frozen weights and activations.
        Precision: string
        /// Token limits of inputs and targets.
        InputLimit: int
        TargetLimit: int
        /// 1 decodes greedily.
        Beams: int
        /// Of all runs of a sweep, those of tasks without labels too, which it does not change: their table is one. None where
        /// any text may be an answer.
        [<JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)>]
        Constrain: AnswerLimit option
        Training: Training
    }

/// One finished epoch.
type EpochLog =
    {
        Epoch: int
        /// Nats per token: the mean over the epoch's micro-batches, and over the validation rows' tokens.
        TrainingLoss: float
        /// Over the validation rows' tokens.
        ValidationLoss: float
        /// Of its optimiser steps.
        TrainSeconds: float
        /// Of the validation after them.
        ValidationSeconds: float
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module MicroBatchWeight =
    /// As options and result files have it.
    let text (weight: MicroBatchWeight) : string =
        match weight with
        | MicroBatchWeight.Tokens -> "tokens"

    /// Reads a weight's word; `UserError` where it is none.
    let parse (word: string) : MicroBatchWeight =
        match word with
        | "tokens" -> MicroBatchWeight.Tokens
        | other ->
            userError
                $"micro-batches cannot be weighted by '{other}'. Choose tokens, or leave it out: all count the same."

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Recomputed =
    /// As result files have it.
    let text (recomputed: Recomputed) : string =
        match recomputed with
        | Recomputed.Blocks -> "blocks"

    /// Reads that word; `UserError` where it is none.
    let parse (word: string) : Recomputed =
        match word with
        | "blocks" -> Recomputed.Blocks
        | other -> userError $"what is computed again are blocks, not '{other}'."

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module AnswerLimit =
    let private all = [ AnswerLimit.Labels, "labels" ]

    /// As options and result files have it.
    let text (limit: AnswerLimit) : string =
        all |> List.find (fst >> (=) limit) |> snd

    /// Reads a limit's word; `UserError` where it is none.
    let parse (word: string) : AnswerLimit =
        match all |> List.tryFind (snd >> (=) word) with
        | Some(limit, _) -> limit
        | None ->
            let words = all |> List.map snd |> Nearest.orList
            userError $"answers cannot be limited to '{word}'. Choose {words}."

[<RequireQualifiedAccess>]
module Method =
    /// The baselines, first in every table.
    let baselines: Method list = [ ZeroShot; Majority ]

    /// Whether it learns nothing.
    let isBaseline (method: Method) : bool = List.contains method baselines

    /// The canonical words, which `parse` reads back.
    let text (method: Method) : string =
        match method with
        | ZeroShot -> "zero-shot"
        | Majority -> "majority"
        | Tuned technique -> Technique.text technique

    /// The name in tables and file names: the technique's without the paper's own settings.
    let name (method: Method) : string =
        match method with
        | Tuned technique when List.contains technique Technique.paper -> Technique.name technique
        | other -> text other

    let private parseWith (technique: string -> Technique) (words: string) : Method =
        match words.Trim().ToLowerInvariant() with
        | "zero-shot" -> ZeroShot
        | "majority" -> Majority
        // Names of modules keep their capitals.
        | _ -> Tuned(technique words)

    /// Reads a baseline's or a technique's words; `UserError` where they are none.
    let parse (words: string) : Method = parseWith Technique.parse words

    /// The same for the words of a result of schema 1.
    let parseLegacy (words: string) : Method = parseWith Technique.parseLegacy words

[<RequireQualifiedAccess>]
module Training =
    /// T-Few's share of warm-up steps; the paper does not give its own.
    let warmupShare = 0.06

    /// At most 10, 5 and 1 epochs for low, medium and high.
    let private epochs (level: Level) =
        let rec of' level =
            match level with
            | Low -> 10
            | Medium -> 5
            | High -> 1
            | Amount rows -> of' (Level.ofRows rows)

        of' level

    /// The paper's settings (A.1) for a technique at a level; `dropout` is the model's own rate. What the paper leaves open
    /// is this project's choice: warm-up, weight decay 0.01, clipping at 1, and stopping at the first epoch that is no better.
    let paper (dropout: float) (technique: Technique) (level: Level) : Training =
        let initial, peak, final = technique.Rates.Paper

        {
            Epochs = epochs level
            BatchSize = 16
            Accumulation = 4
            InitialRate = initial
            PeakRate = peak
            FinalRate = final
            WarmupShare = warmupShare
            WeightDecay = 0.01
            ClipNorm = 1.0
            Dropout = dropout
            Patience = 1
            WeightBy = None
            Recompute = None
        }

    /// The same with this highest rate, begun and ended at a tenth of it.
    let atPeak (peak: float) (training: Training) : Training =
        { training with
            InitialRate = peak / 10.0
            PeakRate = peak
            FinalRate = peak / 10.0
        }

    /// The settings for the small embedded model: the paper's epochs and batch without accumulation, since a hundred rows
    /// are two optimiser steps an epoch with it, and learning rates of its own (docs/embedded-benchmark.md).
    let small (dropout: float) (technique: Technique) (level: Level) : Training =
        { paper dropout technique level with
            Accumulation = 1
        }
        |> atPeak technique.Rates.SmallPeak

    /// The rows of a batch: 16, and less where a level has few rows, so that an epoch has at least 20 optimiser steps as long as
    /// four rows make a batch.
    let private batchFor (level: Level) : int =
        [ 16; 8 ]
        |> List.tryFind (fun batch -> Level.rows level / batch >= 20)
        |> Option.defaultValue 4

    /// `small` with the learning rates that were searched for each technique on each task of the embedded data
    /// (`SearchedRate`); where a technique was not searched on a task it has the nearest that was, or else the rate of `small`. A hundred rows make 25 optimiser
    /// steps an epoch, and a run goes on for three epochs without a lower loss, since a small model's waver.
    let searched (task: string) (dropout: float) (technique: Technique) (level: Level) : Training =
        let usual =
            { small dropout technique level with
                BatchSize = batchFor level
                Patience = 3
            }

        match
            SearchedRate.tryFind task technique level
            |> Option.map _.Peak
            |> Option.orElseWith (fun () -> SearchedRate.nearest (SearchedRate.all ()) task technique)
        with
        | None -> usual
        | Some peak -> usual |> atPeak peak

    /// Named settings, of a task's name, the model's dropout, a technique and a level.
    let presets: (string * (string -> float -> Technique -> Level -> Training)) list =
        [ "paper", (fun _ -> paper); "small", (fun _ -> small); "searched", searched ]

    /// What a baseline has instead: no epoch.
    let none: Training =
        {
            Epochs = 0
            BatchSize = 0
            Accumulation = 0
            InitialRate = 0.0
            PeakRate = 0.0
            FinalRate = 0.0
            WarmupShare = 0.0
            WeightDecay = 0.0
            ClipNorm = 0.0
            Dropout = 0.0
            Patience = 0
            WeightBy = None
            Recompute = None
        }

    /// The pass of its optimiser steps.
    let pass (training: Training) : Pass =
        let plain = Pass.Training training.Dropout

        match training.Recompute with
        | Some Recomputed.Blocks -> plain.Recomputing()
        | None -> plain

    /// Optimiser steps of an epoch over so many rows; the last one may have fewer micro-batches.
    let stepsPerEpoch (training: Training) (rows: int) : int =
        let batches = (rows + training.BatchSize - 1) / training.BatchSize
        (batches + training.Accumulation - 1) / training.Accumulation

// JsonConverter's Read gives `T?`, and an option's None is null: the nullness check knows no 'T that is both.
#nowarn 3261

/// Writes a value as its words. Longer words than anybody writes are refused before they are read.
type internal WordsConverter<'T>(toText: 'T -> string, parse: string -> 'T) =
    inherit JsonConverter<'T>()
    override _.HandleNull = true

    override _.Read(reader, _, _) =
        match reader.GetString() with
        | null -> raise (JsonException "a word was expected, and null stands there")
        | words when words.Length > 4_096 ->
            raise (JsonException $"{words.Length} letters stand where a few words belong")
        | words ->
            try
                parse words
            with UserError message ->
                raise (JsonException message)

    override _.Write(writer, value, _) = writer.WriteStringValue(toText value)

#warnon 3261

[<RequireQualifiedAccess>]
module Experiment =
    let private levelText (level: Level option) =
        match level with
        | Some level -> Level.name level
        | None -> "none"

    let private parseLevel (words: string) =
        if words = "none" then None else Some(Level.find words)

    let private jsonOptions (isIndented: bool) (parse: string -> Method) =
        let options =
            JsonSerializerOptions(
                WriteIndented = isIndented,
                Encoder = Json.options.Encoder,
                RespectNullableAnnotations = true,
                RespectRequiredConstructorParameters = true,
                TypeInfoResolver = Json.fields
            )

        options.Converters.Add(WordsConverter<Method>(Method.text, parse))
        options.Converters.Add(WordsConverter<Placement>(Placement.text, Placement.parse))
        options.Converters.Add(WordsConverter<Level option>(levelText, parseLevel))
        options.Converters.Add(WordsConverter<AnswerLimit>(AnswerLimit.text, AnswerLimit.parse))
        options.Converters.Add(WordsConverter<MicroBatchWeight>(MicroBatchWeight.text, MicroBatchWeight.parse))
        options.Converters.Add(WordsConverter<Recomputed>(Recomputed.text, Recomputed.parse))
        options

    /// How experiments and runs are written as JSON.
    let json: JsonSerializerOptions = jsonOptions true Method.parse

    /// The same for results of schema 1, whose words for techniques meant something else.
    let internal legacyJson: JsonSerializerOptions = jsonOptions true Method.parseLegacy

    let private line = jsonOptions false Method.parse

    /// Twelve hexadecimal digits of the SHA-256 of the record's JSON: equal records, equal ids, on every machine.
    let id (experiment: Experiment) : string =
        let json = JsonSerializer.Serialize(experiment, line)
        let hash = SHA256.HashData(Encoding.UTF8.GetBytes json)
        Convert.ToHexString(hash).Substring(0, 12).ToLowerInvariant()

    /// The method's name with its place, where that is not the usual one: `lora`, `lora at late`.
    let methodName (experiment: Experiment) : string =
        if experiment.Placement = Placement.everywhere then
            Method.name experiment.Method
        else
            $"{Method.name experiment.Method} at {Placement.text experiment.Placement}"

    /// The row of Table 1 that the experiment belongs to: `lora, low`, `paper-lora at late, low` or `majority`.
    let rowName (experiment: Experiment) : string =
        match experiment.Level with
        | Some level -> $"{methodName experiment}, {Level.name level}"
        | None -> methodName experiment

    /// A readable file name that is unique by the id at its end.
    let name (experiment: Experiment) : string =
        let words =
            (rowName experiment).ToLowerInvariant()
            |> String.map (fun letter -> if Char.IsAsciiLetterOrDigit letter then letter else '-')

        let task =
            experiment.Task
            |> String.map (fun letter -> if Char.IsAsciiLetterOrDigit letter then letter else '-')

        let parts = words.Split('-', StringSplitOptions.RemoveEmptyEntries)
        String.Join("-", Array.concat [ [| task |]; parts; [| $"s{experiment.Seed}"; id experiment |] ])
