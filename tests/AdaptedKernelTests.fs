/// The step around a frozen map against its definition, and its sums over rows.
module Peft.Tests.AdaptedKernelTests

open Expecto
open TorchSharp
open Peft.Kernels
open Peft.Tests.Support
open Peft.Tests.KernelSupport

/// An adapted map's parts of these shapes; the bits of `parts` say which of input, output, update and bias are there.
let private adaptedParts (parts: int) (rank: int64) (fanIn: int64) (fanOut: int64) : torch.Tensor list =
    let vector seed size =
        (random seed torch.float32 [ size ]).mul(0.3.ToScalar()).add(1.0.ToScalar())

    [
        if parts &&& 1 <> 0 then
            vector 20 fanIn
        if parts &&& 2 <> 0 then
            vector 21 fanOut
        if parts &&& 4 <> 0 then
            random 22 torch.float32 [ rank; fanIn ]
            random 23 torch.float32 [ fanOut; rank ]
        if parts &&& 8 <> 0 then
            random 24 torch.float32 [ fanOut ]
    ]

let private around (parts: int) (tensors: torch.Tensor list) : Around =
    let mutable rest = tensors

    let next bit =
        if parts &&& bit <> 0 then
            let head = rest.Head
            rest <- rest.Tail
            Some head
        else
            None

    let input, output = next 1, next 2
    let a, b = next 4, (if parts &&& 4 <> 0 then next 4 else None)

    {
        Input = input
        Output = output
        Update = Option.map2 (fun a b -> a, b, 0.7) a b
        Bias = next 8
    }

/// The definition, in float32.
let private adaptedPlain (around: Around) (weight: torch.Tensor) (x: torch.Tensor) : torch.Tensor =
    let wide = x.``to`` torch.float32

    let times (factors: torch.Tensor option) (y: torch.Tensor) =
        match factors with
        | Some factors -> y.mul factors
        | None -> y

    let main =
        (wide |> times around.Input).matmul(weight.``to``(torch.float32).t())
        |> times around.Output

    let updated =
        match around.Update with
        | Some(a, b, scale) -> main.add (wide.matmul(a.t ()).matmul(b.t ()).mul(scale.ToScalar()))
        | None -> main

    match around.Bias with
    | Some bias -> (updated.add bias).``to`` x.dtype
    | None -> updated.``to`` x.dtype

// In bfloat16 input ∘ x, W (input ∘ x) and the gradients of both are rounded, each by 2⁻⁹ at most of its own size, so that
// a sum of them is off by about 1 % of the largest value.
let private adapted =
    [
        for parts in 1..15 do
            yield!
                forDtypes $"an adapted map is its composition, forward and back: parts {parts}" (fun dtype tolerance ->
                    for rows, fanIn, fanOut, rank in
                        [ 1L, 8L, 16L, 1L; 37L, 64L, 24L, 3L; 131L, 128L, 256L, 2L; 5L, 24L, 40L, 16L ] do
                        use _ = torch.NewDisposeScope()
                        let weight = random 25 dtype [ fanOut; fanIn ]

                        let inputs =
                            random 26 dtype [ rows; 2L; fanIn ] :: adaptedParts parts rank fanIn fanOut

                        // Not in the order of memory.
                        let turned (inputs: torch.Tensor list) = inputs.Head.transpose (0L, 1L)

                        same
                            tolerance
                            (fun inputs -> Adapted.apply (around parts inputs.Tail) weight (turned inputs))
                            (fun inputs -> adaptedPlain (around parts inputs.Tail) weight (turned inputs))
                            inputs)
    ]

let private adaptedAtStart =
    forDtypes
        "an adapted map whose x wants no gradient has those of its parts, and frozen parts have none"
        (fun dtype tolerance ->
            let weight, x = random 27 dtype [ 24L; 64L ], random 28 dtype [ 9L; 64L ]

            for parts in 1..15 do
                let inputs = adaptedParts parts 2L 64L 24L

                same
                    tolerance
                    (fun inputs -> Adapted.apply (around parts inputs) weight x)
                    (fun inputs -> adaptedPlain (around parts inputs) weight x)
                    inputs

                let gradientOfX (f: torch.Tensor -> torch.Tensor) =
                    differentiate (fun inputs -> f inputs.Head) [ x ]

                List.zip
                    (gradientOfX (Adapted.apply (around parts inputs) weight))
                    (gradientOfX (adaptedPlain (around parts inputs) weight))
                |> List.iter (fun (found, expected) -> close tolerance found expected "parts are frozen"))

let private adaptedThreads =
    testCase "an adapted map's sums over rows do not depend on the number of threads"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let before = torch.get_num_threads ()
        // So few rows of W that the product is libtorch's own, which one thread computes.
        let weight, x =
            random 29 torch.float32 [ 8L; 8L ], random 30 torch.float32 [ 9000L; 8L ]

        let results =
            [ 1; 2 ]
            |> List.map (fun threads ->
                torch.set_num_threads threads

                differentiate
                    (fun inputs -> Adapted.apply (around 15 inputs.Tail) weight inputs.Head)
                    (x :: adaptedParts 15 2L 8L 8L))

        torch.set_num_threads before
        List.iter2 (fun one two -> identical one two "with one thread and with two") results[0] results[1]

[<Tests>]
let tests = testList "Adapted kernel" (adaptedThreads :: adapted @ adaptedAtStart)
