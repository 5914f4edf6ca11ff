namespace Peft

open Peft.Kernels
open TorchSharp

/// A part of a model of which the graph keeps what goes in and nothing else: the backward pass computes the rest again, so
/// that a step holds the insides of one part at a time (Chen et al. 2016, "Training deep nets with sublinear memory cost").
[<RequireQualifiedAccess>]
module internal Recomputation =
    /// Whether a pass computes parts again.
    let isOn (pass: Pass) : bool =
        pass.Recomputes && pass.IsTraining && torch.is_grad_enabled ()

    /// Which parts of a model hold something that is trained: whether a trained leaf's name begins with this.
    let trains (leaves: (string * Leaf) list) : string -> bool =
        let names =
            leaves
            |> List.choose (fun (name, leaf) ->
                match leaf with
                | Trained _ -> Some name
                | Frozen _ -> None)

        fun start ->
            names
            |> List.exists (fun name -> name.StartsWith(start, System.StringComparison.Ordinal))

    let private check (x: torch.Tensor) : unit =
        if not (Libtorch.isHere ()) || x.device_type <> DeviceType.CPU then
            userError "activations are computed again only on a CPU with Linux: leave --recompute out."

    /// Numbers that a leaf of a graph of its own has.
    let private own (wants: bool) (tensor: torch.Tensor) : torch.Tensor =
        if wants then
            tensor.detach().requires_grad_ true
        else
            tensor.detach ()

    /// What `work` is, given as it was the first time: libtorch's generator is put back for it, and then where it stood.
    let private again (state: torch.Tensor) (work: unit -> torch.Tensor) : torch.Tensor =
        use generator = torch.Generator.Default
        use now = generator.get_state ()
        generator.set_state state

        try
            use _ = torch.NewDisposeScope()
            work().MoveToOuterDisposeScope()
        finally
            generator.set_state now

    let private backward (pass: Pass) (wanted: bool list) work (saved: torch.Tensor list) (gradient: torch.Tensor) =
        use _ = torch.enable_grad ()
        let state, given = saved.Head, saved.Tail
        let inputs = List.map2 own wanted given
        let y = again state (fun () -> work pass inputs)
        y.backward [| gradient |]
        Node.raiseFailure ()
        // Parameters inside have their gradients by now.
        inputs |> List.map (fun input -> Option.ofObj input.grad)

    /// `work` of a pass and of these tensors, which must be all that it reads of what is differentiated, parameters aside; the
    /// result must be none of them. `isTrained` says whether there are parameters inside. Dropout is that of the pass, both
    /// times.
    let apply
        (pass: Pass)
        (isTrained: bool)
        (work: Pass -> torch.Tensor list -> torch.Tensor)
        (inputs: torch.Tensor list)
        : torch.Tensor =
        let wanted = inputs |> List.map _.requires_grad

        if not (isTrained || List.contains true wanted) then
            work pass inputs
        else
            check inputs.Head
            use generator = torch.Generator.Default
            use state = generator.get_state ()

            let later =
                { pass with
                    Keys = pass.Keys |> Option.map _.Copy()
                }

            use _ = torch.no_grad ()
            // Where only parameters inside want gradients, something must still make the graph come here.
            use anchor = torch.zeros(1L).requires_grad_ true

            work pass inputs
            |> Node.create (anchor :: inputs) (state :: inputs) (fun saved gradient ->
                None :: backward later wanted work (List.ofArray saved) gradient |> Array.ofList)
