namespace Peft

open System

/// What statistics ask of their arguments.
[<RequireQualifiedAccess>]
module internal Demand =
    /// At least one value.
    let some (name: string) (values: 'a[]) : unit =
        if values.Length = 0 then
            invalidArg name "there are no values"

    /// At least one value, and as many on the right as on the left.
    let paired (left: 'a[]) (right: 'b[]) : unit =
        some (nameof left) left

        if left.Length <> right.Length then
            invalidArg (nameof right) $"there are {left.Length} values on the left and {right.Length} on the right"

    /// A number between 0 and 1.
    let share (name: string) (value: float) : unit =
        if not (value > 0.0 && value < 1.0) then
            invalidArg name $"{name} is {value}; it lies between 0 and 1"

    /// At least one draw.
    let draws (name: string) (value: int) : unit =
        if value < 1 then
            invalidArg name $"{name} is {value}, the least is 1"

/// The distributions that tests and intervals are read from.
[<RequireQualifiedAccess>]
module Distribution =
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

    /// Halves an interval around where a falling function passes a value.
    let private solveFalling (tail: float -> float) (value: float) (low: float) (high: float) : float =
        let rec narrow low high steps =
            let middle = (low + high) / 2.0

            if steps = 0 then middle
            elif tail middle > value then narrow middle high (steps - 1)
            else narrow low middle (steps - 1)

        narrow low high 80

    /// The value that a standard normal variable is below with this probability; by bisection.
    let normalQuantile (share: float) : float =
        Demand.share (nameof share) share
        solveFalling (fun x -> normalBelow -x) (1.0 - share) -40.0 40.0

    /// The probability that Student's t with so many degrees of freedom is farther from 0 than `t`: the finite series for
    /// whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4), to about 1e-15.
    let studentTail (freedom: int) (t: float) : float =
        if freedom < 1 then
            invalidArg (nameof freedom) $"freedom is {freedom}, the least is 1"

        let angle = atan (abs t / sqrt (float freedom))
        let cosine, sine = cos angle, sin angle
        let isOdd = freedom % 2 = 1

        let mutable term = if isOdd then cosine else 1.0
        let mutable sum = if freedom = 1 then 0.0 else term
        let mutable k = if isOdd then 3 else 2

        while k < freedom do
            term <- term * cosine * cosine * float (k - 1) / float k
            sum <- sum + term
            k <- k + 2

        let inside =
            if isOdd then
                2.0 / Math.PI * (angle + sine * sum)
            else
                sine * sum

        max 0.0 (1.0 - inside)

    /// The probability of being more than `t` standard errors from the truth where the variance is a sum of parts, each
    /// estimated with so many degrees of freedom: the mean of Student's tails, weighted by the parts (after Cochran 1964,
    /// "Approximate significance levels of the Behrens-Fisher test"); the last part's where all are 0.
    let mixedTail (parts: (float * int)[]) (t: float) : float =
        Demand.some (nameof parts) parts
        let total = parts |> Array.sumBy fst

        let tail (_, freedom) = studentTail (max 1 freedom) t

        if total = 0.0 then
            tail (Array.last parts)
        else
            parts
            |> Array.filter (fun (variance, _) -> variance > 0.0)
            |> Array.sumBy (fun (variance, freedom) -> variance / total * tail (variance, freedom))

    /// Where a two-sided tail that falls with the distance from 0 becomes `tail`; by bisection.
    let twoSidedQuantile (tail: float) (farther: float -> float) : float =
        Demand.share (nameof tail) tail
        let mutable high = 2.0

        while farther high > tail && high < 1e9 do
            high <- high * 2.0

        solveFalling farther tail 0.0 high

    /// ln n!, by summing.
    let private logFactorials (most: int) : float[] =
        let sums = Array.zeroCreate (most + 1)

        for n in 1..most do
            sums[n] <- sums[n - 1] + log (float n)

        sums

    /// The two-sided exact binomial test of a fair coin.
    let fairCoin (heads: int) (tails: int) : float =
        let tosses = heads + tails
        let logs = logFactorials tosses

        let probability k =
            exp (logs[tosses] - logs[k] - logs[tosses - k] - float tosses * log 2.0)

        min 1.0 (2.0 * Seq.sumBy probability (seq { 0 .. min heads tails }))
