namespace Peft.T5

open System
open TorchSharp

/// How a pass through the model treats chance: in training, dropout at `Dropout` (T5's rate); otherwise none.
type Pass =
    {
        IsTraining: bool
        Dropout: float
    }

    /// No dropout anywhere.
    static member Evaluation: Pass =
        {
            IsTraining = false
            Dropout = 0.0
        }

    /// Training with this rate of T5's own dropout.
    static member Training(dropout: float) : Pass =
        {
            IsTraining = true
            Dropout = dropout
        }

/// A tensor of the model, and whether a run may change it.
[<ReferenceEquality>]
type Leaf =
    | Frozen of torch.Tensor
    | Trained of Modules.Parameter

    /// The tensor itself.
    member leaf.Value: torch.Tensor =
        match leaf with
        | Frozen tensor -> tensor
        | Trained parameter -> parameter

/// What a site computes. Adapters wrap: the base weight stays inside, untouched.
[<ReferenceEquality>]
type Projection =
    /// y = W x, with `weight` of shape [out, in].
    | Dense of weight: Leaf
    /// y = inner x + scale · B (A dropout(x)), with `a` [rank, in] and `b` [out, rank] (LoRA, Hu et al. 2021, eq. 3).
    | LowRank of inner: Projection * a: Leaf * b: Leaf * scale: float * dropout: float
    /// y = output ∘ inner(input ∘ x), with `input` [in] and `output` [out] ((IA)3; T-Few's LoRALinear).
    | Rescaled of inner: Projection * input: Leaf option * output: Leaf option
    /// y = inner x + bias, with `bias` [out] (BitFit, Ben Zaken et al. 2022).
    | Shifted of inner: Projection * bias: Leaf

[<RequireQualifiedAccess>]
module Leaf =
    /// Whether the tensor of this name stays float32 in a bfloat16 model: everything but the large matrices.
    let isFloat32 (name: string) : bool =
        not (name.EndsWith(".weight", StringComparison.Ordinal))
        || name.EndsWith("norm.weight", StringComparison.Ordinal)
        || name.EndsWith("relative_attention_bias.weight", StringComparison.Ordinal)

    /// A leaf that a run trains, from a copy of `tensor` in float32.
    let trained (tensor: torch.Tensor) : Leaf =
        Trained(new Modules.Parameter(tensor.detach().``to``(torch.float32, copy = true)))

    /// The tensor in `dtype`: itself where it has it, otherwise a copy through which gradients flow.
    let cast (dtype: torch.ScalarType) (leaf: Leaf) : torch.Tensor =
        let tensor = leaf.Value
        if tensor.dtype = dtype then tensor else tensor.``to`` dtype

    /// The tensor without gradient, sharing its storage.
    let freeze (leaf: Leaf) : Leaf =
        match leaf with
        | Frozen _ -> leaf
        | Trained parameter -> Frozen(parameter.detach ())

[<RequireQualifiedAccess>]
module Projection =
    /// The base weight [out, in] at the centre of all wrappers.
    let rec weight (projection: Projection) : Leaf =
        match projection with
        | Dense weight -> weight
        | LowRank(inner = inner)
        | Rescaled(inner = inner)
        | Shifted(inner = inner) -> weight inner

    let private drop (pass: Pass) (rate: float) (x: torch.Tensor) =
        if pass.IsTraining && rate > 0.0 then
            torch.nn.functional.dropout (x, rate, training = true)
        else
            x

    let private scaled (vector: Leaf option) (x: torch.Tensor) =
        match vector with
        | Some leaf -> x.mul (Leaf.cast x.dtype leaf)
        | None -> x

    let private linear (weight: Leaf) (x: torch.Tensor) =
        torch.nn.functional.linear (x, Leaf.cast x.dtype weight)

    /// What the site computes for `x` [.., in]: [.., out], in the dtype of `x`.
    let rec apply (pass: Pass) (projection: Projection) (x: torch.Tensor) : torch.Tensor =
        match projection with
        | Dense weight -> linear weight x
        | LowRank(inner, a, b, scale, dropout) ->
            let update = x |> drop pass dropout |> linear a |> linear b
            (apply pass inner x).add (update, scale.ToScalar())
        | Rescaled(inner, input, output) -> x |> scaled input |> apply pass inner |> scaled output
        | Shifted(inner, bias) -> (apply pass inner x).add (Leaf.cast x.dtype bias)

    /// The weight [out, in] and bias [out] that compute the same, in float32.
    let rec private fold (projection: Projection) : torch.Tensor * torch.Tensor option =
        let wide (leaf: Leaf) = leaf.Value.``to`` torch.float32

        match projection with
        | Dense weight -> wide weight, None
        | LowRank(inner, a, b, scale, _) ->
            let weight, bias = fold inner
            weight.add ((wide b).mm (wide a), scale.ToScalar()), bias
        | Rescaled(inner, input, output) ->
            let weight, bias = fold inner
            let output = output |> Option.map wide

            let rows =
                match output with
                | Some scale -> weight.mul (scale.unsqueeze 1L)
                | None -> weight

            rows |> scaled input,
            match bias, output with
            | Some bias, Some scale -> Some(bias.mul scale)
            | _ -> bias
        | Shifted(inner, shift) ->
            let weight, bias = fold inner

            weight,
            match bias with
            | Some bias -> Some(bias.add (wide shift))
            | None -> Some(wide shift)

    /// The same function as one frozen linear map, with its bias around it where it has one: computed in float32,
    /// kept in `dtype`. A frozen dense map of that dtype is returned as it is.
    let merge (dtype: torch.ScalarType) (projection: Projection) : Projection =
        match projection with
        | Dense(Frozen weight) when weight.dtype = dtype -> projection
        | _ ->
            use scope = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            let weight, bias = fold projection
            // `copy`: a dense float32 weight would otherwise share its storage with a parameter that trains on.
            let frozen (tensor: torch.Tensor) (kept: torch.ScalarType) =
                Frozen(tensor.``to``(kept, copy = true).MoveToOuterDisposeScope())

            let dense = Dense(frozen weight dtype)

            match bias with
            | Some bias -> Shifted(dense, frozen bias torch.float32)
            | None -> dense

    /// Applies `f name leaf` to every leaf, from the inside out. The suffixes are the names in adapter files.
    let rec mapLeaves (f: string -> Leaf -> Leaf) (name: string) (projection: Projection) : Projection =
        match projection with
        | Dense weight -> Dense(f $"{name}.weight" weight)
        | LowRank(inner, a, b, scale, dropout) ->
            LowRank(mapLeaves f name inner, f $"{name}.lora_a" a, f $"{name}.lora_b" b, scale, dropout)
        | Rescaled(inner, input, output) ->
            Rescaled(
                mapLeaves f name inner,
                input |> Option.map (f $"{name}.multi_lora_a"),
                output |> Option.map (f $"{name}.multi_lora_b")
            )
        | Shifted(inner, bias) -> Shifted(mapLeaves f name inner, f $"{name}.bias" bias)
