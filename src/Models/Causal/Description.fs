namespace Peft.Causal

open Peft

/// How a norm brings numbers to one scale.
[<RequireQualifiedAccess>]
type NormKind =
    /// scale ∘ x / sqrt(mean(x²) + epsilon) (Zhang and Sennrich 2019).
    | RootMeanSquare
    /// scale ∘ (x − mean) / sqrt(variance + epsilon) + shift (Ba et al. 2016).
    | MeanAndVariance

/// Which entries of a head a rotary position turns together.
[<RequireQualifiedAccess>]
type RotaryLayout =
    /// i and i + width / 2 (Llama).
    | Halves
    /// 2 i and 2 i + 1 (GPT-J).
    | NeighbouringPairs

/// How rotary frequencies are changed for texts longer than those of pretraining.
[<RequireQualifiedAccess>]
type RotaryScaling =
    | Unscaled
    /// Every frequency is divided by `factor` (Chen et al. 2023).
    | Linear of factor: float
    /// Llama 3.1: waves longer than `original` / `low` are divided by `factor`, those shorter than `original` / `high` are
    /// left, and between them lies a ramp.
    | Llama3 of factor: float * low: float * high: float * original: int

/// Rotary position embedding (Su et al. 2021).
type Rotary =
    {
        /// θ: entry i turns by position · θ^(−2i / width).
        Base: float
        /// The first so many entries of each head are turned.
        Width: int
        Layout: RotaryLayout
        Scaling: RotaryScaling
    }

/// How a model knows where a token stands.
[<RequireQualifiedAccess>]
type Positions =
    /// A row of a table for each of so many positions, added to the embedding.
    | Learned of count: int
    /// Queries and keys are turned by their position.
    | Rotary of Rotary
    /// Scores gain slope · position of the key, a slope for each head (Press et al. 2022).
    | Alibi

/// How the layers of a block come together.
[<RequireQualifiedAccess>]
type BlockForm =
    /// y = x + attention(norm x); y + feed-forward(norm y).
    | Sequential
    /// x + attention(x̂) + feed-forward(x̂), x̂ = norm x.
    | Parallel

/// Where a model drops in training. It has one rate.
type DropoutPlaces =
    {
        /// From 0 up to 1.
        Rate: float
        OnEmbedding: bool
        /// On the shares of attention.
        OnAttention: bool
        /// On what a layer adds.
        OnResidual: bool
    }

/// What a family's checkpoints call a model's parts.
type Names =
    {
        /// The module around all but the head, which some published files leave out: `model`, `transformer`.
        Root: string
        /// Modules inside the root.
        Embedding: string
        PositionTable: string
        EmbeddingNorm: string
        Blocks: string
        FinalNorm: string
        /// Modules inside a block.
        AttentionNorm: string
        FeedForwardNorm: string
        QueryNorm: string
        KeyNorm: string
        Maps: (Part * string) list
        /// What published files hold of a block besides its weights: masks and frequencies.
        Buffers: string list
    }

/// A decoder-only model without its weights, in terms that its family's spelling of `config.json` plays no part in.
type Description =
    {
        /// `model_type`.
        Family: string
        Vocabulary: int
        Width: int
        Layers: int
        Heads: int
        /// Heads of keys and values, each of which serves Heads / KeyValueHeads neighbouring heads of queries.
        KeyValueHeads: int
        HeadWidth: int
        /// What scores are multiplied by before the softmax.
        ScoreScale: float
        /// One map for q, k and v, laid out head by head: q, k and v of the first, then of the next.
        IsFused: bool
        /// RMS norms of each head's query and key, before they are turned.
        HasHeadNorms: bool
        /// For each block, how far back a token looks, itself included; none where it sees all.
        Windows: int option list
        Positions: Positions
        /// The length of text that pretraining had, where the configuration says.
        MostPositions: int option
        Norm: NormKind
        /// What norms add under the root.
        Epsilon: float
        HasEmbeddingNorm: bool
        Form: BlockForm
        FeedForwardWidth: int
        IsGated: bool
        Activation: Activation
        /// The maps with biases.
        Biased: Part list
        /// Whether the head is the embedding; where there are weights, they decide.
        IsTied: bool
        HasHeadBias: bool
        /// What techniques that name no maps do to which: peft's tables for the family.
        Usual: (Part * Change) list
        Dropout: DropoutPlaces
        /// The standard deviation of a new model's random weights.
        Deviation: float
        StartId: int option
        PadId: int option
        /// The ids that end an answer, one at least.
        EosIds: int list
        Names: Names
    }

    /// Heads · the width of a head: what the output map of attention reads.
    member description.InnerWidth: int = description.Heads * description.HeadWidth

    /// Heads of queries that share a head of keys and values.
    member description.Group: int = description.Heads / description.KeyValueHeads

/// How a family's configurations are read and written.
[<NoEquality; NoComparison>]
type Family =
    {
        /// `model_type`.
        ModelType: string
        /// Its classes in transformers; the first is the one with a language model's head.
        Classes: string list
        /// What its checkpoints call a model's parts.
        Names: Names
        /// From `config.json` and, where there is one, `generation_config.json`.
        Read: ConfigFields -> ConfigFields option -> Description
        /// What is said of it beside what every family says.
        Write: Description -> (string * obj) list
    }
