namespace Peft

open System

/// What one run says.
type Evidence =
    {
        /// The paper's table, or the name of the result file.
        Source: string
        Task: string
        Method: Method
        Rows: int
        Seed: int
        /// The task's metric, from 0 to 1.
        Score: float
        /// Of the score, by the chance in its test rows: binomial, which for ROUGE-L is an upper bound.
        StandardError: float
        /// 0 where their number is not known.
        TestRows: int
        /// Wall-clock seconds of a run.
        Seconds: float
        /// Trained elements.
        Parameters: float
        /// The largest resident memory.
        MemoryMiB: float
    }

/// A technique with what is to be expected of it.
type Candidate =
    {
        Method: Method
        /// The mean over tasks, interpolated between the numbers of rows that were measured.
        Score: float
        /// 95 %, by the chance in test rows and seeds: for these tasks, not for others. Where `Seeds` is 1, by the chance in
        /// test rows only.
        Interval: Interval
        /// The fewest seeds that a task's score rests on.
        Seeds: int
        /// From its worst to its best task.
        Tasks: Interval
        /// Wall-clock seconds of a run.
        Seconds: float
        /// Trained elements.
        Parameters: float
        /// The largest resident memory.
        MemoryMiB: float
        /// The limits it breaks, in words.
        Breaks: string list
        /// The limits that no run tells about.
        Unknown: string list
        /// Whether its score is below the question's floor.
        IsBelowFloor: bool
        /// Whether the number of rows lies outside of those measured.
        IsExtrapolated: bool
        Evidence: Evidence list
    }

    /// Score per minute of run time; nan where no time is known.
    member candidate.PerMinute: float = candidate.Score / (candidate.Seconds / 60.0)

    /// Score per 100,000 trainable parameters.
    member candidate.PerParameters: float = candidate.Score / (candidate.Parameters / 1e5)

[<RequireQualifiedAccess>]
module Evidence =
    let private isPaper (run: Run) = run.Experiment.Data = Paper.source

    /// The rows that were there to learn from: where a run took all of them, those that were carved for validation and testing
    /// count too.
    let private available (run: Run) : int =
        match run.Source with
        | Some source when run.TrainRows < Level.rows source.Level || source.TrainRows = source.Available ->
            run.TrainRows
            + (if source.Validation.IsNone then run.ValidationRows else 0)
            + (if source.Test.Files.IsEmpty then run.TestRows else 0)
        | _ -> run.TrainRows

    /// What a finished, tuned run says.
    let ofRun (run: Run) : Evidence =
        let rows =
            if run.TestRows > 0 then
                run.TestRows
            else
                Paper.assumedTestRows run.Experiment.Task |> Option.defaultValue 0

        let score = run.Score

        {
            Source =
                if isPaper run then
                    $"{Paper.source}, Table 1"
                else
                    run.Name + ".json"
            Task = run.Experiment.Task
            Method = run.Experiment.Method
            Rows = available run
            Seed = run.Experiment.Seed
            Score = score
            StandardError =
                if rows > 0 then
                    sqrt (max 0.0 (score * (1.0 - score)) / float rows)
                else
                    nan
            TestRows = rows
            Seconds = if run.Timing.Total > 0.0 then run.Timing.Total else nan
            Parameters =
                if run.TrainableParameters > 0L then
                    float run.TrainableParameters
                else
                    nan
            MemoryMiB = if run.PeakMemoryMiB > 0.0 then run.PeakMemoryMiB else nan
        }

    /// Whether a run is of a kind of task.
    let isOf (kind: TaskKind) (run: Run) : bool =
        Metrics.isOfLabels run.Metric = (kind = TaskKind.Classification)

/// From a question and runs to a ranking.
[<RequireQualifiedAccess>]
module Ranking =
    /// The seeds of one technique on one task after one number of rows.
    let private point (group: Evidence list) =
        let mean (quantity: Evidence -> float) = group |> List.averageBy quantity
        let scores = group |> List.map _.Score |> Array.ofList

        let ofSeeds = Statistics.orderlessVariance scores / float scores.Length
        let testRows = group |> List.map _.TestRows |> List.min

        {|
            Rows = group.Head.Rows
            Score = mean _.Score
            // Variances with their degrees of freedom. Seeds may share their test rows: the rows' part is not divided by the
            // number of seeds.
            Variances =
                [
                    if scores.Length > 1 then
                        ofSeeds, scores.Length - 1
                    mean _.StandardError ** 2.0, testRows - 1
                ]
            TestRows = testRows
            Seeds = scores.Length
            Seconds = mean _.Seconds
            Parameters = mean _.Parameters
            MemoryMiB = mean _.MemoryMiB
            Evidence = group
        |}

    /// The two neighbours of a number of rows among those measured, and the weight of the upper one on a scale of ln rows.
    let private neighbours (rows: int) (measured: int list) : int * int * float =
        match
            measured |> List.filter (fun found -> found <= rows), measured |> List.filter (fun found -> found >= rows)
        with
        | [], _ -> measured.Head, measured.Head, 0.0
        | _, [] -> (let last = List.last measured in last, last, 0.0)
        | below, above ->
            let low, high = List.last below, above.Head

            low,
            high,
            (if low = high then
                 0.0
             else
                 log (float rows / float low) / log (float high / float low))

    /// The variances of a number times `factor`.
    let private scaled (factor: float) (variances: (float * int) list) =
        variances
        |> List.map (fun (variance, freedom) -> factor * factor * variance, freedom)

    /// The 95 % interval of a score, as `Crossed.interval` has it: Student's tails weighted by the variances, and Wilson's
    /// form with as many rows as would give a share this variance; the true number of rows where nothing varies.
    let private interval (score: float) (testRows: int) (variances: (float * int) list) : Interval =
        let variance = variances |> List.sumBy fst

        if Double.IsNaN variance || testRows < 1 then
            { Low = nan; High = nan }
        else
            let reach =
                Distribution.mixedTail (Array.ofList variances)
                |> Distribution.twoSidedQuantile 0.05

            let rows =
                if variance = 0.0 then
                    float testRows
                else
                    score * (1.0 - score) / variance

            Statistics.wilsonOf reach score rows

    let private onTask (rows: int) (evidence: Evidence list) =
        let points =
            evidence |> List.groupBy _.Rows |> List.sortBy fst |> List.map (snd >> point)

        let measured = points |> List.map _.Rows
        let low, high, weight = neighbours rows measured

        let at count =
            points |> List.find (fun point -> point.Rows = count)

        let lower, upper = at low, at high

        let between (left: float) (right: float) =
            if weight = 0.0 then
                left
            else
                (1.0 - weight) * left + weight * right

        let isOutside = rows < measured.Head || rows > List.last measured

        {|
            Score = between lower.Score upper.Score
            Variances =
                [
                    yield! lower.Variances |> scaled (1.0 - weight)
                    if weight > 0.0 then
                        yield! upper.Variances |> scaled weight
                ]
            TestRows = min lower.TestRows upper.TestRows
            Seeds = min lower.Seeds upper.Seeds
            // Time grows with rows: outside of what was measured it is not known.
            Seconds =
                if isOutside then
                    nan
                else
                    between lower.Seconds upper.Seconds
            Parameters = between lower.Parameters upper.Parameters
            MemoryMiB = between lower.MemoryMiB upper.MemoryMiB
            IsOutside = isOutside
            Evidence =
                if low = high then
                    lower.Evidence
                else
                    lower.Evidence @ upper.Evidence
        |}

    let private limits
        (question: Question)
        (seconds: float, memory: float, parameters: float)
        : string list * string list =
        let check name (limit: float option) (value: float) =
            match limit with
            | None -> None
            | Some _ when Double.IsNaN value -> Some(Error name)
            | Some limit when value > limit ->
                Some(Ok $"{NumberStyle.text Grouped value} {name}, the limit is {NumberStyle.text Grouped limit}")
            | Some _ -> None

        let found =
            [
                check "seconds" question.MaxSeconds seconds
                check "MiB" question.MaxMemoryMiB memory
                check "parameters" (question.MaxParameters |> Option.map float) parameters
            ]
            |> List.choose id

        found |> List.choose Result.toOption,
        found
        |> List.choose (function
            | Error name -> Some name
            | Ok _ -> None)

    let private candidate (question: Question) (method: Method, evidence: Evidence list) : Candidate =
        let tasks =
            evidence
            |> List.groupBy _.Task
            |> List.sortBy fst
            |> List.map (snd >> onTask question.Rows)

        let count = float tasks.Length
        let score = tasks |> List.averageBy _.Score
        let seconds = tasks |> List.averageBy _.Seconds
        let memory = tasks |> List.averageBy _.MemoryMiB
        let parameters = tasks |> List.averageBy _.Parameters
        let breaks, unknown = limits question (seconds, memory, parameters)

        {
            Method = method
            Score = score
            Interval =
                tasks
                |> List.collect _.Variances
                |> scaled (1.0 / count)
                |> interval score (tasks |> List.map _.TestRows |> List.min)
            Seeds = tasks |> List.map _.Seeds |> List.min
            Tasks =
                {
                    Low = tasks |> List.map _.Score |> List.min
                    High = tasks |> List.map _.Score |> List.max
                }
            Seconds = seconds
            Parameters = parameters
            MemoryMiB = memory
            Breaks = breaks
            Unknown = unknown
            IsBelowFloor = false
            IsExtrapolated = tasks |> List.exists _.IsOutside
            Evidence = tasks |> List.collect _.Evidence
        }

    /// The larger the better; minus infinity where what counts is not known.
    let private value (priority: Priority) (all: Candidate list) : Candidate -> float =
        let known number =
            if Double.IsNaN number then -infinity else number

        match priority with
        | Priority.Quality -> _.Score
        | Priority.Time -> fun candidate -> known candidate.PerMinute
        | Priority.Memory when all |> List.forall (fun candidate -> not (Double.IsNaN candidate.MemoryMiB)) ->
            fun candidate -> -candidate.MemoryMiB
        | Priority.Memory -> fun candidate -> known candidate.PerParameters
        | Priority.Size -> fun candidate -> known -candidate.Parameters

    /// The tasks that the most techniques were run on; only on common tasks are means comparable.
    let commonTasks (evidence: Evidence list) : string list =
        let counts =
            evidence
            |> List.groupBy _.Task
            |> List.map (fun (task, group) -> task, group |> List.distinctBy _.Method |> List.length)

        let most = counts |> List.map snd |> List.fold max 0
        counts |> List.filter (fun (_, count) -> count = most) |> List.map fst

    /// Ranks techniques: those within the limits and above the floor by the priority, then those below the floor by
    /// score, then those that break a limit. A technique that lacks one of the common tasks is left out.
    let make (question: Question) (evidence: Evidence list) : Candidate list =
        let tasks = commonTasks evidence

        let candidates =
            evidence
            |> List.filter (fun item -> List.contains item.Task tasks)
            |> List.groupBy _.Method
            |> List.filter (fun (_, group) -> (group |> List.distinctBy _.Task).Length = tasks.Length)
            |> List.map (candidate question)

        let feasible, broken = candidates |> List.partition _.Breaks.IsEmpty
        let best = feasible |> List.map _.Score |> List.fold max 0.0

        let good, poor =
            feasible
            |> List.partition (fun candidate -> candidate.Score >= question.Floor * best)

        let order (value: Candidate -> float) =
            List.sortBy (fun candidate -> -(value candidate), -candidate.Score, Method.text candidate.Method)

        let poor =
            poor |> List.map (fun candidate -> { candidate with IsBelowFloor = true })

        order (value question.Priority good) good
        @ order _.Score poor
        @ order _.Score broken
