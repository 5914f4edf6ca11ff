namespace Peft

/// Matthews' correlation of predicted and true labels, from -1 to 1.
[<RequireQualifiedAccess>]
module Matthews =
    /// Matthews correlation for any number of classes (Gorodkin 2004, R_K): with c of s predictions correct, and class
    /// k predicted p_k times and true t_k times,
    /// (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)).
    /// 0 where that is undefined: all predictions, or all references, are of one class, or there are none. A
    /// prediction that is no reference's class counts as a class of its own.
    let ofLabels (predictions: 'a seq) (references: 'a seq) : float =
        let pairs = Reply.paired predictions references

        let counts label =
            pairs |> Array.countBy label |> Map.ofArray

        let predicted, actual = counts fst, counts snd
        let square count = float count * float count
        let total = float pairs.Length

        let correct =
            pairs |> Array.filter (fun (prediction, reference) -> prediction = reference)

        let expected =
            predicted
            |> Map.toSeq
            |> Seq.sumBy (fun (label, count) ->
                float count * float (actual |> Map.tryFind label |> Option.defaultValue 0))

        let spread counts =
            square pairs.Length - (counts |> Map.toSeq |> Seq.sumBy (snd >> square))

        // Two roots: one root of the product would lose the exact 1 of a perfect prediction.
        match spread predicted, spread actual with
        | 0.0, _
        | _, 0.0 -> 0.0
        | left, right when left = right -> (float correct.Length * total - expected) / left
        | left, right -> (float correct.Length * total - expected) / (sqrt left * sqrt right)

    /// Beside accuracy for two labels, as for CoLA.
    let metric: Metric =
        {
            Name = "matthews"
            Title = "MCC"
            Suits = fun labels -> labels.Length = 2
            Sees = fun _ -> true
            OfRow = fun _ -> Accuracy.ofRow
            OfRows = fun _ replies -> ofLabels (replies |> Array.map _.Text) (replies |> Array.map _.Target)
            IsMeanOfRows = false
            IsHigherBetter = true
            HasColumn = true
            Figures = []
        }
