namespace Peft

/// The share of rows whose most likely label is the right one, whatever the model would have written.
[<RequireQualifiedAccess>]
module RankAccuracy =
    let private ofRow (reply: Reply) : float =
        if reply.Ranked = Some reply.Target then 1.0 else 0.0

    /// Rank classification as T-Few has it (Liu et al. 2022): of the labels the one with the highest length-normalised
    /// log-likelihood (`Likelihood`) is the answer. Beside exact match of what is written, which is the paper's.
    let metric: Metric =
        {
            Name = "rankAccuracy"
            Title = "rank accuracy"
            Suits = List.isEmpty >> not
            Sees = _.Ranked.IsSome
            OfRow = fun _ -> ofRow
            OfRows =
                fun _ replies ->
                    if replies.Length = 0 then
                        0.0
                    else
                        Array.averageBy ofRow replies
            IsMeanOfRows = true
            IsHigherBetter = true
            HasColumn = true
            Figures = [ MetricFigure.Scores; MetricFigure.LearningCurves ]
        }
