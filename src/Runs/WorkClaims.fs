namespace Peft

open System
open System.IO
open System.Threading

/// A piece of shared work that is this process's.
[<NoComparison; NoEquality>]
type internal WorkClaim =
    {
        /// Raises `LeaseLost` where the piece is another's by now: to be called before anything is written.
        Confirm: unit -> unit
        /// Makes sure that nobody else writes the piece's result, or raises `LeaseLost`: to be called before it is written.
        Seal: unit -> unit
        GiveBack: unit -> unit
    }

/// How pieces of shared work are claimed, by paths that belong to them.
[<NoComparison; NoEquality>]
type internal WorkClaims =
    {
        /// None where another process has the piece.
        TryTake: string -> WorkClaim option
        /// Removes what a claim of a piece left over that nobody will try again.
        Clear: string -> unit
        /// Lets time pass before another look, where others have all that is left; ends early when stopped.
        Pause: CancellationToken -> unit
    }

[<RequireQualifiedAccess>]
module internal WorkClaims =
    let private wait (span: TimeSpan) (stop: CancellationToken) = stop.WaitHandle.WaitOne span |> ignore

    /// Removes the lock file of a piece that nobody will try again, unless another process holds it: that one removes it. Of
    /// others no lock file may go: one process might claim the old file, and another a new one of that name.
    let clear (path: string) : unit =
        try
            if File.Exists path then
                match FileLock.tryTake path with
                | Some held ->
                    held.Dispose()
                    File.Delete path
                | None -> ()
        with
        | UserError _
        | :? IOException
        | :? UnauthorizedAccessException -> ()

    /// Claims by locks of the system, for processes of one machine: it lets go of a lock when its process ends.
    let locks: WorkClaims =
        {
            TryTake =
                FileLock.tryTake
                >> Option.map (fun held ->
                    {
                        Confirm = ignore
                        Seal = ignore
                        GiveBack = held.Dispose
                    })
            Clear = clear
            Pause = wait (TimeSpan.FromSeconds 0.5)
        }

    /// Claims by leases, for processes of several machines that share a folder: nothing but exclusive creation is asked of
    /// its file system. Many machines look less often than the processes of one.
    let leases (life: TimeSpan) : WorkClaims =
        let office = LeaseFolder.office life

        {
            TryTake =
                office.TryTake
                >> Option.map (fun lease ->
                    let kept = LeaseFolder.keep life lease

                    {
                        Confirm = lease.Confirm
                        Seal = lease.Seal
                        GiveBack = kept.Dispose
                    })
            // See `LeaseChain`.
            Clear = ignore
            Pause = wait (life / 20.0)
        }
