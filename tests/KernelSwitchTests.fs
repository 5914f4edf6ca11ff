/// Kernels by name: each can be switched off, and then its definition serves.
module Peft.Tests.KernelSwitchTests

open Expecto
open TorchSharp
open Peft
open Peft.Kernels
open Peft.T5
open Peft.Tests.Support

let private names =
    testList
        "names"
        [
            testCase "every kernel has a name of its own, says what it replaces, and its home is a module"
            <| fun () ->
                let names = Kernel.all |> List.map Kernel.name
                Expect.equal (List.distinct names) names "no name twice"
                Expect.equal (List.distinct Kernel.all).Length 11 "all kernels are listed"
                let assembly = typeof<Kernel>.Assembly

                for kernel in Kernel.all do
                    Expect.isGreaterThan (Kernel.replaces kernel).Length 3 (Kernel.name kernel)

                    Kernel.home kernel
                    |> Option.iter (fun home -> Expect.isNotNull (assembly.GetType $"Peft.Kernels.{home}") home)

            testCase "they are named in a list, and what is no kernel is refused in one line"
            <| fun () ->
                Expect.equal
                    (Kernel.parse " attention, CROSS-entropy,,")
                    [ Kernel.Attention; Kernel.CrossEntropy ]
                    "two"

                Expect.equal (Kernel.parse "all") Kernel.all "all"
                Expect.equal (Kernel.parse "") [] "none"
                let message = userErrorOf (fun () -> Kernel.parse "attention,norms" |> ignore)
                Expect.stringContains message "'norms'" "the word"
                Expect.stringContains message "step-attention" "and those that there are"

            testCase "a kernel is off only as long as it is asked to be, also where the work fails"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let x = torch.ones (2L, 16L)
                let serves () = Dropout.serves 0.5 x
                Expect.equal (serves ()) (Libtorch.isHere ()) "on"

                Kernel.without [ Kernel.Dropout ] (fun () ->
                    Expect.isFalse (serves ()) "off"

                    Expect.throws
                        (fun () -> Kernel.without [ Kernel.Norm ] (fun () -> failwith "the work fails"))
                        "raised"

                    Expect.isTrue (Kernel.isOn Kernel.Norm) "only that one"
                    Expect.isFalse (serves ()) "still off")

                Expect.equal (serves ()) (Libtorch.isHere ()) "on again"
        ]

/// Wide enough for every kernel.
let private config = Config.gated 512 128 64 2 256 2

let private batch () : Batch =
    (Array.init 3 (fun row ->
        {
            Ids = Array.init (9 + row) (fun place -> 2 + (row * 7 + place * 17) % 500)
            Labels = [| 5; 9 + row; 300; 1 |]
        })
     |> Batch.ofRows config.PadId torch.CPU)

/// The loss and every gradient of a training pass without dropout, in one row each, and the numbers after a step of AdamW.
let private trained (technique: Technique) : torch.Tensor * torch.Tensor * torch.Tensor =
    torch.manual_seed 7L |> ignore

    let model = randomT5 config 3 |> Placement.adapter technique Placement.everywhere 1

    let parameters = Model.trained model
    let loss = Model.loss (Pass.Training 0.0) model (batch ())
    loss.backward ()

    let row (each: Modules.Parameter -> torch.Tensor) =
        torch.cat [| for _, parameter in parameters -> (each parameter).detach().flatten() |]

    let gradients = row (fun parameter -> nonNull parameter.grad)
    let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.01 parameters
    optimizer.Step 1e-3
    loss, gradients, row (fun parameter -> parameter)

let private training =
    [
        for technique in [ Full.technique; PaperLora.standard; Ia3.paper ] do
            testCase $"a step of {Technique.text technique} is the same without each kernel"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let loss, gradients, numbers = trained technique

                for off in (Kernel.all |> List.map List.singleton) @ [ Kernel.all ] do
                    let names = off |> List.map Kernel.name |> String.concat ", "

                    let itsLoss, itsGradients, itsNumbers =
                        Kernel.without off (fun () -> trained technique)

                    close 1e-5 itsLoss loss $"the loss without {names}"
                    close 1e-4 itsGradients gradients $"the gradients without {names}"
                    // AdamW's first step follows the gradient's sign, so that a rounding may turn it.
                    if off = [ Kernel.AdamW ] then
                        close 1e-6 itsNumbers numbers $"the numbers without {names}"
    ]

let private dropout =
    testCase "without its kernels dropout still drops, and a step is finite"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let model = randomT5 config 3

        for off in [ []; [ Kernel.Dropout ]; [ Kernel.Attention ]; [ Kernel.Gate ]; Kernel.all ] do
            Kernel.without off (fun () ->
                let loss dropout =
                    (Model.loss (Pass.Training dropout) model (batch ())).item<float32>()

                Expect.isTrue (System.Single.IsFinite(loss 0.3)) "finite"
                Expect.notEqual (loss 0.3) (loss 0.3) "chance is at work")

let private decoding =
    testCase "answers are the same without each kernel"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let model = randomT5 config 3
        let batch = (batch ())

        for decoding in [ Decoding.Beam(1, 8); Decoding.Beam(3, 8) ] do
            let answers () =
                Generate.run decoding model batch.InputIds batch.Mask
                |> Array.map (List.map (fun answer -> List.ofSeq answer.Ids))

            let whole = answers ()

            for off in (Kernel.all |> List.map List.singleton) @ [ Kernel.all ] do
                let what = off |> List.map Kernel.name |> String.concat ", "
                Expect.equal (Kernel.without off answers) whole $"without {what}"

let private four (value: int) =
    torch.full (4L, (float value).ToScalar())

let private nodes =
    testList
        "a step of the computation with a backward pass of its own"
        [
            testCase "takes more inputs than it had room for"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                if Libtorch.isHere () then
                    for count in [ 1; 8; 9; 40; 3 ] do
                        let inputs =
                            List.init count (fun place -> (four place).requires_grad_(place % 3 <> 1))

                        let output =
                            use _ = torch.no_grad ()

                            Node.create
                                inputs
                                []
                                (fun _ gradient ->
                                    [|
                                        for place in 0 .. count - 1 do
                                            if place % 3 = 1 then
                                                None
                                            else
                                                Some(gradient.mul ((float place).ToScalar()))
                                    |])
                                (torch.ones 4L)

                        output.sum().backward()
                        Node.raiseFailure ()

                        inputs
                        |> List.iteri (fun place input ->
                            match input.grad with
                            | null -> Expect.equal (place % 3) 1 $"input {place} of {count} has no gradient"
                            | gradient -> identical gradient (four place) $"input {place} of {count}")

            testCase "says so where its backward pass gives another number of gradients than it has inputs"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                if Libtorch.isHere () then
                    let x = (torch.ones 4L).requires_grad_ true

                    let output =
                        use _ = torch.no_grad ()

                        Node.create [ x ] [] (fun _ gradient -> [| Some(gradient.clone ()); None |]) (torch.ones 4L)

                    output.sum().backward()
                    Expect.throwsT<System.InvalidOperationException> Node.raiseFailure "two gradients for one input"
        ]

[<Tests>]
let tests =
    testList "Kernel switches" (names :: nodes :: dropout :: decoding :: training)
