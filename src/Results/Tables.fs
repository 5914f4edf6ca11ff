namespace Peft

open System
open System.Globalization
open Deedle

/// One function for each table and figure of the paper: a list of runs to a frame. A cell is the mean over seeds; what no
/// run gives is missing. Runs of different settings never share a cell: their rows say `[n]`, and `notes` says what setting n
/// is. A function that ends in `In` takes the numbers of `Settings.ofRuns` of more runs than it shows; without, the runs shown
/// are all.
[<RequireQualifiedAccess>]
module Tables =
    /// A task's place in every table: the known ones in their order, then others.
    let taskOrder (name: string) : int =
        TaskDefinition.all
        |> List.tryFindIndex (fun task -> task.Name = name)
        |> Option.defaultValue Int32.MaxValue

    /// A task's heading.
    let title (name: string) : string =
        TaskDefinition.all
        |> List.tryFind (fun task -> task.Name = name)
        |> Option.map _.Title
        |> Option.defaultValue name

    /// A method's place in every table: baselines, then the paper's techniques in its order, then others.
    let methodOrder (method: Method) : int =
        match method with
        | ZeroShot -> 0
        | Majority -> 1
        | Tuned technique ->
            2
            + (List.tryFindIndex ((=) technique) Technique.paper
               |> Option.defaultValue Technique.paper.Length)

    let private levelName (experiment: Experiment) = Level.text experiment.Level

    /// Baselines first, then level by level, the techniques in the paper's order, each at all of its sites before other places.
    let rowOrder (run: Run) : int * int * string * bool * string =
        run.Experiment.Level |> Option.map Level.rows |> Option.defaultValue 0,
        methodOrder run.Experiment.Method,
        Method.text run.Experiment.Method,
        run.Experiment.Placement <> Placement.everywhere,
        Placement.text run.Experiment.Placement

    /// Runs by the setting they share, in words, as far as it decides what stands in one table: model, precision, limits
    /// and decoding.
    let bySetting (runs: Run list) : (string * Run list) list =
        let settings = Settings.ofRuns runs

        runs
        |> List.groupBy (Settings.first settings >> Setting.table)
        |> List.sortBy fst

    /// A frame of values: the row, the column, the ids of the runs behind the value, the value.
    let internal frameOf
        (rows: 'row list)
        (columns: string list)
        (values: ('row * string * (string list * float)) list)
        =
        let column name =
            values
            |> List.filter (fun (_, column, (_, value)) -> column = name && not (Double.IsNaN value))
            |> List.groupBy (fun (row, _, _) -> row)
            |> List.map (fun (row, group) -> row, group |> List.map (fun (_, _, value) -> value) |> Cell.ofRuns)

        columns
        |> List.map (fun name ->
            let cells = column name |> dict

            let cell row =
                match cells.TryGetValue row with
                | true, cell -> OptionalValue cell
                | _ -> OptionalValue.Missing

            name, Series.ofOptionalObservations (rows |> List.map (fun row -> row, cell row |> OptionalValue.asOption)))
        |> Frame.ofColumns

    let internal byTask (runs: Placed list) =
        runs
        |> List.sortBy (fun placed -> taskOrder placed.Run.Experiment.Task, placed.Run.Experiment.Task)

    /// The table of some columns of each run that `isShown`: rows by `name`, columns in the order of tasks. Names are marked
    /// as among all of the runs, so that every table of them names alike.
    let internal table
        (isShown: Placed -> bool)
        (name: Placed -> string)
        (columnsOf: Placed -> (string * float) list)
        (settings: Settings)
        (runs: Placed list)
        : Frame<RowKey, string> =
        let finished = runs |> List.filter _.Run.IsFinished
        let mark = finished |> List.map _.Run |> Settings.mark settings
        let runs = finished |> List.filter isShown

        let key placed : RowKey =
            name placed + mark placed.Run, levelName placed.Run.Experiment

        let rows =
            runs
            |> List.sortBy (fun placed -> rowOrder placed.Run, settings.Numbers placed.Run)
            |> List.map key
            |> List.distinct

        let columns =
            runs |> byTask |> List.collect (columnsOf >> List.map fst) |> List.distinct

        runs
        |> List.collect (fun placed ->
            columnsOf placed
            |> List.map (fun (column, value) -> key placed, column, ([ placed.Run.Id ], value)))
        |> frameOf rows columns

    let private methodName (placed: Placed) =
        Method.name placed.Run.Experiment.Method

    /// The method with its place, where that is not all of its own sites.
    let internal placedName (placed: Placed) =
        if placed.Placement = Placed.allLayers then
            methodName placed
        else
            $"{methodName placed}, {placed.Placement}"

    /// What a run is called in tables: its technique, and its place where that is not all of the technique's own sites.
    let nameOf (run: Run) : string =
        Placed.ofRuns [ run ] |> List.head |> placedName

    /// What a run is called among the runs shown: its name, and its setting where they have several.
    let nameIn (settings: Settings) (shown: Run list) : Run -> string =
        let mark = Settings.mark settings shown
        fun run -> nameOf run + mark run

    let internal taskTitle (placed: Placed) = title placed.Run.Experiment.Task

    /// The heading of a task's scores by the metric of a name.
    let scoreHeading (task: string) (metric: string) : string =
        $"{title task} ({Metrics.title metric})"

    let private scoreColumn (placed: Placed) =
        scoreHeading placed.Run.Experiment.Task placed.Run.Metric

    /// Each run's columns: the reported metric, and those that have a column of their own.
    let private scores (placed: Placed) : (string * float) list =
        let run = placed.Run

        run.Metric :: (Metrics.all |> List.filter _.HasColumn |> List.map _.Name)
        |> List.distinct
        |> List.filter run.Scores.ContainsKey
        |> List.map (fun metric -> scoreHeading run.Experiment.Task metric, run.Scores[metric])

    let internal isTuned (placed: Placed) =
        not (Method.isBaseline placed.Run.Experiment.Method)

    let private ofPlaced (placed: Placed list) : Settings =
        placed |> List.map _.Run |> Settings.ofRuns

    /// Table 1: the mean score over seeds of each technique at each level (rows) on each task (columns), with the
    /// baselines on top. The runs must be of one setting (`bySetting`); failed ones are left out.
    let table1In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        runs |> Placed.ofRuns |> table (fun _ -> true) placedName scores settings

    /// `table1In` with the settings of these runs.
    let table1 (runs: Run list) : Frame<RowKey, string> = table1In (Settings.ofRuns runs) runs

    /// Table 2: the score of each technique at each place in the model (rows: `lora, later layers`) on each task.
    let table2In (settings: Settings) (runs: Placed list) : Frame<RowKey, string> =
        runs
        |> table
            isTuned
            (fun placed -> $"{methodName placed}, {placed.Placement}")
            (fun placed -> [ scoreColumn placed, placed.Run.Score ])
            settings

    /// `table2In` with the settings of these runs.
    let table2 (runs: Placed list) : Frame<RowKey, string> = table2In (ofPlaced runs) runs

    /// Table 3: the trainable parameters of each technique at each place, and their share of the base model's. One row
    /// whatever the level: the level is "".
    let table3 (runs: Placed list) : Frame<RowKey, string> =
        let finished =
            runs |> List.filter (fun placed -> placed.Run.IsFinished && isTuned placed)

        // Runs that share a name and a count are one figure, whatever task, level or seed they had.
        let counted =
            finished
            |> List.sortBy (fun placed -> rowOrder placed.Run)
            |> List.groupBy (fun placed -> placedName placed, placed.Run.TrainableParameters)
            |> List.map (fun ((name, trainable), group) ->
                name, trainable, group.Head.Run.TotalParameters, group |> List.map _.Run.Id)

        let several =
            counted
            |> List.countBy (fun (name, _, _, _) -> name)
            |> List.filter (fun (_, count) -> count > 1)
            |> List.map fst

        let rows =
            counted
            |> List.map (fun (name, trainable, total, ids) ->
                let key: RowKey =
                    (if List.contains name several then
                         $"{name} [{trainable}]"
                     else
                         name),
                    ""

                key, trainable, total, ids)

        rows
        |> List.collect (fun (key, trainable, total, ids) ->
            [
                key, "parameters", (ids, float trainable)
                key,
                "% of total",
                (ids,
                 if total > 0L then
                     100.0 * float trainable / float total
                 else
                     nan)
            ])
        |> frameOf
            (rows |> List.map (fun (key, _, _, _) -> key))
            (if rows.IsEmpty then [] else [ "parameters"; "% of total" ])

    let private known (count: int) = if count > 0 then float count else nan

    /// Table 4: the epoch with the lowest validation loss, and the whole run's seconds.
    let table4In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        Placed.ofRuns runs
        |> table
            isTuned
            placedName
            (fun placed ->
                [
                    $"{taskTitle placed} (epoch)", known placed.Run.ConvergedEpoch
                    $"{taskTitle placed} (s)", placed.Run.Timing.Total
                ])
            settings

    /// `table4In` with the settings of these runs.
    let table4 (runs: Run list) : Frame<RowKey, string> = table4In (Settings.ofRuns runs) runs

    let private perParameters (run: Run) =
        if run.TrainableParameters > 0L then
            run.Score / (float run.TrainableParameters / 1e5)
        else
            nan

    /// Table 5: score per 100,000 trainable parameters.
    let table5In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        Placed.ofRuns runs
        |> table isTuned placedName (fun placed -> [ taskTitle placed, perParameters placed.Run ]) settings

    /// `table5In` with the settings of these runs.
    let table5 (runs: Run list) : Frame<RowKey, string> = table5In (Settings.ofRuns runs) runs

    let private perMinute (run: Run) =
        if run.Timing.Total > 0.0 then
            run.Score / (run.Timing.Total / 60.0)
        else
            nan

    /// Table 6: score per minute of run time.
    let table6In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        Placed.ofRuns runs
        |> table isTuned placedName (fun placed -> [ taskTitle placed, perMinute placed.Run ]) settings

    /// `table6In` with the settings of these runs.
    let table6 (runs: Run list) : Frame<RowKey, string> = table6In (Settings.ofRuns runs) runs

    /// The peak memory of each run, in MiB.
    let memoryIn (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        Placed.ofRuns runs
        |> table isTuned placedName (fun placed -> [ taskTitle placed, known (int placed.Run.PeakMemoryMiB) ]) settings

    /// `memoryIn` with the settings of these runs.
    let memory (runs: Run list) : Frame<RowKey, string> = memoryIn (Settings.ofRuns runs) runs

    let private rowsWord = " rows"

    /// The number of training rows that a row key of `learningCurves` names.
    let trainingRows ((_, rows): RowKey) : int =
        Int32.Parse(
            rows.Substring(0, rows.Length - rowsWord.Length),
            NumberStyles.AllowThousands,
            CultureInfo.InvariantCulture
        )

    /// Learning curves: the score of each technique (rows) after so many training rows (the key's second part: `1,000
    /// rows`), 0 for baselines.
    let learningCurvesIn (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        let runs =
            runs
            |> Placed.ofRuns
            |> List.filter (fun placed ->
                placed.Run.IsFinished
                && Metrics.isDrawn MetricFigure.LearningCurves placed.Run.Metric)

        let mark = runs |> List.map _.Run |> Settings.mark settings

        let key placed : RowKey =
            placedName placed + mark placed.Run, $"{placed.Run.TrainRows:N0}{rowsWord}"

        let rows =
            runs
            |> List.sortBy (fun placed ->
                methodOrder placed.Run.Experiment.Method,
                placedName placed,
                settings.Numbers placed.Run,
                placed.Run.TrainRows)
            |> List.map key
            |> List.distinct

        runs
        |> List.map (fun placed -> key placed, scoreColumn placed, ([ placed.Run.Id ], placed.Run.Score))
        |> frameOf rows (runs |> byTask |> List.map scoreColumn |> List.distinct)

    /// `learningCurvesIn` with the settings of these runs.
    let learningCurves (runs: Run list) : Frame<RowKey, string> =
        learningCurvesIn (Settings.ofRuns runs) runs

    /// Columns aligned with blanks, scores with four decimals.
    let toText (frame: Frame<RowKey, string>) : string = Render.toText (Fixed 4) frame

    /// A Markdown table, scores with four decimals.
    let toMarkdown (frame: Frame<RowKey, string>) : string = Render.toMarkdown (Fixed 4) frame

    /// CSV with a column each for mean, standard deviation and number of seeds.
    let toCsv (frame: Frame<RowKey, string>) : string = Render.toCsv frame

    /// The numbers of elements of FLAN-T5's published sizes.
    let private flanTotals =
        lazy (Checkpoint.sizes |> List.map (fun (_, shape: Shape) -> shape.Elements))

    /// Whether a run's base is FLAN-T5, by its name or, in results that do not say it, by its size.
    let private isOnFlan (run: Run) =
        let isNamed (name: string) =
            name.Contains("flan-t5", StringComparison.OrdinalIgnoreCase)

        isNamed run.Base
        || isNamed run.Experiment.Model
        || flanTotals.Value
           |> List.exists (fun total ->
               total = run.TotalParameters
               || total = run.TotalParameters - run.TrainableParameters)

    /// What a reader must know of a FLAN-T5 base: it has seen the published data.
    let seenBefore (runs: Run list) : string list =
        let isPublished (run: Run) =
            TaskDefinition.paper
            |> List.exists (fun task -> task.Name = run.Experiment.Task)

        [
            if runs |> List.exists (fun run -> isPublished run && isOnFlan run) then
                "FLAN-T5 was itself trained on AG News, CoLA, E2E NLG and SAMSum: these scores are not those of unseen tasks."
        ]

    /// What a reader must know beside the table: what did not get above the baselines, how rates were chosen, what FLAN-T5 has
    /// seen before, by how much single runs must differ, several settings, failed runs.
    let notes (runs: Run list) : string list =
        [
            yield! RunNotes.baselines title runs
            yield! RunNotes.rates title runs
            yield! seenBefore runs
            yield! NoiseFloor.ofRuns runs |> NoiseFloor.lines title
            yield! runs |> List.filter _.IsFinished |> Settings.ofRuns |> Settings.legend

            for run in runs do
                if not run.IsFinished then
                    $"failed: {run.Experiment.Task}, {Experiment.rowName run.Experiment}, seed {run.Experiment.Seed}: {Printable.short 500 run.Error}"
        ]

    /// Table 1 of every setting among the runs, with its notes, as text for people.
    let describe (runs: Run list) : string =
        let tables =
            let finished = runs |> List.filter _.IsFinished
            let settings = Settings.ofRuns finished

            match bySetting finished with
            | [] -> [ "No run has finished." ]
            | groups ->
                groups
                |> List.map (fun (setting, runs) -> $"Table 1 ({setting})\n\n{toText (table1In settings runs)}")

        String.concat "\n\n" (tables @ (notes runs |> List.map (fun note -> $"Note: {note}")))
