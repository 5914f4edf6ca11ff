namespace Peft

open System
open TorchSharp

/// Training steps, and the encoder alone.
[<RequireQualifiedAccess>]
module StepBench =
    let private weightSeed = 1

    /// Random weights in the row's dtype.
    let model (row: BenchRow) : Model =
        row.Model.Random (Precision.parse row.Dtype) weightSeed

    /// A batch of random tokens in which every row is full; neither padding nor `</s>` occurs.
    let batch (row: BenchRow) (seed: int) : Batch =
        let random = Random seed

        let ids length =
            Array.init length (fun _ -> random.Next(2, row.Model.Shape.Vocabulary))

        Array.init row.Batch (fun _ ->
            {
                Ids = ids row.InputLength
                Labels = ids row.TargetLength
            })
        |> Batch.ofRows row.Model.Shape.PadId torch.CPU

    /// The rate decides nothing about the time of a step; it is the paper's final one for PEFT.
    let private rate = 3e-4

    let private optimizerOf (row: BenchRow) parameters =
        Optimizer.ofTechnique row.Technique 0.01 parameters

    /// A model, what trains it, and the micro-batches of a step, as a run has them.
    [<ReferenceEquality>]
    type private Trainee =
        {
            Model: Model
            Parameters: (string * Modules.Parameter) list
            Optimizer: Optimizer
            Pass: Pass
            Batches: Batch list
        }

    let private trainee (row: BenchRow) : Trainee =
        torch.manual_seed 1L |> ignore
        let model = model row |> Placement.adapter row.Technique row.Placement 1
        let parameters = Model.trained model

        {
            Model = model
            Parameters = parameters
            Optimizer = optimizerOf row parameters
            Pass =
                let plain = Pass.Training row.Dropout
                if row.Recomputes then plain.Recomputing() else plain
            Batches = List.init row.Accumulation (batch row)
        }

    /// An optimiser step as a run takes it: gradients of the micro-batches, clipping, AdamW.
    let private stepOf (trainee: Trainee) : unit =
        use _ = torch.NewDisposeScope()

        Trainer.step trainee.Pass 1.0 rate trainee.Optimizer trainee.Parameters trainee.Model trainee.Batches
        |> ignore

    /// The step of a row, to be taken again and again in the caller's scope.
    let work (row: BenchRow) : unit -> unit =
        let trainee = trainee row
        fun () -> stepOf trainee

    /// Seconds of forward, backward and update of a micro-batch, each the median of a few.
    let private phases (trainee: Trainee) =
        let once () =
            use _ = torch.NewDisposeScope()
            Gradients.clear trainee.Parameters
            let mutable loss = Unchecked.defaultof<torch.Tensor>

            let forward =
                Repeated.seconds (fun () ->
                    loss <- Model.loss trainee.Pass trainee.Model trainee.Batches.Head
                    loss.item<float32>() |> ignore)

            let backward = Repeated.seconds loss.backward

            let update =
                Repeated.seconds (fun () ->
                    Gradients.clip 1.0 trainee.Parameters |> ignore
                    trainee.Optimizer.Step rate)

            forward, backward, update

        let all = List.init 3 (fun _ -> once ())
        let middle part = all |> List.map part |> Repeated.median

        [
            "s forward", middle (fun (forward, _, _) -> forward)
            "s backward", middle (fun (_, backward, _) -> backward)
            "s update", middle (fun (_, _, update) -> update)
        ]

    /// Optimiser steps. The peak is that from the first step on; the phases are measured apart, one micro-batch long.
    let step (row: BenchRow) : Measurement =
        use _ = torch.NewDisposeScope()
        let trainee = trainee row
        Memory.resetPeak ()

        let seconds = Repeated.times row.WarmUp row.Repeat (fun () -> stepOf trainee)

        let measured = Repeated.measurement seconds []

        if row.Accumulation = 1 then
            for name, value in phases trainee do
                measured.Values[name] <- value

        measured

    /// The encoder's hidden states, without gradient or dropout. Nothing is done for a model without encoder.
    let encoder (row: BenchRow) : Measurement =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let model, batch = model row, batch row 1
        Memory.resetPeak ()

        let seconds =
            Repeated.times row.WarmUp row.Repeat (fun () ->
                use _ = torch.NewDisposeScope()

                model.Encoder
                |> Option.iter (fun encoder -> encoder.Encode Pass.Evaluation batch.InputIds batch.Mask |> ignore))

        Repeated.measurement seconds []

    /// Steps at the end whose mean loss a loss row gives.
    let private lossTail = 20

    /// A batch of generated text, attributes to sentences, no row twice: `step` says which rows.
    let private textBatch (tokenizer: Tokenizer) (row: BenchRow) (step: int) : Batch =
        Array.init row.Batch (fun place ->
            let text = Synthetic.Attributes.row 1 (step * row.Batch + place)

            {
                Ids = tokenizer.Encode(text.Input, row.InputLength)
                Labels = tokenizer.Encode(text.Target, row.TargetLength)
            })
        |> Batch.ofRows row.Model.Shape.PadId torch.CPU

    /// Trains on text for so many steps at the paper's peak rate and gives the mean loss of the first and of the last ones. Both
    /// dtypes start from the same float32 numbers and see the same batches in the same order; dropout is off.
    let loss (row: BenchRow) : Measurement =
        use _ = torch.NewDisposeScope()
        let tokenizer = Tokenizer.Load(Embedded.modelFolder ())

        if row.Model.Shape.Vocabulary < tokenizer.VocabularySize then
            userError
                $"The loss is measured on text of {tokenizer.VocabularySize} pieces: the model's vocabulary has {row.Model.Shape.Vocabulary}."

        let model = model row |> Placement.adapter row.Technique row.Placement 1
        let parameters = Model.trained model
        let optimizer = optimizerOf row parameters
        let losses = ResizeArray()

        let one step =
            use _ = torch.NewDisposeScope()

            let log =
                Trainer.step
                    (Pass.Training row.Dropout)
                    1.0
                    3e-3
                    optimizer
                    parameters
                    model
                    [ textBatch tokenizer row step ]

            losses.AddRange log.Losses

        let seconds = Repeated.seconds (fun () -> Seq.iter one (seq { 0 .. row.Steps - 1 }))

        let tail = min lossTail row.Steps

        Repeated.measurement
            [ seconds ]
            [
                "first loss", losses[0]
                "last loss", losses |> Seq.skip (losses.Count - tail) |> Seq.average
            ]
