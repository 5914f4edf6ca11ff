/// The kernels against the plain composition of libtorch's operations that defines them: values and
/// gradients.
module Peft.Tests.KernelTests

open System
open Expecto
open TorchSharp
open Peft
open Peft.Kernels
open Peft.T5
open Peft.Tests.Support
open Peft.Tests.KernelSupport

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
    [ GeluNew; Relu; Silu ]
    |> List.collect (fun activation ->
        forDtypes $"the gate is its composition, forward and back: {activation}" (fun dtype tolerance ->
            for shape in [ [ 2L; 3L; 24L ]; [ 5L; 67L; 1024L ] ] do
                let a, b = (random 5 dtype shape).mul(4.0.ToScalar()), random 6 dtype shape

                let plain (inputs: torch.Tensor list) =
                    (Activation.apply activation inputs[0]).mul inputs[1]

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
         :: norm
         @ gate
         @ attention
         @ crossEntropy)
