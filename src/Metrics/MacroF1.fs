namespace Peft

/// The mean over labels of F1: rare labels count as much as frequent ones.
[<RequireQualifiedAccess>]
module MacroF1 =
    /// Of each label F1 = 2 tp / (2 tp + fp + fn), 0 where that is undefined; their mean over the task's labels. An answer
    /// that is no label misses its target and is no label's false positive. As scikit-learn's
    /// f1_score(average="macro", labels=labels, zero_division=0).
    let ofReplies (labels: string list) (replies: Reply[]) : float =
        let ofLabel label =
            let count claim =
                replies |> Seq.filter claim |> Seq.length |> float

            let right = count (fun reply -> reply.Text = label && reply.Target = label)
            let given = count (fun reply -> reply.Text = label)
            let wanted = count (fun reply -> reply.Target = label)

            if given + wanted = 0.0 then
                0.0
            else
                2.0 * right / (given + wanted)

        if labels.IsEmpty then
            0.0
        else
            labels |> List.averageBy ofLabel

    /// Beside accuracy for labels.
    let metric: Metric =
        {
            Name = "macroF1"
            Title = "macro-F1"
            Suits = List.isEmpty >> not
            Sees = fun _ -> true
            OfRow = fun _ -> Accuracy.ofRow
            OfRows = ofReplies
            IsMeanOfRows = false
            IsHigherBetter = true
            HasColumn = false
            Figures = [ MetricFigure.LearningCurves ]
        }
