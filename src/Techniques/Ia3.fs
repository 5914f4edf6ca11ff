namespace Peft

open System
open TorchSharp

/// Which maps (IA)3 rescales, as peft's configurations say it: `FeedForward` are those whose input is rescaled instead of
/// their output.
type Ia3Settings =
    {
        Where: Targeting
        FeedForward: ModuleTarget
    }

/// (IA)3 (Liu et al. 2022), in its three forms.
[<RequireQualifiedAccess>]
module Ia3 =
    /// T-Few's scaling rank 1: b ∘ (W (a ∘ x)) with `a` [in] and `b` [out] both trained, from `a` = 1 + N(0,
    /// deviation²) and `b` = 1.
    let rescaled (deviation: float) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> Start.wrap where (fun _ inner ->
                let fanIn, fanOut, device = Start.shape inner

                let a =
                    if deviation = 0.0 then
                        Start.filled 1.0 fanIn device
                    else
                        (Start.normal generator deviation [| fanIn |] device).add_(1.0.ToScalar())

                Rescaled(inner, Some(Leaf.trained a), Some(Leaf.trained (Start.filled 1.0 fanOut device))))

    /// Only the output's vector, from one, so that keys, values and the inner activation are rescaled (§3.3).
    let outputOnly (where: Selector) : Adapter =
        Start.wrap where (fun _ inner ->
            let _, fanOut, device = Start.shape inner
            Rescaled(inner, None, Some(Leaf.trained (Start.filled 1.0 fanOut device))))

    /// y = W (a ∘ x), with `a` trained from one. peft's `feedforward_modules`.
    let inputOnly (where: Selector) : Adapter =
        Start.wrap where (fun _ inner ->
            let fanIn, _, device = Start.shape inner
            Rescaled(inner, Some(Leaf.trained (Start.filled 1.0 fanIn device)), None))

    /// Among the selected maps the input of those that `isInput` names and the output of the others.
    let mixed (isInput: Selector) (where: Selector) : Adapter =
        let inputs, outputs =
            Selector.both where isInput, Selector.both where (isInput >> not)

        fun model ->
            let isThere part =
                Model.projections model |> List.exists (fst >> part)

            match isThere outputs, isThere inputs with
            | true, false -> outputOnly outputs model
            | false, true -> inputOnly inputs model
            | _ -> model |> (outputOnly outputs >> inputOnly inputs)

    /// The paths of `rescaled`.
    let internal rescaledPaths (site: Site) : Branch list =
        [
            Branch.Before [ Step.Scale("multi_lora_a", [ site.In ]) ]
            Branch.Behind [ Step.Scale("multi_lora_b", [ site.Out ]) ]
        ]

    let private publishedForm =
        Form.atSites Selector.paperIa3 "out on k, v, wi_1" (fun site ->
            [ Branch.Behind [ Step.Scale("multi_lora_b", [ site.Out ]) ] ])

    let private mixedForm isInput sites formula =
        Form.atSites sites formula (fun site ->
            if isInput site then
                [ Branch.Before [ Step.Scale("multi_lora_a", [ site.In ]) ] ]
            else
                [ Branch.Behind [ Step.Scale("multi_lora_b", [ site.Out ]) ] ])

    let private isRescaledInput = Selector.usual Change.RescaleInput

    let private usualForm =
        mixedForm
            isRescaledInput
            (Selector.either (Selector.usual Change.RescaleOutput) isRescaledInput)
            "out on k, v and in on wo"

    let private vectorShape (name: string) (own: int64 list) =
        match own with
        | [ length ] when name.EndsWith(".multi_lora_a", StringComparison.Ordinal) -> [ 1L; length ]
        | [ length ] when name.EndsWith(".multi_lora_b", StringComparison.Ordinal) -> [ length; 1L ]
        | _ -> own

    /// peft's targets for T5.
    let private usual: Ia3Settings =
        {
            Where = Targeting.ofNames [ "k"; "v"; "wo" ]
            FeedForward = ModuleNames [ "wo" ]
        }

    let private asPublished: Ia3Settings =
        {
            Where = Targeting.ofNames [ "k"; "v"; "wi_1"; "wi" ]
            FeedForward = ModuleNames []
        }

    let private keys (settings: Ia3Settings) =
        ("feedforward_modules", HuggingFaceValue.modules settings.FeedForward)
        :: HuggingFaceValue.targeting true false settings.Where

    /// The modules as words say them: all, and those whose input is rescaled.
    let private saidNames (settings: Ia3Settings) : (string list * string list) option =
        match Targeting.said settings.Where, settings.FeedForward with
        | Some names, ModuleNames inputs when inputs |> List.forall (fun name -> List.contains name names) ->
            Some(names, inputs)
        | _ -> None

    let private isInput (settings: Ia3Settings) : Selector =
        match saidNames settings, settings.FeedForward with
        | Some(_, inputs), _ -> Selector.named inputs
        // peft compares the ends of names here, without a dot before.
        | None, ModuleNames names ->
            fun site ->
                names
                |> List.exists (fun name -> site.Name.EndsWith(name, StringComparison.Ordinal))
        | None, other -> fun site -> Targeting.covers other site.Name

    let private wordsOf (settings: Ia3Settings) : string list =
        match saidNames settings with
        | Some(names, inputs) ->
            [
                "on=" + String.Join("+", List.sort names)
                if not inputs.IsEmpty then
                    "inputs=" + String.Join("+", List.sort inputs)
            ]
        | None -> [ $"peft={HuggingFaceValue.text (keys settings)}" ]

    let rec private peft (isInput: Selector) (settings: Ia3Settings) : HuggingFaceForm =
        { Make.huggingFace "IA3" (keys settings) [ ".multi_lora_a", ".ia3_l"; ".multi_lora_b", ".ia3_l" ] with
            Where = Some settings.Where
            OnModules =
                fun modules ->
                    ofSettings
                        {
                            Where = Targeting.ofNames (List.map fst modules)
                            FeedForward = modules |> List.filter (snd >> isInput) |> List.map fst |> ModuleNames
                        }
            FileShape = vectorShape
        }

    /// (IA)3 as a configuration of peft's says it. What words do not say prints as the configuration does.
    and ofSettings (settings: Ia3Settings) : Technique =
        match settings.FeedForward with
        | ModuleNames [ "wo" ] when Targeting.isOn [ "k"; "v"; "wo" ] settings.Where ->
            { Make.technique "ia3" [] usualForm (fun where _ -> mixed isRescaledInput where) with
                Others = [ Convention.HuggingFace, usualForm ]
                HuggingFace = Some(peft isRescaledInput settings)
            }
        | ModuleNames [] when
            Targeting.isOn [ "k"; "v"; "wi_1" ] settings.Where
            || Targeting.isOn [ "k"; "v"; "wi_1"; "wi" ] settings.Where
            ->
            { Make.technique "ia3" [ "published" ] publishedForm (fun where _ -> outputOnly where) with
                Others = [ Convention.TFew, publishedForm; Convention.HuggingFace, publishedForm ]
                HuggingFace = Some(peft (fun _ -> false) settings)
            }
        | _ ->
            let isInput = isInput settings

            let where =
                match saidNames settings with
                | Some(names, _) -> Selector.named names
                | None -> Targeting.selector settings.Where

            let form = mixedForm isInput where "in or out on the modules named"

            { Make.technique "ia3" (wordsOf settings) form (fun where _ -> mixed isInput where) with
                IsSaid = (saidNames settings).IsSome
                Others = [ Convention.HuggingFace, form ]
                HuggingFace = Some(peft isInput settings)
            }

    /// (IA)3 as peft has it: outputs of k and v, inputs of wo.
    let huggingFace: Technique = ofSettings usual

    /// (IA)3 as published: outputs of k, v and the inner activation.
    let published: Technique = ofSettings asPublished

    let private paperForm =
        Form.atSites Selector.paperIa3 "in + out on k, v, wi_1" rescaledPaths

    /// (IA)3 as the paper counts it: both vectors trained, from one.
    let paper: Technique =
        { Make.technique "paper-ia3" [] paperForm (fun where _ -> rescaled 0.0 0 where) with
            // ia3.json: trained ".*lora_b.*", so the input's vector stays at one.
            Others = [ Convention.TFew, publishedForm; Convention.HuggingFace, usualForm ]
        }

    /// What `paper-ia3` means.
    let paperSpec: Spec =
        {
            Name = "paper-ia3"
            Usage = "paper-ia3"
            Source = "the paper, after Liu et al. 2022"
            Summary = "The paper's (IA)3: inputs and outputs of k, v and wi_1 are rescaled by trained vectors."
            First = "number"
            Read = fun _ -> paper
            Examples = [ "paper-ia3" ]
            HuggingFace = None
        }

    let private read (words: Words) : Technique =
        match words.Flag "published", words.Names "inputs", Targeting.read "ia3" words with
        | true, None, None -> published
        | true, _, _ -> refuse "ia3(published) has its own maps: leave out on= and inputs="
        | false, None, None -> huggingFace
        | false, Some _, None -> refuse "ia3 with inputs= needs on=, which names all of its maps"
        | false, inputs, Some where ->
            let inputs = Option.defaultValue [] inputs
            let names = Targeting.names where |> Option.defaultValue []

            match inputs |> List.tryFind (fun name -> not (List.contains name names)) with
            | Some other -> refuse $"ia3 rescales the input of '{other}', which on= does not name"
            | None ->
                ofSettings
                    {
                        Where = where
                        FeedForward = ModuleNames inputs
                    }

    /// What `ia3` means.
    let spec: Spec =
        {
            Name = "ia3"
            Usage = "ia3, ia3(published), ia3(on=k+v+wo,inputs=wo)"
            Source = "Liu et al. 2022"
            Summary =
                "Trained vectors rescale keys, values and the input of wo, as Hugging Face's peft has it, or, as published, the inner activation."
            First = "number"
            Read = read
            Examples = [ "ia3"; "ia3(published)"; "ia3(on=down+o+q,inputs=down)" ]
            HuggingFace =
                Some
                    {
                        Type = "IA3"
                        Defaults =
                            """ "exclude_modules": null, "fan_in_fan_out": false, "feedforward_modules": null,
                                "init_ia3_weights": true, "target_modules": null """
                        Notes = [ "init_ia3_weights" ]
                        Read =
                            fun values ->
                                ofSettings
                                    {
                                        Where = values.Targeting [ "k"; "v"; "wo" ]
                                        FeedForward =
                                            values.Target "feedforward_modules" |> Option.defaultValue (ModuleNames [])
                                    }
                    }
        }
