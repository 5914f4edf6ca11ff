namespace Peft

open System
open System.Collections.Generic
open TorchSharp

/// The learning rate as a function of the optimiser step.
[<RequireQualifiedAccess>]
module Schedule =
    /// The paper's: linear from `initial` to `peak` over `warmup` steps, then linear towards `final`, which step
    /// number `steps` would reach (steps count from 0). This is LambdaLR with three anchors.
    let linear (initial: float) (peak: float) (final: float) (warmup: int) (steps: int) (step: int) : float =
        if step < warmup then
            initial + (peak - initial) * float step / float warmup
        else
            peak + (final - peak) * float (step - warmup) / float (max 1 (steps - warmup))

    /// The schedule of a run of `steps` optimiser steps.
    let ofTraining (training: Training) (steps: int) : int -> float =
        let warmup = int (Math.Ceiling(training.WarmupShare * float steps))
        linear training.InitialRate training.PeakRate training.FinalRate warmup steps

/// Gradients of parameters: cleared, and clipped to a global norm.
[<RequireQualifiedAccess>]
module Gradients =
    /// Forgets all gradients.
    let clear (parameters: (string * Modules.Parameter) list) : unit =
        for _, parameter in parameters do
            match parameter.grad with
            | null -> ()
            | gradient -> gradient.zero_ () |> ignore

    let private present (parameters: (string * Modules.Parameter) list) =
        parameters
        |> List.choose (fun (_, parameter) ->
            match parameter.grad with
            | null -> None
            | gradient -> Some gradient)

    /// Scales all gradients so that their global norm is at most `limit` (factor limit / (norm + 1e-6), as PyTorch's
    /// clip_grad_norm_), and returns the norm before. `limit` 0 only measures.
    let clip (limit: float) (parameters: (string * Modules.Parameter) list) : float =
        use _ = torch.NewDisposeScope()
        let gradients = present parameters

        if gradients.IsEmpty then
            0.0
        else
            let norms = gradients |> List.map (fun gradient -> gradient.norm ())
            let norm = float (torch.stack(norms).norm().item<float32>())

            if limit > 0.0 && norm > limit then
                let factor = (limit / (norm + 1e-6)).ToScalar()

                for gradient in gradients do
                    gradient.mul_ factor |> ignore

            norm

/// The optimisers.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Optimizer =
    let private zeros (parameter: Modules.Parameter) = torch.zeros_like (parameter.detach ())

    /// One step of AdamW from single operations: step `steps` (from 1) of one parameter.
    let private plainAdamW beta1 beta2 (epsilon: float) decay (steps: int) (rate: float) (slot: AdamSlot) =
        let m, v, gradient = slot.M, slot.V, slot.Gradient
        let correction1 = 1.0 - Math.Pow(beta1, float steps)
        let correction2 = 1.0 - Math.Pow(beta2, float steps)

        if decay <> 0.0 then
            slot.Parameter.mul_ ((1.0 - rate * decay).ToScalar()) |> ignore

        m.mul_(beta1.ToScalar()).add_(gradient, (1.0 - beta1).ToScalar()) |> ignore

        v.mul_(beta2.ToScalar()).addcmul_(gradient, gradient, (1.0 - beta2).ToScalar())
        |> ignore

        let denominator =
            v.sqrt().div_(Math.Sqrt(correction2).ToScalar()).add_(epsilon.ToScalar())

        slot.Parameter.addcdiv_ (m, denominator, (-rate / correction1).ToScalar())
        |> ignore

    let private adamWWhere
        (isFused: AdamSlot -> bool)
        (beta1: float)
        (beta2: float)
        (epsilonAt: int -> float)
        (decay: float)
        parameters
        : Optimizer =
        let slots =
            parameters
            |> List.map (fun (name: string, parameter: Modules.Parameter) ->
                name, parameter, zeros parameter, zeros parameter)

        let mutable steps = 0

        let present () =
            slots
            |> List.choose (fun (_, parameter, m, v) ->
                match parameter.grad with
                | null -> None
                | gradient ->
                    Some
                        {
                            Parameter = parameter
                            Gradient = gradient
                            M = m
                            V = v
                        })

        { new Optimizer with
            member _.Step rate =
                use _ = torch.NewDisposeScope()
                use _ = torch.no_grad ()
                steps <- steps + 1
                let epsilon = epsilonAt steps

                let fused, others = present () |> List.partition isFused
                FusedAdamW.step beta1 beta2 epsilon decay steps rate fused
                others |> List.iter (plainAdamW beta1 beta2 epsilon decay steps rate)

            member _.State() =
                slots
                |> List.collect (fun (name, _, m, v) -> [ $"{name}.m", m; $"{name}.v", v ])

            member _.Steps
                with get () = steps
                and set value = steps <- value
        }

    /// AdamW (Loshchilov and Hutter 2019, algorithm 2) with PyTorch's order of operations: decay first, then the
    /// moments, bias-corrected; libtorch's fused step where it serves. State: `<name>.m` and `<name>.v`, shaped like the
    /// parameter, float32.
    let adamW (beta1: float) (beta2: float) (epsilon: float) (decay: float) parameters : Optimizer =
        adamWWhere FusedAdamW.serves beta1 beta2 (fun _ -> epsilon) decay parameters

    /// AdamW whose ε̂ is added to the root of the second moment before that is corrected for its bias (Kingma and Ba 2015, end
    /// of §2): after it, that is ε̂ / sqrt(1 - beta2^step).
    let adamWBeforeCorrection beta1 (beta2: float) (epsilonHat: float) decay parameters : Optimizer =
        let epsilonAt (step: int) =
            epsilonHat / sqrt (1.0 - Math.Pow(beta2, float step))

        adamWWhere FusedAdamW.serves beta1 beta2 epsilonAt decay parameters

    /// AdamW from single operations: the definition of the fused step.
    let internal unfusedAdamW beta1 beta2 epsilon decay parameters : Optimizer =
        adamWWhere (fun _ -> false) beta1 beta2 (fun _ -> epsilon) decay parameters

    /// Adafactor (Shazeer and Stern 2018) as transformers' class computes it with `scale_parameter` and
    /// `relative_step` off and no first moment: factored second moments for matrices (`.row` [out], `.column` [in]),
    /// whole ones (`.v`) otherwise; the update is clipped to root mean square `clip`.
    let adafactor (clip: float) (decayRate: float) (epsilon: float) parameters : Optimizer =
        let slots =
            parameters
            |> List.map (fun (name: string, parameter: Modules.Parameter) ->
                let like (shape: int64 array) =
                    torch.zeros (shape, dtype = torch.float32, device = parameter.device)

                if parameter.dim () >= 2L then
                    let row = Array.sub parameter.shape 0 (parameter.shape.Length - 1)

                    let column =
                        Array.append (Array.sub row 0 (row.Length - 1)) [| Array.last parameter.shape |]

                    name, parameter, [ "row", like row; "column", like column ]
                else
                    name, parameter, [ "v", like parameter.shape ])

        let mutable steps = 0

        let approximate (row: torch.Tensor) (column: torch.Tensor) =
            let rowFactor = row.div(row.mean ([| -1L |], true)).rsqrt_().unsqueeze -1L
            rowFactor.mul (column.unsqueeze(-2L).rsqrt())

        let update (gradient: torch.Tensor) (state: (string * torch.Tensor) list) (beta: float) =
            let squared = gradient.square().add_(epsilon.ToScalar())

            let average (slot: torch.Tensor) (value: torch.Tensor) =
                slot.mul_(beta.ToScalar()).add_(value, (1.0 - beta).ToScalar()) |> ignore

            match state with
            | [ "row", row; "column", column ] ->
                average row (squared.mean [| -1L |])
                average column (squared.mean [| -2L |])
                (approximate row column).mul gradient
            | [ _, v ] ->
                average v squared
                v.rsqrt().mul gradient
            | _ -> invalidOp "an Adafactor slot holds one tensor or two"

        { new Optimizer with
            member _.Step rate =
                use _ = torch.NewDisposeScope()
                use _ = torch.no_grad ()
                steps <- steps + 1
                let beta = 1.0 - Math.Pow(float steps, decayRate)

                for _, parameter, state in slots do
                    match parameter.grad with
                    | null -> ()
                    | gradient ->
                        let change = update gradient state beta

                        let rms =
                            change.norm().item<float32>()
                            |> float
                            |> (fun norm -> norm / sqrt (float (change.numel ())))

                        parameter.add_ (change, (-rate / max 1.0 (rms / clip)).ToScalar()) |> ignore

            member _.State() =
                slots
                |> List.collect (fun (name, _, state) ->
                    state |> List.map (fun (slot, tensor) -> $"{name}.{slot}", tensor))

            member _.Steps
                with get () = steps
                and set value = steps <- value
        }

    /// Several optimisers as one: parameters whose names have one multiplier form a group, which `make` gives its own
    /// optimiser and every step the rate times the multiplier (LoRA+: `Technique.RateMultiplier`).
    let grouped
        (multiplier: string -> float)
        (make: (string * Modules.Parameter) list -> Optimizer)
        (parameters: (string * Modules.Parameter) list)
        : Optimizer =
        let groups =
            parameters
            |> List.groupBy (fst >> multiplier)
            |> List.map (fun (factor, group) -> factor, make group)

        let mutable steps = 0

        { new Optimizer with
            member _.Step rate =
                steps <- steps + 1

                for factor, group in groups do
                    group.Step(rate * factor)

            member _.State() =
                groups |> List.collect (fun (_, group) -> group.State())

            member _.Steps
                with get () = steps
                and set value =
                    steps <- value

                    for _, group in groups do
                        group.Steps <- value
        }

    /// AdamW with betas 0.9 and 0.999 as a technique asks for it: each parameter at its multiple of the rate, with the
    /// technique's ε̂, or PyTorch's ε of 1e-8.
    let ofTechnique (technique: Technique) (decay: float) (parameters: (string * Modules.Parameter) list) : Optimizer =
        let make =
            match technique.EpsilonHat with
            | Some hat -> adamWBeforeCorrection 0.9 0.999 hat decay
            | None -> adamW 0.9 0.999 1e-8 decay

        grouped technique.RateMultiplier make parameters

    /// Whether a saved state has every tensor of the optimiser in its shape.
    let fits (optimizer: Optimizer) (saved: IReadOnlyDictionary<string, torch.Tensor>) : bool =
        optimizer.State()
        |> List.forall (fun (name, tensor) ->
            match saved.TryGetValue name with
            | true, found -> found.shape = tensor.shape
            | false, _ -> false)

    /// Puts a saved state back, which must fit.
    let restore (optimizer: Optimizer) (steps: int) (saved: IReadOnlyDictionary<string, torch.Tensor>) : unit =
        use _ = torch.no_grad ()
        optimizer.Steps <- steps

        for name, tensor in optimizer.State() do
            tensor.copy_ saved[name] |> ignore
