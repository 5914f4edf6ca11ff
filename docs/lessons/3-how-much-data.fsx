(**
---
title: 3. How much data
category: Lessons
categoryindex: 2
index: 3
---
# How much data

More rows help every technique, but not all alike. Full fine-tuning and LoRA on 30, 100 and 300 rows: two minutes on one core.
*)
(*** hide ***)
#load "../../scripts/lesson.fsx"

open Peft
open Lesson

(**
The smaller sets are the beginnings of the larger ones, and the test rows are the same for all: only the amount differs.
*)
let runs =
    { plan (Method.baselines @ [ tuned "full"; tuned "paper-lora" ]) with
        Levels = [ Amount 30; Low; Amount 300 ]
    }
    |> run "3-how-much-data"

for method, own in runs |> List.groupBy (fun run -> Method.name run.Experiment.Method) do
    let cells =
        own
        |> List.map (fun run ->
            if run.TrainRows = 0 then
                $"%5.3f{run.Score} without training"
            else
                $"%3d{run.TrainRows} rows: %5.3f{run.Score}")

    printfn "%s" ($"%-11s{method} " + String.concat "   " cells)
(**
```text
zero-shot   0.267 without training
majority    0.220 without training
full         30 rows: 0.680   100 rows: 0.740   300 rows: 0.890
paper-lora   30 rows: 0.513   100 rows: 0.757   300 rows: 0.840
```

What a hundred rows more are worth falls with every hundred. To ask it of your own task before labelling more: train on half of the rows you have, then on all
of them. If the difference is within the noise ([lesson 5](5-honest-comparison.html)), more of the same rows will not help much.

Few rows also mean few optimiser steps. The epoch with the lowest validation loss, of at most ten (and fewer where three in a row brought nothing):
*)
for run in runs |> List.filter (fun run -> run.TrainRows > 0) do
    printfn
        $"%-11s{Method.name run.Experiment.Method} %3d{run.TrainRows} rows: best after epoch %2d{run.ConvergedEpoch} of {run.Epochs.Length}"
(**
```text
full         30 rows: best after epoch  6 of 9
paper-lora   30 rows: best after epoch  8 of 10
full        100 rows: best after epoch  2 of 5
paper-lora  100 rows: best after epoch  7 of 10
full        300 rows: best after epoch  5 of 5
paper-lora  300 rows: best after epoch  5 of 5
```

A run whose best epoch is its last had not finished learning: it would score higher with more epochs or a higher rate, and its score says less about the
technique than about the settings.
*)
