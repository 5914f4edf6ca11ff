namespace Peft

/// Two techniques on the same rows.
type PairedTest =
    {
        /// The mean of left - right.
        Difference: float
        Interval: Interval
        /// Two-sided.
        P: float
    }

/// The rows of one training drawn again with replacement. What it says holds for that trained model.
[<RequireQualifiedAccess>]
module Bootstrap =
    /// The means of resamples, drawn with replacement from rows in canonical order.
    let private resampledMeans (resamples: int) (seed: uint64) (values: float[]) : float[] =
        Demand.draws (nameof resamples) resamples

        let sorted = Array.sort values
        let chance = Chance seed

        Array.init resamples (fun _ ->
            let mutable sum = 0.0

            for _ in 1 .. sorted.Length do
                sum <- sum + sorted[chance.Below sorted.Length]

            sum / float sorted.Length)

    let private middle (level: float) (draws: float[]) : Interval =
        Demand.share (nameof level) level
        let sorted = Array.sort draws

        {
            Low = Statistics.quantileOfSorted ((1.0 - level) / 2.0) sorted
            High = Statistics.quantileOfSorted ((1.0 + level) / 2.0) sorted
        }

    /// The percentile bootstrap interval of the mean (Efron and Tibshirani 1993, ch. 13).
    let interval (level: float) (resamples: int) (seed: uint64) (values: float[]) : Interval =
        Demand.some (nameof values) values
        resampledMeans resamples seed values |> middle level

    /// The paired bootstrap: rows are resampled, a row's two scores staying together. P is the share of resamples whose
    /// mean difference, moved to zero, is at least as large as the one observed; it counts the observation itself, so it is
    /// never 0.
    let paired (level: float) (resamples: int) (seed: uint64) (left: float[]) (right: float[]) : PairedTest =
        Demand.paired left right
        // The sum of sorted values: rounding, too, does not depend on the order of rows.
        let differences = Array.map2 (-) left right |> Array.sort
        let observed = Statistics.mean differences
        let draws = resampledMeans resamples seed differences
        // Resamples vary by (n - 1) / n less than samples do.
        let widening =
            sqrt (float differences.Length / float (max 1 (differences.Length - 1)))

        let slack = 1e-12

        let extreme =
            draws
            |> Array.sumBy (fun draw ->
                if widening * abs (draw - observed) >= abs observed - slack then
                    1
                else
                    0)

        {
            Difference = observed
            Interval = middle level draws
            P = float (extreme + 1) / float (resamples + 1)
        }
