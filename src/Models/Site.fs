namespace Peft

/// The two halves of an encoder-decoder. A decoder-only model has the second alone.
type Stack =
    | Encoder
    | Decoder

/// The layers that a block may have.
[<RequireQualifiedAccess>]
type LayerKind =
    | SelfAttention
    /// Encoder-decoder attention.
    | CrossAttention
    | FeedForward

/// What a linear map does in its layer, whatever a family calls it.
type Part =
    /// Queries, keys, values and the output of an attention.
    | Q
    | K
    | V
    | O
    /// Queries, keys and values in one map.
    | QKV
    /// The map of a gated feed-forward layer whose result goes through the activation.
    | Gate
    /// The map into a feed-forward layer (of a gated one, the map beside the gate).
    | Up
    /// The map out of a feed-forward layer.
    | Down

/// What a technique does to a linear map.
[<RequireQualifiedAccess>]
type Change =
    /// Adds something small and trained: LoRA and what came of it.
    | Update
    /// Rescales what the map gives, as (IA)3 does.
    | RescaleOutput
    /// Rescales what it takes.
    | RescaleInput

/// One linear map of a model: its address, and what it maps.
type Site =
    {
        /// The module's name in a Hugging Face checkpoint, for example `decoder.block.3.layer.1.EncDecAttention.q`.
        Name: string
        Stack: Stack
        /// From 0 in each stack.
        Block: int
        Layer: LayerKind
        Part: Part
        /// The width it takes.
        In: int64
        /// The width it gives.
        Out: int64
        /// What techniques that name no maps do to this one: the tables of Hugging Face's peft for the family.
        Usual: Change list
    }

    /// The last part of the name, which is the same in every block: `q`, `wi_1`, `down_proj`.
    member site.Matrix: string = site.Name.Substring(site.Name.LastIndexOf '.' + 1)

[<RequireQualifiedAccess>]
module Part =
    /// What maps do, in words that every family shares.
    let words: (string * Part) list =
        [ "q", Q; "k", K; "v", V; "o", O; "gate", Gate; "up", Up; "down", Down ]

    /// Whether a map does this, by itself or along with more.
    let isIn (map: Part) (part: Part) : bool =
        match map, part with
        | QKV, (Q | K | V) -> true
        | _ -> map = part

[<RequireQualifiedAccess>]
module Site =
    /// The folder of a stack in Hugging Face's names.
    let stackName (stack: Stack) : string =
        match stack with
        | Encoder -> "encoder"
        | Decoder -> "decoder"

    /// The name of the map from hidden states to logits, which is no site: techniques leave it alone unless they are shown it.
    let headName = "lm_head"

    /// The module's name.
    let name (site: Site) : string = site.Name

    /// Whether a word means this map: the end of its name, as `q_proj` or `mlp.c_proj`, or what it does, as `q` or `down`.
    let isCalled (word: string) (site: Site) : bool =
        site.Matrix = word
        || site.Name.EndsWith($".{word}", System.StringComparison.Ordinal)
        || Part.words
           |> List.exists (fun (known, part) -> known = word && Part.isIn site.Part part)

    /// The number of blocks of a stack among the sites of a model.
    let blocks (sites: Site list) (stack: Stack) : int =
        match sites |> List.filter (fun site -> site.Stack = stack) with
        | [] -> 0
        | own -> 1 + (own |> List.map _.Block |> List.max)
