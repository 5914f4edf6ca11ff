namespace Peft

open System
open System.Globalization
open Deedle

/// Scores of one cell of a table: one for each seed.
type Cell =
    {
        Mean: float
        /// The sample standard deviation over seeds; nan for one seed.
        Deviation: float
        Seeds: int
    }

    /// Four decimals, and ± where there are several seeds.
    override cell.ToString() =
        let fixed' (value: float) = value.ToString("F4", CultureInfo.InvariantCulture)

        if cell.Seeds > 1 then
            $"{fixed' cell.Mean} ± {fixed' cell.Deviation}"
        else
            fixed' cell.Mean

/// The key of a row of Table 1: the technique or baseline, and the level ("" for a baseline).
type RowKey = string * string

/// One function for each table of the paper: a list of runs to a frame.
[<RequireQualifiedAccess>]
module Tables =
    let private taskOrder (name: string) =
        TaskDefinition.all
        |> List.tryFindIndex (fun task -> task.Name = name)
        |> Option.defaultValue Int32.MaxValue

    let private title (name: string) =
        TaskDefinition.all
        |> List.tryFind (fun task -> task.Name = name)
        |> Option.map _.Title
        |> Option.defaultValue name

    let private metricTitle (metric: string) =
        match metric with
        | "rougeL" -> "ROUGE-L"
        | "matthews" -> "MCC"
        | other -> other

    /// Each run's columns: the task's metric, and Matthews' correlation where there is one.
    let private columnsOf (run: Run) : (string * float) list =
        let task = title run.Experiment.Task

        [ run.Metric; "matthews" ]
        |> List.filter run.Scores.ContainsKey
        |> List.map (fun metric -> $"{task} ({metricTitle metric})", run.Scores[metric])

    let private methodOrder (method: Method) =
        match method with
        | ZeroShot -> 0
        | Majority -> 1
        | Tuned technique ->
            2 + (List.tryFindIndex ((=) technique) Technique.all |> Option.defaultValue Technique.all.Length)

    let private levelName (experiment: Experiment) =
        experiment.Level |> Option.map Level.name |> Option.defaultValue ""

    /// Baselines first, then level by level, the techniques in the paper's order.
    let private rowOrder (run: Run) =
        run.Experiment.Level |> Option.map Level.rows |> Option.defaultValue 0,
        methodOrder run.Experiment.Method,
        Method.text run.Experiment.Method

    /// A word for each training setting of a row that has several, so that they are never averaged.
    let private variants (runs: Run list) : Experiment -> string =
        let settings =
            runs
            |> List.groupBy (fun run -> Method.text run.Experiment.Method, run.Experiment.Level)
            |> List.map (fun (key, group) -> key, group |> List.map _.Experiment.Training |> List.distinct)
            |> dict

        fun experiment ->
            match settings[Method.text experiment.Method, experiment.Level] with
            | [ _ ] -> ""
            | several -> $" [setting {1 + List.findIndex ((=) experiment.Training) several}]"

    /// What must be equal for runs to stand in one table.
    let private settingOf (run: Run) =
        let experiment = run.Experiment
        $"model {experiment.Model}, {experiment.Precision}, inputs of {experiment.InputLimit} and targets of {experiment.TargetLimit} tokens, {experiment.Beams} beams"

    /// Runs by the setting they share, in words; a table is made of one setting.
    let bySetting (runs: Run list) : (string * Run list) list = runs |> List.groupBy settingOf

    let private cell (scores: float seq) : Cell =
        let scores = Array.ofSeq scores
        let mean = Array.average scores

        {
            Mean = mean
            Deviation =
                if scores.Length > 1 then
                    sqrt ((scores |> Array.sumBy (fun score -> (score - mean) ** 2.0)) / float (scores.Length - 1))
                else
                    nan
            Seeds = scores.Length
        }

    /// Where one seed has several results (another version of the data), the newest counts.
    let private newest (runs: Run list) : Run list =
        runs
        |> List.groupBy (fun run -> { run.Experiment with Data = "" })
        |> List.map (fun (_, group) -> group |> List.maxBy _.FinishedAt)

    let private ordered (runs: Run list) =
        let variant = variants runs

        let rows =
            runs
            |> List.sortBy rowOrder
            |> List.map (fun run -> Method.name run.Experiment.Method + variant run.Experiment, levelName run.Experiment)
            |> List.distinct

        let columns =
            runs
            |> List.sortBy (fun run -> taskOrder run.Experiment.Task, run.Experiment.Task)
            |> List.collect (columnsOf >> List.map fst)
            |> List.distinct

        rows, columns

    /// Table 1: the mean score over seeds of each technique at each level (rows) on each task (columns), with the
    /// baselines on top. The runs must be of one setting (`bySetting`); failed ones are left out.
    let table1 (runs: Run list) : Frame<RowKey, string> =
        let runs = runs |> List.filter _.IsFinished |> newest
        let variant = variants runs
        let rows, columns = ordered runs

        runs
        |> List.collect (fun run ->
            let key: RowKey = Method.name run.Experiment.Method + variant run.Experiment, levelName run.Experiment
            columnsOf run |> List.map (fun (column, score) -> {| Row = key; Column = column; Score = score |}))
        |> Frame.ofRecords
        |> Frame.pivotTable
            (fun _ row -> row.GetAs<RowKey> "Row")
            (fun _ row -> row.GetAs<string> "Column")
            (fun cells -> cells.GetColumn<float> "Score" |> Series.values |> cell)
        |> Frame.realignRows rows
        |> Frame.sliceCols columns

    /// The header and the rows of a frame of cells as text; what is missing is a dash.
    let private texts (frame: Frame<RowKey, string>) : string list list =
        let columns = List.ofSeq frame.ColumnKeys

        let row (key: RowKey) =
            let cells = frame.GetRow<Cell> key

            fst key
            :: snd key
            :: (columns
                |> List.map (fun column ->
                    match cells.TryGet column with
                    | OptionalValue.Present cell -> string cell
                    | OptionalValue.Missing -> "–"))

        ("technique" :: "level" :: columns) :: (frame.RowKeys |> Seq.map row |> List.ofSeq)

    let private widths (rows: string list list) =
        rows |> List.transpose |> List.map (List.map String.length >> List.max)

    /// Columns aligned with blanks: names to the left, numbers to the right.
    let toText (frame: Frame<RowKey, string>) : string =
        let rows = texts frame
        let widths = widths rows

        let line (row: string list) =
            List.zip row widths
            |> List.mapi (fun index (text, width) -> if index < 2 then text.PadRight width else text.PadLeft width)
            |> String.concat "  "
            |> _.TrimEnd()

        let rule = widths |> List.map (String.replicate >> (fun repeat -> repeat "─")) |> String.concat "  "
        line rows.Head :: rule :: List.map line rows.Tail |> String.concat "\n"

    /// A Markdown table.
    let toMarkdown (frame: Frame<RowKey, string>) : string =
        let rows = texts frame
        let line cells = "| " + String.concat " | " cells + " |"
        let rule = rows.Head |> List.mapi (fun index _ -> if index < 2 then "---" else "---:")
        line rows.Head :: line rule :: List.map line rows.Tail |> String.concat "\n"

    /// CSV with a column each for mean, standard deviation and number of seeds.
    let toCsv (frame: Frame<RowKey, string>) : string =
        let number (value: float) = if Double.IsNaN value then "" else value.ToString("R", CultureInfo.InvariantCulture)
        let quoted (text: string) = if text.IndexOfAny [| ','; '"'; '\n' |] >= 0 then "\"" + text.Replace("\"", "\"\"") + "\"" else text
        let columns = List.ofSeq frame.ColumnKeys
        let header = columns |> List.collect (fun column -> [ column; $"{column} sd"; $"{column} seeds" ])

        let row (key: RowKey) =
            let cells = frame.GetRow<Cell> key

            columns
            |> List.collect (fun column ->
                match cells.TryGet column with
                | OptionalValue.Present cell -> [ number cell.Mean; number cell.Deviation; string cell.Seeds ]
                | OptionalValue.Missing -> [ ""; ""; "" ])
            |> fun values -> fst key :: snd key :: values

        ("technique" :: "level" :: header) :: (frame.RowKeys |> Seq.map row |> List.ofSeq)
        |> List.map (List.map quoted >> String.concat ",")
        |> String.concat "\n"

    /// What a reader must know beside the table: what FLAN-T5 has seen before, failed runs.
    let notes (runs: Run list) : string list =
        let isPublished (run: Run) =
            TaskDefinition.published |> List.exists (fun task -> task.Name = run.Experiment.Task)

        [
            if runs |> List.exists isPublished then
                "FLAN-T5 was itself trained on AG News, CoLA, E2E NLG and SAMSum: on a FLAN-T5 base these scores are not those of unseen tasks."

            for run in runs do
                if not run.IsFinished then
                    $"failed: {run.Experiment.Task}, {Experiment.rowName run.Experiment}, seed {run.Experiment.Seed}: {run.Error}"
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
