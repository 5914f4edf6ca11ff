namespace Peft.T5

/// The two halves of T5.
type Stack =
    | Encoder
    | Decoder

/// The four linear maps of one attention.
type AttentionPart =
    | Q
    | K
    | V
    | O

/// The linear maps of a feed-forward layer: `Wi` and `Wo` in T5 v1.0; `Wi0` (gate), `Wi1` and `Wo` in v1.1 and FLAN-T5.
type FeedForwardPart =
    | Wi
    | Wi0
    | Wi1
    | Wo

/// What a linear map does in its block.
type Role =
    | SelfAttention of AttentionPart
    | CrossAttention of AttentionPart
    | FeedForward of FeedForwardPart

/// The address of one linear map in T5.
type Site =
    { Stack: Stack; Block: int; Role: Role }

[<RequireQualifiedAccess>]
module Site =
    let private attentionPart =
        function
        | Q -> "q"
        | K -> "k"
        | V -> "v"
        | O -> "o"

    let private feedForwardPart =
        function
        | Wi -> "wi"
        | Wi0 -> "wi_0"
        | Wi1 -> "wi_1"
        | Wo -> "wo"

    /// The folder of a stack in Hugging Face's names.
    let stackName (stack: Stack) : string =
        match stack with
        | Encoder -> "encoder"
        | Decoder -> "decoder"

    /// The module's name in a Hugging Face checkpoint, for example `decoder.block.3.layer.1.EncDecAttention.q`.
    let name (site: Site) : string =
        let layer =
            match site.Role with
            | SelfAttention part -> $"0.SelfAttention.{attentionPart part}"
            | CrossAttention part -> $"1.EncDecAttention.{attentionPart part}"
            | FeedForward part ->
                let position = if site.Stack = Encoder then 1 else 2
                $"{position}.DenseReluDense.{feedForwardPart part}"

        $"{stackName site.Stack}.block.{site.Block}.layer.{layer}"

    /// The short name of the matrix, whatever layer it is in: `q`, `k`, `v`, `o`, `wi`, `wi_0`, `wi_1`, `wo`.
    let matrix (role: Role) : string =
        match role with
        | SelfAttention part
        | CrossAttention part -> attentionPart part
        | FeedForward part -> feedForwardPart part

    /// The number of blocks in a stack.
    let blocks (config: Config) (stack: Stack) : int =
        match stack with
        | Encoder -> config.EncoderLayers
        | Decoder -> config.DecoderLayers

    /// Every linear map of a T5 in the order of computation, which is that of `T5.projections`.
    let all (config: Config) : Site list =
        let attention = [ Q; K; V; O ]
        let feedForward = if config.IsGated then [ Wi0; Wi1; Wo ] else [ Wi; Wo ]

        [
            for stack in [ Encoder; Decoder ] do
                for block in 0 .. blocks config stack - 1 do
                    let at role =
                        {
                            Stack = stack
                            Block = block
                            Role = role
                        }

                    yield! attention |> List.map (SelfAttention >> at)

                    if stack = Decoder then
                        yield! attention |> List.map (CrossAttention >> at)

                    yield! feedForward |> List.map (FeedForward >> at)
        ]

    /// The width a map takes and the width it gives.
    let widths (config: Config) (site: Site) : int64 * int64 =
        let model, inner, hidden =
            int64 config.ModelWidth, int64 config.InnerWidth, int64 config.FeedForwardWidth

        match site.Role with
        | SelfAttention O
        | CrossAttention O -> inner, model
        | SelfAttention _
        | CrossAttention _ -> model, inner
        | FeedForward Wo -> hidden, model
        | FeedForward _ -> model, hidden
