namespace Peft

open System
open TorchSharp

/// The techniques beyond the paper's, as functions from model to model.
[<RequireQualifiedAccess>]
module Family =
    /// LoRA as Hugging Face's peft has it: W x + scale · B A dropout(x), where `update` gives each site its rank and
    /// scale. A starts at U(-1/sqrt(in), 1/sqrt(in)), B at zero, so training starts at the model given.
    let loraWith (update: Site -> int * float) (dropout: float) (seed: int) (where: Selector) : Adapter =
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

            match inner with
            | Dense weight ->
                let a, b, rest = principal rank scale weight.Value
                LowRank(Dense(Frozen rest), Leaf.trained a, Leaf.trained b, scale, dropout)
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

    let private promptRows (ids: int64 array) : Adapter =
        fun model ->
            use _ = torch.no_grad ()

            use rows =
                torch.stack (ids |> Array.map (fun id -> Model.embeddingOf (int id) model))

            Model.withPrompt (Leaf.trained rows) model

    /// Prompt tuning from a text: soft token i starts at the embedding of `ids[i mod length]`, as peft's TEXT does.
    let promptFromIds (tokens: int) (ids: int list) : Adapter =
        fun model ->
            if tokens < 1 || ids.IsEmpty then
                invalidArg (nameof tokens) "a prompt has one token at least, and starts from one id at least"

            match ids |> List.tryFind (fun id -> id < 0 || id >= model.Shape.Vocabulary) with
            | Some id -> userError $"the prompt starts from id {id}, and the vocabulary has {model.Shape.Vocabulary}."
            | None -> ()

            let row place = int64 ids[place % ids.Length]
            promptRows (Array.init tokens row) model

    /// The most frequent pieces, from which a prompt's start is sampled (Lester et al. 2021, §3.2): SentencePiece numbers
    /// its pieces by frequency.
    let sampledVocabulary = 5000

    /// Prompt tuning from sampled vocabulary: the embeddings of different pieces among the first 5,000.
    let promptFromVocabulary (tokens: int) (seed: int) : Adapter =
        fun model ->
            let among = min sampledVocabulary model.Shape.Vocabulary

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
            let width = model.Shape.PrefixWidth

            let rows = Start.normal generator 1.0 [| int64 tokens; width |] (Model.device model)

            Model.withPrefix (Leaf.trained rows) model

    let private bottleneck
        generator
        (activation: Activation)
        (width: int)
        (fanIn: int64)
        (device: torch.Device)
        : Bottleneck =
        if width < 1 then
            invalidArg (nameof width) $"width is {width}, the least is 1"

        let zero extents =
            Leaf.trained (Start.zeros extents device)

        {
            Down = Leaf.trained (Start.normal generator 0.01 [| int64 width; fanIn |] device)
            DownBias = zero [ int64 width ]
            Up = zero [ fanIn; int64 width ]
            UpBias = zero [ fanIn ]
            Activation = activation
            Scale = 1.0
        }

    /// The serial bottleneck adapter (Houlsby et al. 2019, §2.1): h + Up gelu(Down h + b) + c, h the output of each
    /// attention and feed-forward layer before the residual sum (and before T5's dropout). Down starts at N(0, 0.01²); Up
    /// at zero, where Houlsby's is nearly zero, so training starts exactly at the model given. Houlsby's places are the
    /// maps o and wo.
    let serial (width: int) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> Start.wrap where (fun _ inner ->
                let _, fanOut, device = Start.shape inner
                Serial(inner, bottleneck generator GeluNew width fanOut device))

    /// The parallel adapter (He et al. 2022, table 1): Up relu(Down x + b) + c joins the output of each feed-forward layer,
    /// x its normed input. Started like `serial`. A layer is selected by its wo.
    let parallelAdapter (width: int) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let device = (Model.device model)

            if
                Model.projections model
                |> List.forall (fun (site, _) ->
                    not (site.Layer = LayerKind.FeedForward && site.Part = Down && where site))
            then
                userError "a parallel adapter stands beside a feed-forward layer, and no wo is selected."

            model
            |> Model.withBeside (fun site ->
                if where site then
                    Some(bottleneck generator Relu width (int64 model.Shape.Width) device)
                else
                    None)

    let private trainWhere (isChosen: string -> bool) : Adapter =
        Model.mapLeaves (fun name leaf ->
            match leaf with
            | Frozen tensor when isChosen name -> Leaf.trained tensor
            | _ -> leaf)

    /// LayerNorm tuning (Zhao et al. 2024; BitFit's cousin for a T5, whose norms have no bias): the scales of all norms.
    let layerNorm: Adapter =
        trainWhere _.EndsWith("norm.weight", StringComparison.Ordinal)

    /// Whole modules, trained as copies beside an adapter (peft's `modules_to_save`): `lm_head`, `final_layer_norm`, `wo`.
    /// A name means every module that ends in it, as in peft; `UserError` where there is none.
    let extraModules (names: string list) : Adapter =
        fun model ->
            let isOf (name: string) (leaf: string) =
                leaf.EndsWith($"{name}.weight", StringComparison.Ordinal)

            let known = Model.leaves model |> List.map fst

            for name in names do
                if not (known |> List.exists (isOf name)) then
                    userError
                        $"no module of this model ends in '{name}': lm_head, shared, final_layer_norm, layer_norm, q, k, v, o, wi_0, wi_1 and wo are usual ones."

            model
            |> trainWhere (fun leaf -> names |> List.exists (fun name -> isOf name leaf))

    /// VeRA's shared matrices for maps of these sizes, as peft draws them from its `projection_prng_key`: A from
    /// U(±sqrt(6/in)), B from U(±sqrt(6/rank)).
    let veraBasis (rank: int) (key: int) (largestIn: int64) (largestOut: int64) (device: torch.Device) : Basis =
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
    let veraOn (basis: Basis) (start: float) (dropout: float) (where: Selector) : Adapter =
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
    let vera (rank: int) (key: int) (where: Selector) : Adapter =
        fun model ->
            let fanIn, fanOut = largest where model

            if rank < 1 then
                invalidArg (nameof rank) $"rank is {rank}, the least is 1"

            let basis = veraBasis rank key fanIn fanOut (Model.device model)
            veraOn basis 0.1 0.0 where model

    /// AdaLoRA (Zhang et al. 2023, eq. 3) as peft has it: W x + alpha / (rank + 1e-5) · B (E ∘ A dropout(x)), E from zero, A
    /// and B from N(0, 0.02²), with the weight of the orthogonality penalty in the loss. `rank` gives each site how many
    /// directions it holds; `initialRank` is the rank that the scale was set by and stays.
    let adaLoraWith (settings: AdaLoraSettings) (rank: Site -> int) (seed: int) (where: Selector) : Adapter =
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
    let adaLora (settings: AdaLoraSettings) (seed: int) (where: Selector) : Adapter =
        adaLoraWith settings (fun _ -> settings.InitialRank) seed where
