namespace Peft.T5

open System
open Peft
open TorchSharp

/// From a checkpoint's tensors, or random numbers, to a T5.
[<RequireQualifiedAccess>]
module Weights =
    /// The model's structure over tensors given by name and shape.
    let build (config: Config) (precision: torch.ScalarType) (tensor: Outline -> torch.Tensor) : T5 =
        let leaf outline = Frozen(tensor outline)

        let norm outline : Norm =
            {
                Scale = leaf outline
                Epsilon = config.Epsilon
            }

        let tower stack : Tower =
            let block index : Block =
                let before kind =
                    norm (Outlines.norm config stack index kind)

                let dense kind part =
                    Sites.at config stack index kind part |> Outlines.weight |> leaf |> Dense

                let attention kind : Attention =
                    {
                        Norm = before kind
                        Q = dense kind Q
                        K = dense kind K
                        V = dense kind V
                        O = dense kind O
                    }

                {
                    SelfAttention = attention LayerKind.SelfAttention
                    CrossAttention =
                        if stack = Stack.Decoder then
                            Some(attention LayerKind.CrossAttention)
                        else
                            None
                    FeedForward =
                        {
                            Norm = before LayerKind.FeedForward
                            Gate =
                                if config.IsGated then
                                    Some(dense LayerKind.FeedForward Gate)
                                else
                                    None
                            Input = dense LayerKind.FeedForward Up
                            Output = dense LayerKind.FeedForward Down
                            Beside = None
                        }
                }

            {
                RelativeBias = leaf (Outlines.relativeBias config stack)
                Blocks = List.init (Sites.blocks config stack) block
                FinalNorm = norm (Outlines.finalNorm config stack)
            }

        {
            Config = config
            Precision = precision
            Embedding = leaf (Outlines.embedding config)
            EncoderEmbedding = None
            Table = []
            DecoderEmbedding = None
            Prompt = NoPrompt
            Prefix = None
            Encoder = tower Stack.Encoder
            Decoder = tower Stack.Decoder
            Head =
                if config.IsTied then
                    None
                else
                    Some(Dense(leaf (Outlines.head config)))
        }

    /// Keys that published checkpoints carry besides the model: copies of the embedding and an unused bias.
    let private ignorable =
        set
            [
                "encoder.embed_tokens.weight"
                "decoder.embed_tokens.weight"
                "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
                "lm_head.weight"
            ]

    let private headName, private embeddingName = "lm_head.weight", "shared.weight"

    /// How a file spells the embedding: some hold only the copies that encoder or decoder have of it.
    let private spelled (tensors: Map<string, SafetensorsHeader>) (name: string) : string =
        if name = embeddingName then
            [ embeddingName; "decoder.embed_tokens.weight"; "encoder.embed_tokens.weight" ]
            |> List.tryFind tensors.ContainsKey
            |> Option.defaultValue name
        else
            name

    /// transformers 5 writes one and the same configuration for a tied head and an own one. The weights decide: without a head
    /// it is the embedding, and so it is where the configuration says so and the head is a copy.
    let private isTied (config: Config) (tensors: Map<string, SafetensorsHeader>) : bool =
        let embedding = spelled tensors embeddingName

        match tensors.TryFind headName, tensors.TryFind embedding with
        | None, _ -> true
        | Some _, _ when not config.IsTied -> false
        | Some headFile, Some embeddingFile ->
            use _ = torch.NewDisposeScope()
            let head = Safetensors.read headFile headName
            let shared = Safetensors.read embeddingFile embedding
            head.shape = shared.shape && head.eq(shared).all().item<bool>()
        | Some _, None -> true

    /// Loads a folder with every leaf frozen: matrices in `dtype` (float32 or bfloat16), norms and position biases in
    /// float32. `UserError` names the first tensor that is missing, unknown or of another shape.
    let load (device: torch.Device) (dtype: torch.ScalarType) (folder: string) (config: Config) : T5 =
        let tensors = WeightFiles.headers folder

        build
            { config with
                IsTied = isTied config tensors
            }
            dtype
        |> WeightFiles.load device dtype folder tensors (spelled tensors) ignorable

    /// A T5 of this shape without numbers, on the meta device: for counting what a technique trains.
    let skeleton (config: Config) : T5 =
        build config torch.float32 (fun outline ->
            torch.empty (List.toArray outline.Shape, dtype = torch.float32, device = torch.META))

    /// A T5 with random weights as Hugging Face initialises it (factor 1), but for a head of its own, which starts at
    /// d_model^-0.5 instead of 1, so that the first losses are near ln(vocabulary). The numbers follow from `seed`. Matrices
    /// are in `dtype`, norms and position biases in float32; each matrix is drawn in float32 and cast before the next.
    let randomIn (dtype: torch.ScalarType) (config: Config) (seed: int) : T5 =
        use generator = new torch.Generator(uint64 seed, torch.CPU)

        let width, inner, hidden =
            float config.ModelWidth, float config.InnerWidth, float config.FeedForwardWidth

        let deviation (name: string) =
            let part = name.Split('.') |> Array.rev |> Array.item 1

            match part with
            | "shared" -> 1.0
            | "q" -> (width * float config.KeyWidth) ** -0.5
            | "o" -> inner ** -0.5
            | "wo" -> hidden ** -0.5
            | _ -> width ** -0.5

        build config dtype (fun outline ->
            use _ = torch.NewDisposeScope()
            let name, shape = outline.Name, List.toArray outline.Shape
            let kept = if outline.IsFloat32 then torch.float32 else dtype

            let numbers =
                if outline.Kind = TensorKind.Norm then
                    torch.ones (shape, dtype = torch.float32)
                else
                    torch.randn(shape, dtype = torch.float32, generator = generator).mul_((deviation name).ToScalar())

            numbers.``to``(kept).MoveToOuterDisposeScope())
