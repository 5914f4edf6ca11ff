namespace Peft

/// The activation inside a feed-forward layer.
type Activation =
    | Relu
    /// The tanh approximation of GELU that Hugging Face calls `gelu_new`.
    | GeluNew
