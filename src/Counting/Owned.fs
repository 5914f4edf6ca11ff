namespace Peft

open System

/// Which of a model's own tensors a technique trains, by what they are in the computation.
[<NoComparison; NoEquality>]
type internal Owned =
    {
        /// All of them, by name.
        Names: Set<string>
        Embedding: bool
        Head: bool
        /// Whether the norm is trained before the layer that this map is in.
        Norm: Site -> bool
        FinalNorm: Stack -> bool
        /// Whether the positions' bias of a stack's self-attentions is trained.
        Position: Stack -> bool
    }

[<RequireQualifiedAccess>]
module internal Owned =
    let private startsWith (prefix: string) (name: string) =
        name.StartsWith(prefix, StringComparison.Ordinal)

    /// `decoder.block.3.layer.1.` of `decoder.block.3.layer.1.EncDecAttention.q`.
    let private layerOf (site: Site) =
        let parent = site.Name.Substring(0, site.Name.LastIndexOf '.')
        parent.Substring(0, 1 + parent.LastIndexOf '.')

    let private blockOf (site: Site) =
        let number = $".{site.Block}."
        site.Name.Substring(0, number.Length + site.Name.IndexOf(number, StringComparison.Ordinal))

    /// What a form trains of a model of this shape.
    let of' (shape: Shape) (form: Form) : Owned =
        let named kind =
            shape.Tensors
            |> List.filter (fun outline -> outline.Kind = kind)
            |> List.map _.Name

        let trained = shape.Tensors |> List.filter form.Own |> List.map _.Name
        let all = set trained
        let norms = named TensorKind.Norm
        let trainedNorms = trained |> List.filter (fun name -> List.contains name norms)
        let blocks = shape.Sites |> List.map blockOf |> List.distinct

        let finals =
            trainedNorms
            |> List.filter (fun name -> not (blocks |> List.exists (fun block -> startsWith block name)))

        let tables = named TensorKind.Table
        let positions = named TensorKind.Position |> List.filter all.Contains

        // Without a stack's name it is the only one's.
        let isOf stack (name: string) =
            startsWith $"{Site.stackName stack}." name
            || (stack = Decoder && not (startsWith $"{Site.stackName Encoder}." name))

        {
            Names = all
            Embedding = tables |> List.tryHead |> Option.exists all.Contains
            Head = tables |> List.tryLast |> Option.exists all.Contains
            Norm =
                fun site ->
                    let own = norms |> List.filter (startsWith (layerOf site))

                    // A family whose norms stand beside the layers, not in them: any of the block's.
                    let candidates =
                        if own.IsEmpty then
                            norms |> List.filter (startsWith (blockOf site))
                        else
                            own

                    candidates |> List.exists all.Contains
            FinalNorm = fun stack -> finals |> List.exists (isOf stack)
            Position = fun stack -> positions |> List.exists (isOf stack)
        }
