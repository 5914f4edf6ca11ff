namespace Peft.Reports

open System.IO
open Peft

/// Tables of runs: what was run, what finished, what failed and why.
[<RequireQualifiedAccess>]
module RunSheets =
    /// How many of the sweep's seeds each technique, level and task has: what is missing or failed shows here.
    let coverage (findings: Findings) : Sheet =
        let groups = Tables.bySetting findings.Runs

        let tasks =
            findings.Runs
            |> List.map _.Experiment.Task
            |> List.distinct
            |> List.sortBy (fun task -> Tables.taskOrder task, task)

        let cell (seeds: int) (runs: Run list) : SheetCell =
            let finished = runs |> List.filter _.IsFinished |> List.distinctBy _.Experiment.Seed

            match runs with
            | [] -> SheetCell.missing
            | _ ->
                {
                    Text = $"{finished.Length} of {seeds}"
                    Value = float finished.Length
                    Runs = runs |> List.map _.Id
                    IsMissing = finished.Length < seeds
                }

        let rows =
            [
                for index, (_, runs) in List.indexed groups do
                    let seeds = runs |> List.distinctBy _.Experiment.Seed |> List.length

                    for (name, level), group in
                        runs
                        |> List.sortBy Tables.rowOrder
                        |> List.groupBy (fun run -> Tables.nameOf run, run.Experiment.Level) do
                        [
                            SheetCell.words name
                            SheetCell.words (Level.text level)
                            if groups.Length > 1 then
                                SheetCell.number (Plain 0) [] (float (index + 1))
                            for task in tasks do
                                group |> List.filter (fun run -> run.Experiment.Task = task) |> cell seeds
                        ]
            ]

        { Sheet.create
              "coverage"
              "Finished seeds of each technique"
              "Of all seeds that any run of the setting has. What is incomplete is marked."
              [
                  Sheet.words "technique"
                  Sheet.words "level"
                  if groups.Length > 1 then
                      Sheet.number "setting"
                  for task in tasks do
                      Sheet.number (Tables.title task)
              ]
              rows with
            Csv =
                ([ "technique"; "level" ]
                 @ (if groups.Length > 1 then [ "setting" ] else [])
                 @ List.map Tables.title tasks)
                :: List.map (List.map (fun (cell: SheetCell) -> cell.Text)) rows
        }

    /// The name of a run's result file.
    let fileOf (run: Run) : string =
        match Path.GetFileName(Run.path "" run.Experiment) with
        | null -> ""
        | name -> name

    /// Every finished run.
    let runs (findings: Findings) : Sheet =
        let row (run: Run) =
            let number style value = SheetCell.number style [ run.Id ] value

            [
                { SheetCell.words run.Id with
                    Runs = [ run.Id ]
                }
                SheetCell.words (Tables.title run.Experiment.Task)
                SheetCell.words (Tables.nameOf run)
                SheetCell.words (Level.text run.Experiment.Level)
                number (Plain 0) (float run.Experiment.Seed)
                number (Fixed 4) run.Score
                SheetCell.words run.Metric
                number
                    (Plain 0)
                    (if run.ConvergedEpoch > 0 then
                         float run.ConvergedEpoch
                     else
                         nan)
                number Grouped (float run.TrainableParameters)
                number (Fixed 1) run.Timing.Total
                number Grouped run.PeakMemoryMiB
                number Grouped (float run.TrainRows)
                number Grouped (float run.TestRows)
                SheetCell.words run.Device
                SheetCell.words run.FinishedAt
                SheetCell.words (fileOf run)
            ]

        Sheet.create
            "runs"
            "Every finished run"
            "One row for each result file."
            [
                Sheet.words "run"
                Sheet.words "task"
                Sheet.words "technique"
                Sheet.words "level"
                Sheet.number "seed"
                Sheet.number "score"
                Sheet.words "metric"
                Sheet.number "best epoch"
                Sheet.number "parameters"
                Sheet.number "seconds"
                Sheet.number "MiB"
                Sheet.number "training rows"
                Sheet.number "test rows"
                Sheet.words "device"
                Sheet.words "finished"
                Sheet.words "result file"
            ]
            (findings.Runs |> List.filter _.IsFinished |> List.map row)

    /// Every failed run with its reason.
    let failed (findings: Findings) : Sheet =
        let row (run: Run) =
            [
                { SheetCell.words run.Id with
                    Runs = [ run.Id ]
                }
                SheetCell.words (Tables.title run.Experiment.Task)
                SheetCell.words (Tables.nameOf run)
                SheetCell.words (Level.text run.Experiment.Level)
                SheetCell.number (Plain 0) [ run.Id ] (float run.Experiment.Seed)
                SheetCell.words run.Error
                SheetCell.words (fileOf run)
            ]

        Sheet.create
            "failed"
            "Failed runs"
            ""
            [
                Sheet.words "run"
                Sheet.words "task"
                Sheet.words "technique"
                Sheet.words "level"
                Sheet.number "seed"
                Sheet.words "reason"
                Sheet.words "result file"
            ]
            (findings.Runs |> List.filter (_.IsFinished >> not) |> List.map row)
