namespace Peft

open System

/// Which of some runs can stand beside one another as evidence.
[<RequireQualifiedAccess>]
module internal UsableRuns =
    let private techniques (runs: Run list) : int =
        runs |> List.distinctBy _.Experiment.Method |> List.length

    /// The group that says most: the most techniques, then the most runs, then the newest one.
    let private fullest (groups: ('key * Run list) list) : 'key * Run list =
        groups
        |> List.sortBy fst
        |> List.maxBy (fun (_, runs) -> techniques runs, runs.Length, runs |> List.map _.FinishedAt |> List.max)

    let private count (runs: Run list) : string =
        if runs.Length = 1 then "1 run" else $"{runs.Length} runs"

    /// The runs of the setting with the most techniques, and in words those of the others. Which version of its task's rows
    /// a run has is not in it: each task has its own.
    let private ofOneSetting (settings: Settings) (runs: Run list) : Run list * string list =
        let groups =
            runs
            |> List.groupBy (fun run ->
                { Settings.first settings run with
                    DataVersion = 0
                })

        let chosen, found = fullest groups

        let words setting =
            Setting.parts
            |> List.filter (fun (_, part) -> groups |> List.distinctBy (fst >> part) |> List.length |> (<) 1)
            |> List.map (fun (heading, part) -> $"{heading} {part setting}")
            |> String.concat ", "

        let others =
            groups
            |> List.filter (fst >> (<>) chosen)
            |> List.sortBy fst
            |> List.map (fun (setting, runs) -> $"{count runs} of {words setting}")

        found,
        [
            if not others.IsEmpty then
                let names = String.Join("; ", others)
                $"Your runs are of {groups.Length} settings; only those of {words chosen} count here. Left out: {names}."
        ]

    /// Of one task's runs those of the version of its rows with the most techniques.
    let private ofOneVersion (settings: Settings) (task: string, runs: Run list) : Run list * string list =
        let version, found =
            runs
            |> List.groupBy (fun run -> (Settings.first settings run).DataVersion)
            |> fullest

        let others = runs |> List.except found

        found,
        [
            if not others.IsEmpty then
                $"Your runs on {Tables.title task} are of several versions of its rows; only those of version {version} count here. Left out: {count others}."
        ]

    /// The user's finished runs of a kind: of one setting, of one version of each task's rows, the newest of each seed; with
    /// what was left out. What differs in model, training, device or rows is never averaged.
    let choose (kind: TaskKind) (runs: Run list) : Run list * string list =
        let relevant =
            runs
            |> List.filter (fun run ->
                run.IsFinished
                && not (Method.isBaseline run.Experiment.Method)
                && run.Experiment.Placement = Placement.everywhere
                && Evidence.isOf kind run
                // Shares of the best score, and score per minute, are of scores of which more is better.
                && Metrics.worth run.Metric 1.0 > 0.0)

        if relevant.IsEmpty then
            [], []
        else
            let settings = Settings.ofRuns relevant
            let ofSetting, otherSettings = ofOneSetting settings relevant

            let ofVersion, otherVersions =
                ofSetting
                |> List.groupBy _.Experiment.Task
                |> List.sortBy fst
                |> List.map (ofOneVersion settings)
                |> List.unzip

            let found = List.concat ofVersion

            let newest =
                found
                |> List.groupBy (fun run ->
                    let experiment = run.Experiment
                    experiment.Task, experiment.Method, experiment.Level, experiment.Seed)
                |> List.map (fun (_, runs) -> runs |> List.maxBy (fun run -> run.FinishedAt, run.Id))

            let older = found.Length - newest.Length

            newest
            |> List.sortBy (fun run ->
                Method.text run.Experiment.Method, run.Experiment.Task, run.TrainRows, run.Experiment.Seed),
            [
                yield! otherSettings
                yield! List.concat otherVersions
                if older > 0 then
                    let runs = if older = 1 then "run is" else "runs are"
                    $"{older} of your {runs} left out: older results of the same seed."
            ]
