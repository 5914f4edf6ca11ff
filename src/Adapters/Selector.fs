namespace Peft

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

    /// Maps whose module name ends in one of these: `q`, `wi_1`, …
    let named (names: string list) : Selector =
        fun site -> names |> List.contains ((Site.name site).Split '.' |> Array.last)

    /// k and v of every attention and the feed-forward's inner activation: where the paper puts (IA)3. In a T5 v1.0
    /// without gate the inner activation is `wi`'s.
    let paperIa3: Selector = either (attention [ K; V ]) (feedForward [ Wi1; Wi ])
