namespace Peft

/// LayerNorm tuning (Zhao et al. 2024).
[<RequireQualifiedAccess>]
module LayerNorm =
    /// The scales of all norms. BitFit's cousin for a T5, whose norms have no bias.
    let adapter: Adapter =
        fun model ->
            let norms =
                (Model.shape model).Tensors |> List.filter Form.isNorm |> List.map _.Name |> set

            Start.trainWhere norms.Contains model

    let private form = Form.own "the layer norms" Form.isNorm

    /// `layernorm`.
    let technique: Technique =
        { Make.technique "layernorm" [] form (fun _ _ -> adapter) with
            Others = [ Convention.HuggingFace, form ]
        }

    /// What the name means.
    let spec: Spec =
        {
            Name = "layernorm"
            Usage = "layernorm"
            Source = "Zhao et al. 2024"
            Summary = "The scales of all layer norms."
            First = "number"
            Read = fun _ -> technique
            Examples = [ "layernorm" ]
            HuggingFace = None
        }
