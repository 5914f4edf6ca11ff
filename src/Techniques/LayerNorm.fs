namespace Peft

open System

/// LayerNorm tuning (Zhao et al. 2024).
[<RequireQualifiedAccess>]
module LayerNorm =
    let private isOf (where: Targeting option) (outline: Outline) =
        Form.isNorm outline
        && where
           |> Option.forall (fun where -> Targeting.includes where (Shape.moduleOf outline.Name))

    /// The names of a model's norms that end each of their modules: `layer_norm`, `ln_1`.
    let private names (shape: Shape) : string list =
        shape.Tensors
        |> List.filter Form.isNorm
        |> List.map (fun outline -> (Shape.moduleOf outline.Name).Split '.' |> Array.last)
        |> List.distinct

    let private train (where: Targeting option) : Adapter =
        fun model ->
            let shape = Model.shape model
            let chosen = shape.Tensors |> List.filter (isOf where) |> List.map _.Name |> set

            if chosen.IsEmpty then
                let there = String.Join(", ", names shape)
                userError $"layernorm finds none of its norms in this model: there are {there}."

            Start.trainWhere chosen.Contains model

    /// The scales of all norms, and their shifts where they have some. BitFit's cousin for a T5, whose norms have none.
    let adapter: Adapter = train None

    let private keys (where: Targeting option) =
        match where with
        | None -> []
        | Some where -> HuggingFaceValue.targeting true false where

    let rec private peft (where: Targeting option) : HuggingFaceForm =
        let files =
            [ ".weight", ".ln_tuning_layers.weight"; ".bias", ".ln_tuning_layers.bias" ]

        { Make.huggingFace "LN_TUNING" (keys where) files with
            // peft asks for names, which are the family's.
            OnShape =
                fun shape ->
                    match where with
                    | None -> Some(onNorms (Some(Targeting.ofNames (names shape))))
                    | Some _ -> None
        }

    and private onNorms (where: Targeting option) : Technique =
        let named = where |> Option.map Targeting.names

        let words, isSaid =
            match named with
            | None -> [], true
            | Some(Some names) -> [ "on=" + String.Join("+", names) ], true
            | Some None -> [ $"peft={HuggingFaceValue.text (keys where)}" ], false

        let form = Form.own "the layer norms" (isOf where)

        { Make.technique "layernorm" words form (fun _ _ -> train where) with
            IsSaid = isSaid
            Others = [ Convention.HuggingFace, form ]
            HuggingFace = Some(peft where)
        }

    /// `layernorm`.
    let technique: Technique = onNorms None

    /// What the name means.
    let spec: Spec =
        {
            Name = "layernorm"
            Usage = "layernorm"
            Source = "Zhao et al. 2024"
            Summary = "The scales of all layer norms, and their shifts where they have some."
            First = "number"
            Read = fun words -> words.Names "on" |> Option.map Targeting.ofNames |> onNorms
            Examples = [ "layernorm"; "layernorm(on=final_layer_norm)" ]
            HuggingFace =
                Some
                    {
                        Type = "LN_TUNING"
                        Defaults = """ "exclude_modules": null, "target_modules": null """
                        Notes = []
                        Read =
                            fun values ->
                                // peft writes the names that it took; without any it would have been all norms there are.
                                match values.Target "target_modules" with
                                | None -> onNorms None
                                | Some _ -> values.Targeting [] |> Targeting.sorted |> Some |> onNorms
                    }
        }
