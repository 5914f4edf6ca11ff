namespace Peft.Reports

open Peft

/// The figures of a report.
[<RequireQualifiedAccess>]
module Charts =
    open ChartParts

    /// Whether a figure has what it is for: whole techniques, or one variant at the least beside its own.
    let private isWorthDrawing (families: Map<string, string>) (figure: Chart) : bool =
        let isOfVariants = figure.Choice.EndsWith placesWord

        figure.Series
        |> List.exists (fun series -> not isOfVariants || families.ContainsKey series.Name)

    /// Scores with their intervals, a figure a level and group: techniques side by side on each task, and each technique that
    /// has ablation variants beside them.
    let private scores (findings: SettingFindings, placeOf: string -> int) : Chart list =
        let groups = groups findings
        let families = Variants.families findings

        let ofLevel (level, comparisons: Comparison list) (group, techniques: string list) =
            let word, title, choice = endOf group level

            let metrics =
                comparisons
                |> List.map (fun comparison -> Metrics.title comparison.Metric)
                |> List.distinct
                |> String.concat " or "

            let methods =
                techniques
                |> List.filter (fun name ->
                    comparisons
                    |> List.exists (fun comparison -> Array.contains name comparison.Methods))

            let point index name (task, comparison: Comparison) =
                Array.tryFindIndex ((=) name) comparison.Methods
                |> Option.map (fun place ->
                    let standing = comparison.BesideBest[place]

                    let tied =
                        if standing.IsTied then
                            "tied with the best"
                        else
                            "behind the best"

                    {
                        X = float task + Chart.dodge index methods.Length
                        Y = standing.Mean
                        Low = standing.Interval.Low
                        High = standing.Interval.High
                        Label = $"{Findings.taskOf findings comparison}: {tied}"
                        Runs = comparison.Runs[place]
                    })

            {
                Name = $"scores{word}-{fileWord level}".TrimEnd '-' + findings.Suffix
                Group = (if group = "" then "scores" else "variants") + findings.Suffix
                Choice = choice
                Title = $"Scores with 95 %% intervals, level {level}{title}" + findings.Heading
                Caption =
                    $"Mean {metrics} over test rows and seeds, with its 95 %% interval over other test rows and, with several seeds, other seeds."
                X = comparisons |> List.map (Findings.taskOf findings) |> Chart.categories ""
                Y = Chart.axis "score"
                Series =
                    methods
                    |> List.mapi (fun index name ->
                        comparisons
                        |> List.indexed
                        |> List.choose (point index name)
                        |> points name (placeOf name))
                Reference = nan
            }

        findings.Comparisons
        |> List.filter (fun comparison -> Metrics.isDrawn MetricFigure.Scores comparison.Metric)
        |> List.sortBy (fun comparison ->
            comparison.Level |> Option.map Level.rows |> Option.defaultValue 0,
            Tables.taskOrder comparison.Task,
            comparison.Task,
            Findings.rowsOf findings comparison)
        |> List.groupBy (fun comparison -> Level.text comparison.Level)
        |> List.allPairs groups
        |> List.map (fun (group, level) -> ofLevel level group)
        |> List.filter (isWorthDrawing families)

    /// The paper's Figure 1, a figure a level: run time relative to full fine-tuning.
    let private relativeTimes (findings: SettingFindings, placeOf: string -> int) : Chart list =
        let frame = SpeedUps.figure1In findings.Numbered findings.Runs
        let tasks = List.ofSeq frame.ColumnKeys

        let ofLevel (level, cells: (RowKey * string * Cell) list) (group, techniques: string list) =
            let word, title, choice = endOf group level

            let cells =
                cells |> List.filter (fun ((name, _), _, _) -> List.contains name techniques)

            let methods = cells |> List.map (fun ((name, _), _, _) -> name) |> List.distinct

            let series index name =
                cells
                |> List.filter (fun ((other, _), _, _) -> other = name)
                |> List.map (fun (_, task, cell) ->
                    let x = float (List.findIndex ((=) task) tasks) + Chart.dodge index methods.Length
                    ofCell $"{task}: {number (Fixed 2) cell.Mean} times as long" x cell)
                |> points name (placeOf name)

            {
                Name = $"figure1{word}-{fileWord level}" + findings.Suffix
                Group = "figure1" + findings.Suffix
                Choice = choice
                Title =
                    $"Figure 1: run time relative to full fine-tuning, level {level}{title}"
                    + findings.Heading
                Caption =
                    "A run's seconds divided by those of full fine-tuning with the same task, level, seed, setting and device; mean over seeds ± standard deviation. Below the dashed line a technique is faster."
                X = Chart.categories "" tasks
                Y = Chart.axis "times full fine-tuning"
                Series = methods |> List.mapi series
                Reference = 1.0
            }

        cellsOf frame
        |> List.groupBy (fun ((_, level), _, _) -> level)
        |> List.allPairs (groups findings)
        |> List.map (fun (group, level) -> ofLevel level group)
        |> List.filter (isWorthDrawing (Variants.families findings))

    /// Learning curves, a figure a task: score by number of training rows; baselines are lines across.
    let private learningCurves (findings: SettingFindings, placeOf: string -> int) : Chart list =
        let ofTask (column: string, cells: (RowKey * string * Cell) list) (group, techniques: string list) =
            let word, title, choice = endOf group column

            let cells =
                cells |> List.filter (fun ((name, _), _, _) -> List.contains name techniques)

            let rowsOf (key, _, _) = float (Tables.trainingRows key)
            let trained = cells |> List.filter (fun cell -> rowsOf cell > 0.0)
            let counts = trained |> List.map rowsOf |> List.distinct |> List.sort

            let series (name, group) =
                let curve =
                    group
                    |> List.sortBy rowsOf
                    |> List.collect (fun (key, _, cell) ->
                        match float (Tables.trainingRows key) with
                        | 0.0 ->
                            [ List.head counts; List.last counts ]
                            |> List.map (fun rows -> ofCell "without training" rows cell)
                        | rows -> [ ofCell $"{rows:N0} training rows" rows cell ])

                { points name (placeOf name) curve with
                    IsJoined = true
                    HasMarkers = group |> List.exists (fun cell -> rowsOf cell > 0.0)
                }

            if counts.Length < 2 then
                None
            else
                Some
                    {
                        Name = $"learning{word}-{(fileWord column).Trim '-'}" + findings.Suffix
                        Group = "learning" + findings.Suffix
                        Choice = choice
                        Title = $"Learning curves: {column}{title}" + findings.Heading
                        Caption =
                            "Mean over seeds ± standard deviation. Baselines, which are not trained, are lines across."
                        X =
                            { Chart.logAxis "training rows" [] with
                                Ticks = counts |> List.map (fun rows -> rows, number Grouped rows)
                            }
                        Y = Chart.axis "score"
                        Series = cells |> List.groupBy (fun ((name, _), _, _) -> name) |> List.map series
                        Reference = nan
                    }

        Tables.learningCurvesIn findings.Numbered findings.Runs
        |> cellsOf
        |> List.groupBy (fun (_, column, _) -> column)
        |> List.allPairs (groups findings)
        |> List.choose (fun (group, task) -> ofTask task group)
        |> List.filter (isWorthDrawing (Variants.families findings))

    /// Every figure of a report.
    let all (findings: Findings) : Chart list =
        [
            for setting in numbered findings do
                yield! scores setting
                yield! relativeTimes setting
                yield! learningCurves setting
                yield! FrontCharts.all setting
        ]
