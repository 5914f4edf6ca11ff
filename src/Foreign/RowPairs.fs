namespace Peft

open System

/// Two systems on the same test rows, one run each.
type RowPair =
    {
        Left: string
        Right: string
        /// The mean of left - right.
        Difference: float
        /// 95 %, over other test rows.
        Interval: Interval
        /// Two-sided: McNemar's mid-P for right and wrong, the permutation test for other scores.
        P: float
        /// After Holm's correction over all pairs.
        Adjusted: float
    }

/// Several systems on the same test rows, one run each.
[<NoComparison>]
type RowComparison =
    {
        Metric: string
        Rows: int
        /// Each system's mean and its interval.
        Means: (string * float * Interval) list
        Pairs: RowPair list
        /// Two single runs must differ by so much to be told apart, after Holm's correction for the closest pair of all.
        Detectable: float
    }

/// Tests of anyone's rows. They hold for these runs and other test rows; what another training would change is not in them.
[<RequireQualifiedAccess>]
module RowPairs =
    let private alpha = 0.05
    let private draws = 10_000
    let private seed = 1UL

    /// McNemar's test with the mid-P (Fagerland, Lydersen and Laake 2013): half of the probability of what was seen counts.
    /// The exact test keeps below 5 % whatever the number of unequal rows, and so rejects 3 to 4 % of true nulls; this one
    /// rejects 5 % on average over them.
    let mcNemarMid (left: bool[]) (right: bool[]) : float =
        let counts = RowTests.mcNemar left right
        let unequal = counts.LeftOnly + counts.RightOnly

        if unequal = 0 then
            1.0
        elif counts.LeftOnly = counts.RightOnly then
            1.0
        else
            // Twice the tail without, plus with, the observed count, halved.
            let fewer = min counts.LeftOnly counts.RightOnly

            let below =
                if fewer = 0 then
                    0.0
                else
                    Distribution.fairCoin (fewer - 1) (unequal - fewer + 1)

            (below + counts.P) / 2.0

    /// The two-sided P that two systems score alike on the same rows.
    let p (draws: int) (seed: uint64) (left: float[]) (right: float[]) : float =
        if RowTests.isRightOrWrong left && RowTests.isRightOrWrong right then
            mcNemarMid (Array.map ((=) 1.0) left) (Array.map ((=) 1.0) right)
        else
            RowTests.permutation draws seed left right

    /// The interval of the mean difference: for right and wrong Agresti and Min's (2005), with half a row added to each of the
    /// four kinds, which has a width where no row differs; for other scores the bootstrap's, and where no difference varies
    /// the reach of Wilson's interval of none in so many rows.
    let interval (left: float[]) (right: float[]) : Interval =
        let differences = Array.map2 (-) left right
        let rows = float differences.Length

        if RowTests.isRightOrWrong left && RowTests.isRightOrWrong right then
            let wins = float (differences |> Array.filter ((=) 1.0) |> Array.length) + 0.5
            let losses = float (differences |> Array.filter ((=) -1.0) |> Array.length) + 0.5
            let all = rows + 2.0
            let middle = (wins - losses) / all
            let error = sqrt (max 0.0 (wins + losses - (wins - losses) ** 2.0 / all)) / all
            let reach = Distribution.normalQuantile (1.0 - alpha / 2.0)

            {
                Low = max -1.0 (middle - reach * error)
                High = min 1.0 (middle + reach * error)
            }
        elif Array.forall ((=) differences[0]) differences then
            let reach = Distribution.normalQuantile (1.0 - alpha / 2.0)
            let half = (Statistics.wilsonOf reach 0.0 rows).High

            {
                Low = differences[0] - half
                High = differences[0] + half
            }
        else
            Bootstrap.interval (1.0 - alpha) draws seed differences

    /// The least difference of two single runs with P below `level` on so many rows, where the rows' differences have this
    /// variance. For right and wrong never less than unequal rows, all on one side, that the test itself asks for.
    let detectable (isRightOrWrong: bool) (level: float) (rows: int) (variance: float) : float =
        let normal =
            Distribution.normalQuantile (1.0 - level / 2.0) * sqrt (variance / float rows)

        if isRightOrWrong then
            // The mid-P of k rows on one side is 2 ^ -k.
            let fewest = ceil (-(Math.Log2 level))
            max normal (fewest / float rows)
        else
            normal

    /// Compares systems pair by pair. `ArgumentException` where there are fewer than two, or not the same number of rows.
    let compare (metric: string) (systems: (string * float[]) list) : RowComparison =
        if systems.Length < 2 then
            invalidArg (nameof systems) $"there are {systems.Length} systems, the least is 2"

        let pairs =
            [
                for place, (left, ours) in List.indexed systems do
                    for right, theirs in systems |> List.skip (place + 1) do
                        left, right, ours, theirs
            ]

        let draws = max draws (int (ceil (5.0 * float pairs.Length / alpha)))

        let adjusted =
            pairs
            |> List.map (fun (_, _, ours, theirs) -> p draws seed ours theirs)
            |> Array.ofList

        let corrected = Statistics.holmOf pairs.Length adjusted
        let isRightOrWrong = systems |> List.forall (snd >> RowTests.isRightOrWrong)

        let variance =
            pairs
            |> List.averageBy (fun (_, _, ours, theirs) -> Statistics.orderlessVariance (Array.map2 (-) ours theirs))

        {
            Metric = metric
            Rows = (snd systems.Head).Length
            Means =
                systems
                |> List.map (fun (name, scores) ->
                    name, Statistics.mean scores, BesideBest.interval (1.0 - alpha) 2_000 seed [| scores |])
            Pairs =
                pairs
                |> List.mapi (fun place (left, right, ours, theirs) ->
                    {
                        Left = left
                        Right = right
                        Difference = Statistics.mean (Array.map2 (-) ours theirs)
                        Interval = interval ours theirs
                        P = adjusted[place]
                        Adjusted = corrected[place]
                    })
            Detectable = detectable isRightOrWrong (alpha / float pairs.Length) (snd systems.Head).Length variance
        }

    /// A comparison as text: the means, the pairs, and what it takes to tell two single runs apart.
    let describe (comparison: RowComparison) : string =
        let fixed4 value = NumberStyle.text (Fixed 4) value

        let between (interval: Interval) =
            $"{fixed4 interval.Low} … {fixed4 interval.High}"

        let means =
            [ "file"; comparison.Metric; "95 % interval" ]
            :: [
                for name, mean, interval in comparison.Means -> [ name; fixed4 mean; between interval ]
            ]
            |> Render.aligned 1

        let pairs =
            [ "pair"; "difference"; "95 % interval"; "P"; "P (Holm)"; "" ]
            :: [
                for pair in comparison.Pairs ->
                    [
                        $"{pair.Left} - {pair.Right}"
                        fixed4 pair.Difference
                        between pair.Interval
                        fixed4 pair.P
                        fixed4 pair.Adjusted
                        if pair.Adjusted < alpha then "told apart" else "tied"
                    ]
            ]
            |> Render.aligned 1

        [
            means
            pairs
            $"On these {comparison.Rows:N0} test rows two single runs must differ by {fixed4 comparison.Detectable} to be told apart (two-sided 5 %%, Holm over {comparison.Pairs.Length}). What another training of the same would change is not in it."
        ]
        |> String.concat "\n\n"
