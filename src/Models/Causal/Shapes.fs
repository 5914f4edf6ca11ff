namespace Peft.Causal

open Peft

/// Name and shape of every tensor of a decoder, as its checkpoints have them.
[<RequireQualifiedAccess>]
module Outlines =
    let private of' (kind: TensorKind) (name: string) (shape: int list) : Outline =
        {
            Name = name
            Shape = shape |> List.map int64
            Kind = kind
        }

    /// The embedding.
    let embedding (description: Description) : Outline =
        of'
            TensorKind.Table
            $"{Sites.inRoot description description.Names.Embedding}.weight"
            [ description.Vocabulary; description.Width ]

    /// The table of learned positions; none where the model has other ones.
    let positionTable (description: Description) : Outline option =
        match description.Positions with
        | Positions.Learned count ->
            Some(
                of'
                    TensorKind.Position
                    $"{Sites.inRoot description description.Names.PositionTable}.weight"
                    [ count; description.Width ]
            )
        | Positions.Rotary _
        | Positions.Alibi -> None

    /// The head's weight, where it is not the embedding.
    let head (description: Description) : Outline =
        of' TensorKind.Table $"{Site.headName}.weight" [ description.Vocabulary; description.Width ]

    /// The head's bias.
    let headBias (description: Description) : Outline =
        of' TensorKind.Bias $"{Site.headName}.bias" [ description.Vocabulary ]

    /// Scale and shift of a norm of the model's width.
    let norm (description: Description) (name: string) : Outline list =
        [
            of' TensorKind.Norm $"{name}.weight" [ description.Width ]
            if description.Norm = NormKind.MeanAndVariance then
                of' TensorKind.Norm $"{name}.bias" [ description.Width ]
        ]

    /// The scale of a norm of one head.
    let headNorm (description: Description) (name: string) : Outline =
        of' TensorKind.Norm $"{name}.weight" [ description.HeadWidth ]

    /// The weight of a linear map.
    let weight (site: Site) : Outline =
        {
            Name = $"{site.Name}.weight"
            Shape = [ site.Out; site.In ]
            Kind = TensorKind.Matrix
        }

    /// The bias of a linear map.
    let bias (site: Site) : Outline =
        {
            Name = $"{site.Name}.bias"
            Shape = [ site.Out ]
            Kind = TensorKind.Bias
        }

    /// The start of the names of a net beside a feed-forward layer.
    let beside (site: Site) : string = $"{site.Name}.parallel"

    let private block (description: Description) (index: int) : Outline list =
        let inside = Sites.inBlock description index
        let names = description.Names

        [
            yield! norm description (inside names.AttentionNorm)

            if description.Form = BlockForm.Sequential then
                yield! norm description (inside names.FeedForwardNorm)

            if description.HasHeadNorms then
                headNorm description (inside names.QueryNorm)
                headNorm description (inside names.KeyNorm)

            for part in Sites.parts description do
                let site = Sites.at description index part
                weight site

                if List.contains part description.Biased then
                    bias site
        ]

    /// Every tensor.
    let all (description: Description) : Outline list =
        [
            embedding description
            yield! positionTable description |> Option.toList

            if description.HasEmbeddingNorm then
                yield! norm description (Sites.inRoot description description.Names.EmbeddingNorm)

            for index in 0 .. description.Layers - 1 do
                yield! block description index

            yield! norm description (Sites.inRoot description description.Names.FinalNorm)

            if not description.IsTied then
                head description

            if description.HasHeadBias then
                headBias description
        ]

/// A decoder without its weights.
[<RequireQualifiedAccess>]
module Shapes =
    /// The id that fills up rows: the end of an answer where the configuration names none.
    let padId (description: Description) : int =
        description.PadId |> Option.defaultValue description.EosIds.Head

    /// The shape that a description amounts to.
    let ofDescription (description: Description) : Shape =
        let shared = int64 (description.KeyValueHeads * description.HeadWidth)

        {
            Family = description.Family
            Sites = Sites.all description
            Tensors = Outlines.all description
            Shared =
                if description.IsTied then
                    [ Outlines.head description ]
                else
                    []
            Width = description.Width
            Heads = description.Heads
            KeyValueHeads = description.KeyValueHeads
            HeadWidth = description.HeadWidth
            Vocabulary = description.Vocabulary
            PrefixWidth = 2L * int64 description.Layers * shared
            Dropout = description.Dropout.Rate
            PadId = padId description
            EosIds = description.EosIds
        }
