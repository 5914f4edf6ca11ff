(**
---
title: 6. Your own technique
category: Lessons
categoryindex: 2
index: 6
---
# Your own technique

An adapter is a function from a model to a model with something more to train. This lesson writes one, SSF (Lian et al. 2022): behind each linear map a trained
scale and a trained shift, y = γ ∘ (W x) + β. One minute on one core.
*)
(*** hide ***)
#load "../../scripts/lesson.fsx"

open Peft
open TorchSharp
open Lesson

(**
`Model.rewrite` comes to every linear map, a `Projection`, and puts another in its place. Cases of `Projection` wrap: the base weight stays inside,
untouched. `Rescaled` and `Shifted` are there already, so SSF is a line of each:
*)
let ssf: Adapter =
    Model.rewrite (fun site inner ->
        let scale = torch.ones site.Out
        let shift = torch.zeros site.Out
        Shifted(Rescaled(inner, None, Some(Leaf.trained scale)), Leaf.trained shift))

let model = ssf session.Model
printfn $"{Model.countTrained model:n0} of {Model.count model:n0} numbers are trained"
(**
```text
22,528 of 2,647,040 numbers are trained
```

With every γ at 1 and every β at 0 it computes what the base computes, to the bit. That is worth a check:
*)
let split = session.Split(TaskDefinition.topic, Low, 1, 250, 300)
let rows = session.Encoded(TaskDefinition.topic, split, 512, 128)

let batchOf (rows: EncodedRow[]) =
    Batch.ofRows session.Model.Shape.PadId session.Device rows

let first = batchOf rows.Train[..7]

let logits (model: Model) =
    Model.logits Pass.Evaluation model first

let isSame = (logits model).eq(logits session.Model).all().item<bool>()

printfn $"a fresh adapter is the base: {isSame}"
(**
```text
a fresh adapter is the base: True
```

Training is a loop over batches. `Trainer.step` is one step of an optimiser, with the gradient clipped to norm 1:
*)
let parameters = Model.trained model
let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.01 parameters
torch.manual_seed 1L |> ignore

for epoch in 1..8 do
    use _ = torch.NewDisposeScope()

    let losses =
        rows.Train
        |> Array.chunkBySize 4
        |> Array.map (fun chunk ->
            use _ = torch.NewDisposeScope()

            let log =
                Trainer.step (Pass.Training 0.1) 1.0 0.03 optimizer parameters model [ batchOf chunk ]

            List.average log.Losses)

    if epoch = 1 || epoch = 8 then
        printfn $"epoch {epoch}: loss %5.3f{Array.average losses}"
(**
```text
epoch 1: loss 2.296
epoch 8: loss 0.635
```

And the test rows:
*)
let predictions =
    Evaluation.answers rows.Labels (Decoding.Greedy 8) model session.Tokenizer session.Device 32 ignore rows.Test
    |> Evaluation.predictions TaskDefinition.topic split.Test

printfn $"""accuracy %5.3f{(Evaluation.scores TaskDefinition.topic predictions)["accuracy"]}"""
(**
```text
accuracy 0.507
```

That is a technique. For the command line, sweeps, adapter folders, cost estimates and the laws of the test suite to know it, it takes one file and one line:
[Adding a technique](../adding-a-technique.html).
*)
