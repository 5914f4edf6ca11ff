namespace Peft

open System
open System.Globalization
open Deedle

/// A run and where its technique sits, in words: a row of Table 2. `Placed.ofRuns` makes them.
[<NoComparison>]
type Placed = { Placement: string; Run: Run }

[<RequireQualifiedAccess>]
module Placed =
    /// The words for a technique on all of its own sites.
    let allLayers = "all layers"

    /// Runs with the places that their experiments name, in the paper's words where it has them.
    let ofRuns (runs: Run list) : Placed list =
        // A random half is drawn from the run's seed, so that seeds average over draws.
        let words (experiment: Experiment) =
            Placement.presets experiment.Seed
            |> List.tryFind (snd >> (=) experiment.Placement)
            |> Option.map fst
            |> Option.defaultWith (fun () -> Placement.text experiment.Placement)

        runs
        |> List.map (fun run ->
            {
                Placement = words run.Experiment
                Run = run
            })

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

    let private metricTitle (metric: string) =
        match metric with
        | "rougeL" -> "ROUGE-L"
        | "matthews" -> "MCC"
        | other -> other

    /// A method's place in every table: baselines, then the paper's techniques in its order, then others.
    let methodOrder (method: Method) : int =
        match method with
        | ZeroShot -> 0
        | Majority -> 1
        | Tuned technique ->
            2
            + (List.tryFindIndex ((=) technique) Technique.all
               |> Option.defaultValue Technique.all.Length)

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
    let private frameOf
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

    let private byTask (runs: Placed list) =
        runs
        |> List.sortBy (fun placed -> taskOrder placed.Run.Experiment.Task, placed.Run.Experiment.Task)

    /// The table of some columns of each run: rows by `name`, columns in the order of tasks.
    let private table
        (name: Placed -> string)
        (columnsOf: Placed -> (string * float) list)
        (settings: Settings)
        (runs: Placed list)
        : Frame<RowKey, string> =
        let runs = runs |> List.filter _.Run.IsFinished
        let mark = runs |> List.map _.Run |> Settings.mark settings

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
    let private placedName (placed: Placed) =
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

    let private taskTitle (placed: Placed) = title placed.Run.Experiment.Task

    let private scoreColumn (placed: Placed) =
        $"{taskTitle placed} ({metricTitle placed.Run.Metric})"

    /// Each run's columns: the task's metric, and Matthews' correlation where there is one.
    let private scores (placed: Placed) : (string * float) list =
        let run = placed.Run

        [ run.Metric; "matthews" ]
        |> List.filter run.Scores.ContainsKey
        |> List.map (fun metric -> $"{taskTitle placed} ({metricTitle metric})", run.Scores[metric])

    let private isTuned (placed: Placed) =
        not (Method.isBaseline placed.Run.Experiment.Method)

    let private tuned (runs: Run list) =
        runs |> Placed.ofRuns |> List.filter isTuned

    let private ofPlaced (placed: Placed list) : Settings =
        placed |> List.map _.Run |> Settings.ofRuns

    /// Table 1: the mean score over seeds of each technique at each level (rows) on each task (columns), with the
    /// baselines on top. The runs must be of one setting (`bySetting`); failed ones are left out.
    let table1In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        runs |> Placed.ofRuns |> table placedName scores settings

    /// `table1In` with the settings of these runs.
    let table1 (runs: Run list) : Frame<RowKey, string> = table1In (Settings.ofRuns runs) runs

    /// Table 2: the score of each technique at each place in the model (rows: `lora, later layers`) on each task.
    let table2In (settings: Settings) (runs: Placed list) : Frame<RowKey, string> =
        runs
        |> List.filter isTuned
        |> table
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
        tuned runs
        |> table
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
        tuned runs
        |> table placedName (fun placed -> [ taskTitle placed, perParameters placed.Run ]) settings

    /// `table5In` with the settings of these runs.
    let table5 (runs: Run list) : Frame<RowKey, string> = table5In (Settings.ofRuns runs) runs

    let private perMinute (run: Run) =
        if run.Timing.Total > 0.0 then
            run.Score / (run.Timing.Total / 60.0)
        else
            nan

    /// Table 6: score per minute of run time.
    let table6In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        tuned runs
        |> table placedName (fun placed -> [ taskTitle placed, perMinute placed.Run ]) settings

    /// `table6In` with the settings of these runs.
    let table6 (runs: Run list) : Frame<RowKey, string> = table6In (Settings.ofRuns runs) runs

    /// The runs and seconds of full fine-tuning with the same task, level and seed on the same device: those of the run's
    /// own setting, or of the only one there is. With several other settings there is nothing to divide by.
    let private besideFull (settings: Settings) (runs: Placed list) : Placed -> string list * float =
        let place (run: Run) =
            let table = Settings.first settings run |> Setting.table
            run.Experiment.Task, run.Experiment.Level, run.Experiment.Seed, run.Device, table

        let full =
            runs
            |> List.map _.Run
            |> List.filter (fun run -> run.Experiment.Method = Tuned FullFineTuning && run.IsFinished)
            |> List.groupBy place
            |> dict

        let seconds (run: Run) = [ run.Id ], run.Timing.Total

        fun placed ->
            match full.TryGetValue(place placed.Run) with
            | true, [ only ] -> seconds only
            | true, several ->
                match
                    several
                    |> List.filter (fun run -> settings.Numbers run = settings.Numbers placed.Run)
                with
                | [ own ] -> seconds own
                | _ -> [], nan
            | _ -> [], nan

    /// Figure 1: a run's seconds divided by those of full fine-tuning with the same task, level and seed on the same device.
    let figure1In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        let placed = tuned runs
        let full = besideFull settings placed

        placed
        |> table placedName (fun placed -> [ taskTitle placed, placed.Run.Timing.Total / snd (full placed) ]) settings

    /// `figure1In` with the settings of these runs.
    let figure1 (runs: Run list) : Frame<RowKey, string> = figure1In (Settings.ofRuns runs) runs

    /// The mean speed-ups of §3.2: 1 - full fine-tuning's seconds / the mean seconds of the other techniques, for each
    /// seed, then the mean over seeds. A seed of which full fine-tuning is missing, or a technique that other seeds have,
    /// is left out, so that every mean is over the same techniques.
    let speedUpsIn (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        // Techniques at other places than their own belong to Table 2.
        let placed =
            tuned runs
            |> List.filter (fun placed ->
                placed.Run.IsFinished && placed.Run.Experiment.Placement = Placement.everywhere)

        let full = besideFull settings placed

        let ofLevel ((task: string, level), group: Placed list) =
            let others =
                group
                |> List.filter (fun placed ->
                    placed.Run.Experiment.Method <> Tuned FullFineTuning
                    && not (Double.IsNaN placed.Run.Timing.Total))

            // A technique with several settings: each setting is a row.
            let mark =
                let isOnce =
                    others
                    |> List.distinctBy (fun placed -> placed.Run.Experiment.Method, settings.Numbers placed.Run)
                    |> List.countBy _.Run.Experiment.Method
                    |> List.forall (snd >> (=) 1)

                if isOnce then
                    fun _ -> ""
                else
                    others |> List.map _.Run |> Settings.mark settings

            [
                for mark, others in others |> List.groupBy (fun placed -> mark placed.Run) do
                    let techniques = others |> List.distinctBy _.Run.Experiment.Method |> List.length

                    for _, seed in
                        others
                        |> List.groupBy (fun placed -> placed.Run.Experiment.Seed, placed.Run.Device) do
                        if seed.Length = techniques then
                            let key: RowKey = "full fine-tuning's speed-up" + mark, Level.text level
                            let fullIds, seconds = full seed.Head
                            let ids = fullIds @ (seed |> List.map _.Run.Id)
                            key, title task, (ids, 1.0 - seconds / (seed |> List.averageBy _.Run.Timing.Total))
            ]

        let groups =
            placed
            |> byTask
            |> List.groupBy (fun placed -> placed.Run.Experiment.Task, placed.Run.Experiment.Level)

        let values = groups |> List.collect ofLevel

        let rows =
            groups
            |> List.choose (fun ((_, level), _) -> level)
            |> List.distinct
            |> List.sortBy Level.rows
            |> List.collect (fun level ->
                match
                    values
                    |> List.map (fun (key, _, _) -> key)
                    |> List.filter (fun (_, at) -> at = Level.name level)
                    |> List.distinct
                with
                | [] -> [ "full fine-tuning's speed-up", Level.name level ]
                | keys -> List.sort keys)

        frameOf rows (groups |> List.map (fun ((task, _), _) -> title task) |> List.distinct) values

    /// `speedUpsIn` with the settings of these runs.
    let speedUps (runs: Run list) : Frame<RowKey, string> = speedUpsIn (Settings.ofRuns runs) runs

    /// The peak memory of each run, in MiB.
    let memoryIn (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        tuned runs
        |> table placedName (fun placed -> [ taskTitle placed, known (int placed.Run.PeakMemoryMiB) ]) settings

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
        let runs = runs |> Placed.ofRuns |> List.filter _.Run.IsFinished
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

    /// What a reader must know of a FLAN-T5 base: it has seen the published data.
    let seenBefore (runs: Run list) : string list =
        let isPublished (run: Run) =
            TaskDefinition.published
            |> List.exists (fun task -> task.Name = run.Experiment.Task)

        [
            if runs |> List.exists isPublished then
                "FLAN-T5 was itself trained on AG News, CoLA, E2E NLG and SAMSum: on a FLAN-T5 base these scores are not those of unseen tasks."
        ]

    /// What a reader must know beside the table: what FLAN-T5 has seen before, several settings, failed runs.
    let notes (runs: Run list) : string list =
        [
            yield! seenBefore runs
            yield! runs |> List.filter _.IsFinished |> Settings.ofRuns |> Settings.legend

            for run in runs do
                if not run.IsFinished then
                    $"failed: {run.Experiment.Task}, {Experiment.rowName run.Experiment}, seed {run.Experiment.Seed}: {run.Error}"
        ]

    /// Every table and figure that needs runs only: name, heading, how its numbers are written, function.
    let all: (string * string * NumberStyle * (Settings -> Run list -> Frame<RowKey, string>)) list =
        [
            "table1", "Table 1: score", Fixed 4, table1In
            "table2",
            "Table 2: score by place in the model",
            Fixed 4,
            (fun settings -> Placed.ofRuns >> table2In settings)
            "table3", "Table 3: trainable parameters", Plain 4, (fun _ -> Placed.ofRuns >> table3)
            "table4", "Table 4: epoch of convergence; seconds of run time", Plain 1, table4In
            "table5", "Table 5: score per 100,000 trainable parameters", Significant 4, table5In
            "table6", "Table 6: score per minute of run time", Significant 4, table6In
            "figure1", "Figure 1: run time relative to full fine-tuning", Fixed 2, figure1In
            "speedups", "§3.2: mean speed-up of full fine-tuning over the other techniques", Percent, speedUpsIn
            "memory", "Peak memory in MiB", Grouped, memoryIn
            "learning-curves", "Learning curves: score by number of training rows", Fixed 4, learningCurvesIn
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
