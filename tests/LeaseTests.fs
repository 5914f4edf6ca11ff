module Peft.Tests.LeaseTests

open System
open System.Collections.Generic
open System.IO
open System.Threading
open Expecto
open Peft
open Peft.Tests.FlakyFolder
open Peft.Tests.Support
open Peft.Tests.VirtualTime

let private life = TimeSpan.FromSeconds 120.0

let private holder (token: string) : LeaseHolder =
    {
        Token = token
        Node = "n1"
        Job = "7"
        Place = ""
        Process = ""
    }

let private dispose (lease: Lease) = (lease :> IDisposable).Dispose()

/// This machine's clock, moved by hand.
[<Sealed>]
type private Hand() =
    let mutable now = TimeSpan.Zero
    member _.Now = now

    member _.Pass(seconds: float) =
        now <- now + TimeSpan.FromSeconds seconds

    /// Another process of a folder, with a clock that shows something else.
    member hand.Office(name: string, skew: float) =
        let mutable count = 0

        let next () =
            count <- count + 1
            holder $"{name}-{count}"

        LeaseOffice(
            LeaseFolder.files,
            life,
            (fun () -> hand.Now + TimeSpan.FromSeconds skew),
            next,
            (fun holder -> holder.Token.StartsWith "dead")
        )

/// Two processes whose clocks differ by a day, and a run's path in a real folder.
let private between (test: Hand -> LeaseOffice -> LeaseOffice -> string -> unit) =
    inTemporaryFolder (fun folder ->
        let hand = Hand()
        test hand (hand.Office("a", 0.0)) (hand.Office("b", 86400.0)) (Path.Combine(folder, "run")))

let private isLost (call: unit -> unit) =
    try
        call ()
        false
    with LeaseLost _ ->
        true

let private laws =
    testList
        "two processes"
        [
            testCase "one has it; once that one gives it back unfinished, the other gets it at once"
            <| fun () ->
                between (fun _ a b path ->
                    let first = a.TryTake path
                    Expect.isNone (b.TryTake path) "held"
                    Option.iter dispose first
                    Expect.isSome (b.TryTake path) "given back")

            testCase "it is taken over only after a life without a sign, and the former holder writes nothing more"
            <| fun () ->
                between (fun hand a b path ->
                    let first = (a.TryTake path).Value

                    for _ in 1..10 do
                        hand.Pass 50.0
                        first.Beat()
                        Expect.isNone (b.TryTake path) "alive"

                    hand.Pass 119.0
                    Expect.isNone (b.TryTake path) "not yet"
                    hand.Pass 2.0
                    let second = (b.TryTake path).Value
                    Expect.isTrue (isLost first.Confirm) "noticed"
                    Expect.isTrue (isLost first.Seal) "not to be had back"
                    second.Seal()
                    Expect.isNone (a.TryTake path) "the second's")

            testCase "who was silent for half a life gives up, before anybody can have taken over"
            <| fun () ->
                between (fun hand a _ path ->
                    let first = (a.TryTake path).Value
                    hand.Pass 61.0
                    first.Beat()
                    Expect.isTrue (isLost first.Confirm) "too late")

            testCase "of a holder that was believed dead and the one that takes over, whoever is first has it alone"
            <| fun () ->
                between (fun hand a b path ->
                    let first = (a.TryTake path).Value
                    Expect.isNone (b.TryTake path) "seen"
                    // The clock of the holder stood still meanwhile, as after a suspension.
                    first.Seal()
                    hand.Pass 121.0
                    Expect.isNone (b.TryTake path) "another file than the one that was watched"
                    hand.Pass 121.0
                    Expect.isSome (b.TryTake path) "sealed, and silent for a life: it died before its result")

            testCase "a process that is known to have ended is not waited for"
            <| fun () ->
                between (fun hand _ b path ->
                    use _ = (hand.Office("dead", 0.0).TryTake path).Value
                    Expect.isSome (b.TryTake path) "at once")

            testCase "a file that its maker never wrote into is taken over like any other"
            <| fun () ->
                between (fun hand a _ path ->
                    File.WriteAllText(LeaseChain.file path 1, "")
                    Expect.isNone (a.TryTake path) "perhaps it is being written"
                    hand.Pass 121.0
                    Expect.isSome (a.TryTake path) "nobody's")

            testCase "the holder is told from the file, and nobody once it was given back"
            <| fun () ->
                between (fun _ a _ path ->
                    let lease = (a.TryTake path).Value
                    Expect.equal (LeaseFolder.holderOf path) (Some(holder "a-1")) "as it was written"
                    dispose lease
                    Expect.isNone (LeaseFolder.holderOf path) "free")
        ]

/// Raised in a worker that is killed; what it holds is not given back.
exception private Killed

/// What happened in a simulation.
type private Tally() =
    member val Kills = 0 with get, set
    member val Freezes = 0 with get, set
    member val Lost = 0 with get, set
    member val Begun = 0 with get, set
    /// Who wrote the result of each run.
    member val Writers = Dictionary<int, HashSet<string>>()

let private flaws =
    {
        Delay = 4.0
        Staleness = 60.0
        Faults = 0.02
    }

let private resultOf (piece: int) = string (piece * piece)

/// One life of a worker, to its end or until it is killed.
let private work (server: Server) (time: VirtualTime) (tally: Tally) (thread: int) (seed: int) (pieces: int list) =
    let random = Random(seed)
    let client = Client(server, time, thread, flaws, seed + 1)
    // Clocks that show another day, and go wrong by two in a hundred.
    let skew, pace = random.NextDouble() * 1e5, 0.98 + 0.04 * random.NextDouble()

    let clock () =
        TimeSpan.FromSeconds(skew + pace * time.Now thread)

    let mutable count = 0

    let next () =
        count <- count + 1
        holder $"{seed}-{count}"

    let office = LeaseOffice(client, life, clock, next, (fun _ -> false))

    let mutable beat = ignore

    let claims: WorkClaims =
        {
            TryTake =
                office.TryTake
                >> Option.map (fun lease ->
                    beat <- lease.Beat

                    {
                        Confirm = lease.Confirm
                        Seal = lease.Seal
                        GiveBack = fun () -> dispose lease
                    })
            Clear = ignore
            Pause = fun _ -> time.Sleep(thread, 6.0)
        }

    let result piece = $"{piece}.json"

    let settled piece =
        client.Glance(result piece) |> Option.map int

    let rec write piece =
        try
            client.Put(result piece, resultOf piece)
        with :? IOException ->
            write piece

    let perform (turn: WorkTurn) piece =
        tally.Begun <- tally.Begun + 1

        try
            for _ in 1 .. random.Next(2, 12) do
                time.Sleep(thread, 15.0)

                if random.NextDouble() < 0.004 then
                    tally.Kills <- tally.Kills + 1
                    client.Die()
                    raise Killed

                if random.NextDouble() < 0.004 then
                    tally.Freezes <- tally.Freezes + 1
                    time.Sleep(thread, random.NextDouble() * 600.0)

                beat ()

            turn.Confirm()
            turn.Seal()
            let writers = tally.Writers

            if not (writers.ContainsKey piece) then
                writers[piece] <- HashSet()

            writers[piece].Add $"{seed}" |> ignore
            write piece
            piece * piece
        with LeaseLost path ->
            tally.Lost <- tally.Lost + 1
            raise (LeaseLost path)

    SharedWork.each
        CancellationToken.None
        claims
        (fun piece -> $"{piece}")
        settled
        (fun _ -> true)
        perform
        ignore
        pieces

let private simulated =
    testCase "1,000 runs by 8 workers in a folder with delays, stale reads and faults: none is lost, none written twice"
    <| fun () ->
        let server, time, tally = Server(), VirtualTime 8, Tally()
        let pieces = [ 1..1000 ]
        let expected = pieces |> List.map (fun piece -> piece * piece)

        let rec live thread seed =
            try
                work server time tally thread seed pieces
            with Killed ->
                time.Sleep(thread, 30.0)
                live thread (seed + 100)

        time.Run(fun thread -> Expect.equal (live thread (thread + 1)) expected "all, in order")

        for piece in pieces do
            Expect.equal tally.Writers[piece].Count 1 $"run {piece} has one writer"

        Expect.isGreaterThan tally.Kills 10 "workers died"
        Expect.isGreaterThan tally.Freezes 10 "workers stood still"
        Expect.isGreaterThan tally.Lost 5 "leases were lost, and that was noticed"
        Expect.isLessThan tally.Begun 1200 "little was begun twice"

[<Tests>]
let tests = testList "Lease" [ laws; simulated ]
