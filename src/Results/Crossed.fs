namespace Peft

open System

/// Two techniques on the same rows.
type PairedTest =
    {
        /// The mean of left - right.
        Difference: float
        Interval: Interval
        /// Two-sided.
        P: float
    }

/// A mean over several seeds and test rows, and the variance that each of the two gives it.
type CrossedMean =
    {
        /// The mean over rows and seeds.
        Mean: float
        /// Of the mean, because other seeds could have been trained.
        SeedVariance: float
        /// Of the mean, because other rows could have been tested.
        RowVariance: float
        Seeds: int
        Rows: int
    }

    /// Of the mean, over other seeds and other rows.
    member crossed.Variance: float = crossed.SeedVariance + crossed.RowVariance

/// How far seeds part two techniques that are equally good, from all techniques of a comparison.
type SeedScatter =
    {
        /// The variance of the difference that one seed makes between two techniques.
        Variance: float
        /// Its degrees of freedom.
        Freedom: int
    }

/// Several seeds on test rows: what holds for other seeds and other rows than those of the runs. Scores are given by seed,
/// then by row, `nan` where a seed's test did not have the row.
///
/// A row's scores of all seeds share the row's difficulty, a seed's scores of all rows share its training, so the mean varies
/// by both. Each variance is estimated as if the other did not exist, and the two are added: that is what resampling rows and
/// seeds independently gives in expectation (Owen 2007, "The pigeonhole bootstrap"), up to the factors (n - 1) / n that make
/// a bootstrap of three seeds too narrow, and errs on the cautious side by the part that belongs to neither. Where seeds have
/// different rows, that is also the part by which their means differ for those rows. It stays in: taking an estimate of it
/// out of a variance of three seeds leaves nothing where they happen to agree, and with it goes the weight of their few
/// degrees of freedom (10 % of true nulls were rejected at 5 % with three seeds, 15 % with two; now 5 % and 7 %).
///
/// The seeds' part rests on few degrees of freedom, the rows' on many. Satterthwaite's (1946) one number of degrees of
/// freedom for such a sum covers only 92 % of the time with three seeds, 88 % with two, in simulations of 95 % intervals:
/// where the seeds happen to agree it narrows the interval and the reference distribution at once. Here the tail probability
/// is the mean of the two Student tails, weighted by the variances, as Cochran (1964, "Approximate significance levels of
/// the Behrens-Fisher test") weighs the two critical values; that covers at 95 to 99 % with three seeds, at 92 to 99 % with
/// two (with effects of seeds that are normal; 91 % with three where they are flat).
[<RequireQualifiedAccess>]
module Crossed =
    let private isMissing (score: float) = Double.IsNaN score

    let private check (scores: float[][]) =
        if scores.Length < 2 then
            invalidArg (nameof scores) $"there are {scores.Length} seeds, the least is 2"

        for seed in scores do
            Demand.paired scores[0] seed

            if Array.forall isMissing seed then
                invalidArg (nameof scores) "a seed has no row"

    /// Each row's mean over the seeds that have it, in the order of rows.
    let rowMeans (scores: float[][]) : float[] =
        Array.init scores[0].Length (fun row ->
            scores
            |> Array.map (fun seed -> seed[row])
            |> Array.filter (isMissing >> not)
            |> Statistics.orderlessMean)

    let private seedMeans (scores: float[][]) : float[] =
        scores
        |> Array.map (Array.filter (isMissing >> not) >> Statistics.orderlessMean)

    /// The mean of the seeds' own means, as the tables have it: each seed counts alike, however many rows it has.
    let seedMean (scores: float[][]) : float =
        Statistics.orderlessMean (seedMeans scores)

    /// Of each row, its weight in the mean of the seeds' means and its mean under these weights: where every seed has every
    /// row, one over their number and the plain mean. The weights add up to 1.
    let private weighted (scores: float[][]) : (float * float)[] =
        let ofSeed =
            scores
            |> Array.map (fun seed ->
                let rows = seed |> Array.sumBy (fun score -> if isMissing score then 0 else 1)
                1.0 / float (scores.Length * rows))

        Array.init scores[0].Length (fun row ->
            let parts =
                Array.zip ofSeed scores
                |> Array.map (fun (weight, seed) -> weight, seed[row])
                |> Array.filter (snd >> isMissing >> not)
                |> Array.sort

            let weight = parts |> Array.sumBy fst
            weight, (parts |> Array.sumBy (fun (weight, score) -> weight * score)) / weight)

    /// The variance of the mean because of its rows; 0 for one row.
    let private rowVariance (mean: float) (scores: float[][]) : float =
        let rows = weighted scores
        let count = float rows.Length

        if rows.Length = 1 then
            0.0
        else
            let squares =
                rows |> Array.map (fun (weight, score) -> (weight * (score - mean)) ** 2.0)

            Array.sum (Array.sort squares) * count / (count - 1.0)

    /// The mean of the seeds' means and its two variances.
    let mean (scores: float[][]) : CrossedMean =
        check scores
        let means = seedMeans scores
        let mean = Statistics.orderlessMean means

        {
            Mean = mean
            SeedVariance = Statistics.orderlessVariance means / float scores.Length
            RowVariance = rowVariance mean scores
            Seeds = scores.Length
            Rows = scores[0].Length
        }

    /// The two-sided probability of being more than `t` standard errors from the truth.
    let private farther (crossed: CrossedMean) : float -> float =
        Distribution.mixedTail
            [|
                crossed.SeedVariance, crossed.Seeds - 1
                crossed.RowVariance, crossed.Rows - 1
            |]

    let private reach (level: float) (crossed: CrossedMean) : float =
        Demand.share (nameof level) level
        Distribution.twoSidedQuantile (1.0 - level) (farther crossed)

    /// The interval of the mean over other seeds and rows. Scores from 0 to 1 have Wilson's, which stays there, with as many
    /// rows as would give a share this variance; the true number of rows, and so still a width, where nothing varies. Others
    /// have Student's.
    let interval (level: float) (scores: float[][]) : Interval =
        let crossed = mean scores
        let reach = reach level crossed

        let isShare =
            scores
            |> Array.forall (Array.forall (fun score -> isMissing score || score >= 0.0 && score <= 1.0))

        if isShare then
            let rows =
                if crossed.Variance = 0.0 then
                    float crossed.Rows
                else
                    crossed.Mean * (1.0 - crossed.Mean) / crossed.Variance

            Statistics.wilsonOf reach crossed.Mean rows
        else
            let half = reach * sqrt crossed.Variance

            {
                Low = crossed.Mean - half
                High = crossed.Mean + half
            }

    /// What of the seeds' means neither the technique nor the seed explains, over all techniques: the residual of a two-way
    /// analysis of variance, twice it for a difference, with (techniques - 1) (seeds - 1) degrees of freedom. Techniques
    /// that are the same for every seed, as baselines are, say nothing of it. None where fewer than two others are left.
    let scatter (techniques: float[][][]) : SeedScatter option =
        let means =
            techniques
            |> Array.map seedMeans
            |> Array.filter (fun means -> means |> Array.exists ((<>) means[0]))

        if means.Length < 2 then
            None
        else
            let centred =
                means
                |> Array.map (fun means ->
                    let middle = Statistics.orderlessMean means
                    means |> Array.map (fun mean -> mean - middle))

            let ofSeed = centred |> Array.transpose |> Array.map Array.average

            let squares =
                centred
                |> Array.collect (Array.map2 (fun common own -> (own - common) ** 2.0) ofSeed)

            let freedom = (means.Length - 1) * (means[0].Length - 1)

            Some
                {
                    Variance = 2.0 * Array.sum (Array.sort squares) / float freedom
                    Freedom = freedom
                }

    /// The difference of two techniques' means with its variances, and the rows that differ.
    let private compared (left: float[][]) (right: float[][]) : CrossedMean * int =
        Demand.paired left right
        Array.iter2 Demand.paired left right
        let differences = Array.map2 (Array.map2 (-)) left right

        if Array.exists2 (Array.exists2 (fun a b -> isMissing a <> isMissing b)) left right then
            invalidArg (nameof right) "the two sides have different rows of a seed"

        mean differences, rowMeans differences |> Array.filter ((<>) 0.0) |> Array.length

    /// P of a difference and the number of rows that differ, with this tail beyond so many standard errors.
    let private pOf (farther: float -> float) (variance: float) (mean: float) (unequal: int) : float =
        if mean = 0.0 then
            1.0
        else
            let spread =
                if variance = 0.0 then
                    0.0
                else
                    farther (mean / sqrt variance)

            max spread (Distribution.fairCoin unequal 0)

    /// P of `difference` where more than two techniques were compared: the seeds' part is what the pair shows or what all
    /// techniques show, whichever is more, with the degrees of freedom of all. Two techniques and three seeds alone have two
    /// of them, which tell hardly anything apart once many pairs are compared. It takes seeds to scatter techniques alike.
    let p (scatter: SeedScatter) (left: float[][]) (right: float[][]) : float =
        let crossed, unequal = compared left right

        let ofSeed = max crossed.SeedVariance (scatter.Variance / float crossed.Seeds)

        let farther =
            Distribution.mixedTail [| ofSeed, scatter.Freedom; crossed.RowVariance, crossed.Rows - 1 |]

        pOf farther (ofSeed + crossed.RowVariance) crossed.Mean unequal

    /// Two techniques on the same seeds and rows: a seed draws the same training rows for both, so what it does to both is
    /// taken out. P is never below that of the exact sign test of the rows that differ, all on one side: a handful of rows
    /// proves nothing, even where they vary in nothing.
    let difference (level: float) (left: float[][]) (right: float[][]) : PairedTest =
        let crossed, unequal = compared left right

        let half =
            let reach = reach level crossed

            if crossed.Variance > 0.0 then
                reach * sqrt crossed.Variance
            else
                // No row has shown another difference: as many more as Wilson's interval of none in so many allows.
                (Statistics.wilsonOf reach 0.0 (float crossed.Rows)).High

        {
            Difference = crossed.Mean
            Interval =
                {
                    Low = crossed.Mean - half
                    High = crossed.Mean + half
                }
            P = pOf (farther crossed) crossed.Variance crossed.Mean unequal
        }
