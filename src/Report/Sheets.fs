namespace Peft.Reports

open Peft

/// The tables of a report.
[<RequireQualifiedAccess>]
module Sheets =
    let private hasPlaces (runs: Run list) =
        runs
        |> List.exists (fun run -> run.Experiment.Placement <> Placement.everywhere)

    let private hasCurves (runs: Run list) =
        runs |> List.choose _.Experiment.Level |> List.distinct |> List.length |> (<) 1

    /// Which of `AllTables.all` say something that Table 1 does not.
    let private isUseful (runs: Run list) (name: string) =
        match name with
        | "table2" -> hasPlaces runs
        | "learning-curves" -> hasCurves runs
        | _ -> true

    let private noteOf (name: string) =
        match name with
        | "table1" ->
            "Mean over seeds, ± sample standard deviation. * tied with the best of its level and task: P of the paired test on the same test rows, after Holm's correction, is 0.05 or more; cells of other seeds than those compared have no mark. Baselines, which stand for every level, have their marks in the comparison below."
        | "table3" -> "One figure a technique, whatever task, level or seed."
        | "speedups" ->
            "1 - full fine-tuning's seconds / the other techniques' mean seconds, for each seed; negative where full fine-tuning is slower."
        | "figure1" ->
            "Seconds divided by those of full fine-tuning with the same task, level, seed, setting and device."
        | _ -> "Mean over seeds, ± sample standard deviation."

    /// The paper's tables and figures of one setting, as far as there are runs for them.
    let ofPaper (findings: SettingFindings) : Sheet list =
        [
            for name, title, style, make in AllTables.all do
                let frame = make findings.Numbered findings.Runs

                let mark: RowKey -> string -> Cell -> string =
                    if name = "table1" then
                        Comparison.marks findings.Comparisons
                    else
                        fun _ _ _ -> ""

                if frame.RowCount > 0 && isUseful findings.Runs name then
                    Sheet.ofFrame (name + findings.Suffix) (title + findings.Heading) (noteOf name) style mark frame
        ]

    /// Every table of a report that has a row.
    let all (findings: Findings) : Sheet list =
        [
            RunSheets.settings findings
            for setting in findings.Settings do
                ComparisonSheets.best setting
                yield! ofPaper setting
                ComparisonSheets.standings setting
                ComparisonSheets.noise setting
                yield! setting.Comparisons |> List.map (ComparisonSheets.disagreement setting)
            RunSheets.coverage findings
            RunSheets.runs findings
            RunSheets.failed findings
        ]
        |> List.filter (fun sheet -> not sheet.Rows.IsEmpty)
