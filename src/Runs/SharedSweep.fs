namespace Peft

open System
open System.IO

/// An experiment of a sweep without a result yet. Its name, a hash, is asked for often.
[<NoComparison>]
type internal Piece =
    {
        Task: TaskDefinition
        Experiment: Experiment
        /// Its number in the sweep, from 1, and how many the sweep has.
        Number: int
        Count: int
        Name: string
    }

/// One sweep's experiments, shared with all other processes that sweep in the same results folder.
[<RequireQualifiedAccess>]
module internal SharedSweep =
    let private lockOf results name = Path.Combine(results, name + ".lock")

    /// Removes what is left over where a process ended between its result and its clean-up.
    let tidy (results: string) (experiment: Experiment) : unit =
        RunState.remove results experiment
        WorkClaims.clear (lockOf results (Experiment.name experiment))

    /// When a result file was written; none where there is none.
    let private written (results: string) (piece: Piece) : DateTime option =
        let file = Path.Combine(results, piece.Name + ".json")

        if File.Exists file then
            Some(File.GetLastWriteTimeUtc file)
        else
            None

    /// Tells whether a failed result came during this sweep, which began at `since`, perhaps in another process. A failure
    /// from before is tried again, also where its date lies in the future.
    let private isOfThisSweep (results: string) (since: DateTime) (pieces: Piece list) : Piece -> bool =
        let joined = DateTime.UtcNow

        let before =
            pieces |> List.map (fun piece -> piece.Name, written results piece) |> dict

        fun piece ->
            match written results piece with
            | None -> false
            | Some date -> before[piece.Name] <> Some date || (date >= since && date <= joined)

    /// The results of all pieces, in their order, whichever process made them. `perform` makes one, and tells what happens
    /// to the function that it is given.
    let each (shop: Workshop) (since: DateTime) (perform: Workshop -> Piece -> Run) (pieces: Piece list) : Run list =
        let isOfThisSweep = isOfThisSweep shop.Results since pieces

        let settled (piece: Piece) =
            RunRecord.tryRead shop.Results piece.Experiment
            |> Option.filter (fun run -> run.IsFinished || isOfThisSweep piece)

        let settledElsewhere (piece: Piece) =
            let run = settled piece

            run
            |> Option.iter (fun run -> shop.Tell(EndedElsewhere(run, piece.Number, piece.Count)))

            run

        let performLooking (turn: WorkTurn) (piece: Piece) =
            let tell event =
                shop.Tell event

                match event with
                | EpochEnded _ ->
                    // Another run's damaged file is not this run's failure: the next look between runs raises it again.
                    try
                        turn.Look()
                    with UserError _ ->
                        ()
                | _ -> ()

            perform
                { shop with
                    Tell = tell
                    Confirm = turn.Confirm
                    Seal = turn.Seal
                }
                piece

        pieces
        |> SharedWork.each
            shop.Stop
            WorkClaims.locks
            (fun piece -> lockOf shop.Results piece.Name)
            settledElsewhere
            _.IsFinished
            performLooking
            (Waiting >> shop.Tell)
