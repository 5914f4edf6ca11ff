namespace Peft

open System
open Peft.Kernels
open TorchSharp

/// What one optimiser step saw.
type StepLog =
    {
        /// The loss of each micro-batch, nats per token.
        Losses: float list
        /// The global norm of the gradient before clipping.
        GradientNorm: float
    }

/// A loss or gradient that is not finite: the run cannot go on.
exception NonFinite of cause: string with
    override error.Message = error.cause

/// The one place where weights change.
[<RequireQualifiedAccess>]
module Trainer =
    let private checkFinite (rate: float) (what: string) (value: float) =
        if not (Double.IsFinite value) then
            raise (
                NonFinite(
                    $"the {what} is {value} at learning rate {rate:g4}: the training has diverged. "
                    + "Lower the learning rate, or use --dtype float32 if it was bfloat16"
                )
            )

        value

    let private accumulate (pass: Pass) rate (model: Model) (share: float) (batch: Batch) : float =
        use _ = torch.NewDisposeScope()
        let loss = Model.loss pass model batch
        let value = loss.item<float32>() |> float |> checkFinite rate "loss"
        loss.mul(share.ToScalar()).backward()
        Node.raiseFailure ()
        value

    let private tokensOf (batch: Batch) : int64 =
        use _ = torch.NewDisposeScope()
        batch.Labels.ne(Batch.ignoredLabel.ToScalar()).sum().item<int64>()

    /// What part of a step's loss each micro-batch is: equal parts of their means per token, or parts by their label tokens.
    let shares (weight: MicroBatchWeight option) (batches: Batch list) : float list =
        match weight with
        | None -> batches |> List.map (fun _ -> 1.0 / float batches.Length)
        | Some MicroBatchWeight.Tokens ->
            let tokens = batches |> List.map tokensOf
            let all = float (max 1L (List.sum tokens))
            tokens |> List.map (fun own -> float own / all)

    /// One optimiser step on the sum of the micro-batches' losses (means per token), each times its part (`shares`):
    /// gradients add up over `batches`, are clipped to the global norm `clip` (0: not), and move the parameters. A value that
    /// is not finite raises `NonFinite` before any parameter has changed.
    let stepWeighted
        (weight: MicroBatchWeight option)
        (pass: Pass)
        (clip: float)
        (rate: float)
        (optimizer: Optimizer)
        (parameters: (string * Modules.Parameter) list)
        (model: Model)
        (batches: Batch list)
        : StepLog =
        Gradients.clear parameters

        let losses = List.map2 (accumulate pass rate model) (shares weight batches) batches

        let norm = Gradients.clip clip parameters |> checkFinite rate "gradient's norm"
        optimizer.Step rate

        { Losses = losses; GradientNorm = norm }

    /// One optimiser step in which every micro-batch counts the same.
    let step pass clip rate optimizer parameters model (batches: Batch list) : StepLog =
        stepWeighted None pass clip rate optimizer parameters model batches

    /// The mean loss per token over batches, in nats, without dropout; `loss` gives that of the batch at a place.
    let validationLossWith (loss: int -> Batch -> torch.Tensor) (batches: Batch seq) : float =
        use _ = torch.no_grad ()
        let mutable total = 0.0
        let mutable tokens = 0L

        batches
        |> Seq.iteri (fun place batch ->
            use _ = torch.NewDisposeScope()
            let count = tokensOf batch
            let loss = loss place batch
            total <- total + float (loss.item<float32>()) * float count
            tokens <- tokens + count)

        total / float tokens

    /// The mean loss per token over batches, in nats, without dropout.
    let validationLoss (model: Model) (batches: Batch seq) : float =
        batches |> validationLossWith (fun _ -> Model.loss Pass.Evaluation model)
