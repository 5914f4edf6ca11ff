namespace Peft

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
