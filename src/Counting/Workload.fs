namespace Peft

open TorchSharp

/// What a training step is made of.
type Workload =
    {
        /// Rows of a micro-batch.
        Batch: int
        /// Micro-batches of an optimiser step.
        Accumulation: int
        /// Tokens of every input and of every target: what rows are padded or cut to.
        InputLength: int
        TargetLength: int
        /// Of frozen matrices and activations: float32 or bfloat16. Trained tensors are float32.
        Precision: torch.ScalarType
        /// Whether the backward pass computes the inside of every block again instead of keeping it.
        Recomputes: bool
    }

/// Floating-point operations; a multiplication and an addition are two.
type Operations =
    {
        /// Floating-point operations of the forward pass, and of what is computed again.
        Forward: float
        /// Of backward: gradients that only pass through, to what is trained further down.
        Through: float
        /// Of backward: gradients of trained tensors.
        Trained: float
    }

    /// The sum.
    member operations.Total: float =
        operations.Forward + operations.Through + operations.Trained

    static member Zero: Operations =
        {
            Forward = 0.0
            Through = 0.0
            Trained = 0.0
        }

    static member (+)(left: Operations, right: Operations) : Operations =
        {
            Forward = left.Forward + right.Forward
            Through = left.Through + right.Through
            Trained = left.Trained + right.Trained
        }

[<RequireQualifiedAccess>]
module Workload =
    /// Name and bytes. `torch.float32` would load libtorch; its enumeration does not.
    let precision (workload: Workload) : string * int64 =
        match workload.Precision with
        | torch.ScalarType.Float32 -> "float32", 4L
        | torch.ScalarType.BFloat16 -> "bfloat16", 2L
        | other -> userError $"a plan is for float32 or bfloat16, not {other}."

    /// `UserError` where there is nothing to do in a step, or the precision is none that T5 takes here.
    let check (workload: Workload) : unit =
        for what, value in
            [
                "batch", workload.Batch
                "accumulation", workload.Accumulation
                "input length", workload.InputLength
                "target length", workload.TargetLength
            ] do
            if value < 1 then
                userError $"the {what} is {value}, the least is 1."
