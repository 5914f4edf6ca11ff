namespace Peft

open System

/// A rule that applies to a question.
[<NoComparison; NoEquality>]
type AppliedRule =
    {
        Rule: Rule
        Claim: Claim
        /// Whether the first of the ranking is one of the rule's techniques; none for advice.
        Agrees: bool option
    }

/// An answer to a question, with what it rests on.
[<NoComparison; NoEquality>]
type Recommendation =
    {
        Question: Question
        /// Whose runs the ranking stands on, in words.
        Basis: string
        /// Best first; those that break a limit last.
        Ranking: Candidate list
        /// What the other runs say of techniques that the ranking's runs do not have.
        Elsewhere: Candidate list
        Rules: AppliedRule list
        /// What would put another technique first.
        WouldChange: string list
        /// Where the evidence is thin or contradicts the paper's words.
        Warnings: string list
    }

/// Which technique to take: `peft recommend`.
[<RequireQualifiedAccess>]
module Recommend =
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
    let private usable (kind: TaskKind) (runs: Run list) : Run list * string list =
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

    let private name (candidate: Candidate) = Method.name candidate.Method

    let private first (question: Question) (evidence: Evidence list) : Candidate option =
        Ranking.make question evidence |> List.tryFind _.Breaks.IsEmpty

    let private unlimited (question: Question) =
        { question with
            MaxSeconds = None
            MaxMemoryMiB = None
            MaxParameters = None
        }

    /// Half of the 95 % interval of the difference of two candidates, as if they had different test rows.
    let private halfDifference (left: Candidate) (right: Candidate) =
        let half (candidate: Candidate) =
            (candidate.Interval.High - candidate.Interval.Low) / 2.0

        sqrt (half left ** 2.0 + half right ** 2.0)

    let private wouldChange (question: Question) (evidence: Evidence list) (ranking: Candidate list) : string list =
        let top = ranking |> List.tryFind _.Breaks.IsEmpty

        let other words changed =
            match top, first changed evidence with
            | Some top, Some found when found.Method <> top.Method -> [ $"{words}: {name found} would come first." ]
            | None, Some found -> [ $"{words}: {name found} would come first." ]
            | _ -> []

        [
            match top, ranking |> List.filter _.Breaks.IsEmpty with
            | Some top, _ :: second :: _ when question.Priority = Priority.Quality ->
                let lead, half = top.Score - second.Score, halfDifference top second

                if lead < half then
                    $"{name top} leads {name second} by {lead:F4}, less than the 95 %% half-width {half:F4} of that difference: more seeds or test rows may turn it round."
            | _ -> ()

            for priority, words in
                [
                    Priority.Quality, "quality"
                    Priority.Time, "time"
                    Priority.Memory, "memory"
                ] do
                if priority <> question.Priority then
                    yield! other $"With {words} first" { question with Priority = priority }

            for level in Level.all do
                if Level.rows level <> question.Rows then
                    yield!
                        other
                            $"With {Level.rows level:N0} training rows"
                            { question with
                                Rows = Level.rows level
                            }

            yield! other "Without your limits" (unlimited question)

            if question.Priority <> Priority.Quality && question.Floor > 0.0 then
                yield! other "Whatever the score" { question with Floor = 0.0 }
        ]

    let private ruleWarnings (rules: AppliedRule list) : string list =
        [
            for applied in rules do
                match applied.Agrees with
                | Some false ->
                    let names = String.Join(", ", applied.Rule.Techniques)
                    $"The ranking contradicts the paper's rule \"{applied.Rule.Statement}\" ({applied.Rule.Source}: {names})."
                | _ -> ()

                match applied.Claim.Verdict with
                | Supported -> ()
                | _ ->
                    $"The paper's own figures do not settle its rule \"{applied.Rule.Statement}\": {Claim.verdict applied.Claim}."
        ]

    let private evidenceWarnings
        (question: Question)
        (usesPaper: bool)
        (ranking: Candidate list)
        (evidence: Evidence list)
        : string list =
        let common = Ranking.commonTasks evidence
        let tasks = common.Length
        let dropped = evidence |> List.map _.Task |> List.distinct |> List.except common
        let seeds = evidence |> List.distinctBy _.Seed |> List.length
        let taskWord = if tasks = 1 then "task" else "tasks"
        let left = (evidence |> List.distinctBy _.Method).Length - ranking.Length

        [
            if tasks < 3 || seeds < 3 then
                let runs = if seeds = 1 then "one run each" else $"{seeds} seeds"
                $"Thin evidence: {tasks} {taskWord} of this kind, {runs}. The intervals do not cover how other tasks differ."

            match ranking |> List.filter (fun candidate -> candidate.Seeds = 1) with
            | [] -> ()
            | single ->
                let names =
                    if single.Length = ranking.Length then
                        ""
                    else
                        " of " + String.Join(", ", single |> List.map name)

                $"The intervals{names} are over other test rows only: there is one seed, and what another would change is not in them."

            if not dropped.IsEmpty then
                let names = String.Join(", ", dropped |> List.map Tables.title)
                $"Runs on {names} do not count, since fewer techniques were run there: means are over the same tasks for all."

            if usesPaper then
                "The paper's scores and times are FLAN-T5-XL's on four A10 GPUs; your model and machine have others."

            if usesPaper && question.Kind = TaskKind.Generation then
                "The paper does not state the test rows of E2E NLG and SAMSum: the intervals assume 2,500 and 819."

            match ranking |> List.filter _.IsExtrapolated with
            | [] -> ()
            | found ->
                let names = String.Join(", ", found |> List.map name)
                $"{question.Rows:N0} training rows lie outside of what was measured for {names}: the nearest number of rows stands in."

            for limit in ranking |> List.collect _.Unknown |> List.distinct do
                let names =
                    String.Join(
                        ", ",
                        ranking
                        |> List.filter (fun candidate -> List.contains limit candidate.Unknown)
                        |> List.map name
                    )

                $"No run tells the {limit} of {names}: that limit is not checked for them."

            let feasible = ranking |> List.filter _.Breaks.IsEmpty

            if
                question.Priority = Priority.Time
                && feasible |> List.exists (fun candidate -> Double.IsNaN candidate.Seconds)
            then
                "Run times are missing at this number of rows: techniques without one are ranked by score alone."

            if
                question.Priority = Priority.Memory
                && feasible |> List.exists (fun candidate -> Double.IsNaN candidate.MemoryMiB)
            then
                "No memory was measured: the ranking uses the paper's score per 100,000 trainable parameters instead, which activations and optimiser state do not follow."

            if feasible.IsEmpty && not ranking.IsEmpty then
                "No technique meets your limits; the ranking shows them all with what they break."

            if left > 0 then
                let techniques =
                    if left = 1 then
                        "1 technique is"
                    else
                        $"{left} techniques are"

                $"{techniques} left out of the ranking, not having been run on every task that counts."
        ]

    /// Ranks techniques for a question by the user's runs where they have two techniques or more of the task's kind,
    /// otherwise by the paper's figures. `UserError` for a question that makes no sense.
    let answer (question: Question) (runs: Run list) : Recommendation =
        Question.check question
        let own, leftOut = usable question.Kind runs

        let paper =
            Paper.runs
            |> List.filter (Evidence.isOf question.Kind)
            |> List.map Evidence.ofRun

        let own = own |> List.map Evidence.ofRun
        let ownTechniques = own |> List.distinctBy _.Method |> List.length
        let usesPaper = ownTechniques < 2
        let evidence, others = if usesPaper then paper, own else own, paper
        let ranking = Ranking.make question evidence
        let top = ranking |> List.tryFind _.Breaks.IsEmpty
        let known = ranking |> List.map _.Method

        let rules =
            Rule.all
            |> List.filter (fun rule -> rule.Applies question)
            |> List.map (fun rule ->
                {
                    Rule = rule
                    Claim = Claims.find rule.Claim
                    Agrees =
                        match rule.Techniques, top with
                        | [], _
                        | _, None -> None
                        | techniques, Some top -> Some(List.contains (name top) techniques)
                })

        let disagreement =
            match usesPaper, top, first question paper with
            | false, Some mine, Some theirs when mine.Method <> theirs.Method ->
                [ $"Your runs put {name mine} first, the paper's figures {name theirs}." ]
            | _ -> []

        {
            Question = question
            Basis =
                if usesPaper && ownTechniques = 0 then
                    "the paper's figures (Tables 1, 3 and 4); there are no runs of yours of this kind"
                elif usesPaper then
                    "the paper's figures (Tables 1, 3 and 4); your runs of this kind have one technique only"
                else
                    $"{own.Length} runs of yours"
            Ranking = ranking
            Elsewhere =
                Ranking.make question others
                |> List.filter (fun candidate -> usesPaper || not (List.contains candidate.Method known))
            Rules = rules
            WouldChange = wouldChange question evidence ranking
            Warnings =
                leftOut
                @ disagreement
                @ evidenceWarnings question usesPaper ranking evidence
                @ ruleWarnings rules
        }
