/// What tests of kernels use: values and gradients side by side.
module Peft.Tests.KernelSupport

open Expecto
open TorchSharp
open Peft.Tests.Support

/// Output and gradients of `f` at these inputs, for one fixed gradient of the output.
let differentiate (f: torch.Tensor list -> torch.Tensor) (inputs: torch.Tensor list) : torch.Tensor list =
    let leaves = inputs |> List.map _.detach().requires_grad_()
    let output = f leaves
    use generator = new torch.Generator(7uL, torch.CPU)
    let weights = torch.randn (output.shape, generator = generator)
    (output.``to``(torch.float32).mul(weights)).sum().backward()

    output
    :: (leaves
        |> List.map (fun leaf ->
            match leaf.grad with
            | null -> failtest "an input has no gradient"
            | gradient -> gradient))

/// Fails unless both give the same output and gradients within `tolerance` of the largest value.
let same tolerance (kernel: torch.Tensor list -> torch.Tensor) plain inputs =
    List.zip (differentiate kernel inputs) (differentiate plain inputs)
    |> List.iteri (fun place (found, expected) ->
        Expect.equal found.dtype expected.dtype "the dtypes are equal"
        let what = if place = 0 then "the output" else $"gradient {place}"
        close tolerance found expected what)

/// Normal numbers of a seed.
let random (seed: int) (dtype: torch.ScalarType) (shape: int64 list) =
    use generator = new torch.Generator(uint64 seed, torch.CPU)
    torch.randn(Array.ofList shape, generator = generator).``to`` dtype

/// What the kernels know, with the tolerance of each.
let dtypes = [ "float32", torch.float32, 1e-5; "bfloat16", torch.bfloat16, 2e-2 ]

/// A test for each dtype.
let forDtypes (name: string) (body: torch.ScalarType -> float -> unit) =
    dtypes
    |> List.map (fun (dtypeName, dtype, tolerance) ->
        testCase $"{name}, {dtypeName}"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            body dtype tolerance)
