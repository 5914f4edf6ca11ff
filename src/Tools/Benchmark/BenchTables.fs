namespace Peft

open System
open System.Globalization

/// A benchmark as tables, for a terminal or in Markdown.
[<RequireQualifiedAccess>]
module BenchTables =
    let private fixed' (decimals: int) (value: float) =
        if Double.IsFinite value then
            value.ToString($"F{decimals}", CultureInfo.InvariantCulture)
        else
            "-"

    let private shown decimals (value: float option) =
        value |> Option.map (fixed' decimals) |> Option.defaultValue ""

    let private percent (value: float option) =
        value
        |> Option.map (fun value -> fixed' 0 (100.0 * value) + " %")
        |> Option.defaultValue ""

    /// Marks what a spread of more than a tenth makes uncertain.
    let private marked (measured: Measurement) (text: string) =
        if measured.IsUnsettled then $"{text} !" else text

    /// What the mark says; nothing where there is none.
    let private legend (lines: BenchLine list) : string list =
        let isMarked (line: BenchLine) =
            [ BenchReport.own line; BenchReport.peer line ]
            |> List.exists (Option.exists _.IsUnsettled)

        if List.exists isMarked lines then
            [
                "! the repetitions of two turns are more than a tenth of the median apart: something else was at work."
                ""
            ]
        else
            []

    /// What a row says in the unit that suits it.
    let private rate (row: BenchRow) (measured: Measurement) : string =
        let megabytes () =
            fixed' 1 (measured.Value "bytes" / measured.Median / 1e6) + " MB/s"

        match row.Kind with
        | BenchKind.Product -> fixed' 0 (Seq.max measured.Values.Values) + " GFLOP/s"
        | BenchKind.Overhead ->
            fixed' 0 (measured.Value "ns in place")
            + " ns, with a result "
            + fixed' 0 (measured.Value "ns with a result")
            + " ns"
        | BenchKind.Tokenizer -> megabytes ()
        | BenchKind.Checkpoint ->
            let copied = measured.Value "bytes" / measured.Value "s copy" / 1e6
            $"""{megabytes ()}, a copy {fixed' 0 copied}, {fixed' 0 (measured.Value "MiB beyond the weights")} MiB extra"""
        | BenchKind.Loss -> $"""{fixed' 4 (measured.Value "first loss")} to {fixed' 4 (measured.Value "last loss")}"""
        | BenchKind.Share ->
            percent (Some(measured.Value "kernels" + measured.Value "own kernels"))
            + " in kernels"
        | _ ->
            BenchWork.tokens row
            |> Option.map (fun tokens -> fixed' 0 (tokens / measured.Median) + " tokens/s")
            |> Option.defaultValue ""

    let private heads =
        [
            "row"
            "seconds"
            "spread"
            "rate"
            "GFLOP"
            "GFLOP/s"
            "of peak"
            "peak MiB"
            "peer s"
            "faster"
            "peer MiB"
            "memory"
        ]

    let private cells (lines: BenchLine list) (line: BenchLine) : string list =
        let name = BenchRow.name line.Row

        match line.Own with
        | Error problem -> name :: $"not measured: {problem}" :: List.replicate (heads.Length - 2) ""
        | Ok measured ->
            let timed = if measured.Seconds.IsEmpty then None else Some measured
            let peer = BenchReport.peer line

            [
                name
                timed |> Option.map _.Median |> shown 3
                timed |> Option.map _.Spread |> percent |> marked measured
                rate line.Row measured
                BenchWork.operations line.Row |> Option.map (fun all -> all / 1e9) |> shown 1
                BenchReport.achieved line |> shown 1
                BenchReport.utilisation lines line |> percent
                (if measured.PeakMiB > 0.0 then
                     Some measured.PeakMiB
                 else
                     None)
                |> shown 0
                match line.Peer with
                | Some(Error _) -> "none"
                | _ ->
                    peer
                    |> Option.map (fun peer -> fixed' 3 peer.Median |> marked peer)
                    |> Option.defaultValue ""
                BenchReport.speedUp line |> shown 2
                peer |> Option.map _.PeakMiB |> shown 0
                BenchReport.memoryRatio line |> shown 2
            ]

    /// What rows say beside their time: the phases of a step, the shapes of the products, the shares of a sweep.
    let private details (lines: BenchLine list) : string list =
        [
            for line in lines do
                match line.Own with
                | Ok measured when measured.Values.Count > 0 ->
                    let told =
                        measured.Values
                        |> Seq.map (fun pair ->
                            let decimals = if abs pair.Value < 10.0 then 3 else 0
                            $"{pair.Key}: {fixed' decimals pair.Value}")

                    $"""{BenchRow.name line.Row}: {String.Join("; ", told)}"""
                | _ -> ()

                match line.Peer with
                | Some(Error problem) -> $"{BenchRow.name line.Row}: the peer has none: {problem}"
                | _ -> ()
        ]

    /// A line as soon as it is measured.
    let progress (line: BenchLine) : string =
        match line.Own with
        | Error problem -> $"{BenchRow.name line.Row}: not measured: {problem}"
        | Ok measured ->
            let compared =
                BenchReport.speedUp line
                |> Option.map (fun ratio -> $", {fixed' 2 ratio} times as fast as the peer")
                |> Option.defaultValue ""

            let seconds =
                if measured.Seconds.IsEmpty then
                    ""
                else
                    marked measured $" {fixed' 3 measured.Median} s" + ","

            $"{BenchRow.name line.Row}:{seconds} {rate line.Row measured}{compared}"

    /// The table for a terminal.
    let text (report: BenchReport) : string =
        [
            BenchMachine.describe report.Machine
            ""
            Columns.table heads (report.Lines |> List.map (cells report.Lines))
            ""
            yield! legend report.Lines
            yield! details report.Lines
        ]
        |> String.concat "\n"

    /// A table in Markdown.
    let markdownTable (heads: string list) (rows: string list list) : string =
        let line (cells: string list) = "| " + String.concat " | " cells + " |"

        line heads :: line (heads |> List.map (fun _ -> "---")) :: List.map line rows
        |> String.concat "\n"

    /// The same in Markdown, with the details as a list.
    let markdown (report: BenchReport) : string =
        [
            BenchMachine.describe report.Machine
            ""
            markdownTable heads (report.Lines |> List.map (cells report.Lines))
            ""
            yield! legend report.Lines
            yield! details report.Lines |> List.map (fun line -> $"* {line}")
        ]
        |> String.concat "\n"
