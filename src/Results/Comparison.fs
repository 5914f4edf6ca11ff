namespace Peft

open System
open System.IO
open System.Text.Json

/// The predictions of several runs on the same test rows.
[<NoComparison>]
type Joined =
    {
        Runs: Run[]
        /// Input and target of each test row.
        Rows: (string * string)[]
        /// By run, then by row.
        Predictions: string[][]
        /// By run, then by row.
        Scores: float[][]
    }

/// Techniques on the same test rows, over every seed that all of them have.
[<NoComparison>]
type Comparison =
    {
        Task: string
        Level: Level option
        /// In the order of `Scores`.
        Methods: string[]
        /// The ids of each technique's runs, in the order of `Seeds`.
        Runs: string list[]
        /// By technique, then by distinct test row: the mean over the seeds whose test rows include it. Rows, not pairs of
        /// row and seed, are what is drawn at random.
        Scores: float[][]
        Seeds: int list
        /// Seeds left out because a technique lacks them.
        LeftOut: int list
        /// The share of rows answered differently, the mean over seeds.
        Disagreement: float[,]
        Standings: BesideBest[]
        /// What each technique costs: trainable parameters, seconds, peak MiB; means over seeds.
        Costs: float[][]
        /// Whether it is on the front of score and costs, and how probable that is under resampling of rows.
        OnFront: bool[]
        FrontProbability: float[]
    }

[<RequireQualifiedAccess>]
module Predictions =
    /// Reads a predictions file; `UserError` names the line that is none.
    let read (path: string) : Prediction[] =
        if not (File.Exists path) then
            userError
                $"{path} does not exist: the result has no predictions beside it. Run the experiment again, or leave its result file out."

        let parse number (line: string) =
            let refuse (cause: string) =
                userError $"{path}, line {number + 1}, is no prediction: {cause}."

            try
                match JsonSerializer.Deserialize<Prediction>(line, Json.options) with
                | null -> refuse "it is null"
                | prediction -> prediction
            with :? JsonException as error ->
                refuse (error.Message.ReplaceLineEndings(" ").TrimEnd '.')

        try
            File.ReadAllLines path |> Array.mapi parse
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"{path} cannot be read: {error.Message}"

    let private name (run: Run) =
        $"{Experiment.rowName run.Experiment}, seed {run.Experiment.Seed}"

    /// Checks that the predictions answer the same rows as the first run's.
    let private checkRows (firstRun: Run) (first: Prediction[]) (run: Run) (predictions: Prediction[]) =
        if predictions.Length <> first.Length then
            userError
                $"{name run} has {predictions.Length} predictions and {name firstRun} has {first.Length}: they were tested on different rows and cannot be compared row by row."

        let isSame (left: Prediction) (right: Prediction) =
            left.Input = right.Input && left.Target = right.Target

        match
            Seq.zip first predictions
            |> Seq.tryFindIndex (fun (left, right) -> not (isSame left right))
        with
        | Some row ->
            let cause =
                if run.Experiment.Data = firstRun.Experiment.Data then
                    "though the results name the same split, so a predictions file was changed"
                else
                    "so they were tested on different rows and cannot be compared row by row"

            userError $"{name run} and {name firstRun} differ in the input or target of test row {row}, {cause}."
        | None -> ()

    /// Joins the predictions of runs of one task that were tested on the same rows in the same order; `UserError` where the
    /// rows are not the same or a file is missing.
    let join (results: string) (runs: Run list) : Joined =
        match runs with
        | [] -> userError "There is no run to compare."
        | first :: _ ->
            match runs |> List.tryFind (fun run -> run.Experiment.Task <> first.Experiment.Task) with
            | Some other ->
                userError
                    $"{first.Experiment.Task} and {other.Experiment.Task} are different tasks: their runs cannot be compared row by row."
            | None -> ()

            match runs |> List.tryFind (fun run -> not run.IsFinished) with
            | Some failed -> userError $"{name failed} has failed: it has no predictions to compare."
            | None -> ()

            let predictions =
                runs
                |> List.map (fun run -> read (Run.predictionsPath results run.Experiment))
                |> Array.ofList

            if predictions[0].Length = 0 then
                userError $"{name first} has no predictions: its file is empty."

            List.iteri (fun place run -> checkRows first predictions[0] run predictions[place]) runs

            {
                Runs = Array.ofList runs
                Rows =
                    predictions[0]
                    |> Array.map (fun prediction -> prediction.Input, prediction.Target)
                Predictions = predictions |> Array.map (Array.map _.Prediction)
                Scores = predictions |> Array.map (Array.map _.Score)
            }

[<RequireQualifiedAccess>]
module Comparison =
    /// Draws of every bootstrap.
    let resamples = 2_000

    let private seed = 1UL

    /// A test row's identity over seeds: its texts, and which of equal rows it is.
    let private identities (joined: Joined) : ((string * string) * int)[] =
        let seen = Collections.Generic.Dictionary<string * string, int>()

        joined.Rows
        |> Array.map (fun row ->
            let times =
                match seen.TryGetValue row with
                | true, times -> times
                | _ -> 0

            seen[row] <- times + 1
            row, times)

    let private poolRows (joined: Joined list) (technique: int) : float[] =
        joined
        |> Seq.collect (fun joined -> Seq.zip (identities joined) joined.Scores[technique])
        |> Seq.groupBy fst
        |> Seq.sortBy fst
        |> Seq.map (fun (_, scores) -> scores |> Seq.averageBy snd)
        |> Array.ofSeq

    let private meanMatrix (matrices: float[,] list) : float[,] =
        matrices.Head
        |> Array2D.mapi (fun left right _ -> matrices |> List.averageBy (fun matrix -> matrix[left, right]))

    /// Compares techniques on their common test rows. `runs` are of one task, one version of its rows, one level (baselines
    /// may join) and one model; a technique has at most one run a seed with each setting. They are named among `shown`.
    let private ofRunsIn (settings: Settings) (shown: Run list) (results: string) (runs: Run list) : Comparison =
        let nameOf = Tables.nameIn settings shown
        let runs = runs |> List.filter _.IsFinished

        if runs.IsEmpty then
            userError "There is no finished run to compare."

        match runs |> List.choose _.Experiment.Level |> List.distinct with
        | first :: second :: _ ->
            userError $"{Level.name first} and {Level.name second} are different levels: compare the runs of one level."
        | _ -> ()

        let byMethod =
            runs
            |> List.groupBy nameOf
            |> List.sortBy (fun (_, runs) ->
                Tables.methodOrder runs.Head.Experiment.Method, Tables.nameOf runs.Head, settings.Numbers runs.Head)

        for method, runs in byMethod do
            match
                runs
                |> List.countBy _.Experiment.Seed
                |> List.tryFind (fun (_, count) -> count > 1)
            with
            | Some(seed, count) ->
                userError
                    $"{method} has {count} runs with seed {seed}, of different test rows: compare the runs of one version of the data."
            | None -> ()

        let seedsOf (runs: Run list) =
            runs |> List.map _.Experiment.Seed |> Set.ofList

        let all = byMethod |> List.map (snd >> seedsOf)
        let seeds = Set.intersectMany all

        if seeds.IsEmpty then
            userError "The techniques have no seed in common: there are no rows that all of them answered."

        let joined =
            seeds
            |> Set.toList
            |> List.map (fun seed ->
                byMethod
                |> List.map (fun (_, runs) -> runs |> List.find (fun run -> run.Experiment.Seed = seed))
                |> Predictions.join results)

        let methods = byMethod |> List.map fst |> Array.ofList
        let scores = methods |> Array.mapi (fun technique _ -> poolRows joined technique)

        let costs =
            byMethod
            |> List.map (fun (_, runs) ->
                let runs = runs |> List.filter (fun run -> seeds.Contains run.Experiment.Seed)
                let mean (cost: Run -> float) = runs |> List.averageBy cost

                [|
                    mean (fun run -> float run.TrainableParameters)
                    mean _.Timing.Total
                    mean _.PeakMemoryMiB
                |])
            |> Array.ofList

        let means = scores |> Array.map (Array.sort >> Statistics.mean)

        {
            Task = runs.Head.Experiment.Task
            Level = runs |> List.tryPick _.Experiment.Level
            Methods = methods
            Runs =
                byMethod
                |> List.map (fun (_, runs) ->
                    runs
                    |> List.filter (fun run -> seeds.Contains run.Experiment.Seed)
                    |> List.sortBy _.Experiment.Seed
                    |> List.map _.Id)
                |> Array.ofList
            Scores = scores
            Seeds = Set.toList seeds
            LeftOut = Set.toList (Set.unionMany all - seeds)
            Disagreement =
                joined
                |> List.map (fun joined -> Statistics.disagreement joined.Predictions)
                |> meanMatrix
            Standings = Array.zip methods scores |> Statistics.tiedWithBest 0.05 resamples seed
            Costs = costs
            OnFront =
                Array.map2 (fun mean cost -> Array.append [| mean |] (Array.map (~-) cost)) means costs
                |> Statistics.paretoFront
            FrontProbability = Statistics.frontProbability resamples seed costs scores
        }

    /// `ofRunsIn` with the settings of these runs.
    let ofRuns (results: string) (runs: Run list) : Comparison =
        ofRunsIn (Settings.ofRuns runs) (runs |> List.filter _.IsFinished) results runs

    /// A comparison for each table of settings, task, version of its rows and level among finished runs that has two
    /// techniques or more, baselines standing beside every level; and what could not be compared, with the cause.
    let allIn (settings: Settings) (results: string) (runs: Run list) : Comparison list * string list =
        let groups =
            [
                for _, shown in runs |> List.filter _.IsFinished |> Tables.bySetting do
                    for _, runs in
                        shown
                        |> List.groupBy (fun run -> run.Experiment.Task, (Settings.first settings run).Rows) do
                        let baselines, tuned =
                            runs |> List.partition (fun run -> run.Experiment.Level.IsNone)

                        for _, tuned in tuned |> List.groupBy _.Experiment.Level do
                            shown, baselines @ tuned
            ]

        let compared =
            groups
            |> List.filter (fun (shown, runs) ->
                runs |> List.distinctBy (Tables.nameIn settings shown) |> List.length > 1)
            |> List.map (fun (shown, runs) ->
                try
                    Ok(ofRunsIn settings shown results runs)
                with UserError cause ->
                    let experiment = runs.Head.Experiment

                    let level =
                        runs
                        |> List.tryPick _.Experiment.Level
                        |> Option.map (fun level -> $", {Level.name level}")
                        |> Option.defaultValue ""

                    Error $"{Tables.title experiment.Task}{level}: {cause}")

        compared |> List.choose Result.toOption,
        compared
        |> List.choose (function
            | Ok _ -> None
            | Error cause -> Some cause)

    /// `allIn` with the settings of these runs.
    let all (results: string) (runs: Run list) : Comparison list * string list =
        allIn (runs |> List.filter _.IsFinished |> Settings.ofRuns) results runs

    /// What is tied with the best, as a mark for cells of Table 1: `*`, or "" for what is behind or not compared. A cell
    /// is the technique whose runs it was computed from.
    let marks (comparisons: Comparison list) : RowKey -> string -> Cell -> string =
        let tied =
            [
                for comparison in comparisons do
                    let level = Level.text comparison.Level

                    for runs, standing in Seq.zip comparison.Runs comparison.Standings do
                        if standing.IsTied then
                            level, runs
            ]

        fun (_, level) column cell ->
            let runs = set cell.Runs

            let isTied (at, ids: string list) =
                at = level && ids |> List.forall runs.Contains

            if not (column.EndsWith "(MCC)") && tied |> List.exists isTied then
                "*"
            else
                ""

    /// Table 1 of runs of one setting, with a mark for what is tied with the best technique of its level and task.
    let table1 (comparisons: Comparison list) (runs: Run list) : string =
        let table =
            Tables.table1 runs
            |> Render.marked (marks comparisons) (Fixed 4)
            |> Render.aligned 2

        $"{table}\n\n* tied with the best of its level and task: P of the paired test on the same test rows, after Holm's correction, is 0.05 or more."

    /// A comparison as text: each technique with its interval, its distance to the best, the mark of a tie, its costs and
    /// the front; then the disagreement.
    let describe (comparison: Comparison) : string =
        let number decimals value = NumberStyle.text (Fixed decimals) value

        let line place (standing: BesideBest) =
            let cost = comparison.Costs[place]

            [
                standing.Name
                number 4 standing.Mean
                $"{number 4 standing.Interval.Low} … {number 4 standing.Interval.High}"
                number 4 standing.ToBest
                number 3 standing.P
                if standing.IsTied then "tied" else ""
                NumberStyle.text Grouped cost[0]
                number 1 cost[1]
                NumberStyle.text Grouped cost[2]
                if comparison.OnFront[place] then "front" else ""
                number 2 comparison.FrontProbability[place]
            ]

        let header =
            [
                "technique"
                "score"
                "95 % interval"
                "to best"
                "P (Holm)"
                "with best"
                "parameters"
                "seconds"
                "MiB"
                "front"
                "P(front)"
            ]

        let table =
            header :: (comparison.Standings |> Array.mapi line |> List.ofArray)
            |> Render.aligned 1

        let disagreement =
            ("answers differ" :: List.ofArray comparison.Methods)
            :: [
                for left in 0 .. comparison.Methods.Length - 1 ->
                    comparison.Methods[left]
                    :: [
                        for right in 0 .. comparison.Methods.Length - 1 -> number 3 comparison.Disagreement[left, right]
                    ]
            ]
            |> Render.aligned 1

        let level =
            comparison.Level
            |> Option.map (fun level -> $", {Level.name level}")
            |> Option.defaultValue ""

        let seeds = String.Join(", ", comparison.Seeds)

        [
            $"{Tables.title comparison.Task}{level}: {comparison.Scores[0].Length} distinct test rows, seeds {seeds}"
            table
            disagreement
            if not comparison.LeftOut.IsEmpty then
                let left = String.Join(", ", comparison.LeftOut)
                $"Note: seeds {left} are left out, since not every technique has them."
        ]
        |> String.concat "\n\n"
