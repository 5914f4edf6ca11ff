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
        /// What to take of it.
        Take: Take
        /// How the rule fares on tasks that are left out; none where there are fewer than three.
        Check: RegretCheck option
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

    /// The baselines' mean scores over the tasks of a ranking, of those that have been asked on all of them.
    let private untrained (kind: TaskKind) (evidence: Evidence list) (runs: Run list) : (Method * float) list =
        let tasks = Ranking.commonTasks evidence

        runs
        |> List.filter (fun run ->
            run.IsFinished
            && Method.isBaseline run.Experiment.Method
            && Evidence.isOf kind run
            && List.contains run.Experiment.Task tasks)
        |> List.groupBy _.Experiment.Method
        |> List.filter (fun (_, runs) -> (runs |> List.distinctBy _.Experiment.Task).Length = tasks.Length)
        |> List.map (fun (method, runs) ->
            method,
            runs
            |> List.groupBy _.Experiment.Task
            |> List.averageBy (snd >> List.averageBy _.Score))

    let private tryCheck (cells: RegretCell list) : RegretCheck option =
        try
            Some(Regret.check cells)
        with UserError _ ->
            None

    let private sizeWords (question: Question) (parameters: float option) : string =
        match parameters, question.ModelParameters with
        | Some theirs, Some yours ->
            $", of a base of {EvidenceSets.size theirs} parameters; yours has {EvidenceSets.size yours}"
        | Some theirs, None -> $", of a base of {EvidenceSets.size theirs} parameters"
        | None, _ -> ""

    /// Ranks techniques for a question by the user's runs where they have two techniques or more of the task's kind,
    /// otherwise by the set of evidence whose base is nearest in size. `UserError` for a question that makes no sense.
    let answerFrom (question: Question) (runs: Run list) (sets: EvidenceSet list) : Recommendation =
        Question.check question
        let own, leftOut = UsableRuns.choose question.Kind runs
        let ownEvidence = own |> List.map Evidence.ofRun
        let ownTechniques = ownEvidence |> List.distinctBy _.Method |> List.length
        let usesOwn = ownTechniques >= 2
        let set = EvidenceSets.nearest question.ModelParameters sets

        // The paper's runs have no settings to choose among.
        let theirs (set: EvidenceSet) : Run list * string list =
            if set.IsPaper then
                set.Runs |> List.filter (Evidence.isOf question.Kind), []
            else
                UsableRuns.choose question.Kind set.Runs

        let chosen, chosenNotes = theirs set

        let evidence =
            if usesOwn then
                ownEvidence
            else
                chosen |> List.map Evidence.ofRun

        let others =
            if usesOwn then
                chosen |> List.map Evidence.ofRun
            else
                ownEvidence

        let usesPaper = not usesOwn && set.IsPaper
        let ranking = Ranking.make question evidence
        let known = ranking |> List.map _.Method

        // Rules are tested on all kinds of tasks.
        let allRuns = if usesOwn then runs else set.Runs

        let cells =
            if usesOwn || not set.IsPaper then
                [ TaskKind.Classification; TaskKind.Generation ]
                |> List.collect (fun kind -> UsableRuns.choose kind allRuns |> fst)
                |> Regret.cellsOf
            else
                Regret.cellsOf allRuns

        let check = tryCheck cells

        let advised =
            if check.IsSome then
                Regret.advise cells question.Kind (Level.name (Question.level question))
            else
                None

        let take =
            untrained question.Kind evidence allRuns |> Take.choose question ranking advised

        let top = ranking |> List.tryFind _.Breaks.IsEmpty

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

        let paper =
            Paper.runs
            |> List.filter (Evidence.isOf question.Kind)
            |> List.map Evidence.ofRun

        let disagreement =
            match usesOwn, top, first question paper with
            | true, Some mine, Some theirs when mine.Method <> theirs.Method ->
                [ $"Your runs put {name mine} first, the paper's figures {name theirs}." ]
            | _ -> []

        {
            Question = question
            Basis =
                if usesOwn then
                    $"{own.Length} runs of yours{sizeWords question (EvidenceSets.sizeOf own)}"
                else
                    let why =
                        if ownTechniques = 0 then
                            "there are no runs of yours of this kind"
                        else
                            "your runs of this kind have one technique only"

                    $"{set.Name}{sizeWords question set.Parameters}; {why}"
            Ranking = ranking
            Take = take
            Check = check
            Elsewhere =
                Ranking.make question others
                |> List.filter (fun candidate -> not usesOwn || not (List.contains candidate.Method known))
            Rules = rules
            WouldChange = wouldChange question evidence ranking
            Warnings =
                leftOut
                @ (if usesOwn then [] else chosenNotes)
                @ disagreement
                @ evidenceWarnings question usesPaper ranking evidence
                @ ruleWarnings rules
        }

    /// `answerFrom` with the paper's figures beside the user's runs.
    let answer (question: Question) (runs: Run list) : Recommendation =
        answerFrom question runs [ EvidenceSets.paper ]
