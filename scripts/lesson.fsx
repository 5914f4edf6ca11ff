// What every lesson starts from: the library, one thread (so that the digits are the same wherever the processor is of one kind),
// and a folder for results. A lesson that is run again finds its results and prints at once; to train anew remove the folder, or
// name another in PEFT_LESSONS.
#load "prelude.fsx"

open System
open System.IO
open Peft
open TorchSharp

torch.set_num_threads 1

/// The base model and the data that come with the repository.
let session = Session(SessionOptions.embedded ())

let private root =
    match Environment.GetEnvironmentVariable "PEFT_LESSONS" with
    | null
    | "" -> Path.Combine(Path.GetTempPath(), "peft-lessons")
    | folder -> folder

/// The folder of a lesson's results.
let folder (lesson: string) : string = Path.Combine(root, lesson)

/// Runs a plan into a lesson's folder; finished runs are read.
let run (lesson: string) (plan: SweepPlan) : Run list =
    Sweep.run (Workshop.quiet session (folder lesson)) plan

/// What the lessons have in common: one task, 300 test rows.
let plan (methods: Method list) : SweepPlan =
    { SweepPlan.standard session.Options with
        Tasks = [ TaskDefinition.topic ]
        Methods = methods
        TestLimit = 300
    }

/// The same with this peak learning rate for every technique, begun and ended at a tenth of it.
let atPeak (peak: float) (plan: SweepPlan) : SweepPlan =
    { plan with
        Overrides =
            { Overrides.None with
                Rates = Some(peak / 10.0, peak, peak / 10.0)
            }
    }

/// A technique by its words.
let tuned (words: string) : Method = Tuned(Technique.parse words)

/// Runs as lines of name and score.
let show (runs: Run list) : unit =
    for run in runs do
        let name = Experiment.rowName run.Experiment
        printfn $"%-34s{name} %6.3f{run.Score}"
