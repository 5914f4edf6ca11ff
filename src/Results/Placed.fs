namespace Peft

/// A run and where its technique sits, in words: a row of Table 2. `Placed.ofRuns` makes them.
[<NoComparison>]
type Placed = { Placement: string; Run: Run }

[<RequireQualifiedAccess>]
module Placed =
    /// The words for a technique on all of its own sites.
    let allLayers = "all layers"

    /// Runs with the places that their experiments name, in the paper's words where it has them.
    let ofRuns (runs: Run list) : Placed list =
        // A random half is drawn from the run's seed, so that seeds average over draws.
        let words (experiment: Experiment) =
            Placement.presets experiment.Seed
            |> List.tryFind (snd >> (=) experiment.Placement)
            |> Option.map fst
            |> Option.defaultWith (fun () -> Placement.text experiment.Placement)

        runs
        |> List.map (fun run ->
            {
                Placement = words run.Experiment
                Run = run
            })
