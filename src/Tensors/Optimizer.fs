namespace Peft

open TorchSharp

/// Moves parameters by their gradients. Its state is a flat list of named tensors, so that a run can be continued to
/// the digit.
type Optimizer =
    /// One step with this learning rate, from the gradients that the parameters hold.
    abstract Step: rate: float -> unit
    /// Every tensor of the state under its name; shared, not copied.
    abstract State: unit -> (string * torch.Tensor) list
    /// Steps taken so far. Setting it belongs to restoring a state.
    abstract Steps: int with get, set
