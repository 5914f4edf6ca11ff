namespace Peft

/// What stands inside a projection, and its leaves under their names.
[<RequireQualifiedAccess>]
module internal ProjectionLeaves =
    /// What a wrapper stands around: one map, or all members of a route; nothing in the map at the centre.
    let inside (projection: Projection) : Projection list =
        match projection with
        | Dense _
        | Affine _
        | Packed _ -> []
        | LowRank(inner = inner)
        | Rescaled(inner = inner)
        | Shifted(inner = inner)
        | Raised(inner = inner)
        | Turned(inner = inner)
        | Directed(inner = inner)
        | Singular(inner = inner)
        | SharedBasis(inner = inner)
        | Serial(inner = inner) -> [ inner ]
        | Routed members -> members

    /// The base weight [out, in] at the centre of all wrappers.
    let rec weight (projection: Projection) : Leaf =
        match projection with
        | Dense weight
        | Affine(weight = weight)
        | Packed(weight = weight) -> weight
        | wrapper -> weight (inside wrapper).Head

    /// Applies `f name leaf` to every leaf, from the inside out; names of stacked wrappers of one kind are equal.
    let rec map (f: string -> Leaf -> Leaf) (name: string) (projection: Projection) : Projection =
        let inner' = map f name
        let at suffix = f $"{name}.{suffix}"

        match projection with
        | Dense weight
        | Packed(weight = weight) -> Dense(at "weight" weight)
        | Affine(weight, bias) -> Affine(at "weight" weight, at "bias" bias)
        | LowRank(inner, a, b, scale, dropout) -> LowRank(inner' inner, at "lora_a" a, at "lora_b" b, scale, dropout)
        | Rescaled(inner, input, output) ->
            Rescaled(inner' inner, Option.map (at "multi_lora_a") input, Option.map (at "multi_lora_b") output)
        | Shifted(inner, bias) -> Shifted(inner' inner, at "bias" bias)
        | Raised(inner, bias, scale) -> Raised(inner' inner, at "lora_b_bias" bias, scale)
        | Turned(inner, turn) -> Turned(inner' inner, Turn.mapLeaves f name turn)
        | Directed(inner, magnitude) -> Directed(inner' inner, at "lora_magnitude_vector" magnitude)
        | Singular(inner, a, e, b, scale, dropout, penalty) ->
            Singular(inner' inner, at "lora_a" a, at "lora_e" e, at "lora_b" b, scale, dropout, penalty)
        | SharedBasis(inner, basis, d, b, dropout) ->
            SharedBasis(inner' inner, basis, at "vera_lambda_d" d, at "vera_lambda_b" b, dropout)
        | Serial(inner, bottleneck) -> Serial(inner' inner, Bottleneck.mapLeaves f $"{name}.adapter" bottleneck)
        | Routed members -> Routed(mapMembers f name members)

    /// Members stand around one base weight, which is visited once (until they are merged); the other names gain the
    /// member's number.
    and private mapMembers (f: string -> Leaf -> Leaf) (name: string) (members: Projection list) : Projection list =
        let shared = weight members.Head
        let mutable mapped = None

        let once place =
            match mapped with
            | Some leaf -> leaf
            | None ->
                let leaf = f place shared
                mapped <- Some leaf
                leaf

        members
        |> List.mapi (fun number member' ->
            map
                (fun place leaf ->
                    if leaf = shared then
                        once place
                    else
                        f $"{place}.{number}" leaf)
                name
                member')
