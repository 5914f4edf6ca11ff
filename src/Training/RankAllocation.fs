namespace Peft

open TorchSharp

/// AdaLoRA's rank allocation as a part of the optimiser: its memory is optimiser state, so that a run can be continued to
/// the digit.
[<RequireQualifiedAccess>]
module RankAllocation =
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
    let private start (model: Model) : AdaLoraState =
        let sensitivities =
            [
                for name, a, e, b in AdaLora.maps model do
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
            AdaLora.maps model
            |> List.map (fun (name, _, e, _) -> name, torch.ones_like (e.detach ()))

        let mutable state = start model

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
                state <- AdaLora.advance schedule targetRank (inner.Steps - 1) { state with Kept = known () } model
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

    /// The optimiser of a technique: `inner` itself, but for AdaLoRA, alone or in a chain.
    let rec forTechnique (technique: Technique) (steps: int) (model: Model) (inner: Optimizer) : Optimizer =
        match technique with
        | AdaLora settings -> after (schedule steps) settings.TargetRank model inner
        | Chain parts ->
            (inner, parts)
            ||> List.fold (fun optimizer part -> forTechnique part steps model optimizer)
        | _ -> inner
