namespace Peft

open System
open System.Text.Json
open TorchSharp

/// AdaLoRA: `adalora(rank=8,start=12,alpha=8)`. When ranks are taken away is `AdaLoraSchedule`'s matter.
type AdaLoraSettings =
    {
        /// The mean rank at the end.
        TargetRank: int
        /// The rank of every map at the start.
        InitialRank: int
        /// The update counts alpha / (start + 1e-5).
        Alpha: float
        /// The rate of dropout of the update's input, in training.
        Dropout: float
        /// The weight of the orthogonality penalty.
        Orthogonality: float
    }

/// AdaLoRA (Zhang et al. 2023): LoRA as a singular value decomposition whose directions are taken away where the loss
/// feels them least.
[<RequireQualifiedAccess>]
module AdaLora =
    /// peft's defaults.
    let standard: AdaLoraSettings =
        {
            TargetRank = 8
            InitialRank = 12
            Alpha = 8.0
            Dropout = 0.0
            Orthogonality = 0.5
        }

    /// W x + alpha / (rank + 1e-5) · B (E ∘ A dropout(x)), E from zero, A
    /// and B from N(0, 0.02²), with the weight of the orthogonality penalty in the loss. `rank` gives each site how many
    /// directions it holds; `initialRank` is the rank that the scale was set by and stays.
    let adapterOf (settings: AdaLoraSettings) (rank: Site -> int) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let scale = settings.Alpha / (float settings.InitialRank + 1e-5)

            model
            |> Start.wrap where (fun site inner ->
                let rank = rank site
                Start.checkRank rank site inner
                let fanIn, fanOut, device = Start.shape inner
                let a = Leaf.trained (Start.normal generator 0.02 [| int64 rank; fanIn |] device)
                let b = Leaf.trained (Start.normal generator 0.02 [| fanOut; int64 rank |] device)
                let e = Leaf.trained (Start.zeros [ int64 rank; 1L ] device)
                Singular(inner, a, e, b, scale, settings.Dropout, settings.Orthogonality))

    /// AdaLoRA with every site at the initial rank.
    let adapter (settings: AdaLoraSettings) (seed: int) (where: Selector) : Adapter =
        adapterOf settings (fun _ -> settings.InitialRank) seed where

    /// What a configuration of peft's adds: which directions of each site were kept (none before an allocation), and where.
    type private Pruned =
        {
            Settings: AdaLoraSettings
            Kept: (string * bool[]) list
            Where: Targeting
        }

    let private rankAt (pruned: Pruned) : Site -> int =
        let kept = Map.ofList pruned.Kept

        fun site ->
            match Map.tryFind site.Name kept with
            | Some flags -> flags |> Array.filter id |> Array.length
            | None -> pruned.Settings.InitialRank

    let private paths (pruned: Pruned) (site: Site) : Branch list =
        let rank = int64 (rankAt pruned site)
        // A Aᵀ and Bᵀ B of the penalty; the gradient of each is two such products.
        let penalty = 2.0 * float (rank * rank * (site.In + site.Out))

        [
            Branch.Beside
                [
                    if pruned.Settings.Dropout > 0.0 then
                        Step.Dropout
                    Step.Matrix("lora_a", rank, site.In)
                    Step.Scale("lora_e", [ rank; 1L ])
                    Step.Matrix("lora_b", site.Out, rank)
                ]
            Branch.Once(penalty, 2.0 * penalty)
        ]

    /// peft's names of the patterns end in the parameter's name.
    let private patternSuffix = ".lora_E"

    let private keys (pruned: Pruned) : (string * JsonElement) list =
        [
            "target_r", HuggingFaceValue.element pruned.Settings.TargetRank
            "init_r", HuggingFaceValue.element pruned.Settings.InitialRank
            "lora_alpha", HuggingFaceValue.number pruned.Settings.Alpha
            "lora_dropout", HuggingFaceValue.element pruned.Settings.Dropout
            "orth_reg_weight", HuggingFaceValue.element pruned.Settings.Orthogonality
            if not pruned.Kept.IsEmpty then
                "rank_pattern",
                pruned.Kept
                |> List.map (fun (name, kept) -> name + patternSuffix, kept)
                |> HuggingFaceValue.pairs
            yield! HuggingFaceValue.targeting true true pruned.Where
        ]

    /// AdaLoRA's tensors without the directions that were taken away: peft writes the rest.
    let private keptOnly (pruned: Pruned) (name: string) (tensor: torch.Tensor) : torch.Tensor =
        let kept =
            pruned.Kept
            |> List.tryFind (fun (site, _) -> name.StartsWith($"{site}.lora_", StringComparison.Ordinal))

        let dimension =
            if name.EndsWith(".lora_b", StringComparison.Ordinal) then
                1L
            else
                0L

        match kept with
        | Some(_, flags) when tensor.shape[int dimension] = int64 flags.Length ->
            let places =
                [|
                    for place in 0 .. flags.Length - 1 do
                        if flags[place] then
                            int64 place
                |]

            tensor.index_select (dimension, torch.tensor (places, device = tensor.device))
        | _ -> tensor

    let private words (settings: AdaLoraSettings) : string list =
        [
            $"rank={settings.TargetRank}"
            $"start={settings.InitialRank}"
            $"alpha={WordsReader.number settings.Alpha}"
            if settings.Dropout <> 0.0 then
                $"dropout={WordsReader.number settings.Dropout}"
            if settings.Orthogonality <> standard.Orthogonality then
                $"orthogonality={WordsReader.number settings.Orthogonality}"
        ]

    /// peft refuses a configuration whose steps do not go beyond its schedule's, although an adapter that is only used takes none.
    let private withSteps (config: Map<string, JsonElement>) : Map<string, JsonElement> =
        let steps key =
            match Map.tryFind key config |> Option.bind HuggingFaceValue.real with
            | Some steps -> int64 steps
            | None -> 0L

        let least = steps "tinit" + steps "tfinal" + 1L

        if steps "total_step" >= least then
            config
        else
            Map.add "total_step" (HuggingFaceValue.element least) config

    let rec private peft (pruned: Pruned) : HuggingFaceForm =
        let names = [ ".lora_a", ".lora_A"; ".lora_e", ".lora_E"; ".lora_b", ".lora_B" ]

        { Make.huggingFace "ADALORA" (keys pruned) names with
            Where = Some pruned.Where
            OnModules =
                fun modules ->
                    ofPruned
                        { pruned with
                            Where = Targeting.ofNames (List.map fst modules)
                        }
            Stored = keptOnly pruned
            Completed = withSteps
            // Directions may have been masked or already taken away.
            HasFixedShapes = false
        }

    and private ofPruned (pruned: Pruned) : Technique =
        let settings = pruned.Settings

        let isSaid = pruned.Kept.IsEmpty && (Targeting.said pruned.Where).IsSome

        let sites =
            if isSaid || Targeting.isOn [ "q"; "v" ] pruned.Where then
                Targeting.updated pruned.Where
            else
                Targeting.selector pruned.Where

        let on =
            if Targeting.isOn [ "q"; "v" ] pruned.Where then
                "q, v"
            else
                "the modules named"

        let form = Form.atSites sites $"start·(in + out + 1) on {on}" (paths pruned)

        let all =
            words settings
            @ if isSaid then
                  Option.toList (Targeting.words (Targeting.sorted pruned.Where))
              else
                  [ $"peft={HuggingFaceValue.text (keys pruned)}" ]

        { Make.technique "adalora" all form (fun where seed -> adapterOf settings (rankAt pruned) seed where) with
            IsSaid = isSaid
            Others = [ Convention.HuggingFace, form ]
            Rank = Some settings.InitialRank
            Rates = { Make.rates with SmallPeak = 3e-2 }
            AroundOptimizer = fun steps -> RankAllocation.after (RankAllocation.schedule steps) settings.TargetRank
            HuggingFace = Some(peft pruned)
        }

    /// AdaLoRA with these settings on q and v, where each site named kept these directions only.
    let keeping (kept: (string * bool[]) list) (settings: AdaLoraSettings) : Technique =
        ofPruned
            {
                Settings = settings
                Kept = kept
                Where = Targeting.usual
            }

    /// AdaLoRA with these settings on q and v.
    let technique (settings: AdaLoraSettings) : Technique = keeping [] settings

    let private readPeft (values: HuggingFaceValues) : Technique =
        ofPruned
            {
                Settings =
                    {
                        TargetRank = values.Count "target_r"
                        InitialRank = values.Count "init_r"
                        Alpha = values.Number "lora_alpha"
                        Dropout = values.Share "lora_dropout"
                        Orthogonality = values.Number "orth_reg_weight"
                    }
                Kept =
                    values.Pairs("rank_pattern", HuggingFaceValue.flags, "lists of true and false by name")
                    |> List.map (fun (name, kept) -> name.Replace(patternSuffix, "", StringComparison.Ordinal), kept)
                Where = values.Targeting [ "q"; "v" ]
            }

    let private read (words: Words) : Technique =
        ofPruned
            {
                Settings =
                    {
                        TargetRank = words.Count("rank", Some standard.TargetRank)
                        InitialRank = words.Count("start", Some standard.InitialRank)
                        Alpha = words.Number("alpha", standard.Alpha)
                        Dropout = words.Share "dropout"
                        Orthogonality = words.Number("orthogonality", standard.Orthogonality)
                    }
                Kept = []
                Where = Targeting.read "adalora" words |> Option.defaultValue Targeting.usual
            }

    let private ownKeys =
        """ "beta1": 0.85, "beta2": 0.85, "deltaT": 1, "init_r": 12, "orth_reg_weight": 0.5, "target_r": 8, "tfinal": 0,
            "tinit": 0, "total_step": null"""

    /// What the name means.
    let spec: Spec =
        {
            Name = "adalora"
            Usage = "adalora(rank=8,start=12,alpha=8,on=q+v)"
            Source = "Zhang et al. 2023"
            Summary = "LoRA whose ranks shrink in training where the loss feels it least."
            First = "rank"
            Read = read
            Examples =
                [
                    "adalora(rank=2,start=4,alpha=8)"
                    "adalora(rank=2,start=4,alpha=8,on=q+o+down)"
                ]
            HuggingFace =
                Some
                    {
                        Type = "ADALORA"
                        Defaults =
                            LoraWords.peftDefaults.Replace("\"rank_pattern\": {}", "\"rank_pattern\": null")
                            + ","
                            + ownKeys
                        Notes =
                            LoraWords.peftNotes
                            @ [
                                "r"
                                "init_lora_weights"
                                "beta1"
                                "beta2"
                                "deltaT"
                                "tfinal"
                                "tinit"
                                "total_step"
                            ]
                        Read = readPeft
                    }
        }
