namespace Peft

open TorchSharp

/// The dimensions of a model that is to be pretrained from nothing.
type Dimensions =
    {
        Vocabulary: int
        Width: int
        HeadWidth: int
        FeedForward: int
        /// Blocks of each stack.
        Layers: int
        PadId: int
        EosId: int
    }

/// What a `config.json` describes: a model that has no weights yet. Equal where the configuration is.
[<CustomEquality; NoComparison>]
type Architecture =
    {
        Shape: Shape
        /// The configuration with all its values, defaults included: what `Checkpoint.save` writes.
        Config: string
        /// Loads the weights of a checkpoint folder, every leaf frozen: matrices in this dtype (float32 or bfloat16), norms
        /// and other small tensors in float32.
        Load: torch.Device -> torch.ScalarType -> string -> Model
        /// Random weights as the family begins with them, in this dtype; the numbers follow from the seed.
        Random: torch.ScalarType -> int -> Model
        /// The model without numbers, on the meta device.
        Skeleton: unit -> Model
    }

    override architecture.Equals(other: obj | null) : bool =
        match other with
        | :? Architecture as other -> architecture.Config = other.Config
        | _ -> false

    override architecture.GetHashCode() : int = architecture.Config.GetHashCode()
