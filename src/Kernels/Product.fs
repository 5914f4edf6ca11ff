namespace Peft.Kernels

open TorchSharp

/// Matrix products with a backward pass.
[<RequireQualifiedAccess>]
module internal Product =
    let mutable private watch: (torch.Tensor -> torch.Tensor -> torch.Tensor -> unit) option =
        None

    /// Runs `work`, and tells `see` both operands and the result of every product of a forward pass.
    let watched (see: torch.Tensor -> torch.Tensor -> torch.Tensor -> unit) (work: unit -> unit) : unit =
        try
            watch <- Some see
            work ()
        finally
            watch <- None

    let private seen (left: torch.Tensor) (right: torch.Tensor) (product: torch.Tensor) =
        match watch with
        | Some see -> see left right product
        | None -> ()

        product

    /// left · right.
    let matmul (left: torch.Tensor) (right: torch.Tensor) : torch.Tensor = left.matmul right |> seen left right

    let private flat (x: torch.Tensor) = x.reshape (-1L, x.size -1)

    /// Gradients of x Wᵀ for the inputs that want one.
    let private backward (wantsX: bool) (wantsWeight: bool) (saved: torch.Tensor[]) (gradient: torch.Tensor) =
        [|
            if wantsX then
                Some(Libtorch.product gradient ((Array.last saved).t()))
            else
                None
            if wantsWeight then
                Some(Libtorch.product ((flat gradient).t()) ((flat saved[0]).t()))
            else
                None
        |]

    /// Below this a call of oneDNN, 7 µs dearer than one of libtorch's own, costs more than it saves.
    let private leastOperations = 2_000_000L

    let private fits (x: torch.Tensor) (weight: torch.Tensor) =
        Kernel.serves Kernel.Product x
        && Libtorch.prefersOneDnn ()
        && x.dtype = torch.float32
        && weight.dtype = torch.float32
        && 2L * x.numel () * weight.size 0 >= leastOperations

    /// x Wᵀ of `x` [.., in] and `weight` [out, in]: [.., out]. float32 on a CPU goes to oneDNN where that is the faster;
    /// everything else is `torch.nn.functional.linear`.
    let linear (weight: torch.Tensor) (x: torch.Tensor) : torch.Tensor =
        if not (fits x weight) then
            torch.nn.functional.linear (x, weight) |> seen x weight
        elif not (Node.isRecording [ x; weight ]) then
            Libtorch.product x weight
        else
            let wantsX, wantsWeight = x.requires_grad, weight.requires_grad

            let saved =
                [
                    if wantsWeight then
                        x
                    if wantsX then
                        weight
                ]

            use _ = torch.no_grad ()

            Libtorch.product x weight
            |> Node.create [ x; weight ] saved (backward wantsX wantsWeight)

    /// A weight of fewer elements is multiplied in little more time than a call takes.
    let private leastPacked = 65_536L

    /// A copy of a frozen `weight` [out, in] in the order in which oneDNN multiplies, for `packed`; none where it would not pay.
    /// Few rows take two to four times as long where oneDNN has to bring the weight into this order at each call.
    let pack (weight: torch.Tensor) : torch.Tensor option =
        if
            Kernel.serves Kernel.Packing weight
            && weight.numel () >= leastPacked
            && Libtorch.canPack weight.dtype
        then
            Some(Libtorch.pack weight)
        else
            None

    /// `linear` with a weight that `pack` made. Not differentiated.
    let packed (weight: torch.Tensor) (x: torch.Tensor) : torch.Tensor = Libtorch.product x weight

    /// gradient W of `gradient` [.., out] and `weight` [out, in]: what `linear` hands back to x. Not differentiated.
    let back (weight: torch.Tensor) (gradient: torch.Tensor) : torch.Tensor =
        use transposed = weight.t ()

        if fits gradient transposed then
            Libtorch.product gradient transposed
        else
            gradient.matmul weight
