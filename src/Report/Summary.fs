namespace Peft.Reports

open System
open Peft

/// What a report says in words.
[<RequireQualifiedAccess>]
module Summary =
    let private words (items: string seq) = String.Join(", ", items)

    let private plural (count: int) (noun: string) =
        if count = 1 then $"1 {noun}" else $"{count} {noun}s"

    let private finished (findings: Findings) =
        findings.Runs |> List.filter _.IsFinished

    let private tasks (findings: Findings) =
        findings.Runs
        |> List.map _.Experiment.Task
        |> List.distinct
        |> List.sortBy (fun task -> Tables.taskOrder task, task)
        |> List.map Tables.title

    let private techniques (findings: Findings) =
        findings.Runs
        |> List.sortBy Tables.rowOrder
        |> List.map Tables.nameOf
        |> List.distinct

    let private levels (findings: Findings) =
        findings.Runs
        |> List.choose _.Experiment.Level
        |> List.distinct
        |> List.sortBy Level.rows

    let private duration (seconds: float) =
        if seconds < 120.0 then $"{seconds:F0} s"
        elif seconds < 7200.0 then $"{seconds / 60.0:F0} min"
        else $"{seconds / 3600.0:F1} h"

    /// What was run, in a sentence.
    let sentence (findings: Findings) : string =
        let tasks, techniques = tasks findings, techniques findings
        let seeds = findings.Runs |> List.distinctBy _.Experiment.Seed |> List.length
        let failed = findings.Runs.Length - (finished findings).Length

        let outcome =
            if failed = 0 then
                "all of them finished"
            else
                $"{failed} of them failed"

        let runs, techniques, tasks, seeds =
            plural findings.Runs.Length "run",
            plural techniques.Length "technique",
            plural tasks.Length "task",
            plural seeds "seed"

        $"{runs} of {techniques} on {tasks} with {seeds}; {outcome}. Point at a number to see how many result files it comes from; press it to see them."

    /// Names and values for the head of a report.
    let facts (findings: Findings) : (string * string) list =
        let finished = finished findings

        let seeds =
            findings.Runs |> List.map _.Experiment.Seed |> List.distinct |> List.sort

        let days =
            findings.Runs
            |> List.map (fun run -> run.FinishedAt.Split('T')[0])
            |> List.distinct
            |> List.sort

        [
            "Runs", $"{findings.Runs.Length} ({finished.Length} finished)"
            "Tasks", words (tasks findings)
            "Techniques", String.Join("; ", techniques findings)
            "Levels",
            levels findings
            |> List.map (fun level -> $"{Level.name level} ({Level.rows level:N0} rows)")
            |> words
            "Seeds", words (seeds |> List.map string)
            "Model", findings.Settings |> List.map _.Setting |> words
            "Device", findings.Runs |> List.map _.Device |> List.distinct |> words
            "Time", finished |> List.sumBy _.Timing.Total |> duration
            "When",
            (match days with
             | [] -> ""
             | [ day ] -> day
             | days -> $"{List.head days} to {List.last days}")
        ]
        |> List.filter (fun (_, value) -> value <> "")

    /// The digest of each model, for the small print.
    let digests (findings: Findings) : string =
        ModelNames.all findings.Runs
        |> List.map (fun (name, digest) -> $"{name} is {digest}")
        |> String.concat "; "
        |> fun told -> if told = "" then "" else $"Digest of the weights: {told}."

    /// What a reader must not overlook: unreadable files, failed runs, several settings, what could not be compared.
    let problems (findings: Findings) : string list =
        let failed = findings.Runs |> List.filter (_.IsFinished >> not)

        [
            for problem in findings.Damaged do
                $"Skipped: {problem}"
            if not failed.IsEmpty then
                let runs = plural failed.Length "run"
                $"{runs} failed; the reasons stand under Runs."
            match findings.Numbered.All.Length with
            | 0
            | 1 -> ()
            | count ->
                $"The runs have several settings ({count}): the table of settings says what they differ in, and names are followed by their numbers. Nothing is averaged over settings."
            for setting in findings.Settings do
                for cause in setting.NotCompared do
                    $"Not compared row by row{setting.Heading}: {cause}"

                for comparison in setting.Comparisons do
                    if not comparison.LeftOut.IsEmpty then
                        let level =
                            comparison.Level
                            |> Option.map (fun level -> $", {Level.name level}")
                            |> Option.defaultValue ""

                        let seeds = words (comparison.LeftOut |> List.map string)

                        let are =
                            if comparison.LeftOut.Length = 1 then
                                $"seed {seeds} is"
                            else
                                $"seeds {seeds} are"

                        $"{Findings.taskOf setting comparison}{level}{setting.Heading}: {are} left out of the comparison, which takes what every technique has."
        ]

    /// What `Tables.notes` says, but for settings, failed runs and baselines, which the page shows elsewhere.
    let notes (findings: Findings) : string list =
        let runs = finished findings
        RunNotes.rates Tables.title runs @ Tables.seenBefore runs

    /// A run's command as people type it: the recorded one begins with the subcommand.
    let private typed (command: string) =
        if command.StartsWith "sweep" || command.StartsWith "train" then
            "peft " + command
        else
            command

    /// Each command and how many runs it made.
    let commands (findings: Findings) : string list =
        findings.Runs
        |> List.countBy _.Command
        |> List.sortBy fst
        |> List.map (fun (command, count) -> typed command + "   # " + plural count "run")

    /// Versions that the result files state.
    let versions (findings: Findings) : string list =
        findings.Runs
        |> List.map (fun run ->
            run.Versions
            |> Seq.map (fun pair -> $"{pair.Key} {pair.Value}")
            |> Seq.sort
            |> words)
        |> List.countBy id
        |> List.map (fun (versions, count) -> versions + " (" + plural count "run" + ")")

    /// Where each task's rows came from and what they have in common.
    let sources (findings: Findings) : string list =
        let versions = findings.Numbered.All |> List.distinctBy _.DataVersion |> List.length

        let version (run: Run) =
            if versions < 2 then
                ""
            else
                $", rows version {(Settings.first findings.Numbered run).DataVersion}"

        finished findings
        |> List.map (fun run ->
            let facts =
                Option.toList (Option.map SplitSource.describe run.Source)
                @ Option.toList (Option.map Overlap.describe run.Overlap)
                |> String.concat "; "

            Tables.taskOrder run.Experiment.Task, $"{Tables.title run.Experiment.Task}{version run}: {facts}")
        |> List.distinct
        |> List.sort
        |> List.map snd

    /// How the numbers were made.
    let methods: string list =
        [
            "Means over seeds with the sample standard deviation (n - 1). With several seeds, the 95 % interval of a mean and the paired test of two techniques are over other test rows and other seeds: the variances over rows and over seeds added, as resampling both gives (Owen 2007), against Student's distributions of the two, weighted by the variances. A seed trains both techniques on the same rows, so what it does to both is taken out. How far seeds part two techniques is estimated from all techniques of a comparison, or from the two where that is more."
            $"With one seed they hold for that trained model and other test rows only: Wilson's interval and McNemar's exact test for right and wrong; for scores in between the percentile bootstrap of the rows, {Comparison.resamples:N0} resamples, and the paired permutation test, exact up to {RowTests.exactRows} rows that differ. Holm's correction within a task and level, over all pairs of techniques: which one is the best is found from the same data."
            $"A Pareto front's probability: how often a technique is on it when test rows and seeds, with their seconds and memory, are drawn again, {Comparison.resamples:N0} times, and parameters stay. The draws have a fixed seed: the same files give the same report."
            "Runs of different model, precision, token limits or decoding never share a table; runs of different training, rows or device never share a cell: names are followed by the setting's number, as [2]."
        ]
