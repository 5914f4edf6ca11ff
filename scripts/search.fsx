// Searches the learning rates behind the `small` preset: every technique tries the same peaks on every embedded task, and
// the lowest validation loss wins; test rows play no part. All trials are recorded in results/search/trials/search.json.
//
//   dotnet fsi scripts/search.fsx                                 the paper's techniques, into results/search
//   dotnet fsi scripts/search.fsx results/search full vera        some techniques; finished runs are not repeated
#load "prelude.fsx"

open Peft

let results, techniques =
    Script.guarded (fun () ->
        match List.tail (List.ofArray fsi.CommandLineArgs) with
        | [] -> "results/search", Technique.paper
        | [ folder ] -> folder, Technique.paper
        | folder :: words -> folder, List.map Technique.parse words)

let standard = Search.standard (SessionOptions.embedded ())

let plan =
    { standard with
        Peaks = [ 1e-3; 3e-3; 1e-2; 3e-2; 1e-1; 3e-1 ]
        Sweep =
            { standard.Sweep with
                Methods = List.map Tuned techniques
                Levels = [ Low; Medium ]
            }
    }

let trials = Script.search results plan
printfn $"\nFor each task\n\n{Search.describe (Search.best trials)}"
printfn $"\nOver all tasks, as a preset would have it\n\n{Search.describe (Search.overall trials)}"
