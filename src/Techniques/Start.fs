namespace Peft

open TorchSharp

/// What adapters are made of: the sites they wrap and the numbers they start from.
[<RequireQualifiedAccess>]
module internal Start =
    /// Changes the selected maps; a selector that matches none is a mistake.
    let wrap (where: Selector) (change: Site -> Projection -> Projection) : Adapter =
        fun model ->
            let sites = Model.projections model |> List.map fst

            if sites |> List.forall (where >> not) then
                let there = sites |> List.map _.Matrix |> List.distinct |> String.concat ", "
                userError $"this technique finds none of its linear maps in this model: there are {there}."

            model
            |> Model.rewrite (fun site projection -> if where site then change site projection else projection)

    /// Draws from N(0, deviation²) in float32; the numbers depend on the generator only, never on the device.
    let normal (generator: torch.Generator) (deviation: float) (shape: int64 array) (device: torch.Device) =
        use _ = torch.NewDisposeScope()

        let drawn =
            torch.randn (shape, dtype = torch.float32, device = torch.CPU, generator = generator)

        drawn.mul(deviation.ToScalar()).``to``(device).MoveToOuterDisposeScope()

    /// [in], [out] and the device of the weight.
    let shape (projection: Projection) =
        let weight = (Projection.weight projection).Value
        weight.shape[1], weight.shape[0], weight.device

    /// The rank of an update must fit the map it updates.
    let checkRank (rank: int) (site: Site) (inner: Projection) =
        let fanIn, fanOut, _ = shape inner

        if int64 rank > min fanIn fanOut then
            userError
                $"rank {rank} is too large for {Site.name site}, a map from {fanIn} to {fanOut}: the largest is {min fanIn fanOut}."

    /// Zeros in float32.
    let zeros (extents: int64 list) (device: torch.Device) =
        torch.zeros (List.toArray extents, dtype = torch.float32, device = device)

    /// One value over and over, in float32.
    let filled (value: float) (length: int64) (device: torch.Device) =
        torch.full ([| length |], value.ToScalar(), dtype = torch.float32, device = device)

    /// Draws from U(-bound, bound) in float32, as `normal` does.
    let uniform (generator: torch.Generator) (bound: float) (extents: int64 list) (device: torch.Device) =
        use _ = torch.NewDisposeScope()

        let drawn =
            torch.rand (List.toArray extents, dtype = torch.float32, device = torch.CPU, generator = generator)

        drawn.mul((2.0 * bound).ToScalar()).sub(bound.ToScalar()).``to``(device).MoveToOuterDisposeScope()

    /// Trains the model's own tensors whose name is chosen; what is trained already stays.
    let trainWhere (isChosen: string -> bool) : Adapter =
        Model.mapLeaves (fun name leaf ->
            match leaf with
            | Frozen tensor when isChosen name -> Leaf.trained tensor
            | _ -> leaf)
