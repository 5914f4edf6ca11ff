/// Who may read what: redirects and tokens, refusals, overload, and processes side by side.
module Peft.Tests.HubAccessTests

open System
open System.IO
open System.Threading.Tasks
open Expecto
open Peft
open Peft.Tests.HubServer
open Peft.Tests.HubSupport
open Peft.Tests.Support

let private file = "model.safetensors"

let private fetch (settings: HubSettings) : string =
    Hub.model (fun () -> settings) "org/small"

let private isComplete (found: string) =
    Expect.equal (File.ReadAllBytes(Path.Combine(found, file))) weights "the content"

let private redirects =
    testList
        "redirects"
        [
            testCase "a token goes to the hub, and to no other host"
            <| fun () ->
                withHub small honestly honestly (fun hub cdn cache ->
                    let settings, _ = settingsFor hub.Address cache

                    fetch
                        { settings with
                            Token = Some "hf_secret"
                        }
                    |> isComplete

                    let tokens (server: HubServer) =
                        server.Requests |> List.map _.Header("authorization") |> List.distinct

                    Expect.equal (tokens hub) [ "Bearer hf_secret" ] "the hub"
                    Expect.equal (tokens cdn) [ "" ] "the other host")

            testCase "a renamed repository is followed by its relative address"
            <| fun () ->
                let renamed (answer: Request -> Reply) (request: Request) =
                    if request.Path.Contains "org/former" then
                        nothing 307 [ "Location", request.Path.Replace("org/former", "org/small") ]
                    else
                        answer request

                withHub small renamed honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let found = Hub.model (fun () -> settings) "org/former"
                    isComplete found
                    Expect.isTrue (found.Contains "models--org--former") "under the name that was given")

            testCase "a circle, an address that is none, and a file's address are refused"
            <| fun () ->
                for target, word in
                    [
                        "", "no answer"
                        "file:///etc/passwd", "address"
                        "ftp://127.0.0.1/x", "address"
                        "http://[", "address"
                    ] do
                    let change =
                        always isListing (fun request _ ->
                            nothing 302 [ "Location", (if target = "" then request.Path else target) ])

                    withHub small change honestly (fun hub _ cache ->
                        let settings, _ = settingsFor hub.Address cache
                        let message = failure settings
                        Expect.stringContains message (if target = "" then "circle" else word) target)

            testCase "an address of the other host that has grown old is asked for anew"
            <| fun () ->
                withHub small honestly (firstTimes 2 (isGet file) (fun _ _ -> nothing 403 [])) (fun hub cdn cache ->
                    let settings, _ = settingsFor hub.Address cache
                    fetch settings |> isComplete
                    Expect.equal (cdn.Count("GET", file)) 3 "three tries"
                    Expect.equal (hub.Count("HEAD", file)) 3 "each with an address of its own")
        ]

/// The line that a hub which always answers so ends in, and how long was waited.
let private answering (reply: Reply) (token: string option) : string * float list =
    let mutable result = "", []

    withHub small (always (fun _ -> true) (fun _ _ -> reply)) honestly (fun hub _ cache ->
        let settings, heard = settingsFor hub.Address cache
        result <- failure { settings with Token = token }, waits heard)

    result

let private refusals =
    testList
        "refusals"
        [
            testCase "each refusal is one line that says what to do, and is not asked again"
            <| fun () ->
                for status, code, token, words in
                    [
                        401, "", None, [ "org/small"; "set HF_TOKEN" ]
                        401, "", Some "hf_x", [ "org/small"; "may not read it" ]
                        401, "RepoNotFound", None, [ "no folder here"; "set HF_TOKEN" ]
                        403, "GatedRepo", None, [ "gated"; "ask for access"; "set HF_TOKEN" ]
                        403, "GatedRepo", Some "hf_x", [ "gated"; "may not read it" ]
                        403, "", None, [ "403"; "HF_TOKEN" ]
                        404, "RepoNotFound", None, [ "org/small"; "no folder here"; "check the name" ]
                        404, "", None, [ "org/small"; "no folder here" ]
                        404, "RevisionNotFound", None, [ "no version 'main'"; "branches and tags" ]
                        418, "", None, [ "status 418" ]
                    ] do
                    let headers = if code = "" then [] else [ "X-Error-Code", code ]
                    let message, waited = answering (nothing status headers) token

                    for word in words do
                        Expect.stringContains message word $"{status} {code}"

                    Expect.isEmpty waited $"{status} {code} will not pass"

            testCase "a file that a listing has and the hub has not is named"
            <| fun () ->
                let gone =
                    always (isHead file) (fun _ _ -> nothing 404 [ "X-Error-Code", "EntryNotFound" ])

                withHub small gone honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    Expect.stringContains (failure settings) file "the file")

            testCase "nobody at the address is told, with what to look at"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let address = using (new HubServer(fun _ -> nothing 200 [])) _.Address
                    let settings, heard = settingsFor address (Path.Combine(folder, "cache"))
                    let message = failure settings

                    for word in [ address; "cannot be reached"; "HF_ENDPOINT" ] do
                        Expect.stringContains message word "the line"

                    Expect.equal (waits heard) [ 1.0 ] "asked twice")
        ]

let private overload =
    testList
        "overload"
        [
            testCase "408, 429 and 5xx are asked again, one to eight seconds apart, and told after five tries"
            <| fun () ->
                for status in [ 408; 429; 500; 502; 503; 504 ] do
                    let message, waited = answering (nothing status []) None
                    Expect.equal waited [ 1.0; 2.0; 4.0; 8.0 ] $"{status}"
                    Expect.stringContains message (string status) "the status"

            testCase "and pass: listing, head and content"
            <| fun () ->
                let busy _ _ = nothing 503 []

                withHub
                    small
                    (firstTimes 2 isListing busy >> firstTimes 2 (isHead file) busy)
                    (firstTimes 2 (isGet file) busy)
                    (fun hub _ cache ->
                        let settings, _ = settingsFor hub.Address cache
                        fetch settings |> isComplete)

            testCase "a hub that says how long is waited for so long, and not for an hour"
            <| fun () ->
                for headers, wait in
                    [
                        [ "Retry-After", "30" ], 31.0
                        [ "RateLimit", "\"api\";r=0;t=12" ], 13.0
                        [ "Retry-After", "0" ], 1.0
                        [ "Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT" ], 1.0
                    ] do
                    withHub small (firstTimes 1 isListing (fun _ _ -> nothing 429 headers)) honestly (fun hub _ cache ->
                        let settings, heard = settingsFor hub.Address cache
                        fetch settings |> isComplete
                        Expect.equal (waits heard) [ wait ] $"{headers}")

                let message, waited = answering (nothing 429 [ "Retry-After", "3600" ]) None
                Expect.isEmpty waited "nobody waits for an hour"
                Expect.stringContains message "3601 s" "but hears of it"

            testCase "a copy that is there serves while the hub is out of order or lets nobody in, and that is told"
            <| fun () ->
                for status in [ 401; 403; 503 ] do
                    let isDown = ref false

                    let change answer request =
                        if isDown.Value then nothing status [] else answer request

                    withHub small change honestly (fun hub _ cache ->
                        let settings, heard = settingsFor hub.Address cache
                        let found = fetch settings
                        isDown.Value <- true
                        Expect.equal (fetch settings) found "the copy"
                        Expect.isEmpty (waits heard) "nobody waits"
                        Expect.stringContains (Seq.exactlyOne heard.Lines) "The copy in the cache serves" "one line")

            testCase "a version that the hub says is none is none, copy or not"
            <| fun () ->
                let isGone = ref false

                let change answer request =
                    if isGone.Value then
                        nothing 404 [ "X-Error-Code", "RevisionNotFound" ]
                    else
                        answer request

                withHub small change honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    fetch settings |> ignore
                    isGone.Value <- true
                    Expect.stringContains (failure settings) "no version" "the line")
        ]

let private together =
    testList
        "together"
        [
            testCase "several at once fetch each content once, and all have it"
            <| fun () ->
                let slow =
                    always (isGet file) (fun _ honest ->
                        { honest with
                            Delay = TimeSpan.FromSeconds 0.3
                        })

                withHub small honestly slow (fun hub cdn cache ->
                    let settings, heard = settingsFor hub.Address cache
                    let tasks = [| for _ in 1..4 -> Task.Run(fun () -> fetch settings) |]

                    for task in tasks do
                        isComplete task.Result

                    Expect.equal (cdn.Count("GET", file)) 1 "one fetched it"

                    Expect.isTrue
                        (heard.Lines |> Seq.exists _.Contains("another process"))
                        "the others heard why they wait")

            testCase "the lock is where Python's client has it, and a left one is no hindrance"
            <| fun () ->
                withHub small honestly honestly (fun hub _ cache ->
                    let locks = Path.Combine(cache, ".locks", "models--org--small")
                    Directory.CreateDirectory locks |> ignore
                    let path = Path.Combine(locks, etagOf weights true + ".lock")
                    let held = FileLock.tryTake path |> Option.get
                    let settings, _ = settingsFor hub.Address cache
                    let waiting = Task.Run(fun () -> fetch settings)
                    Expect.isFalse (waiting.Wait 500) "it waits for the lock"
                    held.Dispose()
                    isComplete waiting.Result)

            testCase "how far it is: files, bytes, rate and time left"
            <| fun () ->
                withHub small honestly honestly (fun hub _ cache ->
                    let settings, heard = settingsFor hub.Address cache
                    fetch settings |> ignore
                    let last = Seq.last heard.States
                    Expect.equal (last.Files, last.FilesDone) (3, 3) "files"
                    Expect.equal (last.Bytes, last.TotalBytes) (last.TotalBytes, 305_020L) "bytes")

                let state =
                    {
                        Name = "google/flan-t5-base"
                        FilesDone = 3
                        Files = 5
                        Bytes = 412L <<< 20
                        TotalBytes = 944L <<< 20
                        Received = 123L <<< 20
                        Seconds = 10.0
                    }

                Expect.equal
                    (Downloads.line state)
                    "google/flan-t5-base: 3 of 5 files, 412.0 MiB of 944.0 MiB, 12.3 MiB/s, about 43 s left"
                    "in words"

                Expect.equal
                    (Downloads.line
                        { state with
                            Received = 0L
                            Files = 1
                            FilesDone = 0
                        })
                    "google/flan-t5-base: 0 of 1 file, 412.0 MiB of 944.0 MiB"
                    "before anything has arrived"
        ]

[<Tests>]
let tests = testList "Hub access" [ redirects; refusals; overload; together ]
