namespace Peft

/// The share of answers that are one of the labels, the right one or not: exact match counts any other answer as wrong.
[<RequireQualifiedAccess>]
module LabelShare =
    let private ofRow (labels: string list) (reply: Reply) : float =
        if List.contains reply.Text labels then 1.0 else 0.0

    /// Beside accuracy: what is missing to 1 was lost by not answering in labels.
    let metric: Metric =
        {
            Name = "labelShare"
            Title = "answers that are labels"
            Suits = List.isEmpty >> not
            Sees = fun _ -> true
            OfRow = ofRow
            OfRows =
                fun labels replies ->
                    if replies.Length = 0 then
                        0.0
                    else
                        replies |> Array.averageBy (ofRow labels)
            IsMeanOfRows = true
            IsHigherBetter = true
            HasColumn = false
            Figures = []
        }
