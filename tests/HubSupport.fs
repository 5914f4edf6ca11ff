/// What the hub's tests share: a small repository, settings that wait for nothing, and what a user hears.
module Peft.Tests.HubSupport

open System
open System.Collections.Concurrent
open System.IO
open System.Text
open System.Threading
open Expecto
open Peft
open Peft.Tests.HubServer
open Peft.Tests.Support

/// The commit of the small repository.
let commit = String.replicate 4 "0123456789"

/// Bytes that no compression and no accident repeats.
let noise (seed: int) (count: int) : byte[] =
    let bytes = Array.zeroCreate<byte> count
    Random(seed).NextBytes bytes
    bytes

let weights = noise 1 300_000

let description = Encoding.UTF8.GetBytes "{\"model_type\": \"t5\"}"

/// What a model's repository holds, with files that nobody needs.
let small: Repository =
    {
        Id = "models/org/small"
        Commit = commit
        Files =
            [
                "config.json", description, false
                "model.safetensors", weights, true
                "pytorch_model.bin", noise 2 1000, true
                "spiece.model", noise 3 5000, true
                "README.md", noise 4 100, false
                "flax_model.msgpack", noise 5 1000, true
            ]
    }

/// The files of it that are fetched.
let needed = [ "config.json"; "model.safetensors"; "spiece.model" ]

/// What was waited and told.
[<NoComparison>]
type Heard =
    {
        Waits: ConcurrentQueue<TimeSpan>
        Lines: ConcurrentQueue<string>
        States: ConcurrentQueue<DownloadState>
    }

/// Settings for a loopback hub, with what is heard.
let settingsFor (address: string) (cache: string) : HubSettings * Heard =
    let heard =
        {
            Waits = ConcurrentQueue()
            Lines = ConcurrentQueue()
            States = ConcurrentQueue()
        }

    {
        Endpoint = address
        Cache = cache
        Token = None
        IsOffline = false
        UsesLinks = true
        Timeout = TimeSpan.FromSeconds 5.0
        Tries = 5
        AtOnce = 2
        Pause =
            fun time ->
                heard.Waits.Enqueue time
                // Who waits for a lock looks again soon.
                Thread.Sleep 5
        Room = fun _ -> Int64.MaxValue
        Show = heard.States.Enqueue
        Tell = heard.Lines.Enqueue
    },
    heard

/// The seconds that were waited between tries.
let waits (heard: Heard) : float list =
    heard.Waits |> Seq.map _.TotalSeconds |> List.ofSeq

/// A hub that answers as `change` makes of the honest answers, a second host for large files, and an empty cache.
let withHub
    (repository: Repository)
    (change: (Request -> Reply) -> Request -> Reply)
    (changeCdn: (Request -> Reply) -> Request -> Reply)
    (body: HubServer -> HubServer -> string -> unit)
    : unit =
    let honestCdn (request: Request) =
        let name = Uri.UnescapeDataString(request.Path.Substring 1)

        match repository.Files |> List.tryFind (fun (file, _, _) -> file = name) with
        | Some(_, bytes, _) -> content request bytes
        | None -> nothing 404 []

    inTemporaryFolder (fun folder ->
        use cdn = new HubServer(changeCdn honestCdn)
        use hub = new HubServer(change (honest cdn.Address [ repository ]))
        body hub cdn (Path.Combine(folder, "cache")))

/// Leaves honest answers as they are.
let honestly (answer: Request -> Reply) : Request -> Reply = answer

/// Answers the first `count` requests that `isMeant` with `bad`, and all others honestly.
let firstTimes (count: int) (isMeant: Request -> bool) (bad: Request -> Reply -> Reply) =
    let left = ref count

    fun (answer: Request -> Reply) (request: Request) ->
        let honest = answer request

        if isMeant request && Interlocked.Decrement left >= 0 then
            bad request honest
        else
            honest

/// Answers every request that `isMeant` with `bad`.
let always (isMeant: Request -> bool) (bad: Request -> Reply -> Reply) = firstTimes Int32.MaxValue isMeant bad

let isGet (ending: string) (request: Request) =
    request.Method = "GET" && request.Path.EndsWith ending

let isHead (ending: string) (request: Request) =
    request.Method = "HEAD" && request.Path.EndsWith ending

let isListing (request: Request) = request.Path.StartsWith "/api/"

/// Every file below a folder that is no link, with its path.
let filesBelow (folder: string) : string list =
    if Directory.Exists folder then
        Directory.GetFiles(folder, "*", SearchOption.AllDirectories)
        |> Array.map (fun path -> Path.GetRelativePath(folder, path).Replace('\\', '/'))
        |> Array.sort
        |> List.ofArray
    else
        []

/// That the cache holds nothing that could be taken for a content.
let holdsNoBlob (cache: string) (content: byte[]) (isLarge: bool) : unit =
    let blob =
        Path.Combine(cache, "models--org--small", "blobs", etagOf content isLarge)

    Expect.isFalse (File.Exists blob) "a wrong content is no blob"

/// The one line that fetching the small repository ends with.
let failure (settings: HubSettings) : string =
    userErrorOf (fun () -> Hub.model (fun () -> settings) "org/small" |> ignore)
