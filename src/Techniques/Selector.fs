namespace Peft


/// Which linear maps a technique changes.
type Selector = Site -> bool

/// A technique as a function: the model with something more to train. Adapters compose with `>>`.
type Adapter = Model -> Model

[<RequireQualifiedAccess>]
module Selector =
    /// Every linear map of attention and feed-forward.
    let everywhere: Selector = fun _ -> true

    /// These parts of every attention, self and encoder-decoder.
    let attention (parts: Part list) : Selector =
        fun site -> site.Layer <> LayerKind.FeedForward && List.exists (Part.isIn site.Part) parts

    /// These parts of every feed-forward layer.
    let feedForward (parts: Part list) : Selector =
        fun site -> site.Layer = LayerKind.FeedForward && List.contains site.Part parts

    /// Where techniques that name no maps do this.
    let usual (change: Change) : Selector =
        fun site -> List.contains change site.Usual

    /// Sites that satisfy both.
    let both (left: Selector) (right: Selector) : Selector = fun site -> left site && right site

    /// Sites that satisfy one or the other.
    let either (left: Selector) (right: Selector) : Selector = fun site -> left site || right site

    /// q, k, v and o of every attention: where the paper puts LoRA.
    let paperLora: Selector = attention [ Q; K; V; O ]

    /// Maps that one of these words means: `q`, `wi_1`, `down`, …
    let named (words: string list) : Selector =
        fun site -> words |> List.exists (fun word -> Site.isCalled word site)

    /// k and v of every attention and the feed-forward's inner activation: where the paper puts (IA)3. In a T5 v1.0
    /// without gate the inner activation is `wi`'s.
    let paperIa3: Selector = either (attention [ K; V ]) (feedForward [ Up ])
