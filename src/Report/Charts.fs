namespace Peft.Reports

open System
open Deedle
open Peft

/// The figures of a report.
[<RequireQualifiedAccess>]
module Charts =
    let private fileWord (text: string) =
        text.ToLowerInvariant()
        |> String.map (fun letter -> if Char.IsAsciiLetterOrDigit letter then letter else '-')

    let private number (style: NumberStyle) (value: float) = NumberStyle.text style value

    /// The techniques of a setting in the order of tables: the name without a setting's number, and as tables write it.
    let private names (setting: SettingFindings) : (string * string) list =
        let finished = setting.Runs |> List.filter _.IsFinished
        let nameIn = Tables.nameIn setting.Numbered finished

        finished
        |> List.sortBy (fun run -> Tables.rowOrder run, setting.Numbered.Numbers run)
        |> List.map (fun run -> Tables.nameOf run, nameIn run)
        |> List.distinct

    /// A setting with the number of each of its techniques by name, which decides colour and marker. It is the same in all
    /// settings' figures; only where a technique has several settings in one figure, the second and later ones have numbers
    /// of their own, after all others.
    let private numbered (findings: Findings) : (SettingFindings * (string -> int)) list =
        let times (setting: SettingFindings) =
            names setting
            |> List.groupBy fst
            |> List.collect (fun (technique, names) ->
                names |> List.mapi (fun time (_, name) -> name, (technique, time)))

        let techniques =
            findings.Runs
            |> List.filter _.IsFinished
            |> List.sortBy Tables.rowOrder
            |> List.map Tables.nameOf
            |> List.distinct

        let places =
            findings.Settings
            |> List.collect (times >> List.map snd)
            |> List.distinct
            |> List.sortBy (fun (technique, time) -> time, List.findIndex ((=) technique) techniques)

        [
            for setting in findings.Settings do
                let own = times setting |> dict

                setting,
                fun name ->
                    match own.TryGetValue name with
                    | true, place -> List.findIndex ((=) place) places
                    | _ -> -1
        ]

    let private points (name: string) (technique: int) (points: ChartPoint list) : ChartSeries =
        {
            Name = name
            Technique = technique
            Points = points
            IsJoined = false
            HasMarkers = true
        }

    let private ofCell (label: string) (x: float) (cell: Cell) : ChartPoint =
        {
            X = x
            Y = cell.Mean
            Low = cell.Mean - cell.Deviation
            High = cell.Mean + cell.Deviation
            Label = label
            Runs = cell.Runs
        }

    let private cellsOf (frame: Frame<RowKey, string>) : (RowKey * string * Cell) list =
        [
            for key in frame.RowKeys do
                let cells = frame.GetRow<Cell> key

                for column in frame.ColumnKeys do
                    match cells.TryGet column |> OptionalValue.asOption with
                    | Some cell -> key, column, cell
                    | None -> ()
        ]

    /// Scores with their intervals, a figure a level: techniques side by side on each task.
    let private scores (findings: SettingFindings, placeOf: string -> int) : Chart list =
        let techniques = names findings |> List.map snd

        let ofLevel (level, comparisons: Comparison list) =
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
                Name = $"scores-{fileWord level}".TrimEnd '-' + findings.Suffix
                Group = "scores" + findings.Suffix
                Choice = level
                Title = $"Scores with 95 %% intervals, level {level}" + findings.Heading
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
        |> List.map ofLevel

    /// The paper's Figure 1, a figure a level: run time relative to full fine-tuning.
    let private relativeTimes (findings: SettingFindings, placeOf: string -> int) : Chart list =
        let frame = SpeedUps.figure1In findings.Numbered findings.Runs
        let tasks = List.ofSeq frame.ColumnKeys

        let ofLevel (level, cells: (RowKey * string * Cell) list) =
            let methods = cells |> List.map (fun ((name, _), _, _) -> name) |> List.distinct

            let series index name =
                cells
                |> List.filter (fun ((other, _), _, _) -> other = name)
                |> List.map (fun (_, task, cell) ->
                    let x = float (List.findIndex ((=) task) tasks) + Chart.dodge index methods.Length
                    ofCell $"{task}: {number (Fixed 2) cell.Mean} times as long" x cell)
                |> points name (placeOf name)

            {
                Name = $"figure1-{fileWord level}" + findings.Suffix
                Group = "figure1" + findings.Suffix
                Choice = level
                Title =
                    $"Figure 1: run time relative to full fine-tuning, level {level}"
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
        |> List.map ofLevel

    /// Learning curves, a figure a task: score by number of training rows; baselines are lines across.
    let private learningCurves (findings: SettingFindings, placeOf: string -> int) : Chart list =
        let ofTask (column: string, cells: (RowKey * string * Cell) list) =
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
                        Name = $"learning-{(fileWord column).Trim '-'}" + findings.Suffix
                        Group = "learning" + findings.Suffix
                        Choice = column
                        Title = $"Learning curves: {column}" + findings.Heading
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
        |> List.choose ofTask

    let private costs =
        [ "trainable parameters", Grouped; "seconds", Fixed 1; "peak MiB", Grouped ]

    /// A technique of a comparison by its score and one cost.
    let private scoreAndCost (comparison: Comparison) (cost: int) (technique: int) : ChartPoint =
        let title, style = costs[cost]

        let standing, spent =
            comparison.BesideBest[technique], comparison.Costs[technique][cost]

        let probability = number (Fixed 2) comparison.FrontProbability[technique]

        {
            X = spent
            Y = standing.Mean
            Low = standing.Interval.Low
            High = standing.Interval.High
            Label = $"{number style spent} {title}; on the front of score and all costs with probability {probability}"
            Runs = comparison.Runs[technique]
        }

    /// The line through the techniques of a comparison that none of the drawn ones beats in score and cost.
    let private frontLine (comparison: Comparison) (cost: int) (drawn: int list) : ChartSeries =
        let isOnFront =
            [|
                for technique in drawn ->
                    [|
                        Metrics.worth comparison.Metric comparison.BesideBest[technique].Mean
                        -comparison.Costs[technique][cost]
                    |]
            |]
            |> Pareto.front

        let line =
            List.zip drawn (List.ofArray isOnFront)
            |> List.filter snd
            |> List.map (fun (technique, _) ->
                { scoreAndCost comparison cost technique with
                    Low = nan
                    High = nan
                })
            |> List.sortBy _.X

        { points "front" -1 line with
            IsJoined = true
            HasMarkers = false
        }

    /// Score against one cost of a comparison, and the front of the two.
    let private front (findings: SettingFindings, placeOf: string -> int) (comparison: Comparison) (cost: int) : Chart =
        let title = fst costs[cost]

        let place =
            $"{Findings.taskOf findings comparison}, {Level.text comparison.Level}".TrimEnd([| ','; ' ' |])

        // A logarithmic axis has no place for a baseline, which trains nothing.
        let drawn =
            [ 0 .. comparison.Methods.Length - 1 ]
            |> List.filter (fun technique ->
                comparison.Costs[technique][0] > 0.0 && comparison.Costs[technique][cost] > 0.0)

        {
            Name =
                $"front-{fileWord (Findings.fileWordOf findings comparison)}-{fileWord (Level.text comparison.Level)}-{fileWord title}"
                + findings.Suffix
            Group = "front" + findings.Suffix
            Choice = $"{place}: {title}"
            Title = $"Score and {title}: {place}" + findings.Heading
            Caption =
                $"Mean score with its 95 %% interval against {title}, the mean over seeds. The line joins what no technique beats in both. Baselines, which train nothing, are left out."
            X =
                drawn
                |> List.map (fun technique -> comparison.Costs[technique].[cost])
                |> Chart.logAxis title
            Y = Chart.axis "score"
            Series =
                frontLine comparison cost drawn
                :: [
                    for technique in drawn do
                        let name = comparison.Methods[technique]
                        points name (placeOf name) [ scoreAndCost comparison cost technique ]
                ]
            Reference = nan
        }

    /// Score against one cost, a figure a comparison and cost, and the front of the two: what no technique beats in both.
    let private fronts (findings: SettingFindings, placeOf: string -> int) : Chart list =
        findings.Comparisons
        |> List.collect (fun comparison -> costs |> List.mapi (fun cost _ -> front (findings, placeOf) comparison cost))
        |> List.filter (fun figure -> figure.Series.Length > 1)

    /// Every figure of a report.
    let all (findings: Findings) : Chart list =
        [
            for setting in numbered findings do
                yield! scores setting
                yield! relativeTimes setting
                yield! learningCurves setting
                yield! fronts setting
        ]

    /// A figure as a table: its text alternative.
    let toSheet (figure: Chart) : Sheet =
        let place (point: ChartPoint) =
            match figure.X.Ticks with
            | _ when figure.X.IsLogarithmic -> number (if point.X < 100.0 then Fixed 1 else Grouped) point.X
            | [] -> number (Plain 1) point.X
            | ticks -> ticks |> List.minBy (fun (at, _) -> abs (at - point.X)) |> snd

        let end' runs (value: float) =
            if Double.IsNaN value then
                SheetCell.words ""
            else
                SheetCell.number (Fixed 4) runs value

        Sheet.create
            ("figure-" + figure.Name)
            figure.Title
            figure.Caption
            [
                Sheet.words "technique"
                if figure.X.Title = "" then
                    Sheet.words "task"
                else
                    Sheet.number figure.X.Title
                Sheet.number figure.Y.Title
                Sheet.number "low"
                Sheet.number "high"
            ]
            [
                for series in figure.Series do
                    for point in series.Points do
                        [
                            SheetCell.words series.Name
                            { SheetCell.words (place point) with
                                Value = point.X
                            }
                            SheetCell.number (Fixed 4) point.Runs point.Y
                            end' point.Runs point.Low
                            end' point.Runs point.High
                        ]
            ]
