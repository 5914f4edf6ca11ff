namespace Peft.T5

open Peft

/// A T5 without its weights.
[<RequireQualifiedAccess>]
module Shapes =
    let private norms (config: Config) : Outline list =
        let norm place =
            {
                Name = $"{place}.weight"
                Shape = [ int64 config.ModelWidth ]
            }

        let kinds stack =
            match stack with
            | Encoder -> [ LayerKind.SelfAttention; LayerKind.FeedForward ]
            | Decoder -> [ LayerKind.SelfAttention; LayerKind.CrossAttention; LayerKind.FeedForward ]

        [
            for stack in [ Encoder; Decoder ] do
                for block in 0 .. Sites.blocks config stack - 1 do
                    for kind in kinds stack do
                        norm $"{Sites.layer stack block kind}.layer_norm"

                norm $"{Site.stackName stack}.final_layer_norm"
        ]

    let private tensors (config: Config) : Outline list =
        let vocabulary = [ int64 config.VocabularySize; int64 config.ModelWidth ]

        [
            {
                Name = "shared.weight"
                Shape = vocabulary
            }

            if not config.IsTied then
                {
                    Name = "lm_head.weight"
                    Shape = vocabulary
                }

            for stack in [ Encoder; Decoder ] do
                {
                    Name = $"{Site.stackName stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
                    Shape = [ int64 config.Buckets; int64 config.Heads ]
                }

            yield! norms config

            for site in Sites.all config do
                {
                    Name = $"{site.Name}.weight"
                    Shape = [ site.Out; site.In ]
                }
        ]

    /// The shape that a configuration describes.
    let ofConfig (config: Config) : Shape =
        {
            Family = "t5"
            Sites = Sites.all config
            Tensors = tensors config
            Width = config.ModelWidth
            Heads = config.Heads
            HeadWidth = config.KeyWidth
            Vocabulary = config.VocabularySize
            PrefixWidth = 2L * int64 config.DecoderLayers * int64 config.InnerWidth
            Dropout = config.DropoutRate
            PadId = config.PadId
            EosId = config.EosId
        }
