namespace Peft

open System.Text.Json
open System.Text.RegularExpressions
open TorchSharp

/// LoRA (Hu et al. 2021) as Hugging Face's peft has it, with its variants.
[<RequireQualifiedAccess>]
module Lora =
    /// W x + scale · B A dropout(x), where `update` gives each site its rank and
    /// scale. A starts at U(-1/sqrt(in), 1/sqrt(in)), B at zero, so training starts at the model given.
    let adapter (update: Site -> int * float) (dropout: float) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> Start.wrap where (fun site inner ->
                let rank, scale = update site
                Start.checkRank rank site inner
                let fanIn, fanOut, device = Start.shape inner

                let a =
                    Start.uniform generator (1.0 / sqrt (float fanIn)) [ int64 rank; fanIn ] device

                LowRank(
                    inner,
                    Leaf.trained a,
                    Leaf.trained (Start.zeros [ fanOut; int64 rank ] device),
                    scale,
                    dropout
                ))

    /// A, B and what remains of a weight without its largest singular directions.
    let private principal
        (rank: int)
        (scale: float)
        (weight: torch.Tensor)
        : torch.Tensor * torch.Tensor * torch.Tensor =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let wide = weight.``to`` torch.float32
        let struct (u, s, vh) = torch.linalg.svd (wide, fullMatrices = false)
        let roots = s.narrow(0L, 0L, int64 rank).div(scale.ToScalar()).sqrt()
        let a = vh.narrow(0L, 0L, int64 rank).mul(roots.unsqueeze 1L)
        let b = u.narrow(1L, 0L, int64 rank).mul roots
        let rest = wide.sub(b.mm(a).mul(scale.ToScalar())).``to`` weight.dtype
        a.MoveToOuterDisposeScope(), b.MoveToOuterDisposeScope(), rest.MoveToOuterDisposeScope()

    /// PiSSA (Meng et al. 2024, eq. 2-4): W = U S Vᵀ; A and B start at the `rank` largest singular directions, scale · B A =
    /// U_r S_r V_rᵀ, and the frozen weight is what remains of W. A fresh adapter computes what the base computes but for
    /// rounding; the base given keeps its weights.
    let pissa (update: Site -> int * float) (dropout: float) (where: Selector) : Adapter =
        Start.wrap where (fun site inner ->
            let rank, scale = update site
            Start.checkRank rank site inner

            let around (weight: Leaf) remainder =
                let a, b, rest = principal rank scale weight.Value
                LowRank(remainder (Frozen rest), Leaf.trained a, Leaf.trained b, scale, dropout)

            match inner with
            | Dense weight -> around weight Dense
            | Affine(weight, bias) -> around weight (fun rest -> Affine(rest, bias))
            | _ ->
                userError $"{Site.name site} is adapted already: PiSSA must be the first of a chain to change a map.")

    /// DoRA (Liu et al. 2024, eq. 5) around the maps that `where` selects, which an adapter before it (LoRA) has changed:
    /// y = (m / ‖W'‖) ∘ W' x, with m trained from the norms of W's rows. In training, dropout touches the update only.
    let dora (where: Selector) : Adapter =
        Start.wrap where (fun site inner ->
            if not (Projection.isLinear inner) then
                userError
                    $"{Site.name site} is not linear, so its rows have no norm: put DoRA before the serial adapter."

            Directed(inner, Leaf.trained (Projection.rowNorms inner)))

    /// A bias from zero behind each B, counting as the update does: y = inner x + scale · bias.
    let private bias (update: Site -> int * float) (where: Selector) : Adapter =
        Start.wrap where (fun site inner ->
            let _, fanOut, device = Start.shape inner
            Raised(inner, Leaf.trained (Start.zeros [ fanOut ] device), snd (update site)))

    /// peft's rank where none is given. Its alpha is 8 then; here alpha is the rank where none is given, so that the update counts
    /// once whatever the rank is.
    let rank = 8

    let private apply (settings: LoraSettings) (where: Selector) (seed: int) : Adapter =
        let updated =
            if settings.IsPissa then
                pissa (LoraWords.update settings) settings.Dropout where
            else
                let start = defaultArg settings.FixedA seed
                adapter (LoraWords.update settings) settings.Dropout start where

        let updated =
            if settings.FixedA.IsSome then
                updated >> LoraFa.freezeA where
            else
                updated

        let raised =
            if settings.HasBias then
                updated >> bias (LoraWords.update settings) where
            else
                updated

        let directed = if settings.IsDora then raised >> dora where else raised

        let embedded =
            if settings.OnEmbedding then
                directed >> LoraEmbedding.adapter settings seed
            else
                directed

        if settings.Tokens.IsEmpty then
            embedded
        else
            embedded >> TrainableTokens.adapter settings.Tokens

    let private paths (settings: LoraSettings) (site: Site) : Branch list =
        let rank = int64 (fst (LoraWords.update settings site))

        [
            Branch.Beside
                [
                    if settings.Dropout > 0.0 then
                        Step.Dropout
                    if settings.FixedA.IsSome then
                        Step.Frozen(rank, site.In)
                    else
                        Step.Matrix("lora_a", rank, site.In)
                    Step.Matrix("lora_b", site.Out, rank)
                ]
            if settings.HasBias then
                Branch.Behind [ Step.Shift("lora_b_bias", [ site.Out ]) ]
            if settings.IsDora then
                Branch.Behind [ Step.Scale("lora_magnitude_vector", [ site.Out ]) ]
                // The norms of the rows of W + scale · B A, in every pass.
                Branch.Once(2.0 * float (rank * site.In * site.Out), 0.0)
        ]

    let rec private peft (settings: LoraSettings) (sites: Selector) (held: Site list) : HuggingFaceForm =
        let names =
            [
                ".lora_a", ".lora_A.weight"
                ".lora_b_bias", ".lora_B.bias"
                ".lora_b", ".lora_B.weight"
                ".lora_magnitude_vector", ".lora_magnitude_vector"
                yield! LoraEmbedding.names
            ]

        { Make.huggingFace "LORA" (LoraWords.peftKeys settings) names with
            Where = Some settings.Where
            OnModules =
                fun modules ->
                    holding
                        (List.map snd modules)
                        { settings with
                            Where = Targeting.ofNames (List.map fst modules)
                        }
            // peft's folder holds the A that is not trained, too: which ones there are is a model's business, and what its
            // embedding is called.
            OnShape =
                fun shape ->
                    if settings.FixedA.IsSome || LoraEmbedding.isTouched settings then
                        let named, meant = LoraWords.inShape shape sites settings
                        Some(holding meant named)
                    else
                        None
            Unserved =
                if settings.Tokens.IsEmpty then
                    fun _ -> None
                else
                    TrainableTokens.unserved
            Companions = LoraEmbedding.companions settings
            Buffers = settings.FixedA |> Option.map (fun _ -> LoraFa.held held)
        }

    /// LoRA with these settings, whose folders of peft's hold the fixed A at these sites.
    and private holding (held: Site list) (settings: LoraSettings) : Technique =
        if settings.HasBias && settings.IsDora then
            userError "LoRA with a bias behind B has no magnitudes: leave out dora or bias."

        if settings.FixedA.IsSome && settings.RateRatio <> 1.0 then
            userError "LoRA whose A stays has no second rate: leave out fa or plus."

        LoraEmbedding.check settings

        let on =
            match Targeting.names settings.Where with
            | Some names -> String.concat ", " names
            | None -> "the modules named"

        let sites =
            match LoraWords.saidNames settings with
            | Some _ -> Targeting.updated settings.Where
            | None -> Targeting.selector settings.Where

        let magnitude = if settings.IsDora then " + out" else ""

        let trained =
            if settings.FixedA.IsSome then
                "rank·out"
            else
                "rank·(in + out)"

        let bias = if settings.HasBias then " + out" else ""

        let form =
            { Form.atSites sites $"{trained}{bias}{magnitude} on {on}{LoraEmbedding.formula settings}" (paths settings) with
                OnTable = LoraEmbedding.outlines settings
            }

        let multiplier (parameter: string) =
            if Regex.IsMatch(parameter, @"\.lora_b(\.\d+)?$") then
                settings.RateRatio
            else
                1.0

        { Make.technique "lora" (LoraWords.words settings) form (apply settings) with
            IsSaid = (LoraWords.saidNames settings).IsSome
            Others = [ Convention.HuggingFace, form ]
            Rank = Some settings.Rank
            Rates = { Make.rates with SmallPeak = 3e-2 }
            RateMultiplier = multiplier
            // A plain T5 checkpoint has no biases.
            Merges = not settings.HasBias
            EpsilonHat = settings.FixedA |> Option.map (fun _ -> LoraFa.epsilonHat)
            AroundOptimizer =
                fun _ model optimizer ->
                    if settings.FixedA.IsSome then
                        LoraFa.around model optimizer
                    else
                        optimizer
            // PiSSA is equal but for rounding.
            StartsAtBase = not settings.IsPissa
            HuggingFace = Some(peft settings sites held)
        }

    /// LoRA with these settings.
    let technique (settings: LoraSettings) : Technique = holding [] settings

    let private read (words: Words) : Technique =
        let rank = words.Count("rank", Some rank)
        let plain = LoraSettings.OfRank rank

        technique
            { plain with
                Alpha = words.Number("alpha", plain.Alpha)
                Dropout = words.Share "dropout"
                IsRankStabilised = words.Flag "rs"
                IsDora = words.Flag "dora"
                IsPissa = words.Flag "pissa"
                HasBias = words.Flag "bias"
                RateRatio = words.Number("plus", 1.0)
                FixedA = LoraFa.read words
                OnEmbedding = words.Flag "embedding"
                Tokens = LoraEmbedding.readTokens words
                Where = Targeting.read "lora" words |> Option.defaultValue Targeting.usual
            }

    let private readPeft (values: HuggingFaceValues) : Technique =
        let isPissa =
            match values.Item("init_lora_weights").ValueKind with
            | JsonValueKind.True
            | JsonValueKind.False
            | JsonValueKind.Null -> false
            | JsonValueKind.String ->
                match (Json.text (values.Item "init_lora_weights")).ToLowerInvariant() with
                | "gaussian"
                | "orthogonal"
                | "eva" -> false
                | "pissa" -> true
                // The others change the frozen weight in ways that the adapter's file does not tell.
                | _ -> values.Wrong("init_lora_weights", "true, false, gaussian, orthogonal, eva or pissa")
            | _ -> values.Wrong("init_lora_weights", "true, false or a name")

        let tokens, tokensAt = LoraEmbedding.readTokenIndices values
        let where, embedding = values.Targeting [ "q"; "v" ] |> LoraEmbedding.split

        technique
            {
                Rank = values.Count "r"
                Alpha = values.Number "lora_alpha"
                Dropout = values.Share "lora_dropout"
                IsRankStabilised = values.Flag "use_rslora"
                IsDora = values.Flag "use_dora"
                IsPissa = isPissa
                HasBias = values.Flag "lora_bias"
                RateRatio = 1.0
                FixedA = None
                OnEmbedding = embedding.IsSome
                Tokens = tokens
                EmbeddingName = embedding |> Option.orElse tokensAt
                Where = Targeting.sorted where
                RankPattern = values.Pairs("rank_pattern", HuggingFaceValue.rank, "ranks of at least 1 by name")
                AlphaPattern =
                    values.Pairs("alpha_pattern", HuggingFaceValue.real, $"{HuggingFaceValues.RealWords} for each name")
            }

    /// What `lora` means.
    let spec: Spec =
        {
            Name = "lora"
            Usage = "lora(rank=8,alpha=16,rs,dora,pissa,bias,fa,dropout=0.1,plus=16,embedding,tokens=5+9,on=q+v)"
            Source = "Hu et al. 2021"
            Summary = "Adds a trained product of two small matrices, alpha / rank times, to q and v or other maps."
            First = "rank"
            Read = read
            Examples =
                [
                    "lora"
                    "lora(rank=3,alpha=6)"
                    "lora(rank=3,alpha=6,on=q+k+v+o+wo)"
                    "lora(rank=3,alpha=6,rs)"
                    "lora(rank=3,alpha=6,dora)"
                    "lora(rank=3,alpha=6,pissa)"
                    "lora(rank=3,alpha=6,bias)"
                    "lora(rank=3,alpha=6,fa)"
                    "lora(rank=3,alpha=6,tokens=0+9)"
                    "lora(rank=3,alpha=6,dora,pissa,dropout=0.25,plus=4)"
                ]
            HuggingFace =
                Some
                    {
                        Type = "LORA"
                        Defaults = LoraWords.peftDefaults
                        Notes = LoraWords.peftNotes
                        Read = readPeft
                    }
        }
