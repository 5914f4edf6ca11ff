namespace Peft

/// The activation inside a feed-forward layer: those that transformers knows by name and that have no parameters.
type Activation =
    | Relu
    /// The tanh approximation of GELU that Hugging Face calls `gelu_new`.
    | GeluNew
    /// x Φ(x) with the normal distribution's Φ.
    | Gelu
    /// GELU between -10 and 10.
    | Gelu10
    /// x sigmoid(1.702 x).
    | QuickGelu
    /// x sigmoid(x), also called swish.
    | Silu
    /// relu(x)².
    | Relu2
    /// relu up to 6.
    | Relu6
    /// x, or x / 100 below zero.
    | LeakyRelu
    /// x relu6(x + 3) / 6.
    | HardSwish
    /// x tanh(ln(1 + eˣ)).
    | Mish
    /// (1 + erf((x - μ) / (σ √2))) / 2 with μ = √½ and σ = √(1 / 4π) (Ma et al. 2022).
    | Laplace
    | Sigmoid
    | Tanh
    /// The number itself.
    | Linear
