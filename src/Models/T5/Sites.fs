namespace Peft.T5

open Peft

/// The linear maps of a T5 and their names in its checkpoints.
[<RequireQualifiedAccess>]
module Sites =
    let private matrix (isGated: bool) (part: Part) =
        match part with
        | Q -> "q"
        | K -> "k"
        | V -> "v"
        | O -> "o"
        | QKV -> invalidArg (nameof part) "queries, keys and values have maps of their own in a T5"
        | Gate -> "wi_0"
        | Up -> if isGated then "wi_1" else "wi"
        | Down -> "wo"

    /// The number of blocks in a stack.
    let blocks (config: Config) (stack: Stack) : int =
        match stack with
        | Encoder -> config.EncoderLayers
        | Decoder -> config.DecoderLayers

    /// The layers of a stack's blocks, in the order of computation.
    let layers (stack: Stack) : LayerKind list =
        match stack with
        | Encoder -> [ LayerKind.SelfAttention; LayerKind.FeedForward ]
        | Decoder -> [ LayerKind.SelfAttention; LayerKind.CrossAttention; LayerKind.FeedForward ]

    /// The name of a block's layer by its kind, without the module inside it: `decoder.block.3.layer.1`.
    let layer (stack: Stack) (block: int) (kind: LayerKind) : string =
        let position = layers stack |> List.findIndex ((=) kind)
        $"{Site.stackName stack}.block.{block}.layer.{position}"

    /// The module inside a layer: `decoder.block.3.layer.1.EncDecAttention`.
    let inside (stack: Stack) (block: int) (kind: LayerKind) : string =
        let inner =
            match kind with
            | LayerKind.SelfAttention -> "SelfAttention"
            | LayerKind.CrossAttention -> "EncDecAttention"
            | LayerKind.FeedForward -> "DenseReluDense"

        $"{layer stack block kind}.{inner}"

    /// peft's tables for a T5: LoRA on q and v, (IA)3 on k, v and the input of wo.
    let private usual (part: Part) : Change list =
        match part with
        | Q -> [ Change.Update ]
        | K -> [ Change.RescaleOutput ]
        | V -> [ Change.Update; Change.RescaleOutput ]
        | Down -> [ Change.RescaleInput ]
        | O
        | QKV
        | Gate
        | Up -> []

    /// One linear map.
    let at (config: Config) (stack: Stack) (block: int) (kind: LayerKind) (part: Part) : Site =
        let model, inner, hidden =
            int64 config.ModelWidth, int64 config.InnerWidth, int64 config.FeedForwardWidth

        let fanIn, fanOut =
            match part with
            | Q
            | K
            | V -> model, inner
            | O -> inner, model
            | QKV -> invalidArg (nameof part) "queries, keys and values have maps of their own in a T5"
            | Gate
            | Up -> model, hidden
            | Down -> hidden, model

        {
            Name = $"{inside stack block kind}.{matrix config.IsGated part}"
            Stack = stack
            Block = block
            Layer = kind
            Part = part
            In = fanIn
            Out = fanOut
            Usual = usual part
        }

    /// Every linear map of a T5 in the order of computation, which is that of `T5.rewrite`.
    let all (config: Config) : Site list =
        let attention = [ Q; K; V; O ]
        let feedForward = if config.IsGated then [ Gate; Up; Down ] else [ Up; Down ]

        let parts kind =
            match kind with
            | LayerKind.SelfAttention
            | LayerKind.CrossAttention -> attention
            | LayerKind.FeedForward -> feedForward

        [
            for stack in [ Encoder; Decoder ] do
                for block in 0 .. blocks config stack - 1 do
                    for kind in layers stack do
                        for part in parts kind do
                            at config stack block kind part
        ]
