/// A hub that misbehaves: cuts, wrong sizes and hashes, redirects, refusals, overload and tricks with paths.
module Peft.Tests.HubFaultTests

open System
open System.IO
open System.Text
open Expecto
open Peft
open Peft.Tests.HubServer
open Peft.Tests.HubSupport
open Peft.Tests.Support

let private file = "model.safetensors"

let private fetch (settings: HubSettings) : string =
    Hub.model (fun () -> settings) "org/small"

/// That the small repository is fetched in spite of a fault, and its weights are right.
let private survives change changeCdn (check: HubServer -> HubServer -> Heard -> unit) =
    withHub small change changeCdn (fun hub cdn cache ->
        let settings, heard = settingsFor hub.Address cache
        let found = fetch settings
        Expect.equal (File.ReadAllBytes(Path.Combine(found, file))) weights "the content"
        check hub cdn heard)

/// That fetching ends in one line with these words, and that no wrong content is a blob.
let private refuses change changeCdn (words: string list) (check: HubServer -> Heard -> string -> unit) =
    withHub small change changeCdn (fun hub _ cache ->
        let settings, heard = settingsFor hub.Address cache
        let message = failure settings

        for word in words do
            Expect.stringContains message word "the line says it"

        holdsNoBlob cache weights true
        check hub heard cache)

let private noCheck _ _ _ = ()

let private cut (bytes: int) (_: Request) (honest: Reply) = { honest with CutAfter = Some bytes }

let private ranges (cdn: HubServer) =
    cdn.Requests
    |> List.filter (isGet file)
    |> List.map (fun request -> request.Header "range")

let private cuts =
    testList
        "cuts"
        [
            testCase "a cut connection goes on where it was cut"
            <| fun () ->
                survives honestly (firstTimes 1 (isGet file) (cut 100_000)) (fun _ cdn heard ->
                    Expect.equal (ranges cdn) [ ""; "bytes=100000-" ] "the rest alone"
                    Expect.equal (waits heard) [ 1.0 ] "after a second")

            testCase "every cut that brought something gives a new count of tries"
            <| fun () ->
                survives honestly (firstTimes 9 (isGet file) (cut 30_000)) (fun _ cdn heard ->
                    Expect.equal (ranges cdn).Length 10 "ten tries"
                    Expect.allEqual (waits heard) 1.0 "a second each")

            testCase "cuts that bring nothing end after five tries, one, two, four and eight seconds apart"
            <| fun () ->
                refuses honestly (always (isGet file) (cut 0)) [ file; "again and again" ] (fun _ heard _ ->
                    Expect.equal (waits heard) [ 1.0; 2.0; 4.0; 8.0 ] "the waits")

            testCase "what one process left, another goes on with"
            <| fun () ->
                let isBroken = ref true

                let breaking answer request =
                    let honest = answer request

                    if isBroken.Value && isGet file request then
                        if request.Header "range" = "" then
                            { honest with CutAfter = Some 120_000 }
                        else
                            { honest with CutAfter = Some 0 }
                    else
                        honest

                withHub small honestly breaking (fun hub cdn cache ->
                    let settings, _ = settingsFor hub.Address cache
                    failure settings |> ignore
                    isBroken.Value <- false
                    let before = cdn.Requests.Length
                    let found = fetch settings
                    Expect.equal (File.ReadAllBytes(Path.Combine(found, file))) weights "the content"
                    let later = cdn.Requests |> List.skip before |> List.filter (isGet file)
                    Expect.equal (later |> List.map _.Header("range")) [ "bytes=120000-" ] "the rest alone"

                    Expect.isEmpty
                        (Directory.GetFiles(cache, "*.incomplete", SearchOption.AllDirectories))
                        "nothing is left")

            testCase "a server that gives the whole instead of the rest is heard from the beginning"
            <| fun () ->
                let whole (answer: Request -> Reply) (request: Request) =
                    answer
                        { request with
                            Headers = Map.remove "range" request.Headers
                        }

                survives honestly (fun answer -> firstTimes 1 (isGet file) (cut 50_000) (whole answer)) (fun _ cdn _ ->
                    Expect.equal (ranges cdn) [ ""; "bytes=50000-" ] "it was asked for the rest")

            testCase "a wrong range, and a range that is refused, begin anew"
            <| fun () ->
                let wrong (request: Request) (honest: Reply) =
                    if request.Header "range" = "" then
                        { honest with CutAfter = Some 50_000 }
                    else
                        { honest with
                            Headers = [ "Content-Range", "bytes 7-99999/300000" ]
                        }

                survives honestly (firstTimes 2 (isGet file) wrong) (fun _ cdn _ ->
                    Expect.equal (ranges cdn) [ ""; "bytes=50000-"; "" ] "from the beginning")

                let refused (request: Request) (honest: Reply) =
                    if request.Header "range" = "" then
                        { honest with CutAfter = Some 50_000 }
                    else
                        nothing 416 []

                survives honestly (firstTimes 2 (isGet file) refused) (fun _ cdn _ ->
                    Expect.equal (ranges cdn) [ ""; "bytes=50000-"; "" ] "from the beginning")

            testCase "a silent server is not waited for longer than the settings say"
            <| fun () ->
                withHub
                    small
                    honestly
                    (firstTimes 1 (isGet file) (fun _ honest ->
                        { honest with
                            Delay = TimeSpan.FromSeconds 20.0
                        }))
                    (fun hub _ cache ->
                        let settings, _ = settingsFor hub.Address cache

                        let found =
                            fetch
                                { settings with
                                    Timeout = TimeSpan.FromSeconds 0.5
                                }

                        Expect.equal (File.ReadAllBytes(Path.Combine(found, file))) weights "the content")
        ]

let private contents =
    testList
        "contents"
        [
            testCase "other bytes than the hash says are thrown away: SHA-256 of large files"
            <| fun () ->
                let spoilt (_: Request) (honest: Reply) =
                    { honest with
                        Body = Array.rev honest.Body
                    }

                refuses honestly (always (isGet file) spoilt) [ file; "other bytes" ] (fun _ _ cache ->
                    let rest = Directory.GetFiles(cache, "*.incomplete", SearchOption.AllDirectories)
                    Expect.all rest (fun path -> FileInfo(path).Length = 0L) "nothing to go on with")

            testCase "and git's SHA-1 of small ones"
            <| fun () ->
                let spoilt (_: Request) (honest: Reply) =
                    { honest with
                        Body = Array.rev honest.Body
                    }

                withHub small (always (isGet "config.json") spoilt) honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    Expect.stringContains (failure settings) "other bytes" "the line"
                    holdsNoBlob cache description false)

            testCase "a damaged rest of an earlier try is fetched anew"
            <| fun () ->
                withHub small honestly honestly (fun hub cdn cache ->
                    let blobs = Path.Combine(cache, "models--org--small", "blobs")
                    Directory.CreateDirectory blobs |> ignore
                    File.WriteAllBytes(Path.Combine(blobs, etagOf weights true + ".incomplete"), noise 77 1000)
                    let settings, _ = settingsFor hub.Address cache
                    Expect.equal (File.ReadAllBytes(Path.Combine(fetch settings, file))) weights "the content"
                    Expect.equal (ranges cdn) [ "bytes=1000-"; "" ] "once more, whole")

            testCase "more bytes than announced are thrown away"
            <| fun () ->
                let long (_: Request) (honest: Reply) =
                    { honest with
                        Body = Array.append honest.Body [| 1uy |]
                    }

                refuses honestly (always (isGet file) long) [ file; "more than the 300000 bytes" ] noCheck

            testCase "fewer bytes than announced are asked for again, and then told"
            <| fun () ->
                let short (_: Request) (honest: Reply) =
                    { honest with
                        Body = Array.truncate 1000 honest.Body
                    }

                let never (request: Request) (honest: Reply) =
                    if request.Header "range" = "" then
                        short request honest
                    else
                        { honest with Body = [||] }

                refuses honestly (always (isGet file) never) [ file; "1000 of 300000 bytes" ] noCheck

            testCase "a hash that is none is refused, whatever it is"
            <| fun () ->
                for etag in
                    [
                        "\"../../../x\""
                        "\"abc\""
                        ""
                        $"\"{String('A', 40)}\""
                        $"\"{String('g', 64)}\""
                    ] do
                    let named (_: Request) = withHeader "X-Linked-Etag" etag
                    refuses (always (isHead file) named) honestly [ file; "hash" ] noCheck

            testCase "a file without a size, or with one below nothing, is refused"
            <| fun () ->
                for size in [ "many"; "-1"; "" ] do
                    let sized (_: Request) = withHeader "X-Linked-Size" size
                    refuses (always (isHead file) sized) honestly [ file; "how large" ] noCheck

            testCase "a file of another commit is refused"
            <| fun () ->
                let other (_: Request) =
                    withHeader "X-Repo-Commit" (String.replicate 40 "1")

                refuses (always (isHead file) other) honestly [ file; "the commit" ] noCheck

            testCase "a hash that changes between two tries is refused"
            <| fun () ->
                let count = ref 0

                let changing (answer: Request -> Reply) (request: Request) =
                    let honest = answer request

                    if isHead file request then
                        count.Value <- count.Value + 1

                        if count.Value > 1 then
                            withHeader "X-Linked-Etag" (String('a', 64)) honest
                        else
                            honest
                    else
                        honest

                refuses changing (always (isGet file) (cut 10)) [ file; "something else" ] noCheck

            testCase "no room is told before anything is fetched"
            <| fun () ->
                withHub small honestly honestly (fun hub cdn cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let message = failure { settings with Room = fun _ -> 1000L }
                    Expect.stringContains message "HF_HUB_CACHE" "what to do"
                    Expect.equal (cdn.Requests |> List.filter (fun request -> request.Method = "GET")) [] "nothing")
        ]

/// A hub that lists these paths, or says this instead of a listing.
let private listing (text: string) =
    always isListing (fun _ _ -> reply 200 [] (Encoding.UTF8.GetBytes text))

let private tricks =
    testList
        "tricks"
        [
            testCase "a listing with paths that lead elsewhere makes no file elsewhere"
            <| fun () ->
                let evil =
                    [ "../evil"; "/evil"; "a/../../evil"; "..\\evil"; "snapshots/../../../evil" ]

                let names =
                    evil @ needed
                    |> List.map (fun name -> "{\"rfilename\":" + Json.JsonSerializer.Serialize name + "}")
                    |> String.concat ","

                withHub small (listing $"{{\"sha\":\"{commit}\",\"siblings\":[{names}]}}") honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    Expect.equal (filesBelow (fetch settings)) needed "the good ones"
                    let outside = Directory.GetFileSystemEntries(string (Path.GetDirectoryName cache))
                    Expect.equal outside [| cache |] "nothing beside the cache"

                    Expect.isFalse
                        (hub.Requests |> List.exists (fun request -> request.Path.Contains "evil"))
                        "nobody asked for them")

            testCase "a commit that is a path, or an answer that is no listing, is refused"
            <| fun () ->
                for text in
                    [
                        "{\"sha\":\"../../..\",\"siblings\":[]}"
                        "{\"sha\":\"main\",\"siblings\":[]}"
                        "{\"siblings\":[]}"
                        "{\"sha\":7,\"siblings\":[]}"
                        $"{{\"sha\":\"{commit}\"}}"
                        $"{{\"sha\":\"{commit}\",\"siblings\":[{{\"x\":1}}]}}"
                        $"{{\"sha\":\"{commit}\",\"siblings\":[{{\"rfilename\":\"\\ud800\"}}]}}"
                        "[]"
                        "<html>"
                        ""
                    ] do
                    refuses (listing text) honestly [ "org/small"; "HF_ENDPOINT" ] noCheck

            testCase "a ref in the cache that is no commit is none"
            <| fun () ->
                withHub small honestly honestly (fun hub _ cache ->
                    let refs = Path.Combine(cache, "models--org--small", "refs")
                    Directory.CreateDirectory refs |> ignore
                    File.WriteAllText(Path.Combine(refs, "main"), "../../..")
                    let settings, _ = settingsFor hub.Address cache
                    Expect.stringContains (failure { settings with IsOffline = true }) "not in the cache" "none")

            testCase "a link into nothing is replaced"
            <| fun () ->
                withHub small honestly honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let found = fetch settings
                    let path = Path.Combine(found, file)
                    File.Delete(Path.GetFullPath(Path.Combine(found, string (FileInfo(path).LinkTarget))))
                    Expect.equal (File.ReadAllBytes(Path.Combine(fetch settings, file))) weights "fetched again")
        ]

[<Tests>]
let tests = testList "Hub faults" [ cuts; contents; tricks ]
