module Peft.Tests.SharedWorkTests

open System
open System.Collections.Concurrent
open System.IO
open System.Threading
open System.Threading.Tasks
open Expecto
open Peft
open Peft.Tests.Support

/// A worker over pieces that are numbers; a piece's result is a file with its square.
let private work (folder: string) (stop: CancellationToken) (done': int -> unit) waiting (pieces: int list) =
    let path piece extension =
        Path.Combine(folder, $"{piece}{extension}")

    let settled piece =
        if File.Exists(path piece ".result") then
            Some(int (File.ReadAllText(path piece ".result")))
        else
            None

    let perform (turn: WorkTurn) piece =
        done' piece
        turn.Look()
        Thread.Sleep 1
        Files.writeAtomically (path piece ".result") (string (piece * piece))
        piece * piece

    SharedWork.each
        stop
        WorkClaims.locks
        (fun piece -> path piece ".lock")
        settled
        (fun _ -> true)
        perform
        waiting
        pieces

let private probe =
    testCase "an ordinary folder keeps locks, and the probe leaves nothing behind"
    <| fun () ->
        inTemporaryFolder (fun folder ->
            Expect.isTrue (SharedWork.keepsLocks folder) "locks"
            Expect.isEmpty (Directory.GetFiles folder) "nothing")

let private untidied =
    testCase "the lock file of a piece that may be tried again stays"
    <| fun () ->
        inTemporaryFolder (fun folder ->
            let path (piece: int) = Path.Combine(folder, $"{piece}.lock")

            SharedWork.each
                System.Threading.CancellationToken.None
                WorkClaims.locks
                path
                (fun _ -> None)
                (fun result -> result > 0)
                (fun _ piece -> piece - 1)
                ignore
                [ 1; 2 ]
            |> ignore

            Expect.isTrue (File.Exists(path 1)) "not final"
            Expect.isFalse (File.Exists(path 2)) "final")

let private together =
    testCase "four workers on one folder do every piece once, and each has all results in order"
    <| fun () ->
        inTemporaryFolder (fun folder ->
            let pieces = [ 1..60 ]
            let performed = ConcurrentQueue()

            let start _ =
                Task.Factory.StartNew(
                    (fun () -> work folder CancellationToken.None performed.Enqueue ignore pieces),
                    TaskCreationOptions.LongRunning
                )

            for worker in [| 1..4 |] |> Array.map start do
                Expect.equal worker.Result (pieces |> List.map (fun piece -> piece * piece)) "all, in order"

            Expect.equal (performed |> Seq.sort |> List.ofSeq) pieces "each once"
            Expect.isEmpty (Directory.GetFiles(folder, "*.lock")) "no lock file is left")

let private locks =
    testList
        "locks"
        [
            testCase "a held lock is refused, also within the process; afterwards it is free"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "a.lock")

                    match FileLock.tryTake path with
                    | None -> failtest "nobody holds it"
                    | Some held ->
                        Expect.isNone (FileLock.tryTake path) "held"
                        held.Dispose()

                    Expect.isTrue (File.Exists path) "the file stays, as after a kill"
                    let again = FileLock.tryTake path
                    Expect.isSome again "a file that nobody holds is no hindrance"
                    again |> Option.iter _.Dispose())

            testCase "a lock that cannot be made is an error of one line, not one to wait for"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "absent", "a.lock")

                    Expect.stringContains
                        (userErrorOf (fun () -> FileLock.tryTake path |> ignore))
                        path
                        "the file is named")

            testCase "the lock file of a settled piece is cleared, unless it is held"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "a.lock")

                    do
                        use _ = FileLock.tryTake path |> Option.get
                        WorkClaims.clear path
                        Expect.isTrue (File.Exists path) "held: its holder will"

                    WorkClaims.clear path
                    Expect.isFalse (File.Exists path) "cleared")
        ]

let private waits =
    testList
        "waiting"
        [
            testCase "a piece that another holds is waited for, and taken over when that one goes away without a result"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let held = FileLock.tryTake (Path.Combine(folder, "2.lock")) |> Option.get
                    let performed, heard = ResizeArray(), ResizeArray()

                    let letGo left =
                        heard.Add(left, List.ofSeq performed)
                        held.Dispose()

                    let results = work folder CancellationToken.None performed.Add letGo [ 1; 2; 3 ]
                    Expect.equal (List.ofSeq heard) [ 1, [ 1; 3 ] ] "told once, when nothing else was left"
                    Expect.equal (List.ofSeq performed) [ 1; 3; 2 ] "the held one last"
                    Expect.equal results [ 1; 4; 9 ] "in order")

            testCase "a result that another makes while it is waited for is taken, not made again"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    use _ = FileLock.tryTake (Path.Combine(folder, "2.lock")) |> Option.get
                    let performed = ResizeArray()

                    let finish _ =
                        File.WriteAllText(Path.Combine(folder, "2.result"), "5")

                    Expect.equal
                        (work folder CancellationToken.None performed.Add finish [ 1; 2 ])
                        [ 1; 5 ]
                        "the other's result"

                    Expect.equal (List.ofSeq performed) [ 1 ] "only the own one")

            testCase "a stop ends the waiting"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    use _ = FileLock.tryTake (Path.Combine(folder, "1.lock")) |> Option.get
                    use source = new CancellationTokenSource()

                    Expect.throwsT<OperationCanceledException>
                        (fun () -> work folder source.Token ignore (fun _ -> source.Cancel()) [ 1 ] |> ignore)
                        "stopped")
        ]

[<Tests>]
let tests = testList "SharedWork" [ together; probe; untidied; locks; waits ]
