namespace Peft

/// Techniques on the same test rows, over every seed that all of them have.
[<NoComparison>]
type Comparison =
    {
        Task: string
        Level: Level option
        /// The name of the metric whose row scores are compared.
        Metric: string
        /// In the order of `Scores`.
        Methods: string[]
        /// The ids of each technique's runs, in the order of `Seeds`.
        Runs: string list[]
        /// By technique, then by distinct test row: the mean over the seeds whose test rows include it.
        Scores: float[][]
        Seeds: int list
        /// Seeds left out because a technique lacks them.
        LeftOut: int list
        /// Runs and techniques left out, each with the cause.
        Dropped: string list
        /// The share of rows answered differently, the mean over seeds.
        Disagreement: float[,]
        BesideBest: BesideBest[]
        /// What each technique costs: trainable parameters, seconds, peak MiB; means over seeds.
        Costs: float[][]
        /// Whether it is on the front of score and costs, and how probable that is when seeds, with their costs, and rows are
        /// drawn again.
        OnFront: bool[]
        FrontProbability: float[]
    }

[<RequireQualifiedAccess>]
module Comparison =
    /// Draws of every bootstrap, and the least of a sampled permutation test.
    let resamples = 2_000

    let private seed = 1UL

    /// A test row's identity over seeds: its texts, and which of equal rows it is.
    let private identities (joined: Joined) : ((string * string) * int)[] =
        let seen = System.Collections.Generic.Dictionary<string * string, int>()

        joined.Rows
        |> Array.map (fun row ->
            let times =
                match seen.TryGetValue row with
                | true, times -> times
                | _ -> 0

            seen[row] <- times + 1
            row, times)

    /// Scores by technique, seed and distinct row over all seeds; nan where a seed's test did not have the row.
    let private crossed (joined: Joined list) : float[][][] =
        let bySeed = joined |> List.map identities |> Array.ofList
        let all = bySeed |> Array.concat |> Array.distinct |> Array.sort

        let places =
            all |> Array.indexed |> Array.map (fun (place, row) -> row, place) |> dict

        let spread (rows: _[]) (scores: float[]) =
            let spread = Array.create all.Length nan
            Array.iter2 (fun row score -> spread[places[row]] <- score) rows scores
            spread

        Array.init joined.Head.Runs.Length (fun technique ->
            Seq.zip bySeed joined
            |> Seq.map (fun (rows, joined) -> spread rows joined.Scores[technique])
            |> Array.ofSeq)

    let private meanMatrix (matrices: float[,] list) : float[,] =
        matrices.Head
        |> Array2D.mapi (fun left right _ -> matrices |> List.averageBy (fun matrix -> matrix[left, right]))

    let private parameters (runs: Run list) =
        runs |> List.averageBy (fun run -> float run.TrainableParameters)

    /// What a training may cost otherwise with another seed: seconds and peak MiB.
    let private spent (run: Run) : float[] =
        [| run.Timing.Total; run.PeakMemoryMiB |]

    /// A standing among scores with their signs turned, turned back.
    let private turned (standing: BesideBest) : BesideBest =
        { standing with
            Mean = -standing.Mean
            Interval =
                {
                    Low = -standing.Interval.High
                    High = -standing.Interval.Low
                }
            ToBest = -standing.ToBest
        }

    let private pointsOf (runs: Run list) (scores: float[][]) : SeedPoints =
        {
            Scores = scores
            Costs = runs |> List.map spent |> Array.ofList
            Fixed = [| parameters runs |]
        }

    let private meanCosts (runs: Run list) : float[] =
        Array.append
            [| parameters runs |]
            (runs |> List.map spent |> Array.transpose |> Array.map Statistics.orderlessMean)

    /// Compares techniques on their common test rows. `runs` are of one task, one version of its rows, one level (baselines
    /// may join) and one model; a technique with several settings is several, which are named among `shown`. What cannot be
    /// compared is left out and named in `Dropped`; `UserError` where nothing is left.
    let private ofRunsIn (settings: Settings) (shown: Run list) (results: string) (runs: Run list) : Comparison =
        let common = CommonRuns.choose settings shown results runs

        let joined =
            common.Seeds
            |> List.mapi (fun place _ ->
                common.Techniques
                |> List.map (fun (_, read) -> read[place])
                |> Predictions.joined)

        let runs = common.Techniques |> List.map (snd >> List.map fst) |> Array.ofList
        let methods = common.Techniques |> List.map fst |> Array.ofList
        let bySeed = crossed joined
        let scores = bySeed |> Array.map Crossed.rowMeans
        let metric = runs[0].Head.Metric
        let isTurned = Metrics.worth metric 1.0 < 0.0

        // More is better in everything that ranks.
        let bySeed =
            if isTurned then
                bySeed |> Array.map (Array.map (Array.map (~-)))
            else
                bySeed

        let costs = runs |> Array.map meanCosts
        let means = bySeed |> Array.map Crossed.seedMean

        {
            Task = runs[0].Head.Experiment.Task
            Level = runs |> Seq.concat |> Seq.tryPick _.Experiment.Level
            Metric = metric
            Methods = methods
            Runs = runs |> Array.map (List.map _.Id)
            Scores = scores
            Seeds = common.Seeds
            LeftOut = common.LeftOut
            Dropped = common.Dropped
            Disagreement =
                joined
                |> List.map (fun joined -> Statistics.disagreement joined.Predictions)
                |> meanMatrix
            BesideBest =
                Array.zip methods bySeed
                |> BesideBest.tiedWithBest 0.05 resamples seed
                |> Array.map (if isTurned then turned else id)
            Costs = costs
            OnFront =
                Array.map2 (fun mean cost -> Array.append [| mean |] (Array.map (~-) cost)) means costs
                |> Pareto.front
            FrontProbability = Array.map2 pointsOf runs bySeed |> Pareto.probability resamples seed
        }

    /// The task and level of runs, as people read them.
    let internal place (task: string) (level: Level option) : string =
        let level =
            level
            |> Option.map (fun level -> $", {Level.name level}")
            |> Option.defaultValue ""

        Tables.title task + level

    /// `ofRunsIn` with the settings of these runs.
    let ofRuns (results: string) (runs: Run list) : Comparison =
        ofRunsIn (Settings.ofRuns runs) (runs |> List.filter _.IsFinished) results runs

    /// A comparison for each table of settings, task, version of its rows and level among finished runs that has two
    /// techniques or more, baselines standing beside every level; and what could not be compared, with the cause: whole
    /// groups, and the runs and techniques that a comparison left out.
    let allIn (settings: Settings) (results: string) (runs: Run list) : Comparison list * string list =
        let groups =
            [
                for _, shown in runs |> List.filter _.IsFinished |> Tables.bySetting do
                    for _, runs in
                        shown
                        |> List.groupBy (fun run ->
                            run.Experiment.Task, run.Metric, (Settings.first settings run).DataVersion) do
                        let baselines, tuned =
                            runs |> List.partition (fun run -> run.Experiment.Level.IsNone)

                        for _, tuned in tuned |> List.groupBy _.Experiment.Level do
                            shown, baselines @ tuned
            ]

        let compared =
            groups
            |> List.filter (fun (shown, runs) ->
                runs |> List.distinctBy (Tables.nameIn settings shown) |> List.length > 1)
            |> List.map (fun (shown, runs) ->
                let place =
                    place runs.Head.Experiment.Task (runs |> List.tryPick _.Experiment.Level)

                try
                    let comparison = ofRunsIn settings shown results runs
                    Some comparison, comparison.Dropped |> List.map (fun cause -> $"{place}: {cause}")
                with UserError cause ->
                    None, [ $"{place}: {cause}" ])

        compared |> List.choose fst, compared |> List.collect snd

    /// `allIn` with the settings of these runs.
    let all (results: string) (runs: Run list) : Comparison list * string list =
        allIn (runs |> List.filter _.IsFinished |> Settings.ofRuns) results runs

    /// What the scores of rows are where the reported metric is no mean of them.
    let rowNote (comparison: Comparison) : string option =
        match Metrics.tryFind comparison.Metric with
        | Some metric when not metric.IsMeanOfRows ->
            Some
                $"{metric.Title} is no mean over rows: techniques are compared by the share of rows that they have right."
        | _ -> None

    /// What is tied with the best, as a mark for cells of Table 1: `*`, or "" for what is behind or not compared. A cell
    /// is the technique whose runs it was computed from, all of them and no others: a mean over other seeds than those
    /// compared has no mark.
    let marks (comparisons: Comparison list) : RowKey -> string -> Cell -> string =
        let tied =
            [
                for comparison in comparisons do
                    let level = Level.text comparison.Level
                    let heading = Tables.scoreHeading comparison.Task comparison.Metric

                    for runs, standing in Seq.zip comparison.Runs comparison.BesideBest do
                        if standing.IsTied then
                            level, heading, set runs
            ]

        fun (_, level) column cell ->
            let runs = set cell.Runs

            if tied |> List.contains (level, column, runs) then
                "*"
            else
                ""
