namespace Peft

open System

/// A technique's results and costs by seed.
type SeedPoints =
    {
        /// By seed, then by row; `nan` where a seed's test did not have the row.
        Scores: float[][]
        /// By seed, then by cost: what a training may cost otherwise, as seconds and memory.
        Costs: float[][]
        /// What every training costs alike, as parameters.
        Fixed: float[]
    }

/// Fronts: what nothing else beats in everything at once.
[<RequireQualifiedAccess>]
module Pareto =
    /// Whether a point is at least as good in everything and better in something.
    let private beats (left: float[]) (right: float[]) =
        let mutable isWorse, isBetter = false, false

        for place in 0 .. left.Length - 1 do
            if left[place] < right[place] then
                isWorse <- true

            if left[place] > right[place] then
                isBetter <- true

        isBetter && not isWorse

    /// Which points no other point beats: is at least as good in everything and better in something. Each point is its
    /// values, larger being better; give costs a minus sign.
    let front (points: float[][]) : bool[] =
        points |> Array.iter (fun point -> Demand.paired points[0] point)

        points
        |> Array.map (fun point -> not (points |> Array.exists (fun other -> beats other point)))

    /// Seeds, then rows, in an order that depends on what they hold only.
    let private canonical (techniques: SeedPoints[]) : SeedPoints[] =
        let ordered (order: int[]) technique =
            { technique with
                Scores = order |> Array.map (fun seed -> technique.Scores[seed])
                Costs = order |> Array.map (fun seed -> technique.Costs[seed])
            }

        let rowsOf (techniques: SeedPoints[]) =
            Array.init techniques[0].Scores[0].Length (fun row ->
                techniques
                |> Array.collect (fun technique -> technique.Scores |> Array.map (fun seed -> seed[row])))

        let seeds = techniques[0].Scores.Length

        let key seed =
            techniques |> Array.map (fun technique -> technique.Costs[seed]),
            techniques |> Array.map (fun technique -> Array.sort technique.Scores[seed]),
            techniques
            |> Array.map (fun technique -> technique.Scores[seed])
            |> Array.transpose
            |> Array.sort

        let bySeed =
            techniques |> Array.map (ordered (Array.sortBy key [| 0 .. seeds - 1 |]))

        let rows = rowsOf bySeed
        let order = [| 0 .. rows.Length - 1 |] |> Array.sortBy (fun row -> rows[row])

        bySeed
        |> Array.map (fun technique ->
            { technique with
                Scores =
                    technique.Scores
                    |> Array.map (fun seed -> order |> Array.map (fun row -> seed[row]))
            })

    /// Draws as many as there are, with replacement: how often each place came.
    let private draw (chance: Chance) (counts: float[]) =
        Array.Clear counts

        for _ in 1 .. counts.Length do
            let place = chance.Below counts.Length
            counts[place] <- counts[place] + 1.0

    /// The sum of products, in four parts that do not wait for each other; their order is the same on every machine.
    let private dot (left: float[]) (right: float[]) : float =
        let mutable a, b, c, d = 0.0, 0.0, 0.0, 0.0
        let mutable place = 0

        while place + 3 < left.Length do
            a <- a + left[place] * right[place]
            b <- b + left[place + 1] * right[place + 1]
            c <- c + left[place + 2] * right[place + 2]
            d <- d + left[place + 3] * right[place + 3]
            place <- place + 4

        while place < left.Length do
            a <- a + left[place] * right[place]
            place <- place + 1

        (a + b) + (c + d)

    /// A technique under a draw of seeds and rows: the mean of its seeds' mean scores, as everywhere, then its costs with a
    /// minus sign. A seed none of whose rows was drawn, which takes seeds of different rows, does not count; a draw without
    /// a single score keeps the point of the draw before.
    let private place (seeds: float[]) (rows: float[]) (technique: SeedPoints) (has: float[][]) (point: float[]) =
        let mutable sum, count = 0.0, 0.0

        for seed in 0 .. seeds.Length - 1 do
            if seeds[seed] > 0.0 then
                let own = dot rows has[seed]

                if own > 0.0 then
                    sum <- sum + seeds[seed] * dot rows technique.Scores[seed] / own
                    count <- count + seeds[seed]

        if count > 0.0 then
            point[0] <- sum / count

        for cost in 0 .. technique.Costs[0].Length - 1 do
            let mutable spent = 0.0

            for seed in 0 .. seeds.Length - 1 do
                spent <- spent + seeds[seed] * technique.Costs[seed][cost]

            point[1 + technique.Fixed.Length + cost] <- -spent / float seeds.Length

    /// The probability of being on the front of mean score and costs (smaller being better) when test rows and seeds are
    /// drawn again, each with replacement and independently of the other (Owen 2007, "The pigeonhole bootstrap"). A seed
    /// brings its scores and its costs together, for all techniques at once. With few seeds the draws vary less than seeds
    /// do, by (n - 1) / n in variance; with one they hold for that training.
    let probability (resamples: int) (seed: uint64) (techniques: SeedPoints[]) : float[] =
        Demand.some (nameof techniques) techniques
        Demand.draws (nameof resamples) resamples

        for technique in techniques do
            if technique.Fixed.Length <> techniques[0].Fixed.Length then
                invalidArg (nameof techniques) "the techniques have different fixed costs"

            Demand.paired techniques[0].Scores technique.Scores
            Demand.paired technique.Scores technique.Costs
            Array.iter2 Demand.paired techniques[0].Scores technique.Scores

        let techniques = canonical techniques
        let chance = Chance seed
        let seeds = Array.zeroCreate techniques[0].Scores.Length
        let rows = Array.zeroCreate techniques[0].Scores[0].Length
        let found = Array.zeroCreate<int> techniques.Length

        let points =
            techniques
            |> Array.map (fun technique ->
                Array.concat
                    [
                        [| 0.0 |]
                        Array.map (~-) technique.Fixed
                        Array.zeroCreate technique.Costs[0].Length
                    ])

        let each (change: float -> float) (scores: float[][]) = scores |> Array.map (Array.map change)

        // 1 for a score and 0 where there is none, whose score then does not count.
        let has =
            techniques
            |> Array.map (fun technique ->
                technique.Scores |> each (fun score -> if Double.IsNaN score then 0.0 else 1.0))

        let techniques =
            techniques
            |> Array.map (fun technique ->
                { technique with
                    Scores =
                        technique.Scores
                        |> each (fun score -> if Double.IsNaN score then 0.0 else score)
                })

        for _ in 1..resamples do
            draw chance seeds
            draw chance rows

            for technique in 0 .. techniques.Length - 1 do
                place seeds rows techniques[technique] has[technique] points[technique]

            for technique in 0 .. techniques.Length - 1 do
                let mutable isOn = true

                for other in 0 .. techniques.Length - 1 do
                    if isOn && beats points[other] points[technique] then
                        isOn <- false

                if isOn then
                    found[technique] <- found[technique] + 1

        found |> Array.map (fun count -> float count / float resamples)
