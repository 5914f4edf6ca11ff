(**
---
title: 2. Which technique
category: Lessons
categoryindex: 2
index: 2
---
# Which technique

Five techniques of the paper on the same hundred rows, each at the learning rate that a search of equal length found for it. Two minutes on
one core.
*)
(*** hide ***)
#load "../../scripts/lesson.fsx"

open Peft
open Lesson

(**
Full fine-tuning trains every number of the model; (IA)³ rescales what attention and feed-forward layers compute; LoRA adds a product of two narrow
matrices to a linear map; BitFit trains biases; prompt tuning puts a hundred trained tokens before the input.
*)
let runs =
    plan (Method.baselines @ List.map Tuned Technique.paper)
    |> run "2-which-technique"

for run in runs do
    printfn
        $"%-16s{Method.name run.Experiment.Method} score %5.3f{run.Score}, %9s{run.TrainableParameters.ToString(string 'N' + string 0)} trained"
(**
```text
zero-shot        score 0.267,         0 trained
majority         score 0.220,         0 trained
full             score 0.740, 2,624,512 trained
paper-ia3        score 0.717,     9,216 trained
paper-lora       score 0.757,    36,864 trained
bitfit           score 0.700,    11,264 trained
prompt           score 0.320,    12,800 trained
```

The two baselines come first for a reason: zero-shot is what the base says untrained, the majority is what a program says that has seen the labels
and no text. A technique that does not beat them has learnt nothing, however good its number looks.

Is the best better than the next? Both answered the same 300 test rows, so they can be compared row by row (McNemar's test):
*)
let byName name =
    runs |> List.find (fun run -> Method.name run.Experiment.Method = name)

let answers (run: Run) =
    Predictions.read (Run.predictionsPath (folder "2-which-technique") run.Experiment)
    |> Array.map (fun answer -> answer.Score)

let best, next =
    match
        runs
        |> List.filter (fun run -> run.TrainableParameters > 0L)
        |> List.sortByDescending _.Score
    with
    | best :: next :: _ -> best, next
    | _ -> failwith "two techniques at least"

let p = RowTests.paired 10_000 1UL (answers best) (answers next)
printfn $"{Method.name best.Experiment.Method} against {Method.name next.Experiment.Method}: P = %.3f{p}"
(**
```text
paper-lora against full: P = 0.665
```

A P above 0.05 says that other test rows could have turned the order round. Then the cheaper technique of the two is the better answer. `peft choose`
does all of this for your own rows; [lesson 5](5-honest-comparison.html) tells how far such numbers carry.
*)
