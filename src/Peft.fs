namespace Peft

open TorchSharp

/// The paper's techniques as functions from model to model, and `ofTechnique` for all there are.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Adapter =
    /// Full fine-tuning: every tensor becomes a trained float32 copy; the model given stays as it is.
    let full: Adapter = Model.mapLeaves (fun _ leaf -> Leaf.trained leaf.Value)

    /// LoRA (Hu et al. 2021, eq. 3): W x + scale · B A x. A starts at N(0, 0.01²) as T-Few has it, B at zero, so
    /// training starts at the model given.
    let lowRank (rank: int) (scale: float) (seed: int) (where: Selector) : Adapter =
        if rank < 1 then
            invalidArg (nameof rank) $"rank is {rank}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> Start.wrap where (fun site inner ->
                Start.checkRank rank site inner
                let fanIn, fanOut, device = Start.shape inner
                let a = Start.normal generator 0.01 [| int64 rank; fanIn |] device
                let b = torch.zeros (fanOut, int64 rank, dtype = torch.float32, device = device)
                LowRank(inner, Leaf.trained a, Leaf.trained b, scale, 0.0))

    /// T-Few's scaling rank 1: b ∘ (W (a ∘ x)) with `a` [in] and `b` [out] both trained, from `a` = 1 + N(0,
    /// deviation²) and `b` = 1.
    let rescaled (deviation: float) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> Start.wrap where (fun _ inner ->
                let fanIn, fanOut, device = Start.shape inner

                let ones n =
                    torch.ones ([| n |], dtype = torch.float32, device = device)

                let a =
                    if deviation = 0.0 then
                        ones fanIn
                    else
                        (Start.normal generator deviation [| fanIn |] device).add_(1.0.ToScalar())

                Rescaled(inner, Some(Leaf.trained a), Some(Leaf.trained (ones fanOut))))

    /// (IA)3 as published (Liu et al. 2022, §3.3): only the output's vector, from one, so that keys, values and the inner
    /// activation are rescaled.
    let ia3OutputOnly (where: Selector) : Adapter =
        Start.wrap where (fun _ inner ->
            let _, fanOut, device = Start.shape inner
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
        Start.wrap where (fun _ inner ->
            let _, fanOut, device = Start.shape inner
            Shifted(inner, Leaf.trained (torch.zeros ([| fanOut |], dtype = torch.float32, device = device))))

    /// Prompt tuning (Lester et al. 2021): `tokens` trained rows before the encoder's embedded input, from N(0, 1) as
    /// Hugging Face peft starts them.
    let prompt (tokens: int) (seed: int) : Adapter =
        if tokens < 1 then
            invalidArg (nameof tokens) $"tokens is {tokens}, the least is 1"

        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let width = int64 model.Shape.Width

            let rows = Start.normal generator 1.0 [| int64 tokens; width |] (Model.device model)

            Model.withPrompt (Leaf.trained rows) model

    /// (IA)3 on the input: y = W (a ∘ x), with `a` trained from one. Hugging Face's `feedforward_modules`.
    let ia3InputOnly (where: Selector) : Adapter =
        Start.wrap where (fun _ inner ->
            let fanIn, _, device = Start.shape inner
            Rescaled(inner, Some(Leaf.trained (Start.filled 1.0 fanIn device)), None))

    /// (IA)3 as Hugging Face's peft has it for T5: among the selected maps, the input of each wo and the output of the
    /// others (k and v, where peft puts it).
    let ia3HuggingFace (where: Selector) : Adapter =
        let inputs = Selector.both where (Selector.feedForward [ Down ])
        let outputs = Selector.both where (Selector.feedForward [ Down ] >> not)

        fun model ->
            let isThere part =
                Model.projections model |> List.exists (fst >> part)

            match isThere outputs, isThere inputs with
            | true, false -> ia3OutputOnly outputs model
            | false, true -> ia3InputOnly inputs model
            | _ -> model |> (ia3OutputOnly outputs >> ia3InputOnly inputs)

    let private loraFamily (settings: LoraSettings) (seed: int) (where: Selector) : Adapter =
        let update _ = settings.Rank, settings.Scale

        let updated =
            if settings.IsPissa then
                Family.pissa update settings.Dropout where
            else
                Family.loraWith update settings.Dropout seed where

        if settings.IsDora then
            updated >> Family.dora where
        else
            updated

    /// The linear maps where a technique usually stands; none for one that stands at no linear map of its own choice.
    let rec usualSites (technique: Technique) : Selector option =
        match technique with
        | Lora _ -> Some Selector.paperLora
        | Ia3
        | Ia3Published -> Some Selector.paperIa3
        | BitFit -> Some Selector.everywhere
        | LoraWith settings -> Some(Selector.named settings.Targets)
        | Ia3HuggingFace -> Some(Selector.named [ "k"; "v"; "wo" ])
        | Vera _
        | AdaLora _ -> Some(Selector.attention [ Q; V ])
        | BottleneckAdapter(_, Behind) -> Some(Selector.named [ "o"; "wo" ])
        | BottleneckAdapter(_, BottleneckPlace.Beside) -> Some(Selector.feedForward [ Down ])
        | FullFineTuning
        | PromptTuning _
        | PromptTuningFrom _
        | PrefixTuning _
        | LayerNormTuning
        | ExtraModules _ -> None
        | Chain parts ->
            match List.choose usualSites parts with
            | [] -> None
            | sites -> Some(List.reduce Selector.either sites)

    /// A technique on these sites; one that stands at no linear map of its choice takes no notice of them. Everything
    /// random follows from `seed`.
    let rec at (where: Selector) (technique: Technique) (seed: int) : Adapter =
        match technique with
        | FullFineTuning -> full
        | Lora rank -> lora rank seed where
        | Ia3 -> ia3 where
        | BitFit -> bitFit where
        | PromptTuning tokens -> prompt tokens seed
        | LoraWith settings -> loraFamily settings seed where
        | Ia3HuggingFace -> ia3HuggingFace where
        | Ia3Published -> ia3OutputOnly where
        | PromptTuningFrom(tokens, Vocabulary) -> Family.promptFromVocabulary tokens seed
        | PromptTuningFrom(tokens, Ids ids) -> Family.promptFromIds tokens ids
        | PrefixTuning tokens -> Family.prefix tokens seed
        | BottleneckAdapter(width, Behind) -> Family.serial width seed where
        | BottleneckAdapter(width, BottleneckPlace.Beside) -> Family.parallelAdapter width seed where
        | LayerNormTuning -> Family.layerNorm
        | Vera(rank, key) -> Family.vera rank key where
        | AdaLora settings -> Family.adaLora settings seed where
        | ExtraModules names -> Family.extraModules names
        | Chain parts ->
            parts
            |> List.map (fun part ->
                match usualSites part with
                | Some own -> at (Selector.both own where) part seed
                | None -> at where part seed)
            |> List.reduce (>>)

    /// A technique on the sites where it usually stands. Everything random follows from `seed`.
    let ofTechnique (technique: Technique) (seed: int) : Adapter =
        at (usualSites technique |> Option.defaultValue Selector.everywhere) technique seed
