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
/// run gives is missing. Runs of different training, rows, source or device never share a cell: their rows say `[setting n]`, and
/// `notes` says what the settings are.
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

    /// The files that a run's rows came from: the same for every seed, unlike the counts after them.
    let private files (run: Run) =
        run.Source.Split "; "
        |> Array.filter (fun words ->
            [ "training"; "validation"; "testing" ]
            |> List.exists (fun use' -> words.EndsWith $" for {use'}"))
        |> String.concat "; "

    /// Which test rows a run has, as far as that does not depend on the seed.
    let private rowsOf (run: Run) = files run, run.TestRows

    /// What runs of a cell must have in common, beside model and decoding.
    let private settingOfRow (run: Run) =
        run.Experiment.Training, run.Device, rowsOf run

    let private sharesRow (placed: Placed) =
        placed.Placement, Method.text placed.Run.Experiment.Method, placed.Run.Experiment.Level

    let private sharesCell (placed: Placed) =
        sharesRow placed, placed.Run.Experiment.Task

    /// The number of a run's setting within its row, from 1, and how many the row has. Training and device count across
    /// the row; files and test rows count within a cell, since every task has its own.
    let private settings (runs: Placed list) : Placed -> int * int =
        let ofCells =
            runs
            |> List.groupBy sharesCell
            |> List.map (fun (key, group) ->
                key,
                group
                |> List.map (fun placed -> rowsOf placed.Run)
                |> List.distinct
                |> List.sort)
            |> dict

        let identity placed =
            let run = placed.Run
            run.Experiment.Training, run.Device, List.findIndex ((=) (rowsOf run)) ofCells[sharesCell placed]

        let ofRows =
            runs
            |> List.groupBy sharesRow
            |> List.map (fun (key, group) -> key, group |> List.map identity |> List.distinct |> List.sort)
            |> dict

        fun placed ->
            let known = ofRows[sharesRow placed]
            1 + List.findIndex ((=) (identity placed)) known, known.Length

    /// A word for each setting of a row that has several, so that they are never averaged.
    let private variants (runs: Placed list) : Placed -> string =
        let settings = settings runs

        fun placed ->
            match settings placed with
            | _, 1 -> ""
            | number, _ -> $" [setting {number}]"

    /// What must be equal for runs to stand in one table.
    let private settingOf (run: Run) =
        let experiment = run.Experiment

        [
            $"model {experiment.Model}"
            if experiment.Precision <> "" then
                experiment.Precision
            if experiment.InputLimit > 0 then
                $"inputs of {experiment.InputLimit} and targets of {experiment.TargetLimit} tokens"
            if experiment.Beams > 0 then
                if experiment.Beams = 1 then
                    "greedy"
                else
                    $"{experiment.Beams} beams"
        ]
        |> String.concat ", "

    /// Runs by the setting they share, in words; a table is made of one setting.
    let bySetting (runs: Run list) : (string * Run list) list =
        runs |> List.groupBy settingOf |> List.sortBy fst

    /// Where one seed has several results (another version of the rows), the newest counts.
    let private newest (runs: Placed list) : Placed list =
        runs
        |> List.groupBy (fun placed ->
            placed.Placement, { placed.Run.Experiment with Data = "" }, settingOfRow placed.Run)
        |> List.map (fun (_, group) -> group |> List.maxBy (fun placed -> placed.Run.FinishedAt, placed.Run.Id))

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
        (runs: Placed list)
        : Frame<RowKey, string> =
        let runs = runs |> List.filter _.Run.IsFinished |> newest
        let variant = variants runs

        let key placed : RowKey =
            name placed + variant placed, levelName placed.Run.Experiment

        let rows =
            runs
            |> List.sortBy (fun placed -> rowOrder placed.Run)
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

    /// Table 1: the mean score over seeds of each technique at each level (rows) on each task (columns), with the
    /// baselines on top. The runs must be of one setting (`bySetting`); failed ones are left out.
    let table1 (runs: Run list) : Frame<RowKey, string> =
        runs |> Placed.ofRuns |> table placedName scores

    /// Table 2: the score of each technique at each place in the model (rows: `lora, later layers`) on each task.
    let table2 (runs: Placed list) : Frame<RowKey, string> =
        runs
        |> List.filter isTuned
        |> table (fun placed -> $"{methodName placed}, {placed.Placement}") (fun placed ->
            [ scoreColumn placed, placed.Run.Score ])

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
    let table4 (runs: Run list) : Frame<RowKey, string> =
        tuned runs
        |> table placedName (fun placed ->
            [
                $"{taskTitle placed} (epoch)", known placed.Run.ConvergedEpoch
                $"{taskTitle placed} (s)", placed.Run.Timing.Total
            ])

    /// Table 5: score per 100,000 trainable parameters.
    let table5 (runs: Run list) : Frame<RowKey, string> =
        tuned runs
        |> table placedName (fun placed ->
            let run = placed.Run

            [
                taskTitle placed,
                if run.TrainableParameters > 0L then
                    run.Score / (float run.TrainableParameters / 1e5)
                else
                    nan
            ])

    let private perMinute (run: Run) =
        if run.Timing.Total > 0.0 then
            run.Score / (run.Timing.Total / 60.0)
        else
            nan

    /// Table 6: score per minute of run time.
    let table6 (runs: Run list) : Frame<RowKey, string> =
        tuned runs
        |> table placedName (fun placed -> [ taskTitle placed, perMinute placed.Run ])

    /// Seconds of each run by task and level, and of full fine-tuning with the same seed on the same device. With several
    /// settings of full fine-tuning at one task, level and seed there is nothing to divide by.
    let private besideFull (runs: Placed list) : Placed -> string list * float =
        let place (run: Run) =
            run.Experiment.Task, run.Experiment.Level, run.Experiment.Seed, run.Device, settingOf run

        let full =
            runs
            |> List.filter (fun placed -> placed.Run.Experiment.Method = Tuned FullFineTuning && placed.Run.IsFinished)
            |> newest
            |> List.groupBy (fun placed -> place placed.Run)
            |> List.choose (fun (place, group) ->
                match group with
                | [ only ] -> Some(place, ([ only.Run.Id ], only.Run.Timing.Total))
                | _ -> None)
            |> dict

        fun placed ->
            match full.TryGetValue(place placed.Run) with
            | true, found -> found
            | _ -> [], nan

    /// Figure 1: a run's seconds divided by those of full fine-tuning with the same task, level and seed on the same device.
    let figure1 (runs: Run list) : Frame<RowKey, string> =
        let placed = tuned runs
        let full = besideFull placed

        placed
        |> table placedName (fun placed -> [ taskTitle placed, placed.Run.Timing.Total / snd (full placed) ])

    /// The mean speed-ups of §3.2: 1 - full fine-tuning's seconds / the mean seconds of the other techniques, for each
    /// seed, then the mean over seeds. A seed of which full fine-tuning is missing, or a technique that other seeds have,
    /// is left out, so that every mean is over the same techniques.
    let speedUps (runs: Run list) : Frame<RowKey, string> =
        // Techniques at other places than their own belong to Table 2.
        let placed =
            tuned runs
            |> List.filter (fun placed ->
                placed.Run.IsFinished && placed.Run.Experiment.Placement = Placement.everywhere)
            |> newest

        let full = besideFull placed

        let ofLevel ((task: string, level), group: Placed list) =
            let others =
                group
                |> List.filter (fun placed ->
                    placed.Run.Experiment.Method <> Tuned FullFineTuning
                    && not (Double.IsNaN placed.Run.Timing.Total))

            let identity placed =
                Method.text placed.Run.Experiment.Method, placed.Run.Experiment.Training

            let techniques = others |> List.map identity |> List.distinct |> List.length

            others
            |> List.groupBy (fun placed -> placed.Run.Experiment.Seed, placed.Run.Device)
            |> List.filter (fun (_, seed) -> seed.Length = techniques)
            |> List.map (fun (_, seed) ->
                let key: RowKey = "full fine-tuning's speed-up", Level.text level

                let fullIds, seconds = full seed.Head
                let ids = fullIds @ (seed |> List.map _.Run.Id)
                key, title task, (ids, 1.0 - seconds / (seed |> List.averageBy _.Run.Timing.Total)))

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
            |> List.map (fun level -> "full fine-tuning's speed-up", Level.name level)

        frameOf rows (groups |> List.map (fun ((task, _), _) -> title task) |> List.distinct) values

    /// The peak memory of each run, in MiB.
    let memory (runs: Run list) : Frame<RowKey, string> =
        tuned runs
        |> table placedName (fun placed -> [ taskTitle placed, known (int placed.Run.PeakMemoryMiB) ])

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
    let learningCurves (runs: Run list) : Frame<RowKey, string> =
        let runs = runs |> Placed.ofRuns |> List.filter _.Run.IsFinished |> newest
        let variant = variants runs

        let key placed : RowKey =
            placedName placed + variant placed, $"{placed.Run.TrainRows:N0}{rowsWord}"

        let rows =
            runs
            |> List.sortBy (fun placed ->
                methodOrder placed.Run.Experiment.Method, placedName placed, placed.Run.TrainRows)
            |> List.map key
            |> List.distinct

        runs
        |> List.map (fun placed -> key placed, scoreColumn placed, ([ placed.Run.Id ], placed.Run.Score))
        |> frameOf rows (runs |> byTask |> List.map scoreColumn |> List.distinct)

    /// Columns aligned with blanks, scores with four decimals.
    let toText (frame: Frame<RowKey, string>) : string = Render.toText (Fixed 4) frame

    /// A Markdown table, scores with four decimals.
    let toMarkdown (frame: Frame<RowKey, string>) : string = Render.toMarkdown (Fixed 4) frame

    /// CSV with a column each for mean, standard deviation and number of seeds.
    let toCsv (frame: Frame<RowKey, string>) : string = Render.toCsv frame

    let private settingNotes (runs: Run list) : string list =
        let placed = runs |> Placed.ofRuns |> List.filter _.Run.IsFinished |> newest
        let settings = settings placed

        let note placed =
            let run = placed.Run
            let training = run.Experiment.Training

            $"{title run.Experiment.Task}, {Experiment.rowName run.Experiment} [setting {fst (settings placed)}]: at most {training.Epochs} epochs, batches of {training.BatchSize}, accumulation {training.Accumulation}, rates {training.InitialRate:g}, {training.PeakRate:g}, {training.FinalRate:g}, warm-up {training.WarmupShare:g}, weight decay {training.WeightDecay:g}, clip {training.ClipNorm:g}, dropout {training.Dropout:g}, patience {training.Patience}; {run.TestRows} test rows; on {run.Device}; {files run}"

        placed
        |> List.filter (fun placed -> snd (settings placed) > 1)
        |> List.sortBy (fun placed -> taskOrder placed.Run.Experiment.Task, rowOrder placed.Run, fst (settings placed))
        |> List.map note
        |> List.distinct

    /// What a reader must know beside the table: what FLAN-T5 has seen before, several settings, failed runs.
    let notes (runs: Run list) : string list =
        let isPublished (run: Run) =
            TaskDefinition.published
            |> List.exists (fun task -> task.Name = run.Experiment.Task)

        [
            if runs |> List.exists isPublished then
                "FLAN-T5 was itself trained on AG News, CoLA, E2E NLG and SAMSum: on a FLAN-T5 base these scores are not those of unseen tasks."

            for _, runs in bySetting runs do
                yield! settingNotes runs

            for run in runs do
                if not run.IsFinished then
                    $"failed: {run.Experiment.Task}, {Experiment.rowName run.Experiment}, seed {run.Experiment.Seed}: {run.Error}"
        ]

    /// Every table and figure that needs runs only: name, heading, how its numbers are written, function.
    let all: (string * string * NumberStyle * (Run list -> Frame<RowKey, string>)) list =
        [
            "table1", "Table 1: score", Fixed 4, table1
            "table2", "Table 2: score by place in the model", Fixed 4, (Placed.ofRuns >> table2)
            "table3", "Table 3: trainable parameters", Plain 4, (Placed.ofRuns >> table3)
            "table4", "Table 4: epoch of convergence; seconds of run time", Plain 1, table4
            "table5", "Table 5: score per 100,000 trainable parameters", Significant 4, table5
            "table6", "Table 6: score per minute of run time", Significant 4, table6
            "figure1", "Figure 1: run time relative to full fine-tuning", Fixed 2, figure1
            "speedups", "§3.2: mean speed-up of full fine-tuning over the other techniques", Percent, speedUps
            "memory", "Peak memory in MiB", Grouped, memory
            "learning-curves", "Learning curves: score by number of training rows", Fixed 4, learningCurves
        ]

    /// Table 1 of every setting among the runs, with its notes, as text for people.
    let describe (runs: Run list) : string =
        let tables =
            match runs |> List.filter _.IsFinished |> bySetting with
            | [] -> [ "No run has finished." ]
            | settings ->
                settings
                |> List.map (fun (setting, runs) -> $"Table 1 ({setting})\n\n{toText (table1 runs)}")

        String.concat "\n\n" (tables @ (notes runs |> List.map (fun note -> $"Note: {note}")))
