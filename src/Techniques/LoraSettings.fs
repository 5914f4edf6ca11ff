namespace Peft

open System.Text.Json

/// LoRA and its variants: `lora(rank=8,alpha=16,rs,dora,dropout=0.1)`.
type LoraSettings =
    {
        Rank: int
        /// The update counts alpha / rank, or alpha / sqrt(rank) where it is rank-stabilised.
        Alpha: float
        /// Dropout of the update's input, in training.
        Dropout: float
        /// rsLoRA (Kalajdzievski 2023): alpha / sqrt(rank).
        IsRankStabilised: bool
        /// DoRA (Liu et al. 2024): the direction of each row is adapted, its length is trained apart.
        IsDora: bool
        /// PiSSA (Meng et al. 2024): A and B start at the weight's largest singular directions.
        IsPissa: bool
        /// Whether B has a bias, which counts as the update does (peft's `lora_bias`).
        HasBias: bool
        /// LoRA+ (Hayou et al. 2024): B learns this many times as fast as A; 1 is LoRA.
        RateRatio: float
        /// LoRA-FA (Zhang et al. 2023): A is not trained, and follows from this number, so that files hold B only.
        FixedA: int option
        /// Whether the embedding has an update, too.
        OnEmbedding: bool
        /// Tokens whose rows of the embedding are trained beside (peft's `trainable_token_indices`).
        Tokens: int list
        /// What a configuration calls the embedding.
        EmbeddingName: string option
        Where: Targeting
        /// Other ranks for the sites whose name ends in, or matches to its end, a pattern; the first that does counts.
        RankPattern: (string * int) list
        AlphaPattern: (string * float) list
    }

    /// Hugging Face's targets, q and v, with alpha = rank and everything else off.
    static member OfRank(rank: int) : LoraSettings =
        {
            Rank = rank
            Alpha = float rank
            Dropout = 0.0
            IsRankStabilised = false
            IsDora = false
            IsPissa = false
            HasBias = false
            RateRatio = 1.0
            FixedA = None
            OnEmbedding = false
            Tokens = []
            EmbeddingName = None
            Where = Targeting.usual
            RankPattern = []
            AlphaPattern = []
        }

    /// What an update of this rank and alpha counts.
    member settings.ScaleOf(rank: int, alpha: float) : float =
        alpha
        / (if settings.IsRankStabilised then
               sqrt (float rank)
           else
               float rank)

    /// What the update counts.
    member settings.Scale: float = settings.ScaleOf(settings.Rank, settings.Alpha)

/// What LoRA's settings are in words, in peft's keys, and at the sites of a model.
[<RequireQualifiedAccess>]
module internal LoraWords =
    /// The rank and the scale of the update of the module of this name.
    let updateAt (settings: LoraSettings) (modul: string) : int * float =
        let rank = Targeting.lookUp settings.RankPattern settings.Rank modul
        let alpha = Targeting.lookUp settings.AlphaPattern settings.Alpha modul

        rank, settings.ScaleOf(rank, alpha)

    /// The rank and the scale of the update at a site.
    let update (settings: LoraSettings) (site: Site) : int * float = updateAt settings site.Name

    /// The maps' names, where words can say all of the settings.
    let saidNames (settings: LoraSettings) : string list option =
        if settings.RankPattern.IsEmpty && settings.AlphaPattern.IsEmpty then
            Targeting.said settings.Where
        else
            None

    /// The modules as peft's configurations name them: with the embedding where it has an update.
    let private targets (settings: LoraSettings) : Targeting =
        match settings.OnEmbedding, settings.EmbeddingName, Targeting.names settings.Where with
        | true, Some name, Some names -> Targeting.ofNames (List.sort (name :: names))
        | _ -> settings.Where

    /// peft's keys with their values.
    let peftKeys (settings: LoraSettings) : (string * JsonElement) list =
        [
            "r", HuggingFaceValue.element settings.Rank
            "lora_alpha", HuggingFaceValue.number settings.Alpha
            "lora_dropout", HuggingFaceValue.element settings.Dropout
            "use_rslora", HuggingFaceValue.element settings.IsRankStabilised
            "use_dora", HuggingFaceValue.element settings.IsDora
            "rank_pattern", HuggingFaceValue.pairs settings.RankPattern
            "alpha_pattern",
            settings.AlphaPattern
            |> List.map (fun (pattern, alpha) -> pattern, HuggingFaceValue.number alpha)
            |> HuggingFaceValue.pairs
            if settings.HasBias then
                "lora_bias", HuggingFaceValue.element true
            if settings.IsPissa then
                "init_lora_weights", HuggingFaceValue.element "pissa"
            match settings.Tokens, settings.EmbeddingName with
            | [], _ -> ()
            | ids, None -> "trainable_token_indices", HuggingFaceValue.element ids
            | ids, Some name -> "trainable_token_indices", HuggingFaceValue.element (dict [ name, ids ])
            yield! HuggingFaceValue.targeting true true (targets settings)
        ]

    /// This project's words.
    let words (settings: LoraSettings) : string list =
        [
            $"rank={settings.Rank}"
            $"alpha={WordsReader.number settings.Alpha}"
            if settings.IsRankStabilised then
                "rs"
            if settings.IsDora then
                "dora"
            if settings.IsPissa then
                "pissa"
            if settings.HasBias then
                "bias"
            if settings.Dropout <> 0.0 then
                $"dropout={WordsReader.number settings.Dropout}"
            if settings.RateRatio <> 1.0 then
                $"plus={WordsReader.number settings.RateRatio}"
            match settings.FixedA with
            | None -> ()
            | Some 0 -> "fa"
            | Some key -> $"fa={key}"
            if settings.OnEmbedding then
                "embedding"
            if not settings.Tokens.IsEmpty then
                "tokens=" + System.String.Join("+", settings.Tokens)
            match saidNames settings with
            | Some _ -> yield! Option.toList (Targeting.words settings.Where)
            | None -> $"peft={HuggingFaceValue.text (peftKeys settings)}"
        ]

    /// The same by names that mean its maps in a model of this shape, and these maps.
    let inShape (shape: Shape) (sites: Selector) (settings: LoraSettings) : LoraSettings * Site list =
        let meant = shape.Sites |> List.filter sites
        let matrices = meant |> List.map _.Matrix |> List.distinct |> Targeting.ofNames

        let where =
            if shape.Sites |> List.filter (Targeting.selector matrices) = meant then
                matrices
            else
                meant |> List.map _.Name |> Targeting.ofNames

        { settings with
            Where = where
            EmbeddingName = Some((Shape.embedding shape).Split '.' |> Array.last)
        },
        meant

    /// The keys that every kind of LoRA has.
    let peftDefaults =
        """ "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "bias": "none", "corda_config": null,
            "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
            "init_lora_weights": true, "kasa_config": null, "layer_replication": null, "loftq_config": {},
            "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0, "lora_ga_config": null, "megatron_config": null,
            "megatron_core": "megatron.core", "monteclora_config": null, "qalora_group_size": 16, "r": 8,
            "rank_pattern": {}, "target_parameters": null, "trainable_token_indices": null, "use_bdlora": null,
            "use_dora": false, "use_qalora": false, "use_rslora": false, "velora_config": null,
            "layers_pattern": null, "layers_to_transform": null, "target_modules": null """

    /// Keys of LoRA's that leave the function as it is. `bias` trains what biases the base has; a file that holds some is refused
    /// by their tensors. What `eva_config`, `corda_config` and their like say is how A and B started; where that changed the
    /// base, `init_lora_weights` names it.
    let peftNotes =
        [
            "megatron_core"
            "qalora_group_size"
            "loftq_config"
            "bias"
            "eva_config"
            "corda_config"
            "lora_ga_config"
        ]
