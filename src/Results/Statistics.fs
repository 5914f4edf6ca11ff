namespace Peft

open System

/// From `Low` to `High`, both included.
type Interval =
    {
        Low: float
        High: float
    }

    /// Whether a value lies in it.
    member interval.Holds(value: float) : bool =
        interval.Low <= value && value <= interval.High

/// Two techniques on the same rows.
type PairedTest =
    {
        /// The mean of left - right.
        Difference: float
        Interval: Interval
        /// Two-sided.
        P: float
    }

/// Two classifiers on the same rows.
type McNemar =
    {
        /// Rows that only the left one has right.
        LeftOnly: int
        RightOnly: int
        /// Two-sided and exact.
        P: float
    }

/// Two shares of different rows, or of the same rows when nothing is known about them one by one.
type TwoProportion =
    {
        Difference: float
        /// Of the difference, from the pooled share.
        StandardError: float
        /// Two-sided, normal.
        P: float
    }

/// A technique beside the best one.
type BesideBest =
    {
        Name: string
        Mean: float
        /// Of the mean, over rows.
        Interval: Interval
        /// The mean of its rows' difference to the best one's; 0 or less.
        ToBest: float
        /// Against the best one, after Holm's correction; 1 for the best itself.
        P: float
        /// Whether the rows do not tell it from the best.
        IsTied: bool
    }

/// Statistics on plain arrays. What draws at random takes a seed and gives the same numbers on every machine; what takes
/// rows does not depend on their order.
[<RequireQualifiedAccess>]
module Statistics =
    let private notEmpty (name: string) (values: 'a[]) =
        if values.Length = 0 then
            invalidArg name "there are no values"

    let private sameLength (left: 'a[]) (right: 'b[]) =
        notEmpty (nameof left) left

        if left.Length <> right.Length then
            invalidArg (nameof right) $"there are {left.Length} values on the left and {right.Length} on the right"

    let private share (name: string) (value: float) =
        if not (value > 0.0 && value < 1.0) then
            invalidArg name $"{name} is {value}; it lies between 0 and 1"

    /// The arithmetic mean.
    let mean (values: float[]) : float =
        notEmpty (nameof values) values
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

    let private quantileOfSorted (share: float) (sorted: float[]) =
        let place = share * float (sorted.Length - 1)
        let below = int (floor place)
        let above = min (sorted.Length - 1) (below + 1)
        sorted[below] + (place - float below) * (sorted[above] - sorted[below])

    /// The quantile with linear interpolation between neighbours (Hyndman and Fan's type 7).
    let quantile (share: float) (values: float[]) : float =
        notEmpty (nameof values) values

        if not (share >= 0.0 && share <= 1.0) then
            invalidArg (nameof share) $"share is {share}; it lies from 0 to 1"

        quantileOfSorted share (Array.sort values)

    /// Bits to a number from 0 up to, not including, `count`. The bias of the multiplication is below count / 2^32.
    let private below (count: int) (bits: uint64) : int =
        int (((bits >>> 32) * uint64 count) >>> 32)

    /// The means of resamples, drawn with replacement from rows in canonical order.
    let private resampledMeans (resamples: int) (seed: uint64) (values: float[]) : float[] =
        if resamples < 1 then
            invalidArg (nameof resamples) $"resamples is {resamples}, the least is 1"

        let sorted = Array.sort values
        let next = Shuffle.splitMix64 seed

        Array.init resamples (fun _ ->
            let mutable sum = 0.0

            for _ in 1 .. sorted.Length do
                sum <- sum + sorted[below sorted.Length (next ())]

            sum / float sorted.Length)

    let private middle (level: float) (draws: float[]) : Interval =
        share (nameof level) level
        let sorted = Array.sort draws

        {
            Low = quantileOfSorted ((1.0 - level) / 2.0) sorted
            High = quantileOfSorted ((1.0 + level) / 2.0) sorted
        }

    /// The percentile bootstrap interval of the mean (Efron and Tibshirani 1993, ch. 13).
    let bootstrap (level: float) (resamples: int) (seed: uint64) (values: float[]) : Interval =
        notEmpty (nameof values) values
        resampledMeans resamples seed values |> middle level

    /// The paired bootstrap: rows are resampled, a row's two scores staying together. P is the share of resamples whose
    /// mean difference, moved to zero, is at least as large as the one observed; it counts the observation itself, so it is
    /// never 0.
    let pairedBootstrap (level: float) (resamples: int) (seed: uint64) (left: float[]) (right: float[]) : PairedTest =
        sameLength left right
        // The sum of sorted values: rounding, too, does not depend on the order of rows.
        let differences = Array.map2 (-) left right |> Array.sort
        let observed = mean differences
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

    /// ln n!, by summing.
    let private logFactorials (most: int) : float[] =
        let sums = Array.zeroCreate (most + 1)

        for n in 1..most do
            sums[n] <- sums[n - 1] + log (float n)

        sums

    /// The two-sided exact binomial test of a fair coin.
    let private fairCoin (heads: int) (tails: int) : float =
        let tosses = heads + tails
        let logs = logFactorials tosses

        let probability k =
            exp (logs[tosses] - logs[k] - logs[tosses - k] - float tosses * log 2.0)

        min 1.0 (2.0 * Seq.sumBy probability (seq { 0 .. min heads tails }))

    /// McNemar's exact test: of the rows on which exactly one is right, each is right on half if they are equally good.
    let mcNemar (left: bool[]) (right: bool[]) : McNemar =
        sameLength left right

        let count claim =
            Array.zip left right |> Array.filter claim |> Array.length

        let leftOnly = count (fun (left, right) -> left && not right)
        let rightOnly = count (fun (left, right) -> right && not left)

        {
            LeftOnly = leftOnly
            RightOnly = rightOnly
            P =
                if leftOnly + rightOnly = 0 then
                    1.0
                else
                    fairCoin leftOnly rightOnly
        }

    /// Up to so many unequal rows all 2^n exchanges are tried.
    let exactRows = 16

    /// The paired permutation test: the two scores of a row may be exchanged. Two-sided P of the mean difference: exact up
    /// to `exactRows` unequal rows, otherwise from so many draws, the observation counted in.
    let permutation (draws: int) (seed: uint64) (left: float[]) (right: float[]) : float =
        sameLength left right

        if draws < 1 then
            invalidArg (nameof draws) $"draws is {draws}, the least is 1"

        let sizes = Array.map2 (-) left right |> Array.filter ((<>) 0.0) |> Array.sort
        let observed = abs (Array.sum sizes)
        let magnitudes = sizes |> Array.map abs |> Array.sort

        let isExtreme sum =
            abs sum >= observed - 1e-9 * max 1.0 observed

        if magnitudes.Length <= exactRows then
            let all = 1 <<< magnitudes.Length

            let signed mask =
                magnitudes
                |> Array.mapi (fun place size -> if mask &&& (1 <<< place) = 0 then size else -size)
                |> Array.sum

            float (Seq.init all signed |> Seq.filter isExtreme |> Seq.length) / float all
        else
            let next = Shuffle.splitMix64 seed

            let draw () =
                let mutable sum, bits = 0.0, 0UL

                for place in 0 .. magnitudes.Length - 1 do
                    if place % 64 = 0 then
                        bits <- next ()

                    sum <-
                        if bits &&& 1UL = 0UL then
                            sum + magnitudes[place]
                        else
                            sum - magnitudes[place]

                    bits <- bits >>> 1

                sum

            let extreme =
                Seq.init draws (fun _ -> draw ()) |> Seq.filter isExtreme |> Seq.length

            float (extreme + 1) / float (draws + 1)

    /// Holm's correction (1979) for several tests, in their order: the smallest of n is multiplied by n, the next by n - 1
    /// and so on, never falling, at most 1.
    let holm (ps: float[]) : float[] =
        let adjusted = Array.zeroCreate ps.Length

        ps
        |> Array.indexed
        |> Array.sortBy snd
        |> Array.fold
            (fun (rank, last) (place, p) ->
                let value = max last (min 1.0 (float (ps.Length - rank) * p))
                adjusted[place] <- value
                rank + 1, value)
            (0, 0.0)
        |> ignore

        adjusted

    /// The complementary error function: its series for small x, its continued fraction for large x, both to about 1e-14.
    let private erfc (x: float) : float =
        let size = abs x

        let upper =
            if size < 2.5 then
                let mutable term, sum, n = size, size, 0

                while abs term > 1e-17 * abs sum && n < 200 do
                    n <- n + 1
                    term <- -term * size * size / float n
                    sum <- sum + term / float (2 * n + 1)

                1.0 - 2.0 / sqrt Math.PI * sum
            else
                let fraction =
                    Seq.foldBack (fun k tail -> float k / 2.0 / (size + tail)) (seq { 1..120 }) 0.0

                exp (-size * size) / sqrt Math.PI / (size + fraction)

        if x >= 0.0 then upper else 2.0 - upper

    /// The share of a standard normal variable at or below x.
    let normalBelow (x: float) : float = 0.5 * erfc (-x / sqrt 2.0)

    /// The value that a standard normal variable is below with this probability; by bisection.
    let normalQuantile (share': float) : float =
        share (nameof share') share'

        let rec narrow low high steps =
            let middle = (low + high) / 2.0

            if steps = 0 then
                middle
            elif normalBelow middle < share' then
                narrow middle high (steps - 1)
            else
                narrow low middle (steps - 1)

        narrow -40.0 40.0 80

    /// Wilson's interval (1927) of a share: `successes` of `rows`.
    let wilson (level: float) (successes: float) (rows: int) : Interval =
        share (nameof level) level

        if rows < 1 || not (successes >= 0.0 && successes <= float rows) then
            invalidArg (nameof successes) $"there are {successes} successes in {rows} rows"

        let z = normalQuantile ((1.0 + level) / 2.0)
        let n, p = float rows, successes / float rows
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n)
        let half = z / (1.0 + z * z / n) * sqrt (p * (1.0 - p) / n + z * z / (4.0 * n * n))

        {
            // Rounding must not push the ends past what is certain.
            Low = if successes = 0.0 then 0.0 else max 0.0 (centre - half)
            High = if successes = n then 1.0 else min 1.0 (centre + half)
        }

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
                if difference = 0.0 then 1.0
                elif error = 0.0 then 0.0
                else 2.0 * normalBelow (-(abs difference) / error)
        }

    let private isRightOrWrong (scores: float[]) =
        scores |> Array.forall (fun score -> score = 0.0 || score = 1.0)

    /// The two-sided P that two techniques score alike on the same rows: McNemar's exact test for right and wrong, the
    /// paired bootstrap for other scores.
    let paired (resamples: int) (seed: uint64) (left: float[]) (right: float[]) : float =
        sameLength left right

        if isRightOrWrong left && isRightOrWrong right then
            (mcNemar (Array.map ((=) 1.0) left) (Array.map ((=) 1.0) right)).P
        else
            (pairedBootstrap 0.95 resamples seed left right).P

    /// Each technique against the one with the best mean, on the same rows: tied are those whose P after Holm's correction
    /// is `alpha` or more. Several with the best mean are all compared with the first of them by name.
    let tiedWithBest (alpha: float) (resamples: int) (seed: uint64) (techniques: (string * float[])[]) : BesideBest[] =
        share (nameof alpha) alpha
        notEmpty (nameof techniques) techniques

        techniques
        |> Array.iter (fun (_, scores) -> sameLength (snd techniques[0]) scores)

        // Sorted before summing: the order of rows must not decide between equal means.
        let means = techniques |> Array.map (fun (_, scores) -> mean (Array.sort scores))
        let top = Array.max means

        let best =
            Seq.zip techniques means
            |> Seq.indexed
            |> Seq.filter (fun (_, (_, mean)) -> mean = top)
            |> Seq.minBy (fun (_, ((name, _), _)) -> name)
            |> fst

        let bestScores = snd techniques[best]
        let others = [| 0 .. techniques.Length - 1 |] |> Array.filter ((<>) best)

        let adjusted =
            others
            |> Array.map (fun other -> paired resamples seed (snd techniques[other]) bestScores)
            |> holm

        let p = Array.zip others adjusted |> dict

        techniques
        |> Array.mapi (fun place (name, scores) ->
            let p =
                match p.TryGetValue place with
                | true, p -> p
                | _ -> 1.0

            {
                Name = name
                Mean = means[place]
                Interval = bootstrap (1.0 - alpha) resamples seed scores
                ToBest = means[place] - top
                P = p
                IsTied = p >= alpha
            })

    let private beats (left: float[]) (right: float[]) =
        Array.forall2 (>=) left right && Array.exists2 (>) left right

    /// Which points no other point beats: is at least as good in everything and better in something. Each point is its
    /// values, larger being better; give costs a minus sign.
    let paretoFront (points: float[][]) : bool[] =
        points |> Array.iter (fun point -> sameLength points[0] point)

        points
        |> Array.map (fun point -> not (points |> Array.exists (fun other -> beats other point)))

    /// The probability of being on the front of mean score and costs (smaller being better), when the rows are resampled
    /// and the costs stay: `scores` and `costs` by technique, the rows the same for all.
    let frontProbability (resamples: int) (seed: uint64) (costs: float[][]) (scores: float[][]) : float[] =
        sameLength costs scores
        scores |> Array.iter (fun rows -> sameLength scores[0] rows)

        if resamples < 1 then
            invalidArg (nameof resamples) $"resamples is {resamples}, the least is 1"

        let count = scores[0].Length
        // Rows in an order that depends on their scores only.
        let rows =
            Array.init count (fun row -> scores |> Array.map (fun technique -> technique[row]))
            |> Array.sort

        let next = Shuffle.splitMix64 seed
        let found = Array.zeroCreate scores.Length

        for _ in 1..resamples do
            let sums = Array.zeroCreate<float> scores.Length

            for _ in 1..count do
                let row = rows[below count (next ())]

                for technique in 0 .. sums.Length - 1 do
                    sums[technique] <- sums[technique] + row[technique]

            Array.map2 (fun cost sum -> Array.append [| sum |] (Array.map (~-) cost)) costs sums
            |> paretoFront
            |> Array.iteri (fun technique isOn ->
                if isOn then
                    found[technique] <- found[technique] + 1)

        found |> Array.map (fun count -> float count / float resamples)

    /// The share of rows on which each two techniques answer differently.
    let disagreement (answers: string[][]) : float[,] =
        answers |> Array.iter (fun rows -> sameLength answers[0] rows)

        Array2D.init answers.Length answers.Length (fun left right ->
            let unequal =
                Array.fold2 (fun count a b -> if a <> b then count + 1 else count) 0 answers[left] answers[right]

            float unequal / float answers[left].Length)
