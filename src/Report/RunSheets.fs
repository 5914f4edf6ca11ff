namespace Peft.Reports

open Peft

/// Tables of runs: what was run, what finished, what failed and why.
[<RequireQualifiedAccess>]
module RunSheets =
    let private hasSeveral (findings: Findings) = findings.Numbered.All.Length > 1

    /// The numbers of a run's settings, where the folder has several.
    let private settingCell (findings: Findings) (run: Run) : SheetCell list =
        [
            if hasSeveral findings then
                findings.Numbered.Numbers run |> Settings.words |> SheetCell.words
        ]

    let private settingColumn (findings: Findings) : SheetColumn list =
        [
            if hasSeveral findings then
                Sheet.words "setting"
        ]

    /// The settings by their numbers, where there are several: what they differ in; the note says what they share.
    let settings (findings: Findings) : Sheet =
        let numbered = findings.Numbered
        let differing, shared = Settings.parts numbered

        /// What a part says; of a model its name and, since a table's cell is data, its digest.
        let told heading (words: string) =
            if heading = "model" && words <> "" then
                $"{ModelNames.ofDigest findings.Runs words} ({words})"
            else
                words

        let row place setting =
            let runs =
                findings.Runs
                |> List.filter (fun run -> numbered.Numbers run |> List.contains (place + 1))

            [
                SheetCell.words (Settings.words [ place + 1 ])
                for heading, part in differing do
                    match part setting |> told heading with
                    | "" -> SheetCell.missing
                    | words -> SheetCell.words words
                runs
                |> List.sortBy Tables.rowOrder
                |> List.map Tables.nameOf
                |> List.distinct
                |> String.concat "; "
                |> SheetCell.words
                SheetCell.number (Plain 0) (runs |> List.map _.Id) (float runs.Length)
            ]

        let note =
            shared
            |> List.map (fun (heading, part) -> heading, numbered.All |> List.map part |> List.head |> told heading)
            |> List.filter (fun (_, words) -> words <> "")
            |> List.map (fun (heading, words) -> $"{heading} {words}")
            |> String.concat "; "

        Sheet.create
            "settings"
            "Settings"
            $"Tables, figures and predictions name these by their numbers; nothing is averaged over them. A baseline stands for all settings that differ in training only. All share: {note}."
            [
                Sheet.words "setting"
                for heading, _ in differing do
                    Sheet.words heading
                Sheet.words "techniques"
                Sheet.number "runs"
            ]
            (if hasSeveral findings then
                 List.mapi row numbered.All
             else
                 [])

    /// How many of the sweep's seeds each technique, level and task has: what is missing or failed shows here.
    let coverage (findings: Findings) : Sheet =
        let numbers = findings.Numbered.Numbers

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

        /// How many seeds the settings have.
        let seedsOf (own: int list) =
            findings.Runs
            |> List.filter (fun run -> numbers run |> List.exists (fun number -> List.contains number own))
            |> List.distinctBy _.Experiment.Seed
            |> List.length

        let rows =
            [
                for _, runs in Tables.bySetting findings.Runs do
                    for (name, level, own), group in
                        runs
                        |> List.sortBy (fun run -> Tables.rowOrder run, numbers run)
                        |> List.groupBy (fun run -> Tables.nameOf run, run.Experiment.Level, numbers run) do
                        [
                            SheetCell.words name
                            SheetCell.words (Level.text level)
                            yield! settingCell findings group.Head
                            for task in tasks do
                                group
                                |> List.filter (fun run -> run.Experiment.Task = task)
                                |> cell (seedsOf own)
                        ]
            ]

        { Sheet.create
              "coverage"
              "Finished seeds of each technique"
              "Of all seeds that any run of the setting has. What is incomplete is marked."
              [
                  Sheet.words "technique"
                  Sheet.words "level"
                  yield! settingColumn findings
                  for task in tasks do
                      Sheet.number (Tables.title task)
              ]
              rows with
            Csv =
                ([ "technique"; "level" ]
                 @ (settingColumn findings |> List.map _.Heading)
                 @ List.map Tables.title tasks)
                :: List.map (List.map (fun (cell: SheetCell) -> cell.Text)) rows
        }

    /// The name of a run's result file.
    let fileOf (run: Run) : string = run.Name + ".json"

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
                yield! settingCell findings run
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
                yield! settingColumn findings
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
                yield! settingCell findings run
                SheetCell.number (Plain 0) [ run.Id ] (float run.Experiment.Seed)
                SheetCell.words (Printable.short 500 run.Error)
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
                yield! settingColumn findings
                Sheet.number "seed"
                Sheet.words "reason"
                Sheet.words "result file"
            ]
            (findings.Runs |> List.filter (_.IsFinished >> not) |> List.map row)
