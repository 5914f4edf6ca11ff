namespace Peft.Reports

open System
open Peft

/// Tables of comparisons: which technique is best, what is tied with it, how often answers differ.
[<RequireQualifiedAccess>]
module ComparisonSheets =
    let private interval (interval: Interval) =
        $"{NumberStyle.text (Fixed 4) interval.Low} … {NumberStyle.text (Fixed 4) interval.High}"

    /// A row of `best` from a comparison.
    let private bestCompared (findings: SettingFindings) (comparison: Comparison) : SheetCell list =
        let places = [ 0 .. comparison.Methods.Length - 1 ]
        let standing place = comparison.BesideBest[place]
        let top = places |> List.minBy (fun place -> abs (standing place).ToBest)

        let tied =
            places |> List.filter (fun place -> place <> top && (standing place).IsTied)

        let tiedNames =
            match tied with
            | [] -> "none"
            | tied -> tied |> List.map (fun place -> comparison.Methods[place]) |> String.concat "; "

        let cheapest = top :: tied |> List.minBy (fun place -> comparison.Costs[place][0])

        let runs = comparison.Runs[top]

        [
            SheetCell.words (Findings.taskOf findings comparison)
            SheetCell.words (Level.text comparison.Level)
            SheetCell.words comparison.Methods[top]
            SheetCell.number (Fixed 4) runs (standing top).Mean
            { SheetCell.words (interval (standing top).Interval) with
                Runs = runs
            }
            { SheetCell.words tiedNames with
                Runs = tied |> List.collect (fun place -> comparison.Runs[place])
            }
            SheetCell.words comparison.Methods[cheapest]
            comparison.Costs[cheapest][0]
            |> SheetCell.number Grouped comparison.Runs[cheapest]
            SheetCell.number (Plain 0) [] (float comparison.Seeds.Length)
            SheetCell.number Grouped [] (float comparison.Scores[0].Length)
        ]

    /// A row of `best` where there is no paired test: the best mean, and no word about ties.
    let private bestUncompared (findings: SettingFindings) (task: string) (level: Level option) (runs: Run list) =
        let worth (run: Run) = Metrics.worth run.Metric run.Score

        let name, group =
            runs
            // Runs of another setting share no mean.
            |> List.groupBy (Tables.nameIn findings.Numbered findings.Runs)
            |> List.maxBy (fun (_, group) -> group |> List.averageBy worth)

        let ids = group |> List.map _.Id

        [
            SheetCell.words task
            SheetCell.words (Level.text level)
            SheetCell.words name
            SheetCell.number (Fixed 4) ids (group |> List.averageBy _.Score)
            SheetCell.missing
            SheetCell.words "not compared"
            SheetCell.missing
            SheetCell.missing
            SheetCell.number (Plain 0) [] (float group.Length)
            SheetCell.number Grouped [] (float group.Head.TestRows)
        ]

    /// Which technique was best on each task at each level, and which ones the test rows do not tell from it.
    let best (findings: SettingFindings) : Sheet =
        let compared (task, level, rows) =
            findings.Comparisons
            |> List.tryFind (fun comparison ->
                comparison.Task = task
                && comparison.Level = level
                && Findings.rowsOf findings comparison = rows)

        let baselines, tuned =
            findings.Runs |> List.partition (fun run -> run.Experiment.Level.IsNone)

        let places =
            tuned
            |> List.groupBy (fun run ->
                run.Experiment.Task, run.Experiment.Level, (Settings.first findings.Numbered run).DataVersion)
            |> List.sortBy (fun ((task, level, rows), _) ->
                Tables.taskOrder task, task, level |> Option.map Level.rows |> Option.defaultValue 0, rows)

        let row ((task, level, rows), runs) =
            match compared (task, level, rows) with
            | Some comparison -> bestCompared findings comparison
            | None ->
                // Baselines stand beside every level.
                let baselines =
                    baselines
                    |> List.filter (fun run ->
                        run.Experiment.Task = task
                        && (Settings.first findings.Numbered run).DataVersion = rows)

                bestUncompared findings (Findings.titleOf findings task rows) level (baselines @ runs)

        Sheet.create
            ("best" + findings.Suffix)
            ("The best technique of each task and level" + findings.Heading)
            "With several seeds the 95 % interval of the mean and the paired test against the best are over other test rows and other trained seeds; with one seed they hold for that trained model and other test rows only (Wilson's interval and McNemar's test for right and wrong, the bootstrap interval and the permutation test for scores in between). Tied: P after Holm's correction over all pairs is 0.05 or more. Baselines take part."
            [
                Sheet.words "task"
                Sheet.words "level"
                Sheet.words "best"
                Sheet.number "score"
                Sheet.number "95 % interval"
                Sheet.words "tied with the best"
                Sheet.words "fewest parameters among these"
                Sheet.number "parameters"
                Sheet.number "seeds"
                Sheet.number "test rows"
            ]
            (places |> List.map row)

    let private standingRows (findings: SettingFindings) (comparison: Comparison) : SheetCell list list =
        [
            for place in 0 .. comparison.Methods.Length - 1 do
                let standing, cost, runs =
                    comparison.BesideBest[place], comparison.Costs[place], comparison.Runs[place]

                let number style value = SheetCell.number style runs value

                [
                    SheetCell.words (Findings.taskOf findings comparison)
                    SheetCell.words (Level.text comparison.Level)
                    SheetCell.words standing.Name
                    number (Fixed 4) standing.Mean
                    number (Fixed 4) standing.Interval.Low
                    number (Fixed 4) standing.Interval.High
                    number (Fixed 4) standing.ToBest
                    number (Fixed 3) standing.P
                    SheetCell.words (if standing.IsTied then "tied" else "behind")
                    number Grouped cost[0]
                    number (Fixed 1) cost[1]
                    number Grouped cost[2]
                    SheetCell.words (if comparison.OnFront[place] then "on front" else "")
                    number (Fixed 2) comparison.FrontProbability[place]
                ]
        ]

    /// Each technique beside the best one of its task and level, with costs and the Pareto front.
    let standings (findings: SettingFindings) : Sheet =
        Sheet.create
            ("comparison" + findings.Suffix)
            ("Techniques compared on the same test rows" + findings.Heading)
            (String.Join(
                " ",
                "P after Holm's correction against the best. Front: no other technique is as good in score, parameters, time and memory and better in one; P(front) is its probability when test rows and seeds, with their seconds and memory, are resampled."
                :: (findings.Comparisons |> List.choose Comparison.rowNote |> List.distinct)
            ))
            [
                Sheet.words "task"
                Sheet.words "level"
                Sheet.words "technique"
                Sheet.number "score"
                Sheet.number "95 % low"
                Sheet.number "95 % high"
                Sheet.number "to best"
                Sheet.number "P (Holm)"
                Sheet.words "with best"
                Sheet.number "parameters"
                Sheet.number "seconds"
                Sheet.number "MiB"
                Sheet.words "front"
                Sheet.number "P(front)"
            ]
            (findings.Comparisons |> List.collect (standingRows findings))

    /// The share of test rows that each two techniques of a comparison answer differently.
    let disagreement (findings: SettingFindings) (comparison: Comparison) : Sheet =
        let level, title = Level.text comparison.Level, Findings.taskOf findings comparison

        let task =
            Findings.fileWordOf findings comparison
            |> String.map (fun letter -> if Char.IsAsciiLetterOrDigit letter then letter else '-')

        let row left =
            SheetCell.words comparison.Methods[left]
            :: [
                for right in 0 .. comparison.Methods.Length - 1 ->
                    SheetCell.number
                        (Fixed 3)
                        (List.distinct (comparison.Runs[left] @ comparison.Runs[right]))
                        comparison.Disagreement[left, right]
            ]

        Sheet.create
            ($"disagreement-{task}-{level}".TrimEnd '-' + findings.Suffix)
            ($"Answers that differ: {title}, {level}".TrimEnd([| ','; ' ' |])
             + findings.Heading)
            "The share of test rows that two techniques answer differently, the mean over seeds."
            (Sheet.words "technique"
             :: (comparison.Methods |> Array.map Sheet.number |> List.ofArray))
            [ for left in 0 .. comparison.Methods.Length - 1 -> row left ]

    /// How far a rerun of one configuration lands from another, and by how much two single runs must differ.
    let noise (findings: SettingFindings) : Sheet =
        Sheet.create
            ("noise" + findings.Suffix)
            ("What single runs must differ by" + findings.Heading)
            "From configurations that were run several times, as seeds or as reruns: the standard deviation of one run's score, pooled over configurations, and the difference of two single runs that chance alone passes 5 % of the time."
            [
                Sheet.words "task"
                Sheet.words "level"
                Sheet.words "metric"
                Sheet.number "must differ by"
                Sheet.number "deviation of a rerun"
                Sheet.number "configurations"
                Sheet.number "runs"
            ]
            [
                for floor in NoiseFloor.ofRunsIn findings.Numbered findings.Runs do
                    [
                        SheetCell.words (Tables.title floor.Task)
                        SheetCell.words (Level.text floor.Level)
                        SheetCell.words (Metrics.title floor.Metric)
                        SheetCell.number (Fixed 4) [] floor.Detectable
                        SheetCell.number (Fixed 4) [] floor.Deviation
                        SheetCell.number (Plain 0) [] (float floor.Configurations)
                        SheetCell.number (Plain 0) [] (float floor.Runs)
                    ]
            ]
