namespace Peft

/// What a trial came to.
[<NoComparison>]
type Standing =
    {
        Family: string
        Contender: Contender
        /// The lowest of its epochs' validation losses, in nats per token; infinity where it failed.
        Loss: float
        /// Of the task's metric, over the rows that it was tested on; nan where it failed.
        Score: float
        /// Wall-clock seconds of the run.
        Seconds: float
        /// Trained elements.
        Parameters: int64
        /// The largest resident memory of its process.
        MemoryMiB: float
        Run: Run
    }

[<RequireQualifiedAccess>]
module Standing =
    /// The family of a contender: the first that has its technique and place; its own words where none has.
    let familyOf (families: TechniqueFamily list) (contender: Contender) : string =
        families
        |> List.tryFind (fun family -> family.Variants |> List.contains (contender.Technique, contender.Placement))
        |> Option.map _.Name
        |> Option.defaultWith (fun () -> Contender.name contender)

    /// What a run says of its contender; none of a baseline.
    let ofRun (families: TechniqueFamily list) (run: Run) : Standing option =
        match run.Experiment.Method with
        | Tuned technique ->
            let contender: Contender =
                {
                    Technique = technique
                    Placement = run.Experiment.Placement
                    Peak = run.Experiment.Training.PeakRate
                }

            Some
                {
                    Family = familyOf families contender
                    Contender = contender
                    Loss =
                        if run.IsFinished && not run.Epochs.IsEmpty then
                            run.Epochs |> List.map _.ValidationLoss |> List.min
                        else
                            infinity
                    Score = run.Score
                    Seconds = run.Timing.Total
                    Parameters = run.TrainableParameters
                    MemoryMiB = run.PeakMemoryMiB
                    Run = run
                }
        | _ -> None

    /// By validation loss, the smaller technique first where it is the same.
    let ranked (standings: Standing list) : Standing list =
        standings
        |> List.sortBy (fun standing -> standing.Loss, standing.Parameters, Contender.name standing.Contender)

    /// The best `count` of each family, failures left out, family by family.
    let survivors (count: int) (standings: Standing list) : Standing list =
        standings
        |> List.filter (fun standing -> standing.Loss < infinity)
        |> List.groupBy _.Family
        |> List.collect (snd >> ranked >> List.truncate count)

    /// The best of each family, the best family first.
    let leaders (standings: Standing list) : Standing list = standings |> survivors 1 |> ranked
