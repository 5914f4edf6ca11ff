/// A shared folder at its worst, in virtual time: every answer takes its while, what is read may be old, and some calls fail,
/// before they did anything or after.
module Peft.Tests.FlakyFolder

open System
open System.Collections.Generic
open System.IO
open Peft
open Peft.Tests.VirtualTime

/// How bad it is.
type Flaws =
    {
        /// The longest call, seconds.
        Delay: float
        /// How old at most what is read may be, seconds.
        Staleness: float
        /// Share of calls that fail.
        Faults: float
    }

/// What the server has: of each file all texts, with the times since when.
[<Sealed>]
type Server() =
    let files = Dictionary<string, ResizeArray<float * string>>()

    /// The text of a file at a time; None before it was made.
    member _.At(path: string, time: float) : string option =
        match files.TryGetValue path with
        | true, texts -> texts |> Seq.tryFindBack (fun (since, _) -> since <= time) |> Option.map snd
        | false, _ -> None

    member _.Put(path: string, time: float, text: string) : unit =
        if not (files.ContainsKey path) then
            files[path] <- ResizeArray()

        files[path].Add(time, text)

    member _.Holds(path: string) : bool = files.ContainsKey path

/// The folder as one machine sees it. After `Die` nothing of it reaches the server any more.
[<Sealed>]
type Client(server: Server, time: VirtualTime, thread: int, flaws: Flaws, seed: int) =
    let random = Random(seed)
    let views = Dictionary<string, float>()
    let mutable isDead = false

    /// A call: it takes its time before and after what it does, and may fail on either side.
    let call (act: unit -> 'a) : 'a =
        let fault () =
            if isDead || random.NextDouble() < flaws.Faults / 2.0 then
                raise (IOException "the file system does not answer")

        time.Sleep(thread, random.NextDouble() * flaws.Delay / 2.0)
        fault ()
        let result = act ()
        time.Sleep(thread, random.NextDouble() * flaws.Delay / 2.0)
        fault ()
        result

    /// The moment whose state is read: never before what this machine has seen or written of the file already.
    let view (path: string) : float =
        let now = time.Now thread
        let old = now - flaws.Staleness * random.NextDouble()

        let seen =
            match views.TryGetValue path with
            | true, seen -> max seen old
            | false, _ -> old

        views[path] <- seen
        seen

    let put path text =
        let now = time.Now thread
        server.Put(path, now, text)
        views[path] <- now

    member _.Die() : unit = isDead <- true

    /// What is in a file, perhaps as it was; takes no time.
    member _.Glance(path: string) : string option = server.At(path, view path)

    member _.Put(path: string, text: string) : unit = call (fun () -> put path text)

    interface ILeaseFiles with
        member _.TryCreate path =
            call (fun () ->
                if server.Holds path then
                    None
                else
                    put path ""

                    Some
                        { new ILeaseFile with
                            member _.Write text = call (fun () -> put path text)
                            member _.Dispose() = ()
                        })

        member _.TryRead path =
            call (fun () -> server.At(path, view path))
