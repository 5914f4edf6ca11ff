namespace Peft

open System
open System.Collections.Generic
open TorchSharp
open Peft.T5

/// Which linear maps a technique changes.
type Selector = Site -> bool

/// A technique as a function: the model with something more to train. Adapters compose with `>>`.
type Adapter = T5 -> T5

[<RequireQualifiedAccess>]
module Selector =
    /// Every linear map of attention and feed-forward.
    let everywhere: Selector = fun _ -> true

    /// These parts of every attention, self and encoder-decoder.
    let attention (parts: AttentionPart list) : Selector =
        fun site ->
            match site.Role with
            | SelfAttention part
            | CrossAttention part -> List.contains part parts
            | FeedForward _ -> false

    /// These parts of every feed-forward layer.
    let feedForward (parts: FeedForwardPart list) : Selector =
        fun site ->
            match site.Role with
            | FeedForward part -> List.contains part parts
            | _ -> false

    /// Sites that satisfy both.
    let both (left: Selector) (right: Selector) : Selector = fun site -> left site && right site

    /// Sites that satisfy one or the other.
    let either (left: Selector) (right: Selector) : Selector = fun site -> left site || right site

    /// q, k, v and o of every attention: where the paper puts LoRA.
    let paperLora: Selector = attention [ Q; K; V; O ]

    /// Maps whose module name ends in one of these: `q`, `wi_1`, …
    let named (names: string list) : Selector =
        fun site -> names |> List.contains ((Site.name site).Split '.' |> Array.last)

    /// k and v of every attention and the feed-forward's inner activation: where the paper puts (IA)3. In a T5 v1.0
    /// without gate the inner activation is `wi`'s.
    let paperIa3: Selector = either (attention [ K; V ]) (feedForward [ Wi1; Wi ])

[<RequireQualifiedAccess>]
module Adapter =
    let private wrap (where: Selector) (change: Site -> Projection -> Projection) : Adapter =
        fun model ->
            if model |> T5.projections |> List.forall (fst >> where >> not) then
                invalidArg (nameof where) "the selector matches no linear map of this model"

            model
            |> T5.rewrite (fun site projection -> if where site then change site projection else projection)

    /// Draws from N(0, deviation²) in float32; the numbers depend on the generator only, never on the device.
    let private normal (generator: torch.Generator) (deviation: float) (shape: int64 array) (device: torch.Device) =
        use _ = torch.NewDisposeScope()

        let drawn =
            torch.randn (shape, dtype = torch.float32, device = torch.CPU, generator = generator)

        drawn.mul(deviation.ToScalar()).``to``(device).MoveToOuterDisposeScope()

    let private shape (projection: Projection) =
        let weight = (Projection.weight projection).Value
        weight.shape[1], weight.shape[0], weight.device

    /// The rank of an update must fit the map it updates.
    let private checkRank (rank: int) (site: Site) (inner: Projection) =
        let fanIn, fanOut, _ = shape inner

        if int64 rank > min fanIn fanOut then
            userError $"rank {rank} is too large for {Site.name site}, a map from {fanIn} to {fanOut}: the largest is {min fanIn fanOut}."

    let private zeros (extents: int64 list) (device: torch.Device) =
        torch.zeros (List.toArray extents, dtype = torch.float32, device = device)

    let private filled (value: float) (length: int64) (device: torch.Device) =
        torch.full ([| length |], value.ToScalar(), dtype = torch.float32, device = device)

    /// Draws from U(-bound, bound) in float32, as `normal` does.
    let private uniform (generator: torch.Generator) (bound: float) (extents: int64 list) (device: torch.Device) =
        use _ = torch.NewDisposeScope()
        let drawn = torch.rand (List.toArray extents, dtype = torch.float32, device = torch.CPU, generator = generator)

        drawn.mul((2.0 * bound).ToScalar()).sub(bound.ToScalar()).``to``(device).MoveToOuterDisposeScope ()

    /// Full fine-tuning: every tensor becomes a trained float32 copy; the model given stays as it is.
    let full: Adapter = T5.mapLeaves (fun _ leaf -> Leaf.trained leaf.Value)

    /// LoRA (Hu et al. 2021, eq. 3): W x + scale · B A x. A starts at N(0, 0.01²) as T-Few has it, B at zero, so
    /// training starts at the model given.
    let lowRank (rank: int) (scale: float) (seed: int) (where: Selector) : Adapter =
        if rank < 1 then
            invalidArg (nameof rank) $"rank is {rank}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> wrap where (fun site inner ->
                checkRank rank site inner
                let fanIn, fanOut, device = shape inner
                let a = normal generator 0.01 [| int64 rank; fanIn |] device
                let b = torch.zeros (fanOut, int64 rank, dtype = torch.float32, device = device)
                LowRank(inner, Leaf.trained a, Leaf.trained b, scale, 0.0))

    /// T-Few's scaling rank 1: b ∘ (W (a ∘ x)) with `a` [in] and `b` [out] both trained, from `a` = 1 + N(0,
    /// deviation²) and `b` = 1.
    let rescaled (deviation: float) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> wrap where (fun _ inner ->
                let fanIn, fanOut, device = shape inner

                let ones n =
                    torch.ones ([| n |], dtype = torch.float32, device = device)

                let a =
                    if deviation = 0.0 then
                        ones fanIn
                    else
                        (normal generator deviation [| fanIn |] device).add_(1.0.ToScalar())

                Rescaled(inner, Some(Leaf.trained a), Some(Leaf.trained (ones fanOut))))

    /// (IA)3 as published (Liu et al. 2022, §3.3): only the output's vector, from one, so that keys, values and the inner
    /// activation are rescaled.
    let ia3OutputOnly (where: Selector) : Adapter =
        wrap where (fun _ inner ->
            let _, fanOut, device = shape inner
            let ones = torch.ones ([| fanOut |], dtype = torch.float32, device = device)
            Rescaled(inner, None, Some(Leaf.trained ones)))

    /// The paper's LoRA: rank 2 with scale 1/rank and no alpha, and scaling rank 1 on the same sites (T-Few's
    /// LoRALinear): y = b ∘ (W (a ∘ x)) + B A x / rank. The vector `a` starts at 1 + N(0, 0.01²) as T-Few's does.
    let lora (rank: int) (seed: int) (where: Selector) : Adapter =
        rescaled 0.01 (seed + 1) where >> lowRank rank (1.0 / float rank) seed where

    /// (IA)3 as the paper counts it: both vectors trained, from one: a fresh adapter computes what the base computes.
    let ia3 (where: Selector) : Adapter = rescaled 0.0 0 where

    /// BitFit (Ben Zaken et al. 2022): a bias on each selected linear map, from zero, and nothing else trained.
    let bitFit (where: Selector) : Adapter =
        wrap where (fun _ inner ->
            let _, fanOut, device = shape inner
            Shifted(inner, Leaf.trained (torch.zeros ([| fanOut |], dtype = torch.float32, device = device))))

    /// Prompt tuning (Lester et al. 2021): `tokens` trained rows before the encoder's embedded input, from N(0, 1) as
    /// Hugging Face peft starts them.
    let prompt (tokens: int) (seed: int) : Adapter =
        if tokens < 1 then
            invalidArg (nameof tokens) $"tokens is {tokens}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let width = int64 model.Config.ModelWidth

            let rows =
                normal generator 1.0 [| int64 tokens; width |] model.Embedding.Value.device

            { model with
                Prompt = Some(Leaf.trained rows)
            }

    /// LoRA as Hugging Face's peft has it: W x + scale · B A dropout(x), where `update` gives each site its rank and
    /// scale. A starts at U(-1/sqrt(in), 1/sqrt(in)), B at zero, so training starts at the model given.
    let loraWith (update: Site -> int * float) (dropout: float) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> wrap where (fun site inner ->
                let rank, scale = update site
                checkRank rank site inner
                let fanIn, fanOut, device = shape inner
                let a = uniform generator (1.0 / sqrt (float fanIn)) [ int64 rank; fanIn ] device
                LowRank(inner, Leaf.trained a, Leaf.trained (zeros [ fanOut; int64 rank ] device), scale, dropout))

    /// PiSSA (Meng et al. 2024, eq. 2-4): W = U S Vᵀ; A and B start at the `rank` largest singular directions, scale · B A =
    /// U_r S_r V_rᵀ, and the frozen weight is what remains of W. A fresh adapter computes what the base computes but for
    /// rounding; the base given keeps its weights.
    let pissa (update: Site -> int * float) (dropout: float) (where: Selector) : Adapter =
        wrap where (fun site inner ->
            let rank, scale = update site
            checkRank rank site inner

            match inner with
            | Dense weight ->
                use _ = torch.NewDisposeScope()
                use _ = torch.no_grad ()
                let wide = weight.Value.``to`` torch.float32
                let struct (u, s, vh) = torch.linalg.svd (wide, fullMatrices = false)
                let roots = s.narrow(0L, 0L, int64 rank).div(scale.ToScalar()).sqrt ()
                let a = vh.narrow(0L, 0L, int64 rank).mul (roots.unsqueeze 1L)
                let b = u.narrow(1L, 0L, int64 rank).mul roots
                let rest = wide.sub(b.mm(a).mul(scale.ToScalar())).``to`` weight.Value.dtype
                let trained (tensor: torch.Tensor) = Leaf.trained (tensor.MoveToOuterDisposeScope())
                LowRank(Dense(Frozen(rest.MoveToOuterDisposeScope())), trained a, trained b, scale, dropout)
            | _ -> invalidArg (nameof where) $"{Site.name site} is adapted already: PiSSA must be the first to change a map")

    /// DoRA (Liu et al. 2024, eq. 5) around the maps that `where` selects, which an adapter before it (LoRA) has changed:
    /// y = (m / ‖W'‖) ∘ W' x, with m trained from the norms of the base's rows. In training, dropout touches the update only.
    let dora (where: Selector) : Adapter =
        wrap where (fun site inner ->
            if not (Projection.isLinear inner) then
                invalidArg (nameof where) $"{Site.name site} is not linear, so its rows have no norm"

            Directed(inner, Leaf.trained (Projection.rowNorms (Dense(Projection.weight inner)))))

    /// (IA)3 on the input: y = W (a ∘ x), with `a` trained from one. Hugging Face's `feedforward_modules`.
    let ia3InputOnly (where: Selector) : Adapter =
        wrap where (fun _ inner ->
            let fanIn, _, device = shape inner
            Rescaled(inner, Some(Leaf.trained (filled 1.0 fanIn device)), None))

    /// (IA)3 as Hugging Face's peft has it for T5: the outputs of k and v, the inputs of wo.
    let ia3HuggingFace: Adapter =
        ia3OutputOnly (Selector.attention [ K; V ])
        >> ia3InputOnly (Selector.feedForward [ Wo ])

    let private promptRows (ids: int64 array) : Adapter =
        fun model ->
            use _ = torch.no_grad ()
            let embedding = model.Embedding.Value
            use index = torch.tensor (ids, device = embedding.device)
            use rows = embedding.index_select (0L, index)
            { model with Prompt = Some(Leaf.trained rows) }

    /// Prompt tuning from a text: soft token i starts at the embedding of `ids[i mod length]`, as peft's TEXT does.
    let promptFromIds (tokens: int) (ids: int list) : Adapter =
        fun model ->
            if tokens < 1 || ids.IsEmpty then
                invalidArg (nameof tokens) "a prompt has one token at least, and starts from one id at least"

            match ids |> List.tryFind (fun id -> id < 0 || id >= model.Config.VocabularySize) with
            | Some id -> userError $"the prompt starts from id {id}, and the vocabulary has {model.Config.VocabularySize}."
            | None -> ()

            let row place = int64 ids[place % ids.Length]
            promptRows (Array.init tokens row) model

    /// The most frequent pieces, from which a prompt's start is sampled (Lester et al. 2021, §3.2): SentencePiece numbers
    /// its pieces by frequency.
    let sampledVocabulary = 5000

    /// Prompt tuning from sampled vocabulary: the embeddings of different pieces among the first 5,000.
    let promptFromVocabulary (tokens: int) (seed: int) : Adapter =
        fun model ->
            let among = min sampledVocabulary model.Config.VocabularySize

            if tokens < 1 || tokens > among then
                userError $"a prompt of {tokens} tokens cannot start from {among} pieces of vocabulary."

            let order = Array.init among int64
            Random(seed).Shuffle order
            promptRows (Array.take tokens order) model

    /// Prefix tuning (Li and Liang 2021) as peft has it for an encoder-decoder: `tokens` keys and values before those of
    /// each decoder self-attention, from N(0, 1). It computes something else than the base from the start. With an even
    /// number of layers half of its numbers are never read (see `T5.Prefix`); peft trains and counts them all the same.
    let prefix (tokens: int) (seed: int) : Adapter =
        if tokens < 1 then
            invalidArg (nameof tokens) $"tokens is {tokens}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let width = 2L * int64 model.Decoder.Blocks.Length * int64 model.Config.InnerWidth
            let rows = normal generator 1.0 [| int64 tokens; width |] model.Embedding.Value.device
            { model with Prefix = Some(Leaf.trained rows) }

    let private bottleneck generator (activation: Activation) (width: int) (fanIn: int64) (device: torch.Device) : Bottleneck =
        if width < 1 then
            invalidArg (nameof width) $"width is {width}, the least is 1"

        let zero extents = Leaf.trained (zeros extents device)

        {
            Down = Leaf.trained (normal generator 0.01 [| int64 width; fanIn |] device)
            DownBias = zero [ int64 width ]
            Up = zero [ fanIn; int64 width ]
            UpBias = zero [ fanIn ]
            Activation = activation
            Scale = 1.0
        }

    /// The serial bottleneck adapter (Houlsby et al. 2019, §2.1): h + Up gelu(Down h + b) + c, h the output of each
    /// attention and feed-forward layer before the residual sum (and before T5's dropout). Down starts at N(0, 0.01²); Up
    /// at zero, where Houlsby's is nearly zero, so training starts exactly at the model given. `where` selects among o, wo.
    let serial (width: int) (seed: int) (where: Selector) : Adapter =
        let outputs = Selector.either (Selector.attention [ O ]) (Selector.feedForward [ Wo ])

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> wrap (Selector.both outputs where) (fun _ inner ->
                let _, fanOut, device = shape inner
                Serial(inner, bottleneck generator GeluNew width fanOut device))

    /// The parallel adapter (He et al. 2022, table 1): Up relu(Down x + b) + c joins the output of each feed-forward layer,
    /// x its normed input. Started like `serial`. `where` selects by the layer's wo.
    let parallelAdapter (width: int) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let device = model.Embedding.Value.device

            let tower stack (tower: Tower) =
                { tower with
                    Blocks =
                        tower.Blocks
                        |> List.mapi (fun index block ->
                            if where { Stack = stack; Block = index; Role = FeedForward Wo } then
                                let beside = bottleneck generator Relu width (int64 model.Config.ModelWidth) device
                                { block with FeedForward = { block.FeedForward with Beside = Some beside } }
                            else
                                block)
                }

            { model with
                Encoder = tower Encoder model.Encoder
                Decoder = tower Decoder model.Decoder
            }

    let private trainWhere (isChosen: string -> bool) : Adapter =
        T5.mapLeaves (fun name leaf ->
            match leaf with
            | Frozen tensor when isChosen name -> Leaf.trained tensor
            | _ -> leaf)

    /// LayerNorm tuning (Zhao et al. 2024; BitFit's cousin for a T5, whose norms have no bias): the scales of all norms.
    let layerNorm: Adapter = trainWhere _.EndsWith("norm.weight", StringComparison.Ordinal)

    /// Whole modules, trained as copies beside an adapter (peft's `modules_to_save`): `lm_head`, `final_layer_norm`, `wo`.
    /// A name means every module that ends in it, as in peft; `UserError` where there is none.
    let extraModules (names: string list) : Adapter =
        fun model ->
            let isOf (name: string) (leaf: string) =
                leaf.EndsWith($"{name}.weight", StringComparison.Ordinal)

            let known = T5.leaves model |> List.map fst

            for name in names do
                if not (known |> List.exists (isOf name)) then
                    userError $"no module of this model ends in '{name}': lm_head, shared, final_layer_norm, layer_norm, q, k, v, o, wi_0, wi_1 and wo are usual ones."

            model |> trainWhere (fun leaf -> names |> List.exists (fun name -> isOf name leaf))

    /// VeRA's shared matrices for maps of these sizes, as peft draws them from its `projection_prng_key`: A from
    /// U(±sqrt(6/in)), B from U(±sqrt(6/rank)).
    let veraBasis (rank: int) (key: int) (largestIn: int64) (largestOut: int64) (device: torch.Device) : Basis =
        use generator = new torch.Generator(uint64 key, torch.CPU)
        let draw extents (fan: int64) = uniform generator (sqrt (6.0 / float fan)) extents device
        let a = draw [ int64 rank; largestIn ] largestIn
        { A = a; B = draw [ largestOut; int64 rank ] (int64 rank) }

    /// VeRA (Kopiczko et al. 2024, eq. 2) around a given basis: d starts at `start` (0.1 in peft), b at zero, so training
    /// starts at the model given.
    let veraOn (basis: Basis) (start: float) (dropout: float) (where: Selector) : Adapter =
        wrap where (fun _ inner ->
            let _, fanOut, device = shape inner
            let d = Leaf.trained (filled start basis.A.shape[0] device)
            SharedBasis(inner, basis, d, Leaf.trained (zeros [ fanOut ] device), dropout))

    /// The largest [in, out] among the selected maps.
    let private largest (where: Selector) (model: T5) =
        let shapes = model |> T5.projections |> List.filter (fst >> where) |> List.map (snd >> shape)

        if shapes.IsEmpty then
            invalidArg (nameof where) "the selector matches no linear map of this model"

        shapes |> List.map (fun (fanIn, _, _) -> fanIn) |> List.max,
        shapes |> List.map (fun (_, fanOut, _) -> fanOut) |> List.max

    /// VeRA with matrices that follow from `key`.
    let vera (rank: int) (key: int) (where: Selector) : Adapter =
        fun model ->
            let fanIn, fanOut = largest where model

            if rank < 1 then
                invalidArg (nameof rank) $"rank is {rank}, the least is 1"

            let basis = veraBasis rank key fanIn fanOut model.Embedding.Value.device
            veraOn basis 0.1 0.0 where model

    /// AdaLoRA (Zhang et al. 2023, eq. 3) as peft has it: W x + alpha / (rank + 1e-5) · B (E ∘ A dropout(x)), E from zero, A
    /// and B from N(0, 0.02²), with the weight of the orthogonality penalty in the loss. `rank` gives each site how many
    /// directions it holds; `initialRank` is the rank that the scale was set by and stays.
    let adaLoraWith (settings: AdaLoraSettings) (rank: Site -> int) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let scale = settings.Alpha / (float settings.InitialRank + 1e-5)

            model
            |> wrap where (fun site inner ->
                let rank = rank site
                checkRank rank site inner
                let fanIn, fanOut, device = shape inner
                let a = Leaf.trained (normal generator 0.02 [| int64 rank; fanIn |] device)
                let b = Leaf.trained (normal generator 0.02 [| fanOut; int64 rank |] device)
                let e = Leaf.trained (zeros [ int64 rank; 1L ] device)
                Singular(inner, a, e, b, scale, settings.Dropout, settings.Orthogonality))

    /// AdaLoRA with every site at the initial rank.
    let adaLora (settings: AdaLoraSettings) (seed: int) (where: Selector) : Adapter =
        adaLoraWith settings (fun _ -> settings.InitialRank) seed where

    let private loraFamily (settings: LoraSettings) (seed: int) (where: Selector) : Adapter =
        let update _ = settings.Rank, settings.Scale

        let updated =
            if settings.IsPissa then
                pissa update settings.Dropout where
            else
                loraWith update settings.Dropout seed where

        if settings.IsDora then updated >> dora where else updated

    /// A technique as a function, on the sites where it usually is. Everything random follows from `seed`.
    let rec ofTechnique (technique: Technique) (seed: int) : Adapter =
        match technique with
        | FullFineTuning -> full
        | Lora rank -> lora rank seed Selector.paperLora
        | Ia3 -> ia3 Selector.paperIa3
        | BitFit -> bitFit Selector.everywhere
        | PromptTuning tokens -> prompt tokens seed
        | LoraWith settings -> loraFamily settings seed (Selector.named settings.Targets)
        | Ia3HuggingFace -> ia3HuggingFace
        | Ia3Published -> ia3OutputOnly Selector.paperIa3
        | PromptTuningFrom(tokens, Vocabulary) -> promptFromVocabulary tokens seed
        | PromptTuningFrom(tokens, Ids ids) -> promptFromIds tokens ids
        | PrefixTuning tokens -> prefix tokens seed
        | BottleneckAdapter(width, Behind) -> serial width seed Selector.everywhere
        | BottleneckAdapter(width, BottleneckPlace.Beside) -> parallelAdapter width seed Selector.everywhere
        | LayerNormTuning -> layerNorm
        | Vera(rank, key) -> vera rank key (Selector.attention [ Q; V ])
        | AdaLora settings -> adaLora settings seed (Selector.attention [ Q; V ])
        | ExtraModules names -> extraModules names
        | Chain parts -> parts |> List.map (fun part -> ofTechnique part seed) |> List.reduce (>>)
