namespace Peft.Reports

open System
open Peft

/// Where a technique stands on a task.
[<RequireQualifiedAccess>]
type Place =
    | Best
    /// Test rows and seeds do not tell it from the best.
    | Tied
    | Worse
    /// Nobody has tested it against the best row by row.
    | Untested

/// A technique on one task and level.
[<NoComparison>]
type AnswerEntry =
    {
        Name: string
        /// Whether it stands at some of its sites only: an ablation.
        IsVariant: bool
        Score: float
        /// 95 %; none where there is one run and nothing that says how it varies.
        Interval: Interval option
        Place: Place
        /// Trained elements.
        Parameters: float
        /// The ids of its runs.
        Runs: string list
    }

/// What the runs say of one task and level.
[<NoComparison>]
type TaskAnswer =
    {
        /// The task's heading.
        Task: string
        Level: Level option
        Metric: string
        Seeds: int
        TestRows: int
        /// Whether techniques were tested row by row; else intervals are over seeds.
        IsTested: bool
        /// The best first.
        Entries: AnswerEntry list
    }

/// The answer of each task and level, as data.
[<RequireQualifiedAccess>]
module TaskAnswer =
    let private bestFirst (metric: string) (entries: AnswerEntry list) =
        entries
        |> List.sortBy (fun entry -> -(Metrics.worth metric entry.Score), entry.Name)

    let private ofComparison
        (setting: SettingFindings)
        (variants: Map<string, string>)
        (comparison: Comparison)
        : TaskAnswer =
        let best =
            comparison.BesideBest |> Array.findIndex (fun standing -> standing.ToBest = 0.0)

        let entry place (standing: BesideBest) =
            {
                Name = standing.Name
                IsVariant = variants.ContainsKey standing.Name
                Score = standing.Mean
                Interval = Some standing.Interval
                Place =
                    if place = best then Place.Best
                    elif standing.IsTied then Place.Tied
                    else Place.Worse
                Parameters = comparison.Costs[place][0]
                Runs = comparison.Runs[place]
            }

        {
            Task = Findings.taskOf setting comparison
            Level = comparison.Level
            Metric = comparison.Metric
            Seeds = comparison.Seeds.Length
            TestRows = comparison.Scores[0].Length
            IsTested = true
            Entries =
                comparison.BesideBest
                |> Array.mapi entry
                |> List.ofArray
                |> List.sortBy (fun entry -> entry.Place <> Place.Best)
                |> fun entries -> entries.Head :: bestFirst comparison.Metric entries.Tail
        }

    /// Student's interval of the mean of some seeds; none of one.
    let private overSeeds (scores: float[]) : Interval option =
        if scores.Length < 2 then
            None
        else
            let reach =
                Distribution.twoSidedQuantile 0.05 (Distribution.studentTail (scores.Length - 1))

            let half = reach * Statistics.deviation scores / sqrt (float scores.Length)
            let mean = Statistics.mean scores

            Some
                {
                    Low = mean - half
                    High = mean + half
                }

    let private ofRuns
        (setting: SettingFindings)
        (variants: Map<string, string>)
        (task: string, level, runs: Run list)
        =
        let nameIn = Tables.nameIn setting.Numbered setting.Runs
        let metric = runs.Head.Metric

        let entry (name: string, runs: Run list) =
            let scores = runs |> List.map _.Score |> Array.ofList |> Array.sort

            {
                Name = name
                IsVariant = variants.ContainsKey name
                Score = Statistics.mean scores
                Interval = overSeeds scores
                Place = Place.Untested
                Parameters = runs |> List.averageBy (fun run -> float run.TrainableParameters)
                Runs = runs |> List.map _.Id
            }

        let entries = runs |> List.groupBy nameIn |> List.map entry |> bestFirst metric

        {
            Task = task
            Level = level
            Metric = metric
            Seeds = runs |> List.distinctBy _.Experiment.Seed |> List.length
            TestRows = runs.Head.TestRows
            IsTested = false
            Entries = { entries.Head with Place = Place.Best } :: entries.Tail
        }

    /// The answers of a setting, task by task and level by level. Baselines take part at every level; what was compared row by
    /// row says so, and of the rest the means are told.
    let all (setting: SettingFindings) : TaskAnswer list =
        let variants = Variants.families setting

        let rowsOf (run: Run) =
            (Settings.first setting.Numbered run).DataVersion

        let baselines, tuned =
            setting.Runs
            |> List.filter _.IsFinished
            |> List.partition (fun run -> run.Experiment.Level.IsNone)

        let compared task level rows =
            setting.Comparisons
            |> List.tryFind (fun comparison ->
                comparison.Task = task
                && comparison.Level = level
                && Findings.rowsOf setting comparison = rows)

        tuned
        |> List.groupBy (fun run -> run.Experiment.Task, run.Experiment.Level, rowsOf run)
        |> List.sortBy (fun ((task, level, rows), _) ->
            Tables.taskOrder task, task, rows, level |> Option.map Level.rows |> Option.defaultValue 0)
        |> List.map (fun ((task, level, rows), runs) ->
            match compared task level rows with
            | Some comparison -> ofComparison setting variants comparison
            | None ->
                let beside =
                    baselines
                    |> List.filter (fun run -> run.Experiment.Task = task && rowsOf run = rows)

                ofRuns setting variants (Findings.titleOf setting task rows, level, beside @ runs))

    let private fixed3 (value: float) = NumberStyle.text (Fixed 3) value

    /// `0.812 (0.781 … 0.840)`.
    let scoreText (entry: AnswerEntry) : string =
        match entry.Interval with
        | Some interval -> $"{fixed3 entry.Score} ({fixed3 interval.Low} … {fixed3 interval.High})"
        | None -> fixed3 entry.Score

    /// Where an entry stands, in a word or two.
    let placeText (answer: TaskAnswer) (entry: AnswerEntry) : string =
        match entry.Place with
        | Place.Best -> if answer.IsTested then "best" else "best mean"
        | Place.Tied -> "tied"
        | Place.Worse -> "worse"
        | Place.Untested -> ""

    let private parameters (entry: AnswerEntry) =
        if entry.Parameters = 0.0 then
            "nothing to train"
        else
            $"{NumberStyle.text Grouped entry.Parameters} parameters"

    /// The variants among entries as a count, since there are many of them.
    let private andVariants (entries: AnswerEntry list) (told: string list) : string list =
        match entries |> List.filter _.IsVariant |> List.length with
        | 0 -> told
        | 1 -> told @ [ "1 ablation variant" ]
        | count -> told @ [ $"{count} ablation variants" ]

    let private listed (entries: AnswerEntry list) (tell: AnswerEntry -> string) : string =
        entries
        |> List.filter (_.IsVariant >> not)
        |> List.map tell
        |> andVariants entries
        |> function
            | [] -> "none"
            | told -> String.Join("; ", told)

    let private cheaper (best: AnswerEntry) (tied: AnswerEntry list) : string list =
        match tied |> List.filter (fun entry -> entry.Parameters < best.Parameters) with
        | [] -> []
        | fewer ->
            let least = fewer |> List.minBy _.Parameters

            [
                $"Of these {least.Name} is the smallest: {parameters least} instead of {parameters best}."
            ]

    /// A task and level in words: what is best, what is tied with it, what is worse, with intervals, a sentence each.
    let sentences (answer: TaskAnswer) : string list =
        let best, others = answer.Entries.Head, answer.Entries.Tail

        let at place =
            others |> List.filter (fun entry -> entry.Place = place)

        let tell (entry: AnswerEntry) = $"{entry.Name} {scoreText entry}"

        let seeds =
            if answer.Seeds = 1 then
                "1 seed"
            else
                $"{answer.Seeds} seeds"

        let metric = Metrics.title answer.Metric

        if answer.IsTested then
            [
                $"Best: {best.Name}, {metric} {scoreText best}, {parameters best}; {seeds}, {answer.TestRows:N0} test rows."
                $"Tied with it: {listed (at Place.Tied) tell}."
                yield! cheaper best (at Place.Tied)
                $"Worse: {listed (at Place.Worse) tell}."
            ]
        else
            let over =
                if answer.Seeds = 1 then
                    ""
                else
                    ", intervals over seeds only"

            [
                $"Best mean: {best.Name}, {metric} {scoreText best}, {parameters best}; {seeds}{over}."
                $"Below it, not tested row by row: {listed others tell}."
            ]

    /// `Topic, low (100 rows)`.
    let heading (answer: TaskAnswer) : string =
        match answer.Level with
        | Some level -> $"{answer.Task}, {Level.name level} ({Level.rows level:N0} rows)"
        | None -> answer.Task
