namespace Peft.Kernels

open TorchSharp

/// The loops of dropout; they read and write once.
[<AbstractClass; Sealed>]
type internal DropoutLoops =
    /// target = residual + mask ∘ source, block by block; without residual (address 0) mask ∘ source.
    static member Apply(blocks: Rows, key: MaskKey, source: nativeint, residual: nativeint, target: nativeint) : unit =
        let isHalf = blocks.IsHalf

        for block in blocks.First .. blocks.Last - 1 do
            let place = block * Mask.Block
            let bits = Mask.bits key (uint32 block)
            let low = Mask.low key bits * Lanes.load isHalf source place
            let high = Mask.high key bits * Lanes.load isHalf source (place + Lanes.Width)

            if residual = 0n then
                Lanes.store isHalf target place low
                Lanes.store isHalf target (place + Lanes.Width) high
            else
                Lanes.store isHalf target place (low + Lanes.load isHalf residual place)

                Lanes.store
                    isHalf
                    target
                    (place + Lanes.Width)
                    (high + Lanes.load isHalf residual (place + Lanes.Width))

/// Dropout whose mask is computed, not kept.
[<RequireQualifiedAccess>]
module internal Dropout =
    /// Whether the kernel serves this tensor; libtorch's dropout serves the others.
    let serves (rate: float) (x: torch.Tensor) : bool =
        Kernel.serves Kernel.Dropout x
        && rate > 0.0
        && rate < 1.0
        && x.numel () % int64 Mask.Block = 0L
        && x.numel () < 0x7fffffffL

    /// Whether the kernel adds `x`, masked, to `residual`.
    let servesSum (rate: float) (residual: torch.Tensor) (x: torch.Tensor) : bool =
        serves rate x && residual.dtype = x.dtype && residual.shape = x.shape

    let private run (key: MaskKey) (residual: torch.Tensor option) (x: torch.Tensor) : torch.Tensor =
        use source = x.contiguous ()
        let target = torch.empty_like source
        let from, into = Libtorch.address source, Libtorch.address target

        let beside =
            match residual with
            | Some residual -> Libtorch.address residual
            | None -> 0n

        Rows.blocks Mask.Block source (fun blocks -> DropoutLoops.Apply(blocks, key, from, beside, into))

        target

    /// mask ∘ x.
    let apply (key: MaskKey) (x: torch.Tensor) : torch.Tensor =
        if not (Node.isRecording [ x ]) then
            run key None x
        else
            use _ = torch.no_grad ()

            run key None x
            |> Node.create [ x ] [] (fun _ gradient -> [| Some(run key None gradient) |])

    /// residual + mask ∘ x, tensors of one shape and dtype.
    let add (key: MaskKey) (residual: torch.Tensor) (x: torch.Tensor) : torch.Tensor =
        use residual' = residual.contiguous ()

        if not (Node.isRecording [ residual; x ]) then
            run key (Some residual') x
        else
            let wantsResidual, wantsX = residual.requires_grad, x.requires_grad
            use _ = torch.no_grad ()

            run key (Some residual') x
            |> Node.create [ residual; x ] [] (fun _ gradient ->
                [|
                    if wantsResidual then
                        Some(Libtorch.share gradient)
                    else
                        None
                    if wantsX then Some(run key None gradient) else None
                |])
