namespace Peft

open Peft.Kernels
open System.Collections.Generic
open TorchSharp

/// What can be asked of a projection and done with it.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Projection =
    let private inside = ProjectionLeaves.inside

    /// The base weight [out, in] at the centre of all wrappers.
    let weight (projection: Projection) : Leaf = ProjectionLeaves.weight projection

    /// The map at the centre of all wrappers, as a checkpoint has it: its weight, and its bias where it has one.
    let rec bare (projection: Projection) : Projection =
        match projection with
        | Dense _
        | Affine _ -> projection
        | Packed(weight = weight) -> Dense weight
        | wrapper -> bare (inside wrapper).Head

    /// Whether nothing stands around the map.
    let isBare (projection: Projection) : bool =
        match projection with
        | Dense _
        | Affine _ -> true
        | _ -> false

    /// Whether the whole is one linear map and a bias, so that it can be merged into a weight.
    let rec isLinear (projection: Projection) : bool =
        match projection with
        | Dense _
        | Affine _
        | Packed _ -> true
        | LowRank(inner = inner)
        | Rescaled(inner = inner)
        | Shifted(inner = inner)
        | Raised(inner = inner)
        | Turned(inner = inner)
        | Directed(inner = inner)
        | Singular(inner = inner)
        | SharedBasis(inner = inner) -> isLinear inner
        | Serial _
        | Routed _ -> false

    let private scaled (vector: Leaf option) (x: torch.Tensor) =
        match vector with
        | Some leaf -> x.mul (Leaf.cast x.dtype leaf)
        | None -> x

    let private linear (weight: Leaf) (x: torch.Tensor) =
        Product.linear (Leaf.cast x.dtype weight) x

    /// A and B of the basis, cut to [rank, in] and [out, rank].
    let private cut (basis: Basis) (fanIn: int64) (fanOut: int64) =
        basis.A.narrow (1L, 0L, fanIn), basis.B.narrow (0L, 0L, fanOut)

    let private wide (leaf: Leaf) = leaf.Value.``to`` torch.float32

    /// The weight [out, in] and bias [out] that compute the same, in float32.
    let rec private fold (projection: Projection) : torch.Tensor * torch.Tensor option =
        let scaleRows (rows: torch.Tensor) (weight: torch.Tensor, bias: torch.Tensor option) =
            weight.mul (rows.unsqueeze 1L), bias |> Option.map _.mul(rows)

        let shiftedBy (shift: torch.Tensor) (weight: torch.Tensor, bias: torch.Tensor option) =
            weight, Some(bias |> Option.fold (fun (shift: torch.Tensor) bias -> shift.add bias) shift)

        let plus inner (scale: float) (update: torch.Tensor) =
            let weight, bias = fold inner
            weight.add (update, scale.ToScalar()), bias

        match projection with
        | Dense weight
        | Packed(weight = weight) -> wide weight, None
        | Affine(weight, bias) -> wide weight, Some(wide bias)
        | LowRank(inner, a, b, scale, _) -> plus inner scale (Product.matmul (wide b) (wide a))
        | Singular(inner, a, e, b, scale, _, _) -> plus inner scale ((wide b).mm((wide a).mul(wide e)))
        | SharedBasis(inner, basis, d, b, _) ->
            let weight = (weight inner).Value
            let sharedA, sharedB = cut basis weight.shape[1] weight.shape[0]
            let a = sharedA.mul ((wide d).unsqueeze 1L)
            plus inner 1.0 ((sharedB.mul ((wide b).unsqueeze 1L)).mm a)
        | Rescaled(inner, input, output) ->
            let weight, bias =
                match output with
                | Some output -> fold inner |> scaleRows (wide output)
                | None -> fold inner

            scaled input weight, bias
        | Directed(inner, magnitude) ->
            // The magnitude is the weight's: a bias stays as it is.
            let weight, bias = fold inner
            weight.mul (((wide magnitude).div(rowNorms inner)).unsqueeze 1L), bias
        | Shifted(inner, shift) -> fold inner |> shiftedBy (wide shift)
        | Raised(inner, bias, scale) -> fold inner |> shiftedBy ((wide bias).mul(scale.ToScalar()))
        | Turned(inner, turn) ->
            let weight, bias = fold inner
            Turn.apply turn (weight.t ()) |> _.t(), Option.map (Turn.apply turn) bias
        | Serial _
        | Routed _ -> invalidOp "a serial adapter or a routed map is not one weight"

    /// The norm of each row [out] of the weight that a linear projection amounts to, in float32 and without gradient.
    and rowNorms (projection: Projection) : torch.Tensor =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let weight, _ = fold projection
        weight.square().sum([| 1L |]).sqrt().MoveToOuterDisposeScope()

    /// What a linear projection adds whatever its input is: [out], in `dtype`.
    let rec private offset (dtype: torch.ScalarType) (projection: Projection) : torch.Tensor option =
        match projection with
        | Affine(bias = bias) -> Some(Leaf.cast dtype bias)
        | Shifted(inner, bias) ->
            let own = Leaf.cast dtype bias

            match offset dtype inner with
            | Some below -> Some(below.add own)
            | None -> Some own
        | Raised(inner, bias, scale) ->
            let own = (Leaf.cast dtype bias).mul(scale.ToScalar())

            Some(
                offset dtype inner
                |> Option.fold (fun (own: torch.Tensor) below -> own.add below) own
            )
        | Turned(inner, turn) -> offset dtype inner |> Option.map (Turn.apply turn)
        | Rescaled(inner, _, output) -> offset dtype inner |> Option.map (scaled output)
        | LowRank(inner = inner)
        | Directed(inner = inner)
        | Singular(inner = inner)
        | SharedBasis(inner = inner) -> offset dtype inner
        | Dense _
        | Packed _
        | Serial _
        | Routed _ -> None

    /// The frozen weight and what stands around it, where that is a rescaling or an update, or both and a bias, in this order
    /// from the inside: the paper's LoRA and (IA)3, and LoRA without dropout. A bias alone is faster without the kernel.
    let private around (pass: Pass) (projection: Projection) : (torch.Tensor * Around) option =
        let value (leaf: Leaf) = leaf.Value

        let ofRescaled (projection: Projection) =
            match projection with
            | Dense(Frozen weight) -> Some(weight, Around.Nothing)
            | Rescaled(Dense(Frozen weight), input, output) ->
                Some(
                    weight,
                    { Around.Nothing with
                        Input = Option.map value input
                        Output = Option.map value output
                    }
                )
            | _ -> None

        let ofUpdated (projection: Projection) =
            match projection with
            | LowRank(Affine(Frozen weight, bias), a, b, scale, dropout) when not (Drop.isOn pass dropout) ->
                Some(
                    weight,
                    { Around.Nothing with
                        Update = Some(a.Value, b.Value, scale)
                        Bias = Some bias.Value
                    }
                )
            | LowRank(inner, a, b, scale, dropout) when not (Drop.isOn pass dropout) ->
                ofRescaled inner
                |> Option.map (fun (weight, around) ->
                    weight,
                    { around with
                        Update = Some(a.Value, b.Value, scale)
                    })
            | projection -> ofRescaled projection

        match projection with
        | Dense _
        | Affine _
        | Shifted(Dense _, _) -> None
        | Shifted(inner, bias) ->
            match ofUpdated inner with
            | Some(weight, around) when around.Bias.IsNone -> Some(weight, { around with Bias = Some bias.Value })
            | _ -> None
        | projection -> ofUpdated projection

    /// What the site computes for `x` [.., in]: [.., out], in the dtype of `x`.
    let rec apply (pass: Pass) (projection: Projection) (x: torch.Tensor) : torch.Tensor =
        match around pass projection with
        | Some(weight, around) when Adapted.serves around weight x -> Adapted.apply around weight x
        | _ -> compose pass projection x

    /// The same from the single operations that define it.
    and internal compose (pass: Pass) (projection: Projection) (x: torch.Tensor) : torch.Tensor =
        match projection with
        | Dense weight -> linear weight x
        | Packed(copy = copy) -> Product.packed copy x
        | LowRank(inner, a, b, scale, dropout) ->
            let update = x |> Drop.apply pass dropout |> linear a |> linear b
            (apply pass inner x).add(update, scale.ToScalar())
        | Rescaled(inner, input, output) -> x |> scaled input |> apply pass inner |> scaled output
        | Affine(weight, bias)
        | Shifted(Dense weight, bias) ->
            // No backward pass reads the product: it need not wait for the end of the block.
            use product = linear weight x
            product.add (Leaf.cast x.dtype bias)
        | Shifted(inner, bias) -> (apply pass inner x).add(Leaf.cast x.dtype bias)
        | Raised(inner, bias, scale) -> (apply pass inner x).add(Leaf.cast x.dtype bias, scale.ToScalar())
        | Turned(inner, turn) -> apply pass inner x |> Turn.apply turn
        | Directed(inner, magnitude) ->
            let rows = magnitude.Value.div(rowNorms inner).``to`` x.dtype

            match offset x.dtype inner with
            | None -> (apply pass inner x).mul rows
            | Some bias -> ((apply pass inner x).sub(bias).mul rows).add bias
        | Singular(inner, a, e, b, scale, dropout, _) ->
            let values = (Leaf.cast x.dtype e).flatten()
            let update = ((x |> Drop.apply pass dropout |> linear a).mul values) |> linear b
            (apply pass inner x).add(update, scale.ToScalar())
        | SharedBasis(inner, basis, d, b, dropout) ->
            let a, shared = cut basis (x.size -1) (b.Value.size 0)

            let update =
                x
                |> Drop.apply pass dropout
                |> linear (Frozen a)
                |> scaled (Some d)
                |> linear (Frozen shared)

            (apply pass inner x).add(scaled (Some b) update)
        | Serial(inner, bottleneck) ->
            let u = apply pass inner x
            u.add (Bottleneck.apply bottleneck u)
        | Routed members -> route pass members x

    /// Each member computes its own rows; then the rows go back to their places.
    and private route (pass: Pass) (members: Projection list) (x: torch.Tensor) : torch.Tensor =
        let routes =
            match pass.Routes with
            | Some routes -> routes
            | None ->
                invalidArg (nameof pass) "a routed model needs a pass with routes: Pass.Evaluation.Along [| 0; 1 |]"

        // A beam search has several lines for each row of the batch.
        let lines = int (x.size 0)
        let perRow = lines / routes.Length

        let index (places: int[]) =
            torch.tensor (Array.map int64 places, device = x.device)

        let groups =
            members
            |> List.mapi (fun number member' ->
                member', Array.filter (fun line -> routes[line / perRow] = number) (Array.init lines id))
            |> List.filter (fun (_, own) -> own.Length > 0)

        match groups with
        | [ only, own ] when own.Length = lines -> apply pass only x
        | _ ->
            let order = groups |> List.map snd |> Array.concat
            let back = Array.init lines id |> Array.sortBy (fun place -> order[place])

            let computed =
                groups
                |> List.map (fun (member', own) -> apply pass member' (x.index_select (0L, index own)))
                |> Array.ofList

            torch.cat(computed, 0L).index_select(0L, index back)

    /// How far AdaLoRA's A and B are from orthogonal: weight and ‖A Aᵀ − I‖, weight and ‖Bᵀ B − I‖, of each such map.
    let rec orthogonality (projection: Projection) : (float * torch.Tensor) list =
        let distance (square: torch.Tensor) =
            (square - torch.eye (square.size 0, dtype = square.dtype, device = square.device)).norm()

        let own =
            match projection with
            | Singular(_, a, _, b, _, _, penalty) ->
                let a, b = a.Value, b.Value

                [
                    penalty, distance (Product.matmul a (a.t ()))
                    penalty, distance (Product.matmul (b.t ()) b)
                ]
            | _ -> []

        own @ List.collect orthogonality (inside projection)

    /// A, B and the scale of every low-rank update around the map.
    let rec updates (projection: Projection) : (Leaf * Leaf * float) list =
        match projection with
        | LowRank(inner, a, b, scale, _) -> (a, b, scale) :: updates inner
        | other -> inside other |> List.collect updates

    /// The same function as one frozen linear map, with its bias where it has one: computed in float32, the weight kept in
    /// `dtype`. A bias stands around a map that had none of its own. A frozen bare map of that dtype is returned as it is. Where a serial adapter or a route is in
    /// the way, what it wraps is merged and the rest stays.
    let rec merge (dtype: torch.ScalarType) (projection: Projection) : Projection =
        match projection with
        | Dense(Frozen weight)
        | Affine(Frozen weight, Frozen _) when weight.dtype = dtype -> projection
        | linear when isLinear linear ->
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            let weight, bias = fold projection
            // `copy`: a dense float32 weight would otherwise share its storage with a parameter that trains on.
            let frozen (tensor: torch.Tensor) (kept: torch.ScalarType) =
                Frozen(tensor.``to``(kept, copy = true).MoveToOuterDisposeScope())

            let weight = frozen weight dtype

            match bias, bare projection with
            | None, _ -> Dense weight
            | Some bias, Affine _ -> Affine(weight, frozen bias torch.float32)
            | Some bias, _ -> Shifted(Dense weight, frozen bias torch.float32)
        | Dense _
        | Affine _
        | Packed _ -> projection
        | LowRank(inner, a, b, scale, dropout) -> LowRank(merge dtype inner, a, b, scale, dropout)
        | Rescaled(inner, input, output) -> Rescaled(merge dtype inner, input, output)
        | Shifted(inner, bias) -> Shifted(merge dtype inner, bias)
        | Raised(inner, bias, scale) -> Raised(merge dtype inner, bias, scale)
        | Turned(inner, turn) -> Turned(merge dtype inner, turn)
        | Directed(inner, magnitude) -> Directed(merge dtype inner, magnitude)
        | Singular(inner, a, e, b, scale, dropout, penalty) ->
            Singular(merge dtype inner, a, e, b, scale, dropout, penalty)
        | SharedBasis(inner, basis, d, b, dropout) -> SharedBasis(merge dtype inner, basis, d, b, dropout)
        | Serial(inner, bottleneck) -> Serial(merge dtype inner, bottleneck)
        | Routed members -> Routed(List.map (merge dtype) members)

    /// Frozen dense maps of dtype `dtype` packed where that pays, bare or under a bias. The caller owns the copies.
    let rec pack (dtype: torch.ScalarType) (projection: Projection) : Projection =
        match projection with
        | Dense(Frozen weight) when weight.dtype = dtype ->
            match Product.pack weight with
            | Some copy -> Packed(Frozen weight, copy)
            | None -> projection
        | Affine(weight, bias) ->
            match pack dtype (Dense weight) with
            | Packed _ as packed -> Shifted(packed, bias)
            | _ -> projection
        | Shifted(inner, bias) -> Shifted(pack dtype inner, bias)
        | _ -> projection

    /// Applies `f name leaf` to every leaf, from the inside out. The suffixes are the names in adapter files; where two
    /// wrappers of one kind are stacked, the outer one's names end in `.2`.
    let mapLeaves (f: string -> Leaf -> Leaf) (name: string) (projection: Projection) : Projection =
        let used = HashSet<string>()

        let unique (place: string) =
            Seq.append [ place ] (Seq.initInfinite (fun index -> $"{place}.{index + 2}"))
            |> Seq.find used.Add

        ProjectionLeaves.map (fun place leaf -> f (unique place) leaf) name projection
