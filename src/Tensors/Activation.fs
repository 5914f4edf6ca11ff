namespace Peft

open TorchSharp

/// Activations by name and as functions.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Activation =
    /// Hugging Face's names; the first of an activation is the one that is written.
    let private names =
        [
            "relu", Relu
            "gelu_new", GeluNew
            "gelu_fast", GeluNew
            "gelu_accurate", GeluNew
            "gelu_pytorch_tanh", GeluNew
            "gelu_python_tanh", GeluNew
            "gelu", Gelu
            "gelu_python", Gelu
            "gelu_10", Gelu10
            "quick_gelu", QuickGelu
            "silu", Silu
            "swish", Silu
            "relu2", Relu2
            "relu6", Relu6
            "leaky_relu", LeakyRelu
            "hardswish", HardSwish
            "mish", Mish
            "laplace", Laplace
            "sigmoid", Sigmoid
            "tanh", Tanh
            "linear", Linear
        ]

    /// The activation that Hugging Face calls so.
    let tryFind (name: string) : Activation option =
        names |> List.tryFind (fst >> (=) name) |> Option.map snd

    /// Its name in Hugging Face's configurations.
    let name (activation: Activation) : string =
        names |> List.find (snd >> (=) activation) |> fst

    /// All names.
    let all: string list = List.map fst names

    let private times (factor: float) (x: torch.Tensor) = x.mul (factor.ToScalar())

    let private between (least: float) (most: float) (x: torch.Tensor) =
        x.clamp (least.ToScalar(), most.ToScalar())

    let private positive (x: torch.Tensor) = x.relu ()

    /// ln(1 + eˣ), without eˣ of a large x.
    let private softplus (x: torch.Tensor) =
        (positive x).add(x.abs().neg().exp().log1p())

    /// The activation, element by element.
    let apply (activation: Activation) (x: torch.Tensor) : torch.Tensor =
        match activation with
        | Relu -> x.relu ()
        | GeluNew -> x.gelu Modules.GELU.Approximate.tanh
        | Gelu -> x.gelu Modules.GELU.Approximate.none
        | Gelu10 -> x.gelu Modules.GELU.Approximate.none |> between -10.0 10.0
        | QuickGelu -> x.mul ((times 1.702 x).sigmoid())
        | Silu -> x.mul (x.sigmoid ())
        | Relu2 -> (x.relu ()).square()
        | Relu6 -> between 0.0 6.0 x
        | LeakyRelu -> (positive x).sub(times 0.01 (positive (x.neg ())))
        | HardSwish -> x.mul (x.add (3.0.ToScalar()) |> between 0.0 6.0 |> times (1.0 / 6.0))
        | Mish -> x.mul ((softplus x).tanh())
        | Laplace ->
            let mean, deviation = sqrt 0.5, sqrt (0.25 / System.Math.PI)

            (x.sub (mean.ToScalar()) |> times (1.0 / (deviation * sqrt 2.0))).erf().add(1.0.ToScalar())
            |> times 0.5
        | Sigmoid -> x.sigmoid ()
        | Tanh -> x.tanh ()
        | Linear -> x
