namespace Peft

open System
open System.IO
open System.Threading

/// What a process that does a piece is given beside it.
[<NoComparison; NoEquality>]
type internal WorkTurn =
    {
        /// Looks for results of others: call it now and then.
        Look: unit -> unit
        /// `WorkClaim.Confirm`.
        Confirm: unit -> unit
        /// `WorkClaim.Seal`.
        Seal: unit -> unit
    }

/// Work that several processes share through one folder: each piece is claimed by a file, and whoever has the claim does the
/// piece. Claims of processes that end, however they end, are taken over by others.
[<RequireQualifiedAccess>]
module internal SharedWork =
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
    /// `settled` tells a piece's result when there is one by now, `isFinal` whether no other sweep will try it again, `perform` makes it; where
    /// it raises `LeaseLost`, another process makes it. `waiting` hears how many pieces others hold when nothing else is left.
    /// Raises `OperationCanceledException` when stopped.
    let each
        (stop: CancellationToken)
        (claims: WorkClaims)
        (claimPath: 'piece -> string)
        (settled: 'piece -> 'result option)
        (isFinal: 'result -> bool)
        (perform: WorkTurn -> 'piece -> 'result)
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
                claims.Clear(claimPath pieces[place])

        let look () =
            for place in left () do
                if isSettled place then
                    tidy place

        /// Whether the piece was there to be claimed.
        let attempt place =
            stop.ThrowIfCancellationRequested()

            match claims.TryTake(claimPath pieces[place]) with
            | None -> false
            | Some claim ->
                try
                    try
                        // Its result may have come between the last look and the claim.
                        if not (isSettled place) then
                            let turn =
                                {
                                    Look = look
                                    Confirm = claim.Confirm
                                    Seal = claim.Seal
                                }

                            results[place] <- Some(perform turn pieces[place])
                    with LeaseLost _ ->
                        ()
                finally
                    claim.GiveBack()

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

                claims.Pause stop
                stop.ThrowIfCancellationRequested()
                work held.Length

        work 0
        results |> Array.choose id |> List.ofArray
