namespace Peft

/// Verdicts of `scripts/choose-check.fsx` as text.
[<RequireQualifiedAccess>]
module GridSummary =
    let private percent (value: float) : string =
        NumberStyle.text (Fixed 1) (100.0 * value)

    let private score (value: float) : string = NumberStyle.text (Fixed 3) value

    let private told (cell: GridCell) : string =
        let peak =
            cell.Peak.ToString("G3", System.Globalization.CultureInfo.InvariantCulture)

        $"{cell.Contender} {peak}"

    /// A verdict in one line.
    let line (verdict: GridVerdict) : string =
        let share = percent (verdict.RaceSeconds / verdict.GridSeconds)
        let standing = if verdict.IsTied then "tied" else "worse"

        $"{verdict.Task} ({verdict.About}): chose {told verdict.Chosen} {score verdict.Chosen.Score}, best {told verdict.Best} {score verdict.Best.Score}, {standing} (P {score verdict.Chosen.P}, of the rows alone {score verdict.Chosen.RowP}), {share} %% of {verdict.GridSeconds:F0} s"

    let private shareOf (isSo: GridVerdict -> bool) (verdicts: GridVerdict list) : string =
        let count = verdicts |> List.filter isSo |> List.length
        let interval = Statistics.wilson 0.95 (float count) verdicts.Length

        $"{count} of {verdicts.Length} ({percent (float count / float verdicts.Length)} %%, 95 %% {percent interval.Low} … {percent interval.High})"

    /// A fixed answer beside the race: the first of each technique's contenders, at its usual rate.
    let private constants (verdicts: GridVerdict list) : string list =
        let firsts (verdict: GridVerdict) =
            verdict.Grid |> List.distinctBy _.Contender |> List.map _.Contender

        verdicts
        |> List.map (firsts >> set)
        |> Set.intersectMany
        |> List.ofSeq
        |> List.map (fun name ->
            let cells =
                verdicts
                |> List.map (fun verdict -> verdict, verdict.Grid |> List.find (fun cell -> cell.Contender = name))

            let regret =
                cells |> List.averageBy (fun (verdict, cell) -> verdict.Best.Score - cell.Score)

            let worse = cells |> List.filter (fun (_, cell) -> cell.P < 0.05) |> List.length
            let rows = cells |> List.filter (fun (_, cell) -> cell.RowP < 0.05) |> List.length

            $"Always {told (snd cells.Head)}: worse in {worse}, by the rows alone in {rows}; mean regret {score regret}.")

    /// How often choices are worse than tied with the grid's best, by both tests, at what share of its seconds, beside
    /// constant answers and an answer drawn from the grid.
    let describe (verdicts: GridVerdict list) : string =
        let seconds =
            (verdicts |> List.sumBy _.RaceSeconds) / (verdicts |> List.sumBy _.GridSeconds)

        let regrets = verdicts |> List.map _.Regret

        let blind (isWorse: GridCell -> bool) =
            verdicts
            |> List.averageBy (fun verdict ->
                let worse = verdict.Grid |> List.filter isWorse |> List.length
                float worse / float verdict.Grid.Length)
            |> percent

        let regretBlind =
            verdicts
            |> List.averageBy (fun verdict -> verdict.Best.Score - (verdict.Grid |> List.averageBy _.Score))

        [
            $"Worse than tied with the grid's best: {shareOf (_.IsTied >> not) verdicts}."
            $"Of these trainings alone, rows paired, uncorrected (P < 0.05): {shareOf (fun verdict -> verdict.Chosen.RowP < 0.05) verdicts}."
            $"Regret of the score: mean {score (List.average regrets)}, largest {score (List.max regrets)}; none in {regrets |> List.filter (fun regret -> regret <= 1e-9) |> List.length}."
            $"Seconds: {percent seconds} %% of the grid's, at most {verdicts
                                                                    |> List.map (fun verdict -> verdict.RaceSeconds / verdict.GridSeconds)
                                                                    |> List.max
                                                                    |> percent} %% on a task."
            $"Drawn blindly from the grid: worse in {blind (fun cell -> cell.P < 0.05)} %%, by the rows alone in {blind (fun cell -> cell.RowP < 0.05)} %%; mean regret {score regretBlind}."
            yield! constants verdicts
        ]
        |> String.concat "\n"
