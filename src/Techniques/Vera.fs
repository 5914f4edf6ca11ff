namespace Peft

open TorchSharp

/// VeRA as peft's configurations say it.
type VeraSettings =
    {
        Rank: int
        /// What the random matrices follow from.
        Key: int
        /// Where d starts.
        Start: float
        /// The rate of dropout of the update's input, in training.
        Dropout: float
        /// Whether A and B are in an adapter's file; otherwise they are drawn from the key.
        HoldsBasis: bool
        Where: Targeting
    }

/// VeRA (Kopiczko et al. 2024): two vectors a map around random matrices.
[<RequireQualifiedAccess>]
module Vera =
    /// VeRA's shared matrices for maps of these sizes, as peft draws them from its `projection_prng_key`: A from
    /// U(±sqrt(6/in)), B from U(±sqrt(6/rank)).
    let basis (rank: int) (key: int) (largestIn: int64) (largestOut: int64) (device: torch.Device) : Basis =
        use generator = new torch.Generator(uint64 key, torch.CPU)

        let draw extents (fan: int64) =
            Start.uniform generator (sqrt (6.0 / float fan)) extents device

        let a = draw [ int64 rank; largestIn ] largestIn

        {
            A = a
            B = draw [ largestOut; int64 rank ] (int64 rank)
        }

    /// VeRA (Kopiczko et al. 2024, eq. 2) around a given basis: d starts at `start` (0.1 in peft), b at zero, so training
    /// starts at the model given.
    let on (basis: Basis) (start: float) (dropout: float) (where: Selector) : Adapter =
        Start.wrap where (fun _ inner ->
            let _, fanOut, device = Start.shape inner
            let d = Leaf.trained (Start.filled start basis.A.shape[0] device)
            SharedBasis(inner, basis, d, Leaf.trained (Start.zeros [ fanOut ] device), dropout))

    /// The largest [in, out] among the selected maps.
    let private largest (where: Selector) (model: Model) =
        let shapes =
            model
            |> Model.projections
            |> List.filter (fst >> where)
            |> List.map (snd >> Start.shape)

        if shapes.IsEmpty then
            userError "this technique finds none of its linear maps in this model."

        shapes |> List.map (fun (fanIn, _, _) -> fanIn) |> List.max,
        shapes |> List.map (fun (_, fanOut, _) -> fanOut) |> List.max

    /// VeRA with matrices that follow from `key`.
    let adapter (rank: int) (key: int) (where: Selector) : Adapter =
        fun model ->
            let fanIn, fanOut = largest where model

            if rank < 1 then
                invalidArg (nameof rank) $"rank is {rank}, the least is 1"

            let shared = basis rank key fanIn fanOut (Model.device model)
            on shared 0.1 0.0 where model

    let private apply (settings: VeraSettings) (where: Selector) : Adapter =
        fun model ->
            let fanIn, fanOut = largest where model

            if settings.Rank < 1 then
                invalidArg (nameof settings) $"rank is {settings.Rank}, the least is 1"

            let shared = basis settings.Rank settings.Key fanIn fanOut (Model.device model)
            on shared settings.Start settings.Dropout where model

    let private basisOf (model: Model) : torch.Tensor list =
        Model.projections model
        |> List.tryPick (fun (_, projection) ->
            match projection with
            | SharedBasis(basis = basis) -> Some [ basis.A; basis.B ]
            | _ -> None)
        |> Option.defaultValue []

    /// Around matrices from a file, after their shapes were checked.
    let private around (settings: VeraSettings) (given: torch.Tensor list) (where: Selector) : Adapter =
        fun model ->
            let fanIn, fanOut = largest where model

            let expect (name: string) (shape: int64 list) (tensor: torch.Tensor) =
                if List.ofArray tensor.shape <> shape then
                    userError $"tensor {name} has shape {List.ofArray tensor.shape}, this model needs {shape}."

            expect "base_model.vera_A" [ int64 settings.Rank; fanIn ] given[0]
            expect "base_model.vera_B" [ fanOut; int64 settings.Rank ] given[1]
            on { A = given[0]; B = given[1] } settings.Start settings.Dropout where model

    let private paths (settings: VeraSettings) (site: Site) : Branch list =
        let rank = settings.Rank

        [
            Branch.Beside
                [
                    if settings.Dropout > 0.0 then
                        Step.Dropout
                    Step.Fixed(int64 rank, site.In)
                    Step.Scale("vera_lambda_d", [ int64 rank ])
                    Step.Fixed(site.Out, int64 rank)
                    Step.Scale("vera_lambda_b", [ site.Out ])
                ]
        ]

    let private keys (settings: VeraSettings) =
        [
            "r", HuggingFaceValue.element settings.Rank
            "projection_prng_key", HuggingFaceValue.element settings.Key
            "d_initial", HuggingFaceValue.element settings.Start
            "vera_dropout", HuggingFaceValue.element settings.Dropout
            "save_projection", HuggingFaceValue.element settings.HoldsBasis
            yield! HuggingFaceValue.targeting false true settings.Where
        ]

    /// Whether words say all of it.
    let private isSaid (settings: VeraSettings) =
        settings.Start = 0.1
        && settings.Dropout = 0.0
        && (Targeting.said settings.Where).IsSome

    let rec private peft (settings: VeraSettings) : HuggingFaceForm =
        let names =
            [ ".vera_lambda_b", ".vera_lambda_b"; ".vera_lambda_d", ".vera_lambda_d" ]

        { Make.huggingFace "VERA" (keys settings) names with
            Where = Some settings.Where
            OnModules =
                fun modules ->
                    ofSettings
                        { settings with
                            Where = Targeting.ofNames (List.map fst modules)
                        }
            Buffers =
                Some
                    {
                        Names = [ "base_model.vera_A"; "base_model.vera_B" ]
                        Of = basisOf
                        Around = around settings
                        IsHeld = settings.HoldsBasis
                    }
        }

    /// VeRA with these settings.
    and ofSettings (settings: VeraSettings) : Technique =
        let isSaid = isSaid settings

        let sites =
            if isSaid then
                Targeting.updated settings.Where
            else
                Targeting.selector settings.Where

        let on =
            if isSaid && Targeting.isOn [ "q"; "v" ] settings.Where then
                "q, v"
            else
                "the modules named"

        let form = Form.atSites sites $"rank + out on {on}" (paths settings)

        let words =
            [
                $"rank={settings.Rank}"
                if settings.Key <> 0 then
                    $"key={settings.Key}"
                if isSaid then
                    yield! Option.toList (Targeting.words (Targeting.sorted settings.Where))
                else
                    $"peft={HuggingFaceValue.text (keys settings)}"
            ]

        { Make.technique "vera" words form (fun where _ -> apply settings where) with
            IsSaid = isSaid
            Others = [ Convention.HuggingFace, form ]
            HuggingFace = Some(peft settings)
        }

    let private on' (where: Targeting) (rank: int, key: int) : Technique =
        ofSettings
            {
                Rank = rank
                Key = key
                Start = 0.1
                Dropout = 0.0
                HoldsBasis = true
                Where = where
            }

    /// `vera(rank=4)`, the matrices following from a key.
    let technique (rank: int, key: int) : Technique = on' Targeting.usual (rank, key)

    let private readPeft (values: HuggingFaceValues) : Technique =
        ofSettings
            {
                Rank = values.Count "r"
                Key = values.Whole "projection_prng_key"
                Start = values.Number "d_initial"
                Dropout = values.Share "vera_dropout"
                HoldsBasis = values.Flag "save_projection"
                Where = values.Targeting [ "q"; "v" ]
            }

    /// What the name means.
    let spec: Spec =
        {
            Name = "vera"
            Usage = "vera(rank=4,on=q+v)"
            Source = "Kopiczko et al. 2024"
            Summary = "Two trained vectors a map around random matrices that all maps share."
            First = "rank"
            Read =
                fun words ->
                    let where = Targeting.read "vera" words |> Option.defaultValue Targeting.usual
                    on' where (words.Count("rank", Some 256), words.Whole("key", Some 0))
            Examples = [ "vera(rank=3)"; "vera(rank=3,key=17)"; "vera(rank=3,on=q+o+down)" ]
            HuggingFace =
                Some
                    {
                        Type = "VERA"
                        Defaults =
                            """ "layers_pattern": null, "layers_to_transform": null, "target_modules": null, "bias": "none",
                                "d_initial": 0.1, "fan_in_fan_out": false, "init_weights": true,
                                "projection_prng_key": 0, "r": 256, "save_projection": true, "vera_dropout": 0.0"""
                        Notes = [ "init_weights" ]
                        Read = readPeft
                    }
        }
