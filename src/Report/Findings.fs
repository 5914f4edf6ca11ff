namespace Peft.Reports

open Peft

/// The finished runs of one model, precision, limits and decoding: what stands in one table.
[<NoComparison; NoEquality>]
type SettingFindings =
    {
        /// In words; the model by its name.
        Setting: string
        /// "" for the first setting, then `-2`, `-3`, …: the end of the names of its tables and figures.
        Suffix: string
        /// The end of the titles of its tables and figures: the numbers of its settings where another table has others.
        Heading: string
        /// The settings of all runs.
        Numbered: Settings
        Runs: Run list
        Comparisons: Comparison list
        /// What could not be compared row by row, with the cause.
        NotCompared: string list
    }

/// Everything that a report is made of.
[<NoComparison; NoEquality>]
type Findings =
    {
        Folder: string
        /// Every readable result, failed runs included.
        Runs: Run list
        /// Their settings, with their numbers.
        Numbered: Settings
        Settings: SettingFindings list
        /// A line for each file that could not be read.
        Damaged: string list
    }

[<RequireQualifiedAccess>]
module Findings =
    /// Which version of its task's rows a comparison is of.
    let rowsOf (setting: SettingFindings) (comparison: Comparison) : int =
        let first = List.head comparison.Runs[0]
        let run = setting.Runs |> List.find (fun run -> run.Id = first)
        (Settings.first setting.Numbered run).DataVersion

    /// A task's heading, with the version of its rows where the setting has several.
    let titleOf (setting: SettingFindings) (task: string) (rows: int) : string =
        let versions =
            setting.Runs
            |> List.filter (fun run -> run.Experiment.Task = task)
            |> List.distinctBy (fun run -> (Settings.first setting.Numbered run).DataVersion)

        if versions.Length < 2 then
            Tables.title task
        else
            $"{Tables.title task}, rows version {rows}"

    /// A comparison's task as `titleOf` has it.
    let taskOf (setting: SettingFindings) (comparison: Comparison) : string =
        titleOf setting comparison.Task (rowsOf setting comparison)

    /// A comparison's task in file names, with the version of its rows where the setting has several.
    let fileWordOf (setting: SettingFindings) (comparison: Comparison) : string =
        if taskOf setting comparison = Tables.title comparison.Task then
            comparison.Task
        else
            $"{comparison.Task}-rows-{rowsOf setting comparison}"

    /// A line for each task and level of a setting that has too few techniques for a comparison.
    let private alone (numbered: Settings) (runs: Run list) : string list =
        [
            for (task, _), group in
                runs
                |> List.groupBy (fun run -> run.Experiment.Task, (Settings.first numbered run).DataVersion) do
                let baselines, tuned =
                    group |> List.partition (fun run -> Method.isBaseline run.Experiment.Method)

                let nameOf = Tables.nameIn numbered runs

                if tuned.IsEmpty then
                    let names = baselines |> List.map nameOf |> List.distinct |> String.concat " and "
                    $"{Tables.title task}: no technique was trained, only {names} ran."

                for level, group in tuned |> List.groupBy _.Experiment.Level do
                    let techniques = baselines @ group |> List.distinctBy nameOf

                    if techniques.Length = 1 then
                        $"{Tables.title task}, {Level.text level}: {nameOf group.Head} is the only technique; a comparison takes two."
        ]

    /// Reads a folder or file of results and compares its techniques, setting by setting. `UserError` where there is no result.
    let read (folder: string) : Findings =
        let runs, damaged = Results.read folder

        if runs.IsEmpty then
            match damaged with
            | [] -> userError $"{folder} holds no result file: name the folder that a sweep wrote."
            | first :: _ -> userError $"{folder} holds no readable result file: {first}"

        let numbered = Settings.ofRuns runs
        let groups = runs |> List.filter _.IsFinished |> Tables.bySetting

        let all = runs

        let ofSetting index (_, runs: Run list) =
            let comparisons, notCompared =
                if Results.isRunsFile folder then
                    [],
                    [
                        "a file of runs holds no predictions: make the report of the folder that a sweep wrote."
                    ]
                else
                    Comparison.allIn numbered folder runs

            let place (setting: SettingFindings) (comparison: Comparison) =
                Tables.taskOrder comparison.Task,
                comparison.Task,
                comparison.Level |> Option.map Level.rows |> Option.defaultValue 0,
                rowsOf setting comparison

            let unsorted =
                {
                    Setting =
                        Setting.table
                            { Settings.first numbered runs.Head with
                                Model = ModelNames.ofDigest all runs.Head.Experiment.Model
                            }
                    Suffix = if index = 0 then "" else $"-{index + 1}"
                    Heading =
                        if groups.Length < 2 then
                            ""
                        else
                            $" {Settings.numbersOf numbered runs |> Settings.words}"
                    Numbered = numbered
                    Runs = runs
                    Comparisons = comparisons
                    NotCompared = notCompared @ alone numbered runs
                }

            { unsorted with
                Comparisons = comparisons |> List.sortBy (place unsorted)
            }

        {
            Folder = folder
            Runs = runs
            Numbered = numbered
            Settings = groups |> List.mapi ofSetting
            Damaged = damaged
        }
