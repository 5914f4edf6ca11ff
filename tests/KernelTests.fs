/// The kernels of `T5/Kernels` against the plain composition of libtorch's operations that defines them: values and
/// gradients.
module Peft.Tests.KernelTests

open System
open Expecto
open TorchSharp
open Peft
open Peft.Kernels
open Peft.T5
open Peft.Tests.Support

/// Output and gradients of `f` at these inputs, for one fixed gradient of the output.
let private differentiate (f: torch.Tensor list -> torch.Tensor) (inputs: torch.Tensor list) : torch.Tensor list =
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
let private same tolerance (kernel: torch.Tensor list -> torch.Tensor) plain inputs =
    List.zip (differentiate kernel inputs) (differentiate plain inputs)
    |> List.iteri (fun place (found, expected) ->
        Expect.equal found.dtype expected.dtype "the dtypes are equal"
        let what = if place = 0 then "the output" else $"gradient {place}"
        close tolerance found expected what)

let private random (seed: int) (dtype: torch.ScalarType) (shape: int64 list) =
    use generator = new torch.Generator(uint64 seed, torch.CPU)
    torch.randn(Array.ofList shape, generator = generator).``to`` dtype

let private dtypes =
    [ "float32", torch.float32, 1e-5; "bfloat16", torch.bfloat16, 2e-2 ]

let private forDtypes (name: string) (body: torch.ScalarType -> float -> unit) =
    dtypes
    |> List.map (fun (dtypeName, dtype, tolerance) ->
        testCase $"{name}, {dtypeName}"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            body dtype tolerance)

let private product =
    testCase "the product through oneDNN is libtorch's, forward and back"
    <| fun () ->
        for rows, fanIn, fanOut in [ 37L, 128L, 256L; 513L, 64L, 65L; 1L, 1024L, 1024L ] do
            use _ = torch.NewDisposeScope()
            let x = random 1 torch.float32 [ 2L; rows; fanIn ]
            let weight = random 2 torch.float32 [ fanOut; fanIn ]

            same
                1e-5
                (fun inputs -> Product.linear inputs[1] inputs[0])
                (fun inputs -> torch.nn.functional.linear (inputs[0], inputs[1]))
                [ x; weight ]

let private norm =
    forDtypes "the norm is its composition, forward and back" (fun dtype tolerance ->
        for shape in [ [ 3L; 5L; 16L ]; [ 4L; 70L; 512L ] ] do
            let width = List.last shape
            let x = (random 3 dtype shape).mul(3.0.ToScalar())
            let scale = (random 4 torch.float32 [ width ]).add(1.0.ToScalar()).``to`` dtype

            let plain (inputs: torch.Tensor list) =
                let wide = inputs[0].``to`` torch.float32

                let inverse =
                    wide.square().mean([| -1L |], keepdim = true).add(1e-6.ToScalar()).rsqrt()

                wide.mul(inverse).``to``(dtype).mul inputs[1]

            same tolerance (fun inputs -> RmsNorm.apply 1e-6 inputs[1] inputs[0]) plain [ x; scale ])

let private gate =
    [ GeluNew; Relu ]
    |> List.collect (fun activation ->
        forDtypes $"the gate is its composition, forward and back: {activation}" (fun dtype tolerance ->
            for shape in [ [ 2L; 3L; 24L ]; [ 5L; 67L; 1024L ] ] do
                let a, b = (random 5 dtype shape).mul(4.0.ToScalar()), random 6 dtype shape

                let plain (inputs: torch.Tensor list) =
                    (Bottleneck.activate activation inputs[0]).mul inputs[1]

                same tolerance (fun inputs -> Gating.apply None activation inputs[0] inputs[1]) plain [ a; b ]))

let private attention =
    [
        for withBias in [ false; true ] do
            yield!
                forDtypes $"attention is its composition, forward and back, bias {withBias}" (fun dtype tolerance ->
                    for queries, keys in [ 5L, 13L; 16L, 32L; 1L, 3L ] do
                        let q = random 12 dtype [ 2L; 3L; queries; 8L ]

                        let k, v =
                            random 13 dtype [ 2L; 3L; keys; 8L ], random 14 dtype [ 2L; 3L; keys; 8L ]

                        let bias = random 15 torch.float32 [ 1L; 3L; queries; keys ]

                        let biasOf (inputs: torch.Tensor list) =
                            if withBias then Some inputs[3] else None

                        let plain (inputs: torch.Tensor list) =
                            let scores = inputs[0].matmul(inputs[1].transpose(2L, 3L)).``to`` torch.float32

                            let biased =
                                match biasOf inputs with
                                | Some bias -> scores.add bias
                                | None -> scores

                            (biased.softmax(-1L).``to`` dtype).matmul inputs[2]

                        same
                            tolerance
                            (fun inputs -> FusedAttention.apply None (biasOf inputs) inputs[0] inputs[1] inputs[2])
                            plain
                            [
                                q
                                k
                                v
                                if withBias then
                                    bias
                            ])
    ]

let private attentionDropout =
    testCase "attention's dropout is linear in the values, and its gradient has its mask"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        torch.manual_seed 9L |> ignore
        let key = Mask.key (MaskKeys()) 0.3

        let q, k =
            random 16 torch.float32 [ 2L; 3L; 5L; 8L ], random 17 torch.float32 [ 2L; 3L; 13L; 8L ]
        // With the identity as values the output is the dropped softmax itself.
        let eye = torch.eye(13L).expand(2L, 3L, 13L, 13L)
        let dropped = FusedAttention.apply (Some key) None q k eye
        let whole = q.matmul(k.transpose (2L, 3L)).softmax -1L
        let mask = dropped.div whole
        let kept = mask.gt(0.5.ToScalar()).``to`` torch.float32
        close 1e-4 mask (kept.mul ((1.0 / 0.7).ToScalar())) "kept shares are scaled, the others 0"
        let v = random 18 torch.float32 [ 2L; 3L; 13L; 8L ]

        same
            1e-4
            (fun inputs -> FusedAttention.apply (Some key) None inputs[0] inputs[1] inputs[2])
            (fun inputs -> (inputs[0].matmul(inputs[1].transpose(2L, 3L)).softmax(-1L).mul mask).matmul inputs[2])
            [ q; k; v ]

let private crossEntropy =
    forDtypes "cross-entropy is libtorch's in float32, and its gradient" (fun dtype tolerance ->
        let labels = torch.tensor([| 3L; -100L; 0L; 39L; 7L; -100L |]).view(2L, 3L)
        let logits = (random 19 dtype [ 2L; 3L; 40L ]).mul(5.0.ToScalar())

        same
            tolerance
            // The kernel writes over what it is given.
            (fun inputs -> CrossEntropy.apply -100L (inputs[0].mul(1.0.ToScalar())) labels)
            (fun inputs ->
                torch.nn.functional.cross_entropy (
                    inputs[0].flatten(0L, 1L).``to`` torch.float32,
                    labels.flatten (),
                    ignore_index = -100L
                ))
            [ logits ])

let private served =
    testCase "attention's kernel takes the position biases of both stacks, and refuses one of another shape"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let config = Config.load (golden [ "t5-gated"; "config.json" ])
        let model = Weights.load torch.CPU torch.float32 (golden [ "t5-gated" ]) config

        let heads length =
            torch.zeros (2L, int64 config.Heads, length, int64 config.KeyWidth)

        let q = heads 7L

        for stack, tower in [ Stack.Encoder, model.Encoder; Stack.Decoder, model.Decoder ] do
            let bias = Position.bias config stack tower.RelativeBias 7 7
            let mask = torch.zeros (2L, 1L, 1L, 7L)

            for bias in [ bias; bias.add mask; bias.narrow(2L, 3L, 1L).expand(-1L, -1L, 7L, -1L) ] do
                Expect.equal (FusedAttention.serves (Some bias) q q q) (Libtorch.isHere ()) $"{stack}"

            Expect.isFalse
                (FusedAttention.serves (Some(bias.narrow (2L, 0L, 3L))) q q q)
                "a bias for three of seven queries"

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

let private failing =
    testCase "a graph that is differentiated twice raises, and the next backward pass is well"
    <| fun () ->
        use _ = torch.NewDisposeScope()

        if Libtorch.isHere () then
            let x = torch.ones(2L, 16L).requires_grad_ true
            let key = Mask.key (MaskKeys()) 0.5
            let sum = (Dropout.apply key x).sum()
            sum.backward ()
            let once = (nonNull x.grad).clone()

            Expect.throws
                (fun () ->
                    sum.backward ()
                    Node.raiseFailure ())
                "differentiated twice"

            (nonNull x.grad).zero_() |> ignore
            (Dropout.apply key x).sum().backward()
            Node.raiseFailure ()
            identical once (nonNull x.grad) "the same gradient again"

let private labelBounds =
    testCase "a label outside the vocabulary is refused, as it would be read outside of memory"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let logits = torch.zeros (1L, 2L, 16L)

        for label in [ 16L; -1L ] do
            Expect.throwsT<ArgumentException>
                (fun () ->
                    CrossEntropy.apply -100L logits (torch.tensor ([| 3L; label |], 1L, 2L))
                    |> ignore)
                $"{label}"

let private seeded (seed: int64) =
    torch.manual_seed seed |> ignore
    MaskKeys()

let private maskOf (key: MaskKey) (shape: int64 list) =
    Dropout.apply key (torch.ones (Array.ofList shape))

let private dropout =
    testList
        "dropout"
        [
            testCase "keeps its share of elements, scaled so that the mean stays"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for rate in [ 0.05; 0.1; 0.5; 0.9 ] do
                    let mask = maskOf (Mask.key (seeded 1L) rate) [ 1000L; 1024L ]
                    let kept = mask.ne(0.0.ToScalar()).``to``(torch.float64).mean().item<float>()
                    // Four standard deviations of the mean of 1,024,000 draws.
                    let bound = 4.0 * sqrt (rate * (1.0 - rate) / 1024000.0)
                    Expect.isLessThan (abs (kept - (1.0 - rate))) bound "the share that is kept"
                    Expect.isLessThan (abs ((1.0 - rate) * float (mask.max().item<float32>()) - 1.0)) 1e-3 "the scale"

            testCase "masks of other places, steps and neighbours are independent"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let keys = seeded 2L

                let centred (key: MaskKey) =
                    let mask = maskOf key [ 1024L; 1024L ]
                    (mask - mask.mean ()) / mask.std ()

                let here, there = centred (Mask.key keys 0.3), centred (Mask.key keys 0.3)
                let next = centred (Mask.key (seeded 3L) 0.3)
                let correlation (a: torch.Tensor) (b: torch.Tensor) = float (a.mul(b).mean().item<float32>())

                for what, value in
                    [
                        yield "places", correlation here there
                        yield "steps", correlation here next
                        for shift in [ 1L; 7L; 8L; 16L; 128L; 1024L ] do
                            yield
                                $"neighbours {shift} apart",
                                correlation here (here.flatten().roll(shift).view(1024L, 1024L))
                    ] do
                    // Four standard deviations of the correlation of 2^20 independent pairs.
                    Expect.isLessThan (abs value) (4.0 / 1024.0) what

            testCase "the gradient has the mask of the forward pass"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for dtype in [ torch.float32; torch.bfloat16 ] do
                    let key = Mask.key (seeded 4L) 0.4
                    let x = (random 8 dtype [ 6L; 48L ]).abs().add(0.1.ToScalar()).requires_grad_()
                    let residual = (random 9 dtype [ 6L; 48L ]).requires_grad_()
                    let y = Dropout.add key residual x
                    y.sum().backward()
                    let mask = (maskOf key [ 6L; 48L ]).``to`` dtype
                    close 1e-2 y (residual.add (x.mul mask)) "the sum"

                    match x.grad, residual.grad with
                    | null, _
                    | _, null -> failtest "an input has no gradient"
                    | ofX, ofResidual ->
                        identical ofX mask "the gradient of x is the mask"

                        identical
                            ofResidual
                            (torch.ones_like residual)
                            "the gradient of the residual is that of the sum"

            testCase "inside the gate it is dropout behind the gate"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let key = Mask.key (seeded 5L) 0.2
                let a, b = random 10 torch.float32 [ 4L; 32L ], random 11 torch.float32 [ 4L; 32L ]

                same
                    1e-5
                    (fun inputs -> Gating.apply (Some key) GeluNew inputs[0] inputs[1])
                    (fun inputs -> Gating.apply None GeluNew inputs[0] inputs[1] |> Dropout.apply key)
                    [ a; b ]

            testCase "the mask does not depend on the number of threads"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let key = Mask.key (seeded 6L) 0.1
                let before = torch.get_num_threads ()

                let masks =
                    [ 1; 2 ]
                    |> List.map (fun threads ->
                        torch.set_num_threads threads
                        maskOf key [ 300L; 1024L ])

                torch.set_num_threads before
                identical masks[0] masks[1] "masks"
        ]

[<Tests>]
let tests =
    testList
        "Kernels"
        (product
         :: served
         :: failing
         :: labelBounds
         :: dropout
         :: attentionDropout
         :: adaptedThreads
         :: norm
         @ gate
         @ attention
         @ crossEntropy
         @ adapted
         @ adaptedAtStart)
