namespace Peft

/// A technique beside the best one.
type BesideBest =
    {
        Name: string
        /// Of the seeds' own means, as in Table 1.
        Mean: float
        /// Of the mean: over other rows and other seeds; with one seed, over other rows only.
        Interval: Interval
        /// Its mean less the best one's; 0 or less.
        ToBest: float
        /// Against the best one, after Holm's correction over all pairs of techniques; 1 for the best itself.
        P: float
        /// Whether rows and seeds do not tell it from the best.
        IsTied: bool
    }

/// Techniques ranked on the same rows and seeds. Scores are given by seed, then by row, `nan` where a seed's test did not
/// have the row.
[<RequireQualifiedAccess>]
module BesideBest =
    /// The interval of a technique's mean: `Crossed.interval` for several seeds. For one seed, conditional on that training:
    /// Wilson's where scores are right or wrong or all the same, so that 0 of 500 is no certainty; else the bootstrap's.
    let interval (level: float) (resamples: int) (seed: uint64) (scores: float[][]) : Interval =
        match scores with
        | [| rows |] ->
            let isConstant = Array.forall ((=) rows[0]) rows && rows[0] >= 0.0 && rows[0] <= 1.0

            if isConstant || RowTests.isRightOrWrong rows then
                Statistics.wilson level (Array.sum (Array.sort rows) |> min (float rows.Length)) rows.Length
            else
                Bootstrap.interval level resamples seed rows
        | _ -> Crossed.interval level scores

    /// The two-sided P that two techniques score alike: `Crossed.difference` for several seeds, `RowTests.paired` for one.
    let p (draws: int) (seed: uint64) (left: float[][]) (right: float[][]) : float =
        match left, right with
        | [| left |], [| right |] -> RowTests.paired draws seed left right
        | _ -> (Crossed.difference 0.95 left right).P

    /// Pairs of so many techniques.
    let private pairs (techniques: int) = techniques * (techniques - 1) / 2

    /// Draws of a permutation test whose smallest P is a fifth of `alpha` still after the correction for so many tests.
    let private drawsFor (alpha: float) (family: int) = int (ceil (5.0 * float family / alpha))

    /// Each technique against the one with the best mean: tied are those whose P after Holm's correction is `alpha` or more.
    /// Several with the best mean are all compared with the first of them by name.
    ///
    /// The best is found from the data: where all are equally good, its lead over the last is the widest of all pairs, not
    /// that of one pair chosen before. So Holm's family is all k (k - 1) / 2 pairs, as in Tukey's range test; with the k - 1
    /// tests alone, at 5 %, one of 8 equal techniques would be called behind 12.6 % of the time, one of 15 17.8 %.
    let tiedWithBest
        (alpha: float)
        (resamples: int)
        (seed: uint64)
        (techniques: (string * float[][])[])
        : BesideBest[] =
        Demand.share (nameof alpha) alpha
        Demand.some (nameof techniques) techniques

        for _, scores in techniques do
            Demand.paired (snd techniques[0]) scores
            Array.iter2 Demand.paired (snd techniques[0]) scores

        let means = techniques |> Array.map (snd >> Crossed.seedMean)

        let top = Array.max means

        let best =
            Seq.zip techniques means
            |> Seq.indexed
            |> Seq.filter (fun (_, (_, mean)) -> mean = top)
            |> Seq.minBy (fun (_, ((name, _), _)) -> name)
            |> fst

        let bestScores = snd techniques[best]
        let others = [| 0 .. techniques.Length - 1 |] |> Array.filter ((<>) best)

        let family = pairs techniques.Length
        let draws = max resamples (drawsFor alpha family)

        let compare: float[][] -> float[][] -> float =
            match bestScores with
            | [| _ |] -> p draws seed
            | _ ->
                techniques
                |> Array.map snd
                |> Crossed.scatter
                |> Option.map Crossed.p
                |> Option.defaultValue (p draws seed)

        let adjusted =
            others
            |> Array.map (fun other -> compare (snd techniques[other]) bestScores)
            |> Statistics.holmOf family

        let corrected = Array.zip others adjusted |> dict

        techniques
        |> Array.mapi (fun place (name, scores) ->
            let p =
                match corrected.TryGetValue place with
                | true, p -> p
                | _ -> 1.0

            {
                Name = name
                Mean = means[place]
                Interval = interval (1.0 - alpha) resamples seed scores
                ToBest = means[place] - top
                P = p
                IsTied = p >= alpha
            })
