namespace Peft

open System.Text.RegularExpressions
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

    /// k and v of every attention and the feed-forward's inner activation: where the paper puts (IA)3. In a T5 v1.0
    /// without gate the inner activation is `wi`'s.
    let paperIa3: Selector = either (attention [ K; V ]) (feedForward [ Wi1; Wi ])

/// The paper's techniques and their settings.
type Technique =
    /// Every tensor is trained.
    | FullFineTuning
    /// T-Few's LoRALinear with this rank and scaling rank 1, on q, k, v, o.
    | Lora of rank: int
    /// Rescaling vectors on k, v and the inner activation.
    | Ia3
    /// A bias on every linear map.
    | BitFit
    /// This many soft tokens before the encoder's input.
    | PromptTuning of tokens: int

[<RequireQualifiedAccess>]
module Technique =
    /// LoRA's rank in the paper.
    let paperRank = 2

    /// The number of soft tokens in the paper.
    let paperTokens = 100

    /// The paper's techniques with the paper's settings, in the order of its Table 1.
    let all: Technique list =
        [ FullFineTuning; Ia3; Lora paperRank; BitFit; PromptTuning paperTokens ]

    /// The short name: `full`, `lora`, `ia3`, `bitfit`, `prompt`.
    let name (technique: Technique) : string =
        match technique with
        | FullFineTuning -> "full"
        | Lora _ -> "lora"
        | Ia3 -> "ia3"
        | BitFit -> "bitfit"
        | PromptTuning _ -> "prompt"

    /// The canonical words, which `parse` reads back: `lora(rank=2)`.
    let text (technique: Technique) : string =
        match technique with
        | Lora rank -> $"lora(rank={rank})"
        | PromptTuning tokens -> $"prompt(tokens={tokens})"
        | plain -> name plain

    let private pattern = Regex(@"^\s*([a-z0-9]+)\s*(?:\(\s*(?:([a-z]+)\s*=\s*)?(\d{1,6})\s*\))?\s*$", RegexOptions.IgnoreCase)

    /// Reads `lora`, `lora(8)`, `lora(rank=8)` and so on; a number left out is the paper's. `UserError` names the
    /// techniques there are.
    let parse (text: string) : Technique =
        let refuse (problem: string) =
            userError $"{problem}: the techniques are full, lora(rank=2), ia3, bitfit and prompt(tokens=100)."

        let found = pattern.Match text

        if not found.Success then
            refuse $"'{text}' is no technique"

        let group (index: int) = found.Groups[index].Value.ToLowerInvariant()

        let number key (fallback: int) =
            match group 2, group 3 with
            | _, "" -> fallback
            | "", digits -> int digits
            | given, digits when given = key -> int digits
            | given, _ -> refuse $"{group 1} has no setting '{given}'"

        let plain technique =
            if group 3 <> "" then refuse $"{group 1} has no setting" else technique

        match group 1 with
        | "full" -> plain FullFineTuning
        | "ia3" -> plain Ia3
        | "bitfit" -> plain BitFit
        | "lora" ->
            match number "rank" paperRank with
            | 0 -> refuse "a rank of 0 trains nothing"
            | rank -> Lora rank
        | "prompt" ->
            match number "tokens" paperTokens with
            | 0 -> refuse "a prompt of 0 tokens trains nothing"
            | tokens -> PromptTuning tokens
        | other -> refuse $"'{other}' is no technique"

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
            |> wrap where (fun _ inner ->
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

    /// A technique of the paper, as a function. Everything random follows from `seed`.
    let ofTechnique (technique: Technique) (seed: int) : Adapter =
        match technique with
        | FullFineTuning -> full
        | Lora rank -> lora rank seed Selector.paperLora
        | Ia3 -> ia3 Selector.paperIa3
        | BitFit -> bitFit Selector.everywhere
        | PromptTuning tokens -> prompt tokens seed
