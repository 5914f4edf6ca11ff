namespace Peft

/// The paper's techniques as functions from model to model, and `ofTechnique` for all there are.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Adapter =
    /// Full fine-tuning: every tensor becomes a trained float32 copy; the model given stays as it is.
    let full: Adapter = Full.adapter

    /// LoRA (Hu et al. 2021) as Hugging Face's peft has it: W x + alpha / rank · B A x, B from zero.
    let lora (rank: int) (alpha: float) (seed: int) (where: Selector) : Adapter =
        Lora.adapter (fun _ -> rank, alpha / float rank) 0.0 seed where

    /// (IA)3 (Liu et al. 2022) as Hugging Face's peft has it: the input of each wo and the output of other maps are rescaled.
    let ia3 (where: Selector) : Adapter =
        Ia3.mixed (Selector.feedForward [ Down ]) where

    /// The paper's LoRA: rank 2 with scale 1/rank and no alpha, and scaling rank 1 on the same sites (T-Few's LoRALinear):
    /// y = b ∘ (W (a ∘ x)) + B A x / rank.
    let paperLora (rank: int) (seed: int) (where: Selector) : Adapter = PaperLora.adapter rank seed where

    /// (IA)3 as the paper counts it: both vectors trained, from one: a fresh adapter computes what the base computes.
    let paperIa3 (where: Selector) : Adapter = Ia3.rescaled 0.0 0 where

    /// BitFit (Ben Zaken et al. 2022): a bias on each selected linear map, from zero, and nothing else trained.
    let bitFit (where: Selector) : Adapter = BitFit.adapter where

    /// Prompt tuning (Lester et al. 2021): `tokens` trained rows before the embedded input, from N(0, 1).
    let prompt (tokens: int) (seed: int) : Adapter = Prompt.adapter tokens seed

    /// A technique on these sites; one that stands at no linear map of its choice takes no notice of them. Everything
    /// random follows from `seed`.
    let at (where: Selector) (technique: Technique) (seed: int) : Adapter = technique.Apply where seed

    /// A technique on the sites where it usually stands. Everything random follows from `seed`.
    let ofTechnique (technique: Technique) (seed: int) : Adapter =
        at (technique.Sites |> Option.defaultValue Selector.everywhere) technique seed
