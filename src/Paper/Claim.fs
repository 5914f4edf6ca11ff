namespace Peft

open System
open System.Globalization

/// A comparison that a statement of the paper stands on.
type Check =
    {
        /// With the numbers compared.
        What: string
        Holds: bool
        /// Whether the two scores differ by no more than the test rows' chance: P is 0.05 or more. Accuracies only.
        IsWithinNoise: bool
    }

/// What the numbers say of a claim.
type ClaimVerdict =
    | Supported
    /// Some comparisons hold, some do not.
    | Mixed
    | Contradicted
    /// The paper measured nothing that bears on it.
    | NoEvidence

/// A statement of the paper, held against its own figures.
type Claim =
    {
        Name: string
        /// The paper's section.
        Source: string
        Statement: string
        Checks: Check list
        /// What the figures can and cannot say about it.
        Remark: string
    }

    member claim.Held: int = claim.Checks |> List.filter _.Holds |> List.length

    member claim.Verdict: ClaimVerdict =
        match claim.Held, claim.Checks.Length with
        | _, 0 -> NoEvidence
        | held, all when held = all -> Supported
        | 0, _ -> Contradicted
        | _ -> Mixed

[<RequireQualifiedAccess>]
module Claim =
    /// A number with at most five decimals, as the paper prints scores.
    let number (value: float) =
        value.ToString("0.#####", CultureInfo.InvariantCulture)

    /// Whether one score is above another.
    let above
        (where: string)
        (task: string)
        (left: string, leftScore: float)
        (right: string, rightScore: float)
        : Check =
        {
            What = $"{where}: {left} {number leftScore} against {right} {number rightScore}"
            Holds = leftScore > rightScore
            IsWithinNoise = Arithmetic.isWithinNoise task leftScore rightScore
        }

    /// Any other comparison, in words with its numbers.
    let fact (what: string) (holds: bool) : Check =
        {
            What = what
            Holds = holds
            IsWithinNoise = false
        }

    /// A statement with its comparisons.
    let make (name: string) (source: string) (statement: string) (remark: string) (checks: Check list) : Claim =
        {
            Name = name
            Source = source
            Statement = statement
            Checks = checks
            Remark = remark
        }

    /// A claim's verdict in words.
    let verdict (claim: Claim) : string =
        let noisy = claim.Checks |> List.filter _.IsWithinNoise |> List.length

        let noise =
            if noisy = 0 then
                ""
            else
                let word = if noisy = 1 then "difference lies" else "differences lie"
                $"; {noisy} {word} within item noise"

        match claim.Verdict with
        | Supported -> $"supported: {claim.Held} of {claim.Checks.Length} comparisons hold{noise}"
        | Mixed -> $"mixed: {claim.Held} of {claim.Checks.Length} comparisons hold{noise}"
        | Contradicted -> $"contradicted: none of {claim.Checks.Length} comparisons holds{noise}"
        | NoEvidence -> "no evidence in the paper's figures"

    /// A claim as text: the verdict, and the comparisons that do not hold.
    let describe (claim: Claim) : string =
        let failed =
            claim.Checks
            |> List.filter (fun check -> not check.Holds)
            |> List.map (fun check ->
                let noise = if check.IsWithinNoise then " (within noise)" else ""
                $"    not {check.What}{noise}")

        let shown =
            if failed.Length > 8 then
                List.truncate 6 failed @ [ $"    and {failed.Length - 6} more" ]
            else
                failed

        [
            $"{claim.Source}: {claim.Statement}"
            $"  {verdict claim}"
            if claim.Remark <> "" then
                $"  {claim.Remark}"
            yield! shown
        ]
        |> String.concat "\n"
