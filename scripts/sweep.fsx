// Trains and compares the paper's techniques, and prints its Table 1. The recipe stands below; options change it:
//
//   dotnet fsi scripts/sweep.fsx                                     the recipe: embedded data and model, low level
//   dotnet fsi scripts/sweep.fsx --levels low,medium --seeds 1 2 3   more data, three seeds
//   dotnet fsi scripts/sweep.fsx --jobs 2                            two runs at once
//   dotnet fsi scripts/sweep.fsx --dry-run                           what would run, and how long about
//   dotnet fsi scripts/sweep.fsx --help                              every option
#load "prelude.fsx"

open Peft

// The data and the base: folders as Hugging Face publishes them. These two come with the repository.
let session =
    SessionOptions.create (Embedded.modelFolder ()) (Embedded.dataFolder ())

// The techniques: the paper's five. Every word of docs/techniques.md is one: Technique.parse "vera(rank=4)".
let techniques = Technique.paper

// The sweep: each technique, and the two baselines, on each task at each level for each seed.
let recipe (session: SessionOptions) =
    { SweepPlan.standard session with
        Methods = Method.baselines @ List.map Tuned techniques
        Levels = [ Low ]
        Seeds = [ 1 ]
    }

// One result file a run, in `results`; finished runs are skipped, interrupted ones go on. Without options, progress and
// several processes it is: recipe session |> Sweep.run (Workshop.quiet (Session session) "results")
let runs = recipe |> Script.sweep fsi.CommandLineArgs session

// Table 1: the mean score of each technique on each task, with what there is to note.
printfn $"\n{Tables.describe runs}"
Script.finish runs
