namespace Peft

/// What a tensor is to its model.
[<RequireQualifiedAccess>]
type TensorKind =
    /// A row for each token: the embedding, a head.
    | Table
    /// The weight of a linear map.
    | Matrix
    /// The bias of a linear map.
    | Bias
    /// The scale of a norm, or its shift.
    | Norm
    /// What the model knows of positions.
    | Position
    /// No tensor of the model's own: an adapter's.
    | Added

/// The name and the shape of a tensor that is not there yet.
type Outline =
    {
        Name: string
        Shape: int64 list
        Kind: TensorKind
    }

    /// The number of elements.
    member outline.Elements: int64 = List.fold (*) 1L outline.Shape

    /// Whether it stays float32 in a bfloat16 model: everything but the large matrices.
    member outline.IsFloat32: bool =
        match outline.Kind with
        | TensorKind.Table
        | TensorKind.Matrix -> false
        | TensorKind.Bias
        | TensorKind.Norm
        | TensorKind.Position
        | TensorKind.Added -> true

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
        /// Heads of keys and values; as many as `Heads` unless several heads of queries share one.
        KeyValueHeads: int
        /// The width of a head's keys and values.
        HeadWidth: int
        Vocabulary: int
        /// What a token of prefix tuning takes: keys and values of every decoder layer, as the family's tools lay it out.
        PrefixWidth: int64
        /// The rate of the model's own dropout in training.
        Dropout: float
        PadId: int
        /// The ids that end an answer: one at least. Generation stops at any of them.
        EosIds: int list
    }

    /// The number of elements of a model without adapter.
    member shape.Elements: int64 = Outline.elements shape.Tensors

[<RequireQualifiedAccess>]
module Shape =
    /// The number of blocks of a stack.
    let blocks (shape: Shape) (stack: Stack) : int = Site.blocks shape.Sites stack

    /// The module of a tensor: its name without the last part.
    let moduleOf (tensor: string) : string =
        tensor.Substring(0, tensor.LastIndexOf '.')

    /// The module that holds the embedding: `shared`, `model.embed_tokens`.
    let embedding (shape: Shape) : string =
        shape.Tensors
        |> List.find (fun outline -> outline.Kind = TensorKind.Table)
        |> fun outline -> moduleOf outline.Name

    /// Whether the tensor of this name, an adapter's too, stays float32 in a bfloat16 model.
    let isFloat32 (shape: Shape) : string -> bool =
        let large =
            shape.Tensors @ shape.Shared
            |> List.filter (_.IsFloat32 >> not)
            |> List.map _.Name
            |> set

        large.Contains >> not
