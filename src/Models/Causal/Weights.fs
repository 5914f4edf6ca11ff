namespace Peft.Causal

open Peft
open TorchSharp

/// From a checkpoint's tensors, or random numbers, to a decoder.
[<RequireQualifiedAccess>]
module Weights =
    /// The model's structure over tensors given by name and shape.
    let build (description: Description) (precision: torch.ScalarType) (tensor: Outline -> torch.Tensor) : Causal =
        let leaf outline = Frozen(tensor outline)
        let names = description.Names

        let norm name : Norm =
            let parts = Outlines.norm description name |> List.map leaf

            {
                Kind = description.Norm
                Scale = parts.Head
                Shift = List.tryItem 1 parts
                Epsilon = description.Epsilon
            }

        let headNorm name : Norm =
            {
                Kind = NormKind.RootMeanSquare
                Scale = leaf (Outlines.headNorm description name)
                Shift = None
                Epsilon = description.Epsilon
            }

        let affine hasBias (weight: Leaf) (bias: Outline) =
            if hasBias then Affine(weight, leaf bias) else Dense weight

        let block index : Block =
            let inside = Sites.inBlock description index

            let map part =
                let site = Sites.at description index part
                affine (List.contains part description.Biased) (leaf (Outlines.weight site)) (Outlines.bias site)

            {
                Attention =
                    {
                        Norm = norm (inside names.AttentionNorm)
                        Inputs =
                            if description.IsFused then
                                AttentionInputs.Fused(map QKV)
                            else
                                AttentionInputs.Separate(map Q, map K, map V)
                        HeadNorms =
                            if description.HasHeadNorms then
                                Some(headNorm (inside names.QueryNorm), headNorm (inside names.KeyNorm))
                            else
                                None
                        O = map O
                    }
                FeedForward =
                    {
                        Norm =
                            match description.Form with
                            | BlockForm.Sequential -> Some(norm (inside names.FeedForwardNorm))
                            | BlockForm.Parallel -> None
                        Gate = if description.IsGated then Some(map Gate) else None
                        Up = map Up
                        Down = map Down
                        Beside = None
                    }
            }

        let embedding = leaf (Outlines.embedding description)

        let headWeight =
            if description.IsTied then
                embedding
            else
                leaf (Outlines.head description)

        {
            Description = description
            Precision = precision
            Embedding = embedding
            Table = []
            PositionTable = Outlines.positionTable description |> Option.map leaf
            EmbeddingNorm =
                if description.HasEmbeddingNorm then
                    Some(norm (Sites.inRoot description names.EmbeddingNorm))
                else
                    None
            Prompt = NoPrompt
            Prefix = None
            Blocks = List.init description.Layers block
            FinalNorm = norm (Sites.inRoot description names.FinalNorm)
            Head = affine description.HasHeadBias headWeight (Outlines.headBias description)
        }

    let private headKey = $"{Site.headName}.weight"

    /// How a file spells a tensor: some leave the root out.
    let private spelled (description: Description) (tensors: Map<string, SafetensorsHeader>) (name: string) : string =
        let root = $"{description.Names.Root}."

        if
            not (tensors.ContainsKey name)
            && name.StartsWith(root, System.StringComparison.Ordinal)
        then
            let short = name.Substring root.Length
            if tensors.ContainsKey short then short else name
        else
            name

    /// Keys that published checkpoints carry besides the model: a copy of the embedding, masks and frequencies.
    let private ignorable (description: Description) : Set<string> =
        let inside =
            [
                yield "rotary_emb.inv_freq"

                for block in 0 .. description.Layers - 1 do
                    for buffer in description.Names.Buffers do
                        yield $"{description.Names.Blocks}.{block}.{buffer}"
            ]

        set (headKey :: inside @ List.map (Sites.inRoot description) inside)

    /// Whether the head is the embedding: the configuration decides, but for a head that the file has and that is another.
    let private isTied (description: Description) (tensors: Map<string, SafetensorsHeader>) : bool =
        let embedding = spelled description tensors (Outlines.embedding description).Name

        match tensors.TryFind headKey, tensors.TryFind embedding with
        | Some headFile, Some embeddingFile when description.IsTied ->
            use _ = torch.NewDisposeScope()
            let head = Safetensors.read headFile headKey
            let shared = Safetensors.read embeddingFile embedding
            head.shape = shared.shape && head.eq(shared).all().item<bool>()
        | _ -> description.IsTied

    /// Loads a folder with every leaf frozen: matrices in `dtype` (float32 or bfloat16), the others in float32. `UserError`
    /// names the first tensor that is missing, unknown or of another shape.
    let load (device: torch.Device) (dtype: torch.ScalarType) (folder: string) (description: Description) : Causal =
        let tensors = WeightFiles.headers folder

        build
            { description with
                IsTied = isTied description tensors
            }
            dtype
        |> WeightFiles.load device dtype folder tensors (spelled description tensors) (ignorable description)

    /// A decoder of this shape without numbers, on the meta device: for counting what a technique trains.
    let skeleton (description: Description) : Causal =
        build description torch.float32 (fun outline ->
            torch.empty (List.toArray outline.Shape, dtype = torch.float32, device = torch.META))

    /// A decoder with random weights as Hugging Face initialises it: N(0, `Deviation`²) for matrices, norms 1, biases 0. The
    /// numbers follow from `seed`. Matrices are in `dtype`, the others in float32.
    let randomIn (dtype: torch.ScalarType) (description: Description) (seed: int) : Causal =
        use generator = new torch.Generator(uint64 seed, torch.CPU)

        build description dtype (fun outline ->
            use _ = torch.NewDisposeScope()
            let shape = List.toArray outline.Shape
            let kept = if outline.IsFloat32 then torch.float32 else dtype

            let numbers =
                match outline.Kind with
                | TensorKind.Bias -> torch.zeros (shape, dtype = torch.float32)
                | TensorKind.Norm when outline.Name.EndsWith(".bias", System.StringComparison.Ordinal) ->
                    torch.zeros (shape, dtype = torch.float32)
                | TensorKind.Norm -> torch.ones (shape, dtype = torch.float32)
                | _ ->
                    torch
                        .randn(shape, dtype = torch.float32, generator = generator)
                        .mul_(description.Deviation.ToScalar())

            numbers.``to``(kept).MoveToOuterDisposeScope())
