namespace Peft

/// How far a rerun of one configuration lands from the run before it, on one task and level.
type NoiseFloor =
    {
        Task: string
        Level: Level option
        Metric: string
        /// The standard deviation of one run's score among reruns of its configuration, pooled over configurations.
        Deviation: float
        /// Configurations with two runs or more.
        Configurations: int
        /// Their runs.
        Runs: int
    }

    /// Degrees of freedom of the deviation.
    member floor.Freedom: int = floor.Runs - floor.Configurations

    /// Two single runs of different configurations must differ by more than this to be told apart at 5 %, two-sided, where
    /// nothing but chance of training and rows drawn parts them: Student's quantile times the deviation of a difference.
    member floor.Detectable: float =
        Distribution.twoSidedQuantile 0.05 (Distribution.studentTail floor.Freedom)
        * floor.Deviation
        * sqrt 2.0

/// The noise of a rerun, from runs that are one configuration: other seeds of it, or reruns of the same seed that somebody else
/// made.
[<RequireQualifiedAccess>]
module NoiseFloor =
    /// What two runs share that are reruns of one another: all that decides their score but the seed and what it draws.
    let private configuration (settings: Settings) (run: Run) =
        Experiment.rowName run.Experiment, Method.text run.Experiment.Method, run.Experiment.Level, settings.Numbers run

    let private pooled (groups: Run list list) : float =
        let squares =
            groups
            |> List.map (fun runs ->
                float (runs.Length - 1)
                * Statistics.orderlessVariance (runs |> List.map _.Score |> Array.ofList))
            |> List.sort
            |> List.sum

        sqrt (squares / float (groups |> List.sumBy (fun runs -> runs.Length - 1)))

    /// The floors of finished runs, in the order of their first runs: one for each task, metric and level of each model, precision,
    /// limits, decoding and rows that has a configuration with several runs. Baselines, which train nothing, have no part.
    let ofRunsIn (settings: Settings) (runs: Run list) : NoiseFloor list =
        runs
        |> List.filter (fun run -> run.IsFinished && not (Method.isBaseline run.Experiment.Method))
        |> List.groupBy (fun run ->
            let setting = Settings.first settings run
            run.Experiment.Task, run.Metric, run.Experiment.Level, Setting.table setting, setting.DataVersion)
        |> List.choose (fun ((task, metric, level, _, _), runs) ->
            match
                runs
                |> List.groupBy (configuration settings)
                |> List.map snd
                |> List.filter (fun runs -> runs.Length > 1)
            with
            | [] -> None
            | groups ->
                Some
                    {
                        Task = task
                        Level = level
                        Metric = metric
                        Deviation = pooled groups
                        Configurations = groups.Length
                        Runs = groups |> List.sumBy List.length
                    })

    /// `ofRunsIn` with the settings of these runs.
    let ofRuns (runs: Run list) : NoiseFloor list =
        let finished = runs |> List.filter _.IsFinished

        if finished.IsEmpty then
            []
        else
            ofRunsIn (Settings.ofRuns finished) finished

    let private fixed4 (value: float) = NumberStyle.text (Fixed 4) value

    /// A floor in words that follow its task: `deviation 0.0120, so 0.0340 (8 configurations, 24 runs)`.
    let private figures (floor: NoiseFloor) : string =
        let configurations =
            if floor.Configurations = 1 then
                "1 configuration"
            else
                $"{floor.Configurations} configurations"

        $"{fixed4 floor.Detectable} (deviation of a rerun {fixed4 floor.Deviation}, from {floor.Runs} runs of {configurations})"

    /// A line for each level: by how much two single runs must differ to be told apart, task by task.
    let lines (title: string -> string) (floors: NoiseFloor list) : string list =
        floors
        |> List.groupBy _.Level
        |> List.sortBy (fst >> Option.map Level.rows)
        |> List.map (fun (level, floors) ->
            let told =
                floors
                |> List.map (fun floor -> $"{title floor.Task} {figures floor}")
                |> String.concat "; "

            let at =
                level
                |> Option.map (fun level -> $" at level {Level.name level}")
                |> Option.defaultValue ""

            $"Two single runs{at} must differ by this to be told apart from reruns of one configuration: {told}.")

    /// The runs that have these files of predictions beside their results, each with all results of its folder; nothing of a
    /// file that is no run's.
    let private folderOf (file: string) : (Run * Run list) option =
        let ending = ".predictions.jsonl"

        if not (file.EndsWith ending) then
            None
        else
            let stem = System.IO.Path.GetFileName file |> string
            let name = stem.Substring(0, stem.Length - ending.Length)

            let folder =
                match System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath file) with
                | null -> "."
                | folder -> folder

            if System.IO.File.Exists(System.IO.Path.Combine(folder, name + ".json")) then
                let runs, _ = Results.read folder

                runs
                |> List.tryFind (fun run -> run.Name = name)
                |> Option.map (fun run -> run, runs)
            else
                None

    /// The floors that hold for files of predictions: those of their runs' tasks and levels, from all results beside them.
    let ofPredictions (files: string list) : NoiseFloor list =
        files
        |> List.choose folderOf
        |> List.collect (fun (run, runs) ->
            runs
            |> List.filter (fun other ->
                other.Experiment.Task = run.Experiment.Task
                && other.Experiment.Level = run.Experiment.Level
                && other.Experiment.Model = run.Experiment.Model)
            |> ofRuns)
        |> List.distinct
