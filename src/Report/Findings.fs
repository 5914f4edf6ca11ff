namespace Peft.Reports

open Peft

/// The finished runs of one setting (model, precision, limits, decoding): what stands in one table.
[<NoComparison>]
type SettingFindings =
    {
        /// In words.
        Setting: string
        /// "" for the first setting, then `-2`, `-3`, …: the end of the names of its tables and figures.
        Suffix: string
        Runs: Run list
        Comparisons: Comparison list
        /// What could not be compared row by row, with the cause.
        NotCompared: string list
    }

/// Everything that a report is made of.
[<NoComparison>]
type Findings =
    {
        Folder: string
        /// Every readable result, failed runs included.
        Runs: Run list
        Settings: SettingFindings list
        /// A line for each file that could not be read.
        Damaged: string list
    }

[<RequireQualifiedAccess>]
module Findings =
    /// Reads a folder of results and compares its techniques, setting by setting. `UserError` where there is no result.
    let read (folder: string) : Findings =
        let runs, damaged = Results.read folder

        if runs.IsEmpty then
            match damaged with
            | [] -> userError $"{folder} holds no result file: name the folder that a sweep wrote."
            | first :: _ -> userError $"{folder} holds no readable result file: {first}"

        let ofSetting index (setting, runs) =
            let comparisons, notCompared = Comparison.all folder runs

            let place (comparison: Comparison) =
                Tables.taskOrder comparison.Task,
                comparison.Task,
                comparison.Level |> Option.map Level.rows |> Option.defaultValue 0

            {
                Setting = setting
                Suffix = if index = 0 then "" else $"-{index + 1}"
                Runs = runs
                Comparisons = comparisons |> List.sortBy place
                NotCompared = notCompared
            }

        {
            Folder = folder
            Runs = runs
            Settings = runs |> List.filter _.IsFinished |> Tables.bySetting |> List.mapi ofSetting
            Damaged = damaged
        }
