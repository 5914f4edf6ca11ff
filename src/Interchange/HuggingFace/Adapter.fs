namespace Peft

open System
open TorchSharp

/// A configuration of peft as a function from model to model.
[<RequireQualifiedAccess>]
module internal HuggingFaceAdapter =
    /// Modules that peft could adapt and this project cannot: a target that means one of them is refused.
    let private notLinear =
        [ "shared"; "lm_head"; "encoder.embed_tokens"; "decoder.embed_tokens" ]

    let private selector (where: Targeting) : Selector =
        match where.Targets with
        | AllLinear -> ()
        | _ ->
            match notLinear |> List.tryFind (Targeting.includes where) with
            | Some name ->
                userError
                    $"target_modules means {name} too; only the linear maps of attention and feed-forward can be adapted."
            | None -> ()

        Targeting.selector where

    /// peft saves a module of this name and T5 goes on reading the original.
    let private checkSaved (names: string list) =
        for name in names do
            if
                "shared".EndsWith(name, StringComparison.Ordinal)
                || name.EndsWith("embed_tokens", StringComparison.Ordinal)
            then
                userError $"modules_to_save names {name}: peft trains a copy of the embedding that T5 does not read."

    let private chosen (where: Selector) (model: Model) =
        Model.projections model |> List.filter (fst >> where) |> List.map fst

    let private checkChosen (where: Targeting) (model: Model) : Selector =
        let where' = selector where

        if (chosen where' model).IsEmpty then
            userError "target_modules means no linear map of this model."

        where'

    let private lora (settings: HuggingFaceLora) (seed: int) (where: Selector) : Adapter =
        let update site =
            let name = Site.name site
            let rank = Targeting.lookUp settings.RankPattern settings.Rank name
            let alpha = Targeting.lookUp settings.AlphaPattern settings.Alpha name

            rank,
            alpha
            / (if settings.IsRankStabilised then
                   sqrt (float rank)
               else
                   float rank)

        let updated =
            if settings.IsPissa then
                Family.pissa update settings.Dropout where
            else
                Family.loraWith update settings.Dropout seed where

        if settings.IsDora then
            updated >> Family.dora where
        else
            updated

    let private ia3 (settings: HuggingFaceIa3) (where: Selector) : Adapter =
        // peft compares the ends of names here, without a dot before.
        let isFeedForward site =
            match settings.FeedForward with
            | ModuleNames names ->
                names
                |> List.exists (fun name -> (Site.name site).EndsWith(name, StringComparison.Ordinal))
            | other -> Targeting.covers other (Site.name site)

        fun model ->
            let isThere part = not (chosen part model).IsEmpty
            let inputs = Selector.both where isFeedForward
            let outputs = Selector.both where (isFeedForward >> not)

            let maybe part adapter =
                if isThere part then adapter part else id

            model
            |> maybe outputs Adapter.ia3OutputOnly
            |> maybe inputs Adapter.ia3InputOnly

    let private adaLora (settings: HuggingFaceAdaLora) (seed: int) (where: Selector) : Adapter =
        let kept = Map.ofList settings.Kept

        let rank site =
            match Map.tryFind (Site.name site) kept with
            | Some flags -> flags |> Array.filter id |> Array.length
            | None -> settings.Settings.InitialRank

        Family.adaLoraWith settings.Settings rank seed where

    let private vera (settings: HuggingFaceVera) (basis: Basis option) (where: Selector) : Adapter =
        fun model ->
            let weights =
                Model.projections model
                |> List.filter (fst >> where)
                |> List.map (fun (_, projection) -> (Projection.weight projection).Value)

            let largest side =
                weights |> List.map (fun weight -> weight.shape[side]) |> List.max

            let fanIn, fanOut = largest 1, largest 0

            let basis =
                match basis with
                | None -> Family.veraBasis settings.Rank settings.Key fanIn fanOut (Model.device model)
                | Some given ->
                    let expect (name: string) (shape: int64 list) (tensor: torch.Tensor) =
                        if List.ofArray tensor.shape <> shape then
                            userError $"tensor {name} has shape {List.ofArray tensor.shape}, this model needs {shape}."

                    expect "base_model.vera_A" [ int64 settings.Rank; fanIn ] given.A
                    expect "base_model.vera_B" [ fanOut; int64 settings.Rank ] given.B
                    given

            Family.veraOn basis settings.Start settings.Dropout where model

    /// The adapter, started as peft starts it, around VeRA's matrices where the file holds them.
    let around (basis: Basis option) (config: HuggingFaceConfig) (seed: int) : Adapter =
        fun model ->
            checkSaved config.ModulesToSave

            let main =
                match config.Method with
                | HuggingFaceLora settings -> lora settings seed (checkChosen settings.Where model)
                | HuggingFaceIa3 settings -> ia3 settings (checkChosen settings.Where model)
                | HuggingFaceVera settings -> vera settings basis (checkChosen settings.Where model)
                | HuggingFaceAdaLora settings -> adaLora settings seed (checkChosen settings.Where model)
                | HuggingFacePrompt(tokens, _) -> Adapter.prompt tokens seed
                | HuggingFacePrefix tokens -> Family.prefix tokens seed

            let extra =
                match config.ModulesToSave with
                | [] -> id
                | names -> Family.extraModules names

            model |> main |> extra
