namespace Peft

open TorchSharp

/// LoRA as the paper ran it: T-Few's LoRALinear.
[<RequireQualifiedAccess>]
module PaperLora =
    /// The paper's rank.
    let rank = 2

    /// W x + scale · B A x. A starts at N(0, 0.01²) as T-Few has it, B at zero, so training starts at the model given.
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

    /// Scale 1/rank without alpha, and scaling rank 1 on the same sites: y = b ∘ (W (a ∘ x)) + B A x / rank. The vector `a`
    /// starts at 1 + N(0, 0.01²) as T-Few's does.
    let adapter (rank: int) (seed: int) (where: Selector) : Adapter =
        Ia3.rescaled 0.01 (seed + 1) where >> lowRank rank (1.0 / float rank) seed where

    let private update (rank: int) (site: Site) =
        Branch.Beside
            [
                Step.Matrix("lora_a", int64 rank, site.In)
                Step.Matrix("lora_b", site.Out, int64 rank)
            ]

    /// `paper-lora(rank=2)`.
    let ofRank (rank: int) : Technique =
        let form =
            Form.atSites Selector.paperLora "rank·(in + out) + in + out on q, k, v, o" (fun site ->
                Ia3.rescaledPaths site @ [ update rank site ])

        let alone sites formula =
            Form.atSites sites formula (fun site -> [ update rank site ])

        { Make.technique "paper-lora" [ $"rank={rank}" ] form (fun where seed -> adapter rank seed where) with
            Others =
                [
                    // lora.json: no scaling rank, layers "q|k|v|o|w.*", trained ".*layer_norm.*|.*lora_[ab].*".
                    Convention.TFew,
                    { alone Selector.everywhere "rank·(in + out) on every linear map, and the layer norms" with
                        Own = Form.isNorm
                    }
                    Convention.HuggingFace, alone (Selector.attention [ Q; V ]) "rank·(in + out) on q, v"
                ]
            Rank = Some rank
            Rates = { Make.rates with SmallPeak = 3e-2 }
            StartsAtBase = false
        }

    /// With the paper's rank.
    let standard: Technique = ofRank rank

    /// What the name means.
    let spec: Spec =
        {
            Name = "paper-lora"
            Usage = "paper-lora(rank=2)"
            Source = "the paper, after Liu et al. 2022"
            Summary =
                "The paper's LoRA: T-Few's LoRALinear, which is rank 2 with a rescaling of inputs and outputs on q, k, v, o."
            First = "rank"
            Read = fun words -> ofRank (words.Count("rank", Some rank))
            Examples = [ "paper-lora(rank=2)" ]
            HuggingFace = None
        }
