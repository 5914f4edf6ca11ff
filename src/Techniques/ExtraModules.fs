namespace Peft

open System

/// Whole modules, trained as copies beside an adapter (peft's `modules_to_save`).
[<RequireQualifiedAccess>]
module ExtraModules =
    let private isOf (name: string) (leaf: string) =
        leaf.EndsWith($"{name}.weight", StringComparison.Ordinal)

    let private isOneOf (names: string list) (leaf: string) =
        names |> List.exists (fun name -> isOf name leaf)

    /// `lm_head`, `final_layer_norm`, `wo`: a name means every module that ends in it, as in peft; `UserError` where there is
    /// none. A head that is the embedding, or a stack's embedding that is that of both, is trained apart from it.
    let adapter (names: string list) : Adapter =
        fun model ->
            let known = (Model.leaves model |> List.map fst) @ model.Shared

            for name in names do
                if not (known |> List.exists (isOf name)) then
                    let there =
                        known
                        |> List.filter _.EndsWith(".weight", StringComparison.Ordinal)
                        |> List.map (fun leaf -> leaf.Split '.' |> Array.rev |> Array.item 1)
                        |> List.distinct

                    userError $"no module of this model ends in '{name}': {Nearest.question there name}"

            let untied = model.Shared |> List.filter (isOneOf names)

            if not untied.IsEmpty && not model.Table.IsEmpty then
                userError $"{untied.Head} is the embedding, some rows of which are trained: it cannot be trained apart."

            untied
            |> List.fold (fun model name -> model.Untie name) model
            |> Start.trainWhere (isOneOf names)

    /// `modules(names=lm_head+final_layer_norm)`.
    let technique (names: string list) : Technique =
        let named = String.concat ", " names

        let form =
            { Form.own $"every tensor of {named}" (fun outline -> isOneOf names outline.Name) with
                Untied = fun outline -> isOneOf names outline.Name
            }

        { Make.technique "modules" [ "names=" + String.concat "+" names ] form (fun _ _ -> adapter names) with
            SavedModules = names
        }

    /// What the name means.
    let spec: Spec =
        {
            Name = "modules"
            Usage = "modules(names=lm_head)"
            Source = "Hugging Face peft, modules_to_save"
            Summary = "Whole modules, trained as they are; usually beside another technique."
            First = "number"
            Read =
                fun words ->
                    match words.Names "names" with
                    | Some names -> technique names
                    | None -> refuse "modules needs names=lm_head, or several joined by '+'"
            Examples = [ "modules(names=final_layer_norm+wo)" ]
            HuggingFace = None
        }
