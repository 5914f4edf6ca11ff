namespace Peft

open System

/// What a model wrote where a target was wanted.
type Reply =
    {
        Target: string
        Text: string
        /// The most likely of the task's labels (`Likelihood`); none where they were not ranked.
        Ranked: string option
    }

[<RequireQualifiedAccess>]
module Reply =
    /// One whose labels were not ranked.
    let ofText (target: string) (text: string) : Reply =
        {
            Target = target
            Text = text
            Ranked = None
        }

    /// Predictions beside their references; `ArgumentException` where there are not as many of each.
    let internal paired (predictions: 'a seq) (references: 'a seq) : ('a * 'a)[] =
        let predictions, references = Array.ofSeq predictions, Array.ofSeq references

        if predictions.Length <> references.Length then
            invalidArg
                (nameof predictions)
                $"there are {predictions.Length} predictions for {references.Length} references"

        Array.zip predictions references

/// The figures of a report that draw scores.
[<RequireQualifiedAccess>]
type MetricFigure =
    /// Techniques side by side, with intervals.
    | Scores
    /// By number of training rows.
    | LearningCurves

/// A way to score answers. A new one is a file beside those of the others and a line in `Metrics.all`.
[<CustomEquality; NoComparison>]
type Metric =
    {
        /// In options and result files.
        Name: string
        /// In tables.
        Title: string
        /// Whether it scores tasks with these labels; none where text is generated.
        Suits: string list -> bool
        /// Whether a reply holds what it looks at; it scores rows only where all of them do.
        Sees: Reply -> bool
        /// The score of one row of a task with these labels: what is tested row by row. Scores that are all 0 or 1 get
        /// Wilson's interval and McNemar's test, others the bootstrap's and the permutation test.
        OfRow: string list -> Reply -> float
        /// The score of all rows, for a task with these labels.
        OfRows: string list -> Reply[] -> float
        /// Whether `OfRows` is the mean of `OfRow`; otherwise rows are tested on something related.
        IsMeanOfRows: bool
        IsHigherBetter: bool
        /// Whether Table 1 has a column for it where the task reports another one.
        HasColumn: bool
        /// Which figures draw it where the task reports it.
        Figures: MetricFigure list
    }

    /// A score with its sign turned where less is better, so that more is.
    member metric.Worth(score: float) : float =
        if metric.IsHigherBetter then score else -score

    override metric.Equals(other: obj) =
        match other with
        | :? Metric as other -> metric.Name = other.Name
        | _ -> false

    override metric.GetHashCode() =
        metric.Name.GetHashCode StringComparison.Ordinal

    override metric.ToString() = metric.Name
