(**
---
title: 4. Where to adapt
category: Lessons
categoryindex: 2
index: 4
---
# Where to adapt

LoRA stands on queries and values of every attention by default. It can stand elsewhere: in some blocks, in one stack, on other maps. Six places,
two minutes and a half on one core.
*)
(*** hide ***)
#load "../../scripts/lesson.fsx"

open Peft
open Lesson

(**
A placement is said in words, and counted before anything is trained:
*)
let places = [ "all"; "early"; "late"; "encoder"; "decoder"; "cross" ]

let technique = Technique.parse "lora(rank=8)"

for place in places do
    let count =
        Accounting.count (Model.shape session.Model) Convention.Paper technique (Placement.parse place)

    printfn $"%-8s{place} %2d{count.Sites} maps %7s{count.Trainable.ToString(string 'N' + string 0)} trained"
(**
```text
all      24 maps  49,152 trained
early    12 maps  24,576 trained
late     12 maps  24,576 trained
encoder   8 maps  16,384 trained
decoder  16 maps  32,768 trained
cross     8 maps  16,384 trained
```

`early` and `late` are the halves of each stack's blocks, `cross` is the attention from decoder to encoder. All of them are trained alike, for
ten epochs:
*)
let training =
    { plan [ Majority; Tuned technique ] with
        Placements = List.map Placement.parse places
    }
    |> atPeak 0.01

let runs =
    { training with
        Overrides =
            { training.Overrides with
                Patience = Some 10
            }
    }
    |> run "4-where-to-adapt"

show runs
(**
```text
majority                            0.220
lora(rank=8,alpha=8), low           0.730
lora(rank=8,alpha=8) at early, low  0.703
lora(rank=8,alpha=8) at late, low   0.593
lora(rank=8,alpha=8) at encoder, low  0.683
lora(rank=8,alpha=8) at decoder, low  0.610
lora(rank=8,alpha=8) at cross, low  0.550
```

One seed each: differences of a few hundredths are noise here ([lesson 5](5-honest-comparison.html)). What is larger can be read: the early halves alone, or the
encoder alone, come near to all blocks with half of the numbers or a third of them; the attention to the encoder alone does not.

A trap lies here. With the default, which stops after three epochs without a lower validation loss, the decoder's run ends after five epochs at a score of 0.27,
below the majority's neighbourhood: its loss had wavered, not settled. A number that looks like a finding may be a run that was cut short; look at
`run.Epochs` before you believe it.

Names of maps and patterns go too: `q,k,v,o`, `late & attention`, `blocks(0-1)`, `not(cross)`, `name(encoder.*.wo)`. `peft plan` tells what a
place costs in memory and time for a model of any size.
*)
