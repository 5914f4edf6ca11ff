(**
---
title: 1. A first adapter
category: Lessons
categoryindex: 2
index: 1
---
# A first adapter

A pretrained model has millions of numbers. An *adapter* leaves them as they are and trains a few thousand beside them. This lesson trains
one, keeps it, and uses it: half a minute on one core.
*)
(*** hide ***)
#load "../../scripts/lesson.fsx"

open System.IO
open Peft
open Lesson

(**
The base is a small T5 that comes with the repository, the task is to tell which of four topics a text has. One row:
*)
let split = session.Split(TaskDefinition.topic, Low, 1, 250, 300)
printfn $"{split.Train[0].Input}\n-> {split.Train[0].Target}"
(**
```text
What label best describes this text?
OPTIONS:
- sports
- weather
- cooking
- music

Leon Jackson makes the news. The warm spell that reached Elmfield in front of a small crowd has dried out the reservoirs.
-> weather
```

## Training

A *plan* says what is to be run. Here: the base as it is (`ZeroShot`), the answer that is most frequent in training (`Majority`), and LoRA of rank
8, each on the level `Low`: 100 training rows. The learning rate climbs to 0.01 and falls again; which rate is right depends on technique, base and
task, and `peft search` looks for it.
*)
let adapters = folder "1-first-adapter/adapters"

let shop =
    { Workshop.quiet session (folder "1-first-adapter") with
        Adapter = fun experiment -> Some(Path.Combine(adapters, Experiment.rowName experiment))
    }

let runs =
    plan [ ZeroShot; Majority; tuned "lora(rank=8)" ]
    |> atPeak 0.01
    |> Sweep.run shop

show runs
(**
```text
zero-shot                           0.267
majority                            0.220
lora(rank=8,alpha=8), low           0.730
```

The score is the share of 300 test rows that were answered with the right topic. What was trained, beside what there is:
*)
let lora = List.last runs

printfn
    $"{lora.TrainableParameters:n0} of {lora.TotalParameters:n0} numbers trained; best after epoch {lora.ConvergedEpoch}"
(**
```text
49,152 of 2,673,664 numbers trained; best after epoch 9
```

## Using it

The adapter is a folder of a few files beside the base. `TextModel` is the short way to answers, from C# too:
*)
let text =
    "Which topic is this text about?\nOPTIONS:\n- sports\n- weather\n- cooking\n- music\n\nThe goalkeeper trained in the rain before the match."

let answers =
    use model = TextModel.Load(Embedded.modelFolder ())

    use adapted =
        model.WithAdapter(Path.Combine(adapters, Experiment.rowName lora.Experiment))

    [ "base", model.Generate text; "adapter", adapted.Generate text ]

for who, answer in answers do
    printfn $"{who}: {answer}"
(**
```text
base: weather
adapter: sports
```

The same from the command line, with the adapter in Hugging Face's format:

```sh
peft train --task topic --technique "lora(rank=8)" --output my-adapter
peft generate --adapter my-adapter "Which topic …"
```
*)
