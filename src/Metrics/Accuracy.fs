namespace Peft

/// The share of right answers.
[<RequireQualifiedAccess>]
module Accuracy =
    /// The share of predictions that equal their reference, character for character: case, spaces and a full stop
    /// count. 0 where there are none.
    let ofTexts (predictions: string seq) (references: string seq) : float =
        let pairs = Reply.paired predictions references

        let correct =
            pairs |> Array.filter (fun (prediction, reference) -> prediction = reference)

        if pairs.Length = 0 then
            0.0
        else
            float correct.Length / float pairs.Length

    /// 1 where the text is the target, else 0.
    let ofRow (reply: Reply) : float =
        if reply.Text = reply.Target then 1.0 else 0.0

    /// The paper's metric of classification.
    let metric: Metric =
        {
            Name = "accuracy"
            Title = "accuracy"
            Suits = List.isEmpty >> not
            Sees = fun _ -> true
            OfRow = fun _ -> ofRow
            OfRows = fun _ replies -> ofTexts (replies |> Array.map _.Text) (replies |> Array.map _.Target)
            IsMeanOfRows = true
            IsHigherBetter = true
            HasColumn = false
            Figures = [ MetricFigure.Scores; MetricFigure.LearningCurves ]
        }
