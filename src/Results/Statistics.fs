namespace Peft

/// From `Low` to `High`, both included.
type Interval =
    {
        /// The lower bound.
        Low: float
        /// The upper bound.
        High: float
    }

    /// Whether a value lies in it.
    member interval.Holds(value: float) : bool =
        interval.Low <= value && value <= interval.High

/// Two shares of different rows, or of the same rows when nothing is known about them one by one.
type TwoProportion =
    {
        /// The left share minus the right one.
        Difference: float
        /// Of the difference, from the pooled share.
        StandardError: float
        /// Two-sided, normal.
        P: float
    }

/// Statistics on plain arrays. Whatever takes rows or seeds, here and in the modules that follow, does not depend on their
/// order, bit for bit; what draws at random takes a seed and gives the same numbers on every machine.
[<RequireQualifiedAccess>]
module Statistics =
    /// The arithmetic mean.
    let mean (values: float[]) : float =
        Demand.some (nameof values) values
        Array.average values

    /// The sample standard deviation (n - 1); nan for one value.
    let deviation (values: float[]) : float =
        let middle = mean values

        if values.Length = 1 then
            nan
        else
            sqrt (
                (values |> Array.sumBy (fun value -> (value - middle) ** 2.0))
                / float (values.Length - 1)
            )

    /// The mean of sorted values: rounding, too, does not depend on their order.
    let internal orderlessMean (values: float[]) : float = mean (Array.sort values)

    /// The sample variance (n - 1) of sorted values; 0 for one value.
    let internal orderlessVariance (values: float[]) : float =
        if values.Length = 1 then
            0.0
        else
            deviation (Array.sort values) ** 2.0

    /// The quantile with linear interpolation between neighbours (Hyndman and Fan's type 7), of sorted values.
    let internal quantileOfSorted (share: float) (sorted: float[]) =
        let place = share * float (sorted.Length - 1)
        let below = int (floor place)
        let above = min (sorted.Length - 1) (below + 1)
        sorted[below] + (place - float below) * (sorted[above] - sorted[below])

    /// Holm's correction (1979) for tests out of a family of so many, in their order: the smallest P is multiplied by the
    /// family's size, the next by one less and so on, never falling, at most 1. Where the tests are fewer than the family,
    /// none is multiplied by less than it would be among all, so that the family's error is kept. `ArgumentException` where
    /// the family is smaller than the tests.
    let holmOf (family: int) (ps: float[]) : float[] =
        if family < ps.Length then
            invalidArg (nameof family) $"the family is {family} tests, of which {ps.Length} are given"

        let adjusted = Array.zeroCreate ps.Length

        ps
        |> Array.indexed
        |> Array.sortBy snd
        |> Array.fold
            (fun (rank, last) (place, p) ->
                let value = max last (min 1.0 (float (family - rank) * p))
                adjusted[place] <- value
                rank + 1, value)
            (0, 0.0)
        |> ignore

        adjusted

    /// Holm's correction for all tests of a family.
    let holm (ps: float[]) : float[] = holmOf ps.Length ps

    /// Wilson's interval of a share of `rows`, which need not be whole, reaching `reach` standard errors.
    let internal wilsonOf (reach: float) (share: float) (rows: float) : Interval =
        let square = reach * reach
        let centre = (share + square / (2.0 * rows)) / (1.0 + square / rows)

        let half =
            reach / (1.0 + square / rows)
            * sqrt (share * (1.0 - share) / rows + square / (4.0 * rows * rows))

        {
            // Rounding must not push the ends past what is certain.
            Low = if share = 0.0 then 0.0 else max 0.0 (centre - half)
            High = if share = 1.0 then 1.0 else min 1.0 (centre + half)
        }

    /// Wilson's interval (1927) of a share: `successes` of `rows`. It has a width where all or none succeed, too.
    let wilson (level: float) (successes: float) (rows: int) : Interval =
        Demand.share (nameof level) level

        if rows < 1 || not (successes >= 0.0 && successes <= float rows) then
            invalidArg (nameof successes) $"there are {successes} successes in {rows} rows"

        wilsonOf (Distribution.normalQuantile ((1.0 + level) / 2.0)) (successes / float rows) (float rows)

    /// The z test of two shares, each of so many rows. On the same rows it is cautious: what they share is not taken out.
    let twoProportion (left: float) (leftRows: int) (right: float) (rightRows: int) : TwoProportion =
        if leftRows < 1 || rightRows < 1 then
            invalidArg (nameof leftRows) $"there are {leftRows} and {rightRows} rows"

        let n, m = float leftRows, float rightRows
        let pooled = (left * n + right * m) / (n + m)
        let error = sqrt (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
        let difference = left - right

        {
            Difference = difference
            StandardError = error
            P =
                if difference = 0.0 then
                    1.0
                elif error = 0.0 then
                    0.0
                else
                    2.0 * Distribution.normalBelow (-(abs difference) / error)
        }

    /// The share of rows on which each two techniques answer differently.
    let disagreement (answers: string[][]) : float[,] =
        answers |> Array.iter (fun rows -> Demand.paired answers[0] rows)

        Array2D.init answers.Length answers.Length (fun left right ->
            let unequal =
                Array.fold2 (fun count a b -> if a <> b then count + 1 else count) 0 answers[left] answers[right]

            float unequal / float answers[left].Length)
