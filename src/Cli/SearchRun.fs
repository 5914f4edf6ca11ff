namespace Peft

open System

/// A search as the command line and scripts run it: its progress told, and stopped by Ctrl-C.
[<RequireQualifiedAccess>]
module SearchRun =
    /// All trials, or the exit code where it was stopped.
    let trials (results: string) (plan: SearchPlan) : Result<Trial list, int> =
        let session = Session(plan.Sweep.Session, Downloads.settings)
        let costs = Search.experiments session plan |> Sweep.costs session plan.Sweep

        try
            Progress.during costs (fun tell ->
                Search.run
                    { Workshop.quiet session results with
                        Tell = tell
                        Stop = Guard.stopOnCtrlC ()
                        Command = Guard.commandLine ()
                    }
                    plan)
            |> Ok
        with :? OperationCanceledException ->
            eprintfn $"Stopped. The same command goes on; finished trials are in {results}."
            Error Guard.interrupted
