namespace Peft.Synthetic

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Json
open Peft

/// How many rows each split holds.
type SplitSizes =
    {
        Train: int
        Validation: int
        Test: int
    }

/// The rows of a task.
type Splits =
    {
        Train: Example[]
        Validation: Example[]
        Test: Example[]
    }

/// What `data/README.md` says about one split.
type SplitStatistics =
    {
        Rows: int
        /// Rows whose input another row of the split has too.
        Duplicates: int
        /// Rows whose input an earlier split has too.
        Overlap: int
        /// Whitespace-separated words: the median and the 95th percentile.
        InputWords: int * int
        TargetWords: int * int
        /// Distinct targets, and the share of the most frequent one: the majority baseline of a labelled task.
        Targets: int
        Majority: float
    }

/// The generated tasks.
[<RequireQualifiedAccess>]
module SyntheticTasks =
    /// The four of the benchmark, each a small mirror of a data set of the paper: AG News, CoLA, E2E NLG, SAMSum.
    let benchmark: SyntheticTask list =
        [ Topic.task; Acceptability.task; Attributes.task; Dialogue.task ]

    /// Those on which recommendations are tested: the benchmark's, and eight of other kinds and sizes.
    let suite: SyntheticTask list =
        benchmark
        @ [
            Politeness.task
            Rating.task
            QuestionKind.task
            Intent.task
            Inference.task
            Extraction.task
            Passive.task
            PriceTable.task
        ]

[<RequireQualifiedAccess>]
module DataSets =
    /// The seed of the embedded sets.
    let seed = 17

    /// The sizes of the embedded sets.
    let sizes: SplitSizes =
        {
            Train = 1250
            Validation = 500
            Test = 500
        }

    /// Three splits that share no input. The test rows come first in the stream, then the validation rows, so that a
    /// larger training split only grows at its end.
    let splits (task: SyntheticTask) (seed: int) (sizes: SplitSizes) : Splits =
        let rows =
            SyntheticTask.distinct task seed (sizes.Test + sizes.Validation + sizes.Train)

        {
            Test = rows[.. sizes.Test - 1]
            Validation = rows[sizes.Test .. sizes.Test + sizes.Validation - 1]
            Train = rows[sizes.Test + sizes.Validation ..]
        }

    /// Rows as JSON Lines: one object a line, each line ended by a line feed.
    let jsonLines (task: SyntheticTask) (rows: Example[]) : string =
        let input, target = task.Columns
        let text = StringBuilder()

        let quoted (value: string) =
            JsonSerializer.Serialize(value, Json.line)

        for row in rows do
            text.Append($"{{\"{input}\": {quoted row.Input}, \"{target}\": {quoted row.Target}}}").Append '\n'
            |> ignore

        text.ToString()

    /// Writes `<folder>/<task>/{train,validation,test}.jsonl` for every task of the suite.
    let write (folder: string) (seed: int) (sizes: SplitSizes) : unit =
        for task in SyntheticTasks.suite do
            let rows = splits task seed sizes
            let target = Path.Combine(folder, task.Name)
            Directory.CreateDirectory target |> ignore

            for split, rows in [ "train", rows.Train; "validation", rows.Validation; "test", rows.Test ] do
                Files.writeAtomically (Path.Combine(target, split + ".jsonl")) (jsonLines task rows)

    /// The number of whitespace-separated words.
    let words (text: string) : int =
        text.Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries).Length

    let private spread (texts: string[]) =
        let lengths = texts |> Array.map words |> Array.sort
        lengths[lengths.Length / 2], lengths[lengths.Length * 95 / 100]

    /// Measures a split; `earlier` are the splits that it must not repeat.
    let statistics (earlier: Example[]) (rows: Example[]) : SplitStatistics =
        let inputs = rows |> Array.map _.Input
        let known = HashSet(earlier |> Array.map _.Input)
        let targets = rows |> Array.countBy _.Target

        {
            Rows = rows.Length
            Duplicates = rows.Length - (Array.distinct inputs).Length
            Overlap = inputs |> Array.filter known.Contains |> Array.length
            InputWords = spread inputs
            TargetWords = rows |> Array.map _.Target |> spread
            Targets = targets.Length
            Majority = float (targets |> Array.map snd |> Array.max) / float rows.Length
        }

    let private percent (share: float) =
        (100.0 * share).ToString("0.0", Globalization.CultureInfo.InvariantCulture)
        + " %"

    /// The statistics of every task of the suite as a Markdown table.
    let report (seed: int) (sizes: SplitSizes) : string =
        let header =
            [
                "| task | split | rows | input words (median, 95 %) | target words (median, 95 %) | duplicates | in an earlier split | distinct targets | most frequent target |"
                "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
            ]

        let lines =
            [
                for task in SyntheticTasks.suite do
                    let rows = splits task seed sizes

                    for split, earlier, rows in
                        [
                            "train", [||], rows.Train
                            "validation", rows.Train, rows.Validation
                            "test", Array.append rows.Train rows.Validation, rows.Test
                        ] do
                        let found = statistics earlier rows
                        let pair (middle, high) = $"{middle}, {high}"

                        $"| {task.Name} | {split} | {found.Rows} | {pair found.InputWords} | {pair found.TargetWords} | {found.Duplicates} | {found.Overlap} | {found.Targets} | {percent found.Majority} |"
            ]

        String.Join("\n", header @ lines) + "\n"
