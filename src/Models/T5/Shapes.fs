namespace Peft.T5

open Peft

/// Name and shape of every tensor of a T5, as its checkpoints have them.
[<RequireQualifiedAccess>]
module Outlines =
    let private of' (kind: TensorKind) (name: string) (shape: int list) : Outline =
        {
            Name = name
            Shape = shape |> List.map int64
            Kind = kind
        }

    /// The embedding, which both stacks use.
    let embedding (config: Config) : Outline =
        of' TensorKind.Table "shared.weight" [ config.VocabularySize; config.ModelWidth ]

    /// The head, where it is not the embedding.
    let head (config: Config) : Outline =
        of' TensorKind.Table "lm_head.weight" [ config.VocabularySize; config.ModelWidth ]

    /// The name of a stack's own embedding, where it is not that of both.
    let copyName (stack: Stack) : string =
        $"{Site.stackName stack}.embed_tokens.weight"

    /// What stands for the embedding without a tensor of its own.
    let shared (config: Config) : Outline list =
        [
            for stack in [ Encoder; Decoder ] do
                { embedding config with
                    Name = copyName stack
                }

            if config.IsTied then
                head config
        ]

    /// The table of position biases, which belongs to a stack's first block and serves all of them.
    let relativeBias (config: Config) (stack: Stack) : Outline =
        let first = Sites.inside stack 0 LayerKind.SelfAttention
        of' TensorKind.Position $"{first}.relative_attention_bias.weight" [ config.Buckets; config.Heads ]

    /// The scale of the norm before a layer.
    let norm (config: Config) (stack: Stack) (block: int) (kind: LayerKind) : Outline =
        of' TensorKind.Norm $"{Sites.layer stack block kind}.layer_norm.weight" [ config.ModelWidth ]

    /// The scale of the norm behind a stack.
    let finalNorm (config: Config) (stack: Stack) : Outline =
        of' TensorKind.Norm $"{Site.stackName stack}.final_layer_norm.weight" [ config.ModelWidth ]

    /// The weight of a linear map.
    let weight (site: Site) : Outline =
        {
            Name = $"{site.Name}.weight"
            Shape = [ site.Out; site.In ]
            Kind = TensorKind.Matrix
        }

    /// The start of the names of a net beside a feed-forward layer.
    let beside (site: Site) : string = $"{site.Name}.parallel"

    /// Every tensor.
    let all (config: Config) : Outline list =
        let blocks stack = [ 0 .. Sites.blocks config stack - 1 ]

        [
            embedding config

            if not config.IsTied then
                head config

            relativeBias config Encoder
            relativeBias config Decoder

            for stack in [ Encoder; Decoder ] do
                for block in blocks stack do
                    for kind in Sites.layers stack do
                        norm config stack block kind

                finalNorm config stack

            for site in Sites.all config do
                weight site
        ]

/// A T5 without its weights.
[<RequireQualifiedAccess>]
module Shapes =
    /// The shape that a configuration describes.
    let ofConfig (config: Config) : Shape =
        {
            Family = "t5"
            Sites = Sites.all config
            Tensors = Outlines.all config
            Shared = Outlines.shared config
            Width = config.ModelWidth
            Heads = config.Heads
            KeyValueHeads = config.Heads
            HeadWidth = config.KeyWidth
            Vocabulary = config.VocabularySize
            PrefixWidth = 2L * int64 config.DecoderLayers * int64 config.InnerWidth
            Dropout = config.DropoutRate
            PadId = config.PadId
            EosIds = [ config.EosId ]
        }
