namespace Peft

/// Full fine-tuning.
[<RequireQualifiedAccess>]
module Full =
    /// Every tensor becomes a trained float32 copy; the model given stays as it is.
    let adapter: Adapter = Model.mapLeaves (fun _ leaf -> Leaf.trained leaf.Value)

    let private form = Form.own "every tensor" (fun _ -> true)

    /// `full`.
    let technique: Technique =
        { Make.technique "full" [] form (fun _ _ -> adapter) with
            Others = [ Convention.TFew, form; Convention.HuggingFace, form ]
            Rates =
                {
                    Paper = (3e-5, 3e-4, 3e-5)
                    SmallPeak = 3e-3
                }
        }

    /// What the name means.
    let spec: Spec =
        {
            Name = "full"
            Usage = "full"
            Source = "Raffel et al. 2020"
            Summary = "Every tensor is trained."
            First = "number"
            Read = fun _ -> technique
            Examples = [ "full" ]
            HuggingFace = None
        }
