namespace Peft

/// The name and the shape of a tensor that is not there yet.
type Outline =
    {
        Name: string
        Shape: int64 list
    }

    /// The number of elements.
    member outline.Elements: int64 = List.fold (*) 1L outline.Shape

[<RequireQualifiedAccess>]
module Outline =
    /// The sum of all elements.
    let elements (outlines: Outline list) : int64 = outlines |> List.sumBy _.Elements

/// A model without its weights: what placing, counting and planning need of it.
[<NoComparison>]
type Shape =
    {
        /// The family in Hugging Face's words (`model_type`): `t5`.
        Family: string
        /// Every linear map that an adapter may change, in the order of computation.
        Sites: Site list
        /// Every tensor of the model without adapter, under its checkpoint's name.
        Tensors: Outline list
        /// What can have a tensor of its own and shares another's: a tied head, an embedding for each stack.
        Shared: Outline list
        /// The width of hidden states.
        Width: int
        Heads: int
        /// The width of a head's keys and values.
        HeadWidth: int
        Vocabulary: int
        /// What a token of prefix tuning takes: keys and values of every decoder layer, as the family's tools lay it out.
        PrefixWidth: int64
        /// The rate of the model's own dropout in training.
        Dropout: float
        PadId: int
        EosId: int
    }

    /// The number of elements of a model without adapter.
    member shape.Elements: int64 = Outline.elements shape.Tensors

[<RequireQualifiedAccess>]
module Shape =
    /// The number of blocks of a stack.
    let blocks (shape: Shape) (stack: Stack) : int = Site.blocks shape.Sites stack

    /// The scales of all layer norms.
    let norms (shape: Shape) : Outline list =
        shape.Tensors
        |> List.filter (fun outline -> outline.Name.EndsWith("norm.weight", System.StringComparison.Ordinal))
