namespace Peft

open System
open System.Globalization

/// How long a row will take, roughly and before it begins: nobody should wait for half an hour without a word of warning.
[<RequireQualifiedAccess>]
module BenchTime =
    /// Rows that take more seconds than this are announced.
    let private unannounced = 60.0

    /// The share of a plain product's speed that a row of this kind comes to (docs/performance.md).
    let private share (kind: BenchKind) : float =
        match kind with
        | BenchKind.Decoding -> 0.4
        | _ -> 0.6

    /// Products that would take as long as the embedded default sweep does: about three minutes at 300 GFLOP/s.
    let private sweep = 3.6e13

    let private repetitions (row: BenchRow) : float =
        // The phases of a step are measured three times more.
        let phases =
            if row.Kind = BenchKind.Step && row.Accumulation = 1 then
                3
            else
                0

        float (row.WarmUp + row.Repeat + phases)

    let private operations (row: BenchRow) : float =
        match row.Kind with
        | BenchKind.Loss -> float row.Steps * BenchWork.step row
        | BenchKind.Share -> sweep
        | _ ->
            BenchWork.operations row
            |> Option.map (fun once -> once * repetitions row)
            |> Option.defaultValue 0.0

    /// Random numbers for weights, a second.
    let private weightsPerSecond = 1e8

    /// The seconds that our own measurement of a row takes where a product in the row's dtype runs at `speed` GFLOP/s. A row of
    /// text is shorter than the batch's lengths say.
    let expected (speed: float) (row: BenchRow) : float =
        match operations row with
        | 0.0 -> 0.0
        | operations ->
            operations / (share row.Kind * speed * 1e9)
            + float row.Model.Shape.Elements / weightsPerSecond

    let private words (seconds: float) : string =
        if seconds < 5400.0 then
            let minutes = max 1.0 (Math.Round(seconds / 60.0))

            if minutes = 1.0 then
                "a minute"
            else
                $"{minutes:F0} minutes"
        else
            (seconds / 3600.0).ToString("0.#", CultureInfo.InvariantCulture) + " hours"

    /// What is said before a row begins that will take more than a minute; nothing of others. `speed` is asked for a dtype.
    let warning (speed: string -> float) (row: BenchRow) : string option =
        if operations row = 0.0 then
            None
        else
            match expected (speed row.Dtype) row with
            | seconds when seconds > unannounced ->
                Some
                    $"{BenchRow.name row} will take about {words seconds} (a product in {row.Dtype} runs at {speed row.Dtype:F0} GFLOP/s here)."
            | _ -> None
