namespace Peft

open System
open TorchSharp

/// When AdaLoRA takes directions away, in optimiser steps (Zhang et al. 2023, eq. 12).
type AdaLoraSchedule =
    {
        /// Steps at the start in which nothing is taken away (peft's `tinit`).
        Warmup: int
        /// Steps at the end in which the ranks stay (`tfinal`).
        Final: int
        /// Ranks are allocated anew every so many steps (`deltaT`).
        Interval: int
        /// All steps of the training.
        Total: int
    }

/// How much the loss would feel each number's loss: running means of |number · gradient| and of its fluctuation.
[<ReferenceEquality>]
type Sensitivity =
    {
        /// The running mean of a number's sensitivity, in the shape of its parameter.
        Mean: torch.Tensor
        /// The running mean of its distance from that mean, in the same shape.
        Uncertainty: torch.Tensor
    }

/// What AdaLoRA remembers from step to step.
[<ReferenceEquality>]
type AdaLoraState =
    {
        /// By the site's name and `.a`, `.e`, `.b`.
        Sensitivities: Map<string, Sensitivity>
        /// The last allocation; empty before the first.
        Kept: (string * bool[]) list
    }

    static member Start: AdaLoraState = { Sensitivities = Map.empty; Kept = [] }

/// AdaLoRA's rank allocation (Zhang et al. 2023, §3.2-3.3) as peft computes it, as pure functions of steps, numbers and
/// gradients (`mask` alone changes weights), and as a part of the optimiser: its memory is optimiser state, so that a run
/// can be continued to the digit.
[<RequireQualifiedAccess>]
module RankAllocation =
    /// How many directions may remain at `step`, of `initial` in all on the way to `target`, and whether this is a step of
    /// allocation. In between the surplus shrinks with the cube of the time left.
    let budget (schedule: AdaLoraSchedule) (initial: int) (target: int) (step: int) : int * bool =
        let last = schedule.Total - schedule.Final

        if step <= schedule.Warmup then
            initial, false
        elif step >= last then
            target, true
        else
            let left = 1.0 - float (step - schedule.Warmup) / float (last - schedule.Warmup)
            int (float (initial - target) * left ** 3.0 + float target), step % schedule.Interval = 0

    /// The sensitivity after one more gradient (eq. 9-10), with peft's beta 0.85 for both by default.
    let sense
        (beta1: float)
        (beta2: float)
        (before: Sensitivity option)
        (value: torch.Tensor)
        (gradient: torch.Tensor)
        : Sensitivity =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let now = value.mul(gradient).abs()

        let blend (beta: float) (old: torch.Tensor option) (fresh: torch.Tensor) =
            let part = fresh.mul ((1.0 - beta).ToScalar())

            match old with
            | Some old -> old.mul(beta.ToScalar()).add part
            | None -> part

        let mean = now |> blend beta1 (before |> Option.map _.Mean)

        let uncertainty =
            now.sub(mean).abs() |> blend beta2 (before |> Option.map _.Uncertainty)

        {
            Mean = mean.MoveToOuterDisposeScope()
            Uncertainty = uncertainty.MoveToOuterDisposeScope()
        }

    /// The score of each direction of one map (eq. 8): that of its singular value, and the means over its row of A and its
    /// column of B; a number's score is mean · uncertainty.
    let scores (a: Sensitivity) (e: Sensitivity) (b: Sensitivity) : float[] =
        use _ = torch.NewDisposeScope()
        let score (one: Sensitivity) = one.Mean.mul one.Uncertainty

        let total =
            (score e).view(-1L).add((score a).mean [| 1L |]).add((score b).mean [| 0L |])

        total.``to``(torch.float64).data<float>().ToArray()

    /// Which directions of each map stay: those whose score is above the threshold that leaves `budget` of all (ties with
    /// the threshold go, as in peft).
    let allocate (budget: int) (scores: (string * float[]) list) : (string * bool[]) list =
        let ordered = scores |> List.map snd |> Array.concat |> Array.sort
        let gone = ordered.Length - budget

        let threshold =
            if gone <= 0 then
                Double.NegativeInfinity
            else
                ordered[gone - 1]

        scores
        |> List.map (fun (name, values) -> name, values |> Array.map (fun value -> value > threshold))

    /// The directions of each of AdaLoRA's maps, by the name of the site.
    let internal maps (model: Model) =
        Model.projections model
        |> List.choose (fun (site, projection) ->
            match projection with
            | Singular(a = a; e = e; b = b) -> Some(Site.name site, a.Value, e.Value, b.Value)
            | _ -> None)

    /// The number of directions in all maps together, zeroed ones included.
    let directions (model: Model) : int =
        maps model |> List.sumBy (fun (_, _, e, _) -> int (e.numel ()))

    /// Sets the singular values of the directions that go to zero. `kept` names sites; those not named stay whole.
    let mask (kept: (string * bool[]) list) (model: Model) : unit =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let kept = Map.ofList kept

        for name, _, e, _ in maps model do
            match Map.tryFind name kept with
            | Some stays ->
                let factors =
                    torch.tensor (stays |> Array.map (fun one -> if one then 1.0f else 0.0f), device = e.device)

                e.mul_ (factors.view e.shape) |> ignore
            | None -> ()

    /// After a step's gradients: the sensitivities of all maps' A, E and B, continued from `before`.
    let senseAll (before: Map<string, Sensitivity>) (model: Model) : Map<string, Sensitivity> =
        let advance (name: string) (value: torch.Tensor) (known: Map<string, Sensitivity>) =
            match value.grad with
            | null -> known
            | gradient -> known |> Map.add name (sense 0.85 0.85 (Map.tryFind name before) value gradient)

        (before, maps model)
        ||> List.fold (fun known (name, a, e, b) ->
            known |> advance $"{name}.a" a |> advance $"{name}.e" e |> advance $"{name}.b" b)

    /// The scores of all maps' directions from their sensitivities, by the name of the site.
    let scoreAll (known: Map<string, Sensitivity>) (model: Model) : (string * float[]) list =
        maps model
        |> List.map (fun (name, _, _, _) -> name, scores known[$"{name}.a"] known[$"{name}.e"] known[$"{name}.b"])

    /// What follows optimiser step `step` (from 0), while the parameters still hold its gradients, as peft's
    /// `update_and_allocate`: sensitivities are kept up to date, ranks are allocated by the schedule with `targetRank` the
    /// mean at the end, and what is gone is zeroed. After the schedule's last allocation what went stays away. The state
    /// given is used up.
    let advance
        (schedule: AdaLoraSchedule)
        (targetRank: int)
        (step: int)
        (state: AdaLoraState)
        (model: Model)
        : AdaLoraState =
        let last = schedule.Total - schedule.Final

        if step > last then
            mask state.Kept model
            state
        else
            let fresh = senseAll state.Sensitivities model

            // They outlive the step in which they were made.
            for KeyValue(_, kept) in fresh do
                kept.Mean.DetachFromDisposeScope() |> ignore
                kept.Uncertainty.DetachFromDisposeScope() |> ignore

            for KeyValue(_, used) in state.Sensitivities do
                used.Mean.Dispose()
                used.Uncertainty.Dispose()

            let remaining, isAllocation =
                budget schedule (directions model) (targetRank * (maps model).Length) step

            let kept =
                if isAllocation then
                    allocate remaining (scoreAll fresh model)
                else
                    state.Kept

            if isAllocation then
                mask kept model

            { Sensitivities = fresh; Kept = kept }

    /// The schedule of a run of so many optimiser steps: the first tenth keeps all ranks, the last three tenths the final
    /// ones, and in between they are allocated anew fifty times in all at most.
    let schedule (steps: int) : AdaLoraSchedule =
        {
            Warmup = steps / 10
            Final = steps * 3 / 10
            Interval = max 1 (steps / 50)
            Total = steps
        }

    let private zeros (tensor: torch.Tensor) = torch.zeros_like (tensor.detach ())

    /// No sensitivity yet, which is what zeros say.
    let private atRest (model: Model) : AdaLoraState =
        let sensitivities =
            [
                for name, a, e, b in maps model do
                    for part, tensor in [ "a", a; "e", e; "b", b ] ->
                        $"{name}.{part}",
                        {
                            Mean = zeros tensor
                            Uncertainty = zeros tensor
                        }
            ]

        { AdaLoraState.Start with
            Sensitivities = Map.ofList sensitivities
        }

    /// `inner`, and after each of its steps the allocation for AdaLoRA maps of mean rank `targetRank` at the end.
    let after (schedule: AdaLoraSchedule) (targetRank: int) (model: Model) (inner: Optimizer) : Optimizer =
        // One number for each direction: 1 while it stays.
        let stays =
            maps model
            |> List.map (fun (name, _, e, _) -> name, torch.ones_like (e.detach ()))

        let mutable state = atRest model

        let known () =
            stays
            |> List.map (fun (name, kept) ->
                name, kept.cpu().flatten().data<float32>().ToArray() |> Array.map ((=) 1.0f))

        let remember (kept: (string * bool[]) list) =
            let kept = Map.ofList kept

            for name, tensor in stays do
                match Map.tryFind name kept with
                | Some directions ->
                    let numbers = directions |> Array.map (fun one -> if one then 1.0f else 0.0f)
                    tensor.copy_ (torch.tensor(numbers).view tensor.shape) |> ignore
                | None -> ()

        { new Optimizer with
            member _.Step rate =
                use _ = torch.NewDisposeScope()
                use _ = torch.no_grad ()
                inner.Step rate
                state <- advance schedule targetRank (inner.Steps - 1) { state with Kept = known () } model
                remember state.Kept

            member _.State() =
                let sensitivities =
                    state.Sensitivities
                    |> Map.toList
                    |> List.collect (fun (name, one) ->
                        [ $"{name}.mean", one.Mean; $"{name}.uncertainty", one.Uncertainty ])

                inner.State()
                @ sensitivities
                @ (stays |> List.map (fun (name, kept) -> $"{name}.stays", kept))

            member _.Steps
                with get () = inner.Steps
                and set value = inner.Steps <- value
        }
