namespace Peft

open System
open Deedle

/// Figure 1 and the speed-ups of §3.2: run time beside full fine-tuning's. Times of different settings are never set against
/// each other: what has no full fine-tuning of its own setting is missing.
[<RequireQualifiedAccess>]
module SpeedUps =
    /// The runs and seconds of full fine-tuning with the same task, level, seed and setting.
    let private besideFull (settings: Settings) (runs: Run list) : Run -> string list * float =
        let place (run: Run) =
            run.Experiment.Task, run.Experiment.Level, run.Experiment.Seed, settings.Numbers run

        let full =
            runs
            |> List.filter (fun run ->
                run.IsFinished
                && run.Experiment.Method = Tuned Full.technique
                && run.Experiment.Placement = Placement.everywhere)
            |> List.groupBy place
            |> dict

        fun run ->
            match full.TryGetValue(place run) with
            | true, [ own ] -> [ own.Id ], own.Timing.Total
            | _ -> [], nan

    /// Figure 1: a run's seconds divided by those of full fine-tuning with the same task, level, seed and setting.
    let figure1In (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        let full = besideFull settings runs

        Placed.ofRuns runs
        |> Tables.table
            Tables.isTuned
            Tables.placedName
            (fun placed -> [ Tables.taskTitle placed, placed.Run.Timing.Total / snd (full placed.Run) ])
            settings

    /// `figure1In` with the settings of these runs.
    let figure1 (runs: Run list) : Frame<RowKey, string> = figure1In (Settings.ofRuns runs) runs

    let private name = "full fine-tuning's speed-up"

    /// The speed-ups of each seed over the techniques of one task, level and setting. A seed without one of the techniques
    /// is left out, so that every mean is over the same techniques.
    let private ofSetting (full: Run -> string list * float) (key: RowKey) (others: Run list) =
        let techniques = others |> List.distinctBy _.Experiment.Method |> List.length

        [
            for _, seed in others |> List.groupBy _.Experiment.Seed do
                if seed.Length = techniques then
                    let fullIds, seconds = full seed.Head
                    let ids = fullIds @ (seed |> List.map _.Id)

                    key,
                    Tables.title seed.Head.Experiment.Task,
                    (ids, 1.0 - seconds / (seed |> List.averageBy _.Timing.Total))
        ]

    /// The rows of a level: a row each for the settings of its values, one where it has none.
    let private rowsOf (keys: RowKey list) (level: Level) : RowKey list =
        match keys |> List.filter (fun (_, at) -> at = Level.name level) |> List.distinct with
        | [] -> [ name, Level.name level ]
        | keys -> List.sort keys

    /// The mean speed-ups of §3.2: 1 - full fine-tuning's seconds / the mean seconds of the other techniques, for each
    /// seed, then the mean over seeds. A seed of which full fine-tuning is missing, or a technique that other seeds have,
    /// is left out.
    let speedUpsIn (settings: Settings) (runs: Run list) : Frame<RowKey, string> =
        let finished = runs |> List.filter _.IsFinished
        let mark = Settings.mark settings finished
        let full = besideFull settings finished

        let groups =
            finished
            // Techniques at other places than their own belong to Table 2.
            |> List.filter (fun run ->
                not (Method.isBaseline run.Experiment.Method)
                && run.Experiment.Placement = Placement.everywhere)
            |> List.sortBy (fun run -> Tables.taskOrder run.Experiment.Task, run.Experiment.Task)
            |> List.groupBy (fun run -> run.Experiment.Task, run.Experiment.Level)

        let values =
            [
                for (_, level), group in groups do
                    let others =
                        group
                        |> List.filter (fun run ->
                            run.Experiment.Method <> Tuned Full.technique
                            && not (Double.IsNaN run.Timing.Total))

                    for mark, others in others |> List.groupBy mark do
                        yield! ofSetting full (name + mark, Level.text level) others
            ]

        let rows =
            groups
            |> List.choose (fun ((_, level), _) -> level)
            |> List.distinct
            |> List.sortBy Level.rows
            |> List.collect (values |> List.map (fun (key, _, _) -> key) |> rowsOf)

        Tables.frameOf rows (groups |> List.map (fun ((task, _), _) -> Tables.title task) |> List.distinct) values

    /// `speedUpsIn` with the settings of these runs.
    let speedUps (runs: Run list) : Frame<RowKey, string> = speedUpsIn (Settings.ofRuns runs) runs
