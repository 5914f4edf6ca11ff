namespace Peft

open System
open System.IO
open System.Threading

/// Work that several processes share through one folder: each piece has a lock file, and whoever holds that does the piece.
/// The system lets go of a lock when its process ends, however it ends, and others then take the piece over.
[<RequireQualifiedAccess>]
module internal SharedWork =
    /// How long a process with nothing to claim waits before it looks again.
    let private pause = TimeSpan.FromSeconds 0.5

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

    /// Whether a lock keeps others out here: on some network file systems every process gets all of them.
    let keepsLocks (folder: string) : bool =
        let path = Path.Combine(folder, $"probe-{Environment.ProcessId}.lock")

        let first = FileLock.tryTake path

        try
            // In the same process, too, a second lock is refused.
            match FileLock.tryTake path with
            | None -> true
            | Some second ->
                second.Dispose()
                false
        finally
            first |> Option.iter _.Dispose()
            File.Delete path

    /// The results of all pieces, in their order, whichever process made them.
    ///
    /// `settled` tells a piece's result when there is one by now, `isFinal` whether no other sweep will try it again, `perform` makes it, and is given a function that looks
    /// for results of others: call it now and then. `waiting` hears how many pieces others hold when nothing else is left.
    /// Raises `OperationCanceledException` when stopped.
    let each
        (stop: CancellationToken)
        (lockPath: 'piece -> string)
        (settled: 'piece -> 'result option)
        (isFinal: 'result -> bool)
        (perform: (unit -> unit) -> 'piece -> 'result)
        (waiting: int -> unit)
        (pieces: 'piece list)
        : 'result list =
        let pieces = Array.ofList pieces
        let results: 'result option[] = Array.replicate pieces.Length None

        let left () =
            [
                for place in 0 .. pieces.Length - 1 do
                    if results[place].IsNone then
                        place
            ]

        let isSettled place =
            results[place] <- settled pieces[place]
            results[place].IsSome

        let tidy place =
            if results[place] |> Option.exists isFinal then
                clear (lockPath pieces[place])

        let look () =
            for place in left () do
                if isSettled place then
                    tidy place

        /// Whether the piece was there to be claimed.
        let attempt place =
            stop.ThrowIfCancellationRequested()

            match FileLock.tryTake (lockPath pieces[place]) with
            | None -> false
            | Some held ->
                do
                    use _ = held

                    // Its result may have come between the last look and the lock.
                    if not (isSettled place) then
                        results[place] <- Some(perform look pieces[place])

                tidy place
                true

        let rec work (told: int) =
            look ()

            match left () with
            | [] -> ()
            | open' when open' |> List.exists attempt -> work 0
            | held ->
                if held.Length <> told then
                    waiting held.Length

                stop.WaitHandle.WaitOne pause |> ignore
                stop.ThrowIfCancellationRequested()
                work held.Length

        work 0
        results |> Array.choose id |> List.ofArray
