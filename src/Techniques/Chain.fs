namespace Peft

/// One technique after the other: `lora(rank=2) >> layernorm`.
[<RequireQualifiedAccess>]
module Chain =
    let private apply (parts: Technique list) (where: Selector) (seed: int) : Adapter =
        parts
        |> List.map (fun part ->
            match part.Sites with
            | Some own -> part.Apply (Selector.both own where) seed
            | None -> part.Apply where seed)
        |> List.reduce (>>)

    /// The parts in order, each on its own sites.
    let technique (parts: Technique list) : Technique =
        let text separator (of': Technique -> string) =
            parts |> List.map of' |> String.concat separator

        let form = parts |> List.map _.Form |> Form.together

        { Make.technique (text "+" _.Name) [] form (apply parts) with
            Words = text " >> " _.Words
            IsSaid = parts |> List.forall _.IsSaid
            RateMultiplier =
                fun parameter -> parts |> List.map (fun part -> part.RateMultiplier parameter) |> List.reduce (*)
            EpsilonHat = parts |> List.tryPick _.EpsilonHat
            AroundOptimizer =
                fun steps model inner ->
                    (inner, parts)
                    ||> List.fold (fun optimizer part -> part.AroundOptimizer steps model optimizer)
            StartsAtBase = parts |> List.forall _.StartsAtBase
            Merges = parts |> List.forall _.Merges
            HuggingFace =
                match parts with
                | [ first; second ] when not second.SavedModules.IsEmpty -> first.HuggingFace
                | _ -> None
            SavedModules =
                match parts with
                | [ { HuggingFace = Some _ }; second ] -> second.SavedModules
                | _ -> []
            Parts = parts
        }
