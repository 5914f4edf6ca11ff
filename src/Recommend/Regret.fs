namespace Peft

/// A technique's mean score on a task at a level, within one set of evidence.
type RegretCell =
    {
        Task: string
        Kind: TaskKind
        /// As tables name it.
        Level: string
        Technique: string
        /// The mean over seeds of the task's metric, from 0 to 1.
        Score: float
        /// Trained elements; nan where they are not known.
        Parameters: float
    }

/// How one rule fares on tasks that it has not seen.
type RuleRegret =
    {
        /// In words: `always full`.
        Rule: string
        /// Of the best score on the task: what the rule's choice lacks, the mean over tasks.
        Mean: float
        /// Of the mean, 95 %, over other tasks.
        Interval: Interval
        /// On the worst cell.
        Most: float
    }

/// What leaving one task out says of a set of evidence.
type RegretCheck =
    {
        Tasks: int
        Cells: int
        /// The recommendation's rule first, then the constants.
        Rules: RuleRegret list
        /// Of the predicted intervals of a technique's score on the left-out task, as a share of the best, how many hold it.
        Coverage: float
        /// How many intervals that is of.
        Intervals: int
    }

/// The rules of a recommendation, tested: what is chosen from all tasks but one is held against that one.
[<RequireQualifiedAccess>]
module Regret =
    /// Scores within this share of the best are a tie: the cheaper technique is taken.
    let tie: float = 0.01

    /// The cells of finished, tuned runs at their usual places.
    let cellsOf (runs: Run list) : RegretCell list =
        runs
        |> List.filter (fun run ->
            run.IsFinished
            && not (Method.isBaseline run.Experiment.Method)
            && run.Experiment.Placement = Placement.everywhere
            && Metrics.worth run.Metric 1.0 > 0.0)
        |> List.groupBy (fun run -> run.Experiment.Task, run.Experiment.Level, Method.name run.Experiment.Method)
        |> List.map (fun ((task, level, technique), runs) ->
            {
                Task = task
                Kind =
                    if Metrics.isOfLabels runs.Head.Metric then
                        TaskKind.Classification
                    else
                        TaskKind.Generation
                Level = Level.text level
                Technique = technique
                Score = runs |> List.averageBy _.Score
                Parameters =
                    if runs.Head.TrainableParameters > 0L then
                        float runs.Head.TrainableParameters
                    else
                        nan
            })

    /// Cells with their scores as shares of the best of their task and level; where that is 0 there is nothing to lose.
    let private shares (cells: RegretCell list) : (RegretCell * float) list =
        cells
        |> List.groupBy (fun cell -> cell.Task, cell.Level)
        |> List.collect (fun (_, group) ->
            let best = group |> List.map _.Score |> List.max

            if best > 0.0 then
                group |> List.map (fun cell -> cell, cell.Score / best)
            else
                [])

    /// A choice for a kind and a level, from cells of other tasks.
    type private Rule = RegretCell list -> TaskKind -> string -> string option

    /// The best mean share over the tasks that `counts` keeps, of the techniques that all of them have; the one with the
    /// fewest parameters where several are within `tie`.
    let private bestOver (counts: TaskKind -> RegretCell -> bool) : Rule =
        fun cells kind level ->
            let there = shares cells |> List.filter (fun (cell, _) -> cell.Level = level)

            let chosen =
                match there |> List.filter (fst >> counts kind) with
                | [] -> there
                | some -> some

            let tasks = chosen |> List.distinctBy (fun (cell, _) -> cell.Task) |> List.length

            let means =
                chosen
                |> List.groupBy (fun (cell, _) -> cell.Technique)
                |> List.filter (fun (_, group) -> group.Length = tasks)
                |> List.map (fun (technique, group) ->
                    technique, group |> List.averageBy snd, group |> List.averageBy (fun (cell, _) -> cell.Parameters))

            match means with
            | [] -> None
            | means ->
                let best = means |> List.map (fun (_, share, _) -> share) |> List.max

                means
                |> List.filter (fun (_, share, _) -> share >= best - tie)
                |> List.minBy (fun (technique, share, parameters) ->
                    (if System.Double.IsNaN parameters then
                         infinity
                     else
                         parameters),
                    -share,
                    technique)
                |> fun (technique, _, _) -> Some technique

    let private constant (names: string list) : Rule =
        fun cells _ level ->
            names
            |> List.tryFind (fun name -> cells |> List.exists (fun cell -> cell.Technique = name && cell.Level = level))

    /// What is always taken, by the names that sets of evidence have for it.
    let private constants: (string * Rule) list =
        [
            "always full", constant [ "full" ]
            "always LoRA", constant [ "paper-lora"; "lora"; "lora(rank=8,alpha=8)" ]
        ]

    let private bestOnAverage = "best on average", bestOver (fun _ _ -> true)

    let private learnedRules: (string * Rule) list =
        [
            bestOnAverage
            "best of its kind", bestOver (fun kind cell -> cell.Kind = kind)
        ]

    /// What a rule loses on each cell of one task, having seen the others.
    let private lostOn (task: string) (cells: RegretCell list) (rule: Rule) : float list =
        let held, seen = cells |> List.partition (fun cell -> cell.Task = task)

        [
            for level, group in shares held |> List.groupBy (fun (cell, _) -> cell.Level) do
                match rule seen (fst group.Head).Kind level with
                | None -> ()
                | Some technique ->
                    match group |> List.tryFind (fun (cell, _) -> cell.Technique = technique) with
                    | Some(_, share) -> 1.0 - share
                    | None -> 1.0 - (group |> List.map snd |> List.min)
        ]

    let private tasksOf (cells: RegretCell list) =
        cells |> List.map _.Task |> List.distinct

    let private losses (cells: RegretCell list) (rule: Rule) : float list list =
        tasksOf cells
        |> List.map (fun task -> lostOn task cells rule)
        |> List.filter (List.isEmpty >> not)

    let private meanLoss (cells: RegretCell list) (rule: Rule) : float =
        match losses cells rule with
        | [] -> infinity
        | some -> some |> List.averageBy List.average

    /// Fewer tasks make a learned rule look good by chance.
    let private fewest = 5

    /// The constant that loses least where one task after the other is left out of these cells, unless there are enough tasks
    /// to learn from and what is learned loses at most half of that.
    let private adaptive (cells: RegretCell list) : string * Rule =
        let least rules =
            rules
            |> List.map (fun (name, rule) -> (name, rule), meanLoss cells rule)
            |> List.minBy snd

        if (tasksOf cells).Length < 2 then
            bestOnAverage
        else
            let constant, ofConstant = least constants
            let learned, ofLearned = least learnedRules

            if (tasksOf cells).Length >= fewest && ofLearned <= 0.5 * ofConstant then
                learned
            else
                constant

    /// Leaving out one task, the rule is found anew from the others.
    let private recommended: Rule =
        fun cells kind level -> (snd (adaptive cells)) cells kind level

    /// What the evidence advises for a kind and a level, and the rule's name.
    let advise (cells: RegretCell list) (kind: TaskKind) (level: string) : (string * string) option =
        let name, rule = adaptive cells
        rule cells kind level |> Option.map (fun technique -> technique, name)

    let private regretOf (cells: RegretCell list) (name: string, rule: Rule) : RuleRegret option =
        match losses cells rule with
        | [] -> None
        | byTask ->
            let means = byTask |> List.map List.average |> Array.ofList

            Some
                {
                    Rule = name
                    Mean = Statistics.mean means
                    Interval = Bootstrap.interval 0.95 2_000 1UL means
                    Most = byTask |> List.concat |> List.max
                }

    /// The mean of techniques' variances over tasks at a level.
    let private commonVariance (level: string) (seen: (RegretCell * float) list) : float =
        seen
        |> List.filter (fun (cell, _) -> cell.Level = level)
        |> List.groupBy (fun (cell, _) -> cell.Technique)
        |> List.averageBy (snd >> List.map snd >> Array.ofList >> Statistics.orderlessVariance)

    /// Whether the predicted interval of each cell of one task, from the same technique on the other tasks at its level,
    /// holds it: Student's, for one more task. Few tasks may agree by chance: a technique's variance over tasks is taken half
    /// for its own, half for what techniques vary on average.
    let private covered (cells: RegretCell list) (task: string) : bool list =
        let held, seen = shares cells |> List.partition (fun (cell, _) -> cell.Task = task)

        [
            for cell, share in held do
                let others =
                    seen
                    |> List.filter (fun (other, _) -> other.Technique = cell.Technique && other.Level = cell.Level)
                    |> List.map snd
                    |> Array.ofList

                if others.Length >= 2 then
                    let reach =
                        Distribution.studentTail (others.Length - 1)
                        |> Distribution.twoSidedQuantile 0.05

                    let variance =
                        (Statistics.orderlessVariance others + commonVariance cell.Level seen) / 2.0

                    let half = reach * sqrt (variance * (1.0 + 1.0 / float others.Length))

                    abs (share - Statistics.mean others) <= half + 1e-12
        ]

    /// Leaves one task after the other out of a set of evidence. `UserError` where there are fewer than three tasks.
    let check (cells: RegretCell list) : RegretCheck =
        let tasks = tasksOf cells

        if tasks.Length < 3 then
            userError $"There are {tasks.Length} tasks: leaving one out tells something from three on."

        let covered = tasks |> List.collect (covered cells)

        {
            Tasks = tasks.Length
            Cells = cells |> List.distinctBy (fun cell -> cell.Task, cell.Level) |> List.length
            Rules =
                ("recommend", recommended) :: (constants @ [ bestOnAverage ])
                |> List.choose (regretOf cells)
            Coverage =
                if covered.IsEmpty then
                    nan
                else
                    float (covered |> List.filter id |> List.length) / float covered.Length
            Intervals = covered.Length
        }

    /// A check as a table of text.
    let describe (set: string) (check: RegretCheck) : string =
        let percent value =
            NumberStyle.text (Fixed 2) (100.0 * value)

        let table =
            [ "rule"; "mean regret %"; "95 % interval"; "most %" ]
            :: [
                for rule in check.Rules ->
                    [
                        rule.Rule
                        percent rule.Mean
                        $"{percent rule.Interval.Low} … {percent rule.Interval.High}"
                        percent rule.Most
                    ]
            ]
            |> Render.aligned 1

        $"{set}: {check.Tasks} tasks, {check.Cells} cells; each task left out in turn\n\n{table}\n\nPredicted 95 %% intervals hold {percent check.Coverage} %% of {check.Intervals} left-out scores."
