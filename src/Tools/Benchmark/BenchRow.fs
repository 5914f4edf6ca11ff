namespace Peft

open System
open System.Collections.Generic
open System.Globalization
open System.Text.Json
open System.Text.Json.Nodes

/// What a row of the benchmark measures.
[<RequireQualifiedAccess>]
type BenchKind =
    /// The matrix products of the model's shapes: the machine's peak.
    | Product
    /// The price of an operation whatever its size.
    | Overhead
    /// An optimiser step: forward, backward, update.
    | Step
    /// The encoder without gradient.
    | Encoder
    /// Greedy or beam decoding, the encoder included.
    | Decoding
    /// The loss after some optimiser steps.
    | Loss
    /// Text to token ids.
    | Tokenizer
    /// A checkpoint folder to tensors.
    | Checkpoint
    /// Where the time of the embedded default sweep goes.
    | Share

/// One thing to measure, as plain data: it is handed to the process that measures it, this program's or a peer's.
[<NoComparison>]
type BenchRow =
    {
        Kind: BenchKind
        /// The name of the model's shape; weights are random.
        Size: string
        Model: Architecture
        Technique: Technique
        Placement: Placement
        /// `float32` or `bfloat16`.
        Dtype: string
        /// Rows of a micro-batch.
        Batch: int
        /// Micro-batches of an optimiser step.
        Accumulation: int
        InputLength: int
        /// Label tokens in training, new tokens in decoding.
        TargetLength: int
        Dropout: float
        /// Whether a training step computes the inside of every block again instead of keeping it.
        Recomputes: bool
        /// 1 decodes greedily.
        Beams: int
        /// Optimiser steps of a loss row.
        Steps: int
        /// Repetitions before the clock starts, and those that are timed.
        WarmUp: int
        Repeat: int
        /// Threads of the tensor library; 0 leaves it its own default.
        Threads: int
    }

/// What a process found: seconds of each timed repetition, the peak of its resident memory (0 where unknown), and what
/// else it has to say, by name.
[<NoComparison>]
type Measurement =
    {
        Seconds: float list
        PeakMiB: float
        Values: Dictionary<string, float>
    }

    /// The median of the repetitions, nan without any.
    member measured.Median: float =
        match List.sort measured.Seconds with
        | [] -> nan
        | sorted ->
            let middle = sorted.Length / 2

            if sorted.Length % 2 = 1 then
                sorted[middle]
            else
                (sorted[middle - 1] + sorted[middle]) / 2.0

    /// The distance from the fastest to the slowest repetition, as a share of the median.
    member measured.Spread: float =
        match measured.Seconds with
        | [] -> nan
        | seconds -> (List.max seconds - List.min seconds) / measured.Median

    /// Whether that is more than a tenth: something else was at work beside it.
    member measured.IsUnsettled: bool = measured.Spread > 0.1

    /// A named value, nan where it is not there.
    member measured.Value(name: string) : float =
        match measured.Values.TryGetValue name with
        | true, value -> value
        | false, _ -> nan

[<RequireQualifiedAccess>]
module BenchKind =
    /// Every kind with its word.
    let all: (string * BenchKind) list =
        [
            "product", BenchKind.Product
            "overhead", BenchKind.Overhead
            "step", BenchKind.Step
            "encoder", BenchKind.Encoder
            "decoding", BenchKind.Decoding
            "loss", BenchKind.Loss
            "tokenizer", BenchKind.Tokenizer
            "checkpoint", BenchKind.Checkpoint
            "share", BenchKind.Share
        ]

    let text (kind: BenchKind) : string =
        all |> List.find (snd >> (=) kind) |> fst

    let parse (words: string) : BenchKind =
        match all |> List.tryFind (fst >> (=) words) with
        | Some(_, kind) -> kind
        | None ->
            let names = all |> List.map fst |> String.concat ", "
            userError $"'{words}' is no kind of row: use {names}."

[<RequireQualifiedAccess>]
module Measurement =
    /// Two measurements of one row as one: repetitions add up, the larger peak counts, the later values.
    let join (earlier: Measurement) (later: Measurement) : Measurement =
        { later with
            Seconds = earlier.Seconds @ later.Seconds
            PeakMiB = max earlier.PeakMiB later.PeakMiB
        }

    /// One line of JSON: `{"seconds":[0.5],"peakMiB":812.0,"values":{"loss":9.1}}`.
    let toJson (measured: Measurement) : string =
        let values: (string * obj) list =
            [
                "seconds", measured.Seconds
                "peakMiB", measured.PeakMiB
                "values", measured.Values
            ]

        JsonSerializer.Serialize(dict values, Json.line)

    let private numbers (element: JsonElement) =
        [ for item in element.EnumerateArray() -> item.GetDouble() ]

    /// Reads such a line; `peakMiB` and `values` may be missing. `UserError` where it is none.
    let ofJson (line: string) : Measurement =
        try
            use document = JsonDocument.Parse line
            let root = document.RootElement
            let values = Dictionary<string, float>()

            match root.TryGetProperty "values" with
            | true, found ->
                for item in found.EnumerateObject() do
                    values[item.Name] <- item.Value.GetDouble()
            | false, _ -> ()

            {
                Seconds = numbers (root.GetProperty "seconds")
                PeakMiB =
                    match root.TryGetProperty "peakMiB" with
                    | true, peak -> peak.GetDouble()
                    | false, _ -> 0.0
                Values = values
            }
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? KeyNotFoundException -> userError $"'{line}' is no measurement: it is one line like {{\"seconds\":[0.5]}}."

[<RequireQualifiedAccess>]
module BenchRow =
    let private number (value: float) =
        value.ToString("0.###", CultureInfo.InvariantCulture)

    /// The row in words, unique within a benchmark: `step lora(rank=2) at late, small, float32, dropout 0.1`.
    let name (row: BenchRow) : string =
        let what =
            match row.Kind with
            | BenchKind.Step
            | BenchKind.Loss ->
                let place =
                    if row.Placement = Placement.everywhere then
                        ""
                    else
                        $" at {Placement.text row.Placement}"

                $" {Technique.text row.Technique}{place}"
            | BenchKind.Decoding when row.Beams = 1 -> " greedy"
            | BenchKind.Decoding -> $" beam {row.Beams}"
            | _ -> ""

        let dropout =
            match row.Kind with
            | BenchKind.Step ->
                let dropout =
                    if row.Dropout > 0.0 then
                        $"dropout {number row.Dropout}"
                    else
                        "no dropout"

                let again = if row.Recomputes then ", recomputed" else ""
                $", {dropout}{again}"
            | BenchKind.Loss -> $", {row.Steps} steps"
            | _ -> ""

        match row.Kind with
        | BenchKind.Tokenizer
        | BenchKind.Overhead
        | BenchKind.Share -> BenchKind.text row.Kind
        | kind -> $"{BenchKind.text kind}{what}, {row.Size}, {row.Dtype}{dropout}"

    /// One JSON object: what a measuring process gets as its last argument. `model` is the shape in the words of a Hugging
    /// Face `config.json`.
    let toJson (row: BenchRow) : JsonObject =
        let json = JsonObject()
        let add (key: string) (value: JsonNode | null) = json.Add(key, value)
        add "kind" (JsonValue.Create(BenchKind.text row.Kind))
        add "size" (JsonValue.Create row.Size)
        add "technique" (JsonValue.Create(Technique.text row.Technique))
        add "placement" (JsonValue.Create(Placement.text row.Placement))
        add "dtype" (JsonValue.Create row.Dtype)

        for key, value in
            [
                "batch", row.Batch
                "accumulation", row.Accumulation
                "input", row.InputLength
                "target", row.TargetLength
                "beams", row.Beams
                "steps", row.Steps
                "warmUp", row.WarmUp
                "repeat", row.Repeat
                "threads", row.Threads
            ] do
            add key (JsonValue.Create value)

        add "dropout" (JsonValue.Create row.Dropout)
        add "recompute" (JsonValue.Create row.Recomputes)
        add "model" (JsonNode.Parse row.Model.Config)
        json

    /// Reads such an object; `UserError` where it is none.
    let ofJson (text: string) : BenchRow =
        try
            use document = JsonDocument.Parse text
            let root = document.RootElement
            let words (key: string) = Json.text (root.GetProperty key)
            let whole (key: string) = (root.GetProperty key).GetInt32()

            {
                Kind = BenchKind.parse (words "kind")
                Size = words "size"
                Model = Checkpoint.ofJson "the row's model" (root.GetProperty "model")
                Technique = Technique.parse (words "technique")
                Placement = Placement.parse (words "placement")
                Dtype = words "dtype"
                Batch = whole "batch"
                Accumulation = whole "accumulation"
                InputLength = whole "input"
                TargetLength = whole "target"
                Dropout = (root.GetProperty "dropout").GetDouble()
                // Earlier files do not have it.
                Recomputes =
                    match root.TryGetProperty "recompute" with
                    | true, found -> found.GetBoolean()
                    | false, _ -> false
                Beams = whole "beams"
                Steps = whole "steps"
                WarmUp = whole "warmUp"
                Repeat = whole "repeat"
                Threads = whole "threads"
            }
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? FormatException
        | :? KeyNotFoundException ->
            userError "this is no row of a benchmark: it is one JSON object, as --dry-run prints."
