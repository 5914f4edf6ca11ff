namespace Peft.Causal

open Peft

/// The linear maps of a decoder and their names in its checkpoints.
[<RequireQualifiedAccess>]
module Sites =
    /// A module's name; `inside` the root.
    let inRoot (description: Description) (inside: string) : string = $"{description.Names.Root}.{inside}"

    /// A module inside a block: `model.layers.3.self_attn.q_norm`.
    let inBlock (description: Description) (block: int) (inside: string) : string =
        inRoot description $"{description.Names.Blocks}.{block}.{inside}"

    /// The maps of a block in the order of computation.
    let parts (description: Description) : Part list =
        [
            yield! if description.IsFused then [ QKV ] else [ Q; K; V ]
            O
            if description.IsGated then
                Gate
            Up
            Down
        ]

    /// One linear map.
    let at (description: Description) (block: int) (part: Part) : Site =
        let width, inner = int64 description.Width, int64 description.InnerWidth
        let shared = int64 (description.KeyValueHeads * description.HeadWidth)
        let hidden = int64 description.FeedForwardWidth

        let layer, fanIn, fanOut =
            match part with
            | Q -> LayerKind.SelfAttention, width, inner
            | K
            | V -> LayerKind.SelfAttention, width, shared
            | QKV -> LayerKind.SelfAttention, width, inner + 2L * shared
            | O -> LayerKind.SelfAttention, inner, width
            | Gate
            | Up -> LayerKind.FeedForward, width, hidden
            | Down -> LayerKind.FeedForward, hidden, width

        {
            Name =
                description.Names.Maps
                |> List.find (fst >> (=) part)
                |> snd
                |> inBlock description block
            Stack = Decoder
            Block = block
            Layer = layer
            Part = part
            In = fanIn
            Out = fanOut
            Usual = description.Usual |> List.filter (fst >> (=) part) |> List.map snd
        }

    /// Every linear map in the order of computation, which is that of `Causal.rewrite`.
    let all (description: Description) : Site list =
        [
            for block in 0 .. description.Layers - 1 do
                for part in parts description do
                    at description block part
        ]
