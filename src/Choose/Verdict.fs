namespace Peft

open System

/// A technique that was trained to the end, on the test rows.
[<NoComparison>]
type Finalist =
    {
        Contender: Contender
        /// Over seeds and test rows.
        Score: float
        /// Of the score, 95 %: over other test rows, and other seeds where there are several.
        Interval: Interval
        /// Against the best of the finalists, after Holm's correction.
        P: float
        /// Whether seeds and test rows do not tell it from the best.
        IsTied: bool
        /// The mean over seeds of the lowest validation loss, in nats per token.
        ValidationLoss: float
        /// The mean of a training's wall-clock seconds.
        Seconds: float
        Parameters: int64
        /// The largest resident memory of its process.
        MemoryMiB: float
        Seeds: int
        /// By seed, then by test row.
        RowScores: float[][]
        Runs: Run list
    }

/// What answers without training.
[<NoComparison>]
type Untrained =
    {
        Method: Method
        /// The mean over test rows.
        Score: float
        Interval: Interval
        RowScores: float[]
    }

/// What the finals say.
[<NoComparison>]
type FinalVerdict =
    {
        /// The technique to take.
        Chosen: Finalist
        /// All of them, the best test score first.
        Finalists: Finalist list
        Untrained: Untrained list
        /// The chosen one less the best of the untrained, on the same test rows; none where nothing was answered untrained.
        Gain: PairedTest option
        TestRows: int
        Seeds: int
    }

    /// Whether the test rows tell nothing apart: neither the finalists from one another nor the chosen one from what needs
    /// no training.
    member verdict.DecidesNothing: bool =
        (verdict.Finalists |> List.forall _.IsTied)
        && verdict.Gain |> Option.forall (fun gain -> gain.P >= 0.05)

[<RequireQualifiedAccess>]
module FinalVerdict =
    let private alpha = 0.05
    let private draws = 2_000
    let private seed = 1UL

    /// A run's row scores by row, whatever the order in which its seed drew the rows.
    let private rowScores (results: string) (run: Run) : float[] =
        Predictions.read (Run.predictionsOf results run)
        |> Array.sortBy (fun prediction -> prediction.Input, prediction.Target)
        |> Array.map _.Score

    let private finalist (runs: Run list) (standing: BesideBest) (contender: Contender) rows : Finalist =
        let mean (quantity: Run -> float) = runs |> List.averageBy quantity

        {
            Contender = contender
            Score = standing.Mean
            Interval = standing.Interval
            P = standing.P
            IsTied = standing.IsTied
            ValidationLoss = mean (fun run -> run.Epochs |> List.map _.ValidationLoss |> List.min)
            Seconds = mean _.Timing.Total
            Parameters = runs.Head.TrainableParameters
            MemoryMiB = runs |> List.map _.PeakMemoryMiB |> List.max
            Seeds = runs.Length
            RowScores = rows
            Runs = runs
        }

    let private untrained (results: string) (run: Run) : Untrained =
        let rows = rowScores results run

        {
            Method = run.Experiment.Method
            Score = Statistics.mean rows
            Interval = BesideBest.interval (1.0 - alpha) draws seed [| rows |]
            RowScores = rows
        }

    /// What a finalist costs by a priority; nothing where quality is all that counts.
    let cost (priority: Priority) (finalist: Finalist) : float =
        match priority with
        | Priority.Quality -> 0.0
        | Priority.Time -> finalist.Seconds
        | Priority.Memory -> finalist.MemoryMiB
        | Priority.Size -> float finalist.Parameters

    /// The one to take. The validation rows choose, so that its test score is not the best of several; but where the test rows
    /// tell that it is behind, the best on them. Another priority takes the cheapest of those that are tied with the best.
    let choose (priority: Priority) (finalists: Finalist list) : Finalist =
        let tied = finalists |> List.filter _.IsTied

        tied
        |> List.minBy (fun finalist -> cost priority finalist, finalist.ValidationLoss, finalist.Parameters)

    /// The difference of a finalist and what needs no training: the same untrained answers beside every seed.
    let private against (finalist: Finalist) (untrained: Untrained) : PairedTest =
        match finalist.RowScores with
        | [| rows |] ->
            let differences = Array.map2 (-) rows untrained.RowScores
            let draws' = Bootstrap.interval (1.0 - alpha) draws seed differences

            {
                Difference = Statistics.mean differences
                Interval = draws'
                P = RowTests.paired draws seed rows untrained.RowScores
            }
        | several -> Crossed.difference (1.0 - alpha) several (several |> Array.map (fun _ -> untrained.RowScores))

    /// The verdict of finished runs on one set of test rows; none where no technique has ended a single seed. Techniques are
    /// compared on the seeds that all of them have.
    let ofRuns (priority: Priority) (results: string) (runs: Run list) : FinalVerdict option =
        let finished = runs |> List.filter _.IsFinished

        let baselines, tuned =
            finished |> List.partition (fun run -> Method.isBaseline run.Experiment.Method)

        let groups =
            tuned
            |> List.groupBy (fun run -> run.Experiment.Method, run.Experiment.Placement)
            |> List.map snd

        let common =
            groups
            |> List.map (List.map _.Experiment.Seed >> set)
            |> function
                | [] -> Set.empty
                | seeds -> Set.intersectMany seeds

        if common.IsEmpty then
            None
        else
            let groups =
                groups
                |> List.map (
                    List.filter (fun run -> common.Contains run.Experiment.Seed)
                    >> List.sortBy _.Experiment.Seed
                )

            let contender (runs: Run list) =
                (Standing.ofRun [] runs.Head).Value.Contender

            let rows = groups |> List.map (List.map (rowScores results) >> Array.ofList)

            let standings =
                List.zip groups rows
                |> List.map (fun (runs, rows) -> Contender.name (contender runs), rows)
                |> Array.ofList
                |> BesideBest.tiedWithBest alpha draws seed
                |> List.ofArray

            let finalists =
                List.zip3 groups standings rows
                |> List.map (fun (runs, standing, rows) -> finalist runs standing (contender runs) rows)
                |> List.sortByDescending (fun finalist -> finalist.Score, -finalist.ValidationLoss)

            let untrained = baselines |> List.map (untrained results)
            let chosen = choose priority finalists

            Some
                {
                    Chosen = chosen
                    Finalists = finalists
                    Untrained = untrained
                    Gain =
                        match untrained with
                        | [] -> None
                        | some -> Some(against chosen (some |> List.maxBy _.Score))
                    TestRows = rows.Head[0].Length
                    Seeds = common.Count
                }

    /// How many test rows, drawn like these, would tell two finalists apart with a power of 80 % if they differ as they seem to;
    /// none where they do not seem to differ. What seeds vary is taken as it is: where that alone hides the difference, none
    /// are enough, and infinity stands for it.
    let rowsToDecide (left: Finalist) (right: Finalist) : float option =
        let differences = Array.map2 (Array.map2 (-)) left.RowScores right.RowScores
        let byRow = Crossed.rowMeans differences
        let difference = abs (Statistics.mean byRow)

        if difference < 1e-12 then
            None
        else
            // 1.96 + 0.84: two-sided 5 %, power 80 %.
            let reach = 2.8

            let ofSeeds =
                if differences.Length > 1 then
                    (Crossed.mean differences).SeedVariance
                else
                    0.0

            let room = (difference / reach) ** 2.0 - ofSeeds

            if room <= 0.0 then
                Some infinity
            else
                Some(ceil (Statistics.deviation byRow ** 2.0 / room))
