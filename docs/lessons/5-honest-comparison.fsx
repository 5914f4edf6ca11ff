(**
---
title: 5. Reading a comparison honestly
category: Lessons
categoryindex: 2
index: 5
---
# Reading a comparison honestly

A table says 0.74 and 0.72. Is the first technique better? Three things stand between a difference and a finding: the test rows, the seeds, and how
often one has looked. Three techniques with three seeds: four minutes on one core.
*)
(*** hide ***)
#load "../../scripts/lesson.fsx"

open Peft
open Lesson

let runs =
    { plan (List.map tuned [ "paper-lora"; "paper-ia3"; "bitfit" ]) with
        Seeds = [ 1; 2; 3 ]
    }
    |> run "5-honest-comparison"

let methods = runs |> List.groupBy (fun run -> Method.name run.Experiment.Method)

(**
## Seeds

A seed draws the training rows, the start of the adapter, and dropout. Here is each technique with each:
*)
for name, own in methods do
    let scores = own |> List.map (fun run -> $"%5.3f{run.Score}") |> String.concat "  "
    printfn $"%-11s{name} {scores}"
(**
```text
paper-lora  0.757  0.800  0.837
paper-ia3   0.717  0.653  0.630
bitfit      0.700  0.670  0.700
```

The spread within a line is what one sees of the same technique by chance. It is called the noise floor, and two single runs must differ by more than it tells to
be told apart:
*)
for floor in NoiseFloor.ofRuns runs do
    printfn $"a rerun deviates by %5.3f{floor.Deviation}; two single runs must differ by %5.3f{floor.Detectable}"
(**
```text
a rerun deviates by 0.036; two single runs must differ by 0.125
```

## Rows

The same answers to the same rows, as often right as another 300 rows would let them be. The 95 % intervals, over rows and seeds together:
*)
let answers (run: Run) =
    Predictions.read (Run.predictionsPath (folder "5-honest-comparison") run.Experiment)
    |> Array.map _.Score

for name, own in methods do
    let scores = own |> List.map answers |> Array.ofList
    let interval = Crossed.interval 0.95 scores
    printfn $"%-11s{name} %5.3f{Crossed.seedMean scores}, between %5.3f{interval.Low} and %5.3f{interval.High}"
(**
```text
paper-lora  0.798, between 0.684 and 0.878
paper-ia3   0.667, between 0.551 and 0.765
bitfit      0.690, between 0.644 and 0.733
```

Intervals that overlap may still differ: what counts is the interval of the *difference*, row by row, since hard rows are hard for both.
*)
let scoresOf name =
    methods
    |> List.find (fst >> (=) name)
    |> snd
    |> List.map answers
    |> Array.ofList

let pairs =
    [ "paper-lora", "paper-ia3"; "paper-lora", "bitfit"; "paper-ia3", "bitfit" ]

let tests =
    pairs
    |> List.map (fun (one, other) -> Crossed.difference 0.95 (scoresOf one) (scoresOf other))

for (one, other), test in List.zip pairs tests do
    printfn
        $"%-10s{one} - %-9s{other} %6.3f{test.Difference}, between %6.3f{test.Interval.Low} and %6.3f{test.Interval.High}, P %5.3f{test.P}"
(**
```text
paper-lora - paper-ia3  0.131, between -0.078 and  0.340, P 0.114
paper-lora - bitfit     0.108, between -0.001 and  0.216, P 0.051
paper-ia3  - bitfit    -0.023, between -0.130 and  0.083, P 0.509
```

## Looks

Three comparisons are three chances to be fooled. Holm's correction makes up for it:
*)
let corrected = tests |> List.map _.P |> Array.ofList |> Statistics.holm

for (one, other), p in Seq.zip pairs corrected do
    let verdict = if p < 0.05 then "differ" else "are tied"
    printfn $"{one} and {other} {verdict} (P %5.3f{p} of three)"
(**
```text
paper-lora and paper-ia3 are tied (P 0.228 of three)
paper-lora and bitfit are tied (P 0.152 of three)
paper-ia3 and bitfit are tied (P 0.509 of three)
```

The other direction fools as well: "tied" does not mean equal. It means that this many rows and seeds cannot tell. Where it matters, more test rows
help against the first interval, more seeds against the noise floor.
*)
