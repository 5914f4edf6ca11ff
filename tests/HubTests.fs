/// Names of the hub, its settings, and what lies in the cache.
module Peft.Tests.HubTests

open System
open System.IO
open Expecto
open Peft
open Peft.Tests.HubServer
open Peft.Tests.HubSupport
open Peft.Tests.Support

let private parsed (text: string) =
    HubName.tryParse HubKind.Model text |> Option.map string

let private names =
    testList
        "names"
        [
            testCase "a name is owner/name, with a version behind @; a word or a path is none"
            <| fun () ->
                for text in
                    [
                        "google/flan-t5-base"
                        "org/name@v1.2"
                        "org/name@refs/pr/1"
                        $"org/name@{commit}"
                        "gpt2@main"
                        "a_b/c.d_e-f"
                    ] do
                    Expect.equal (parsed text) (Some(text.Replace("@main", ""))) text

                for text in
                    [
                        "gpt2"
                        "./a/b"
                        "../a"
                        "a/../b"
                        "/a/b"
                        "a/b/c"
                        "~/a"
                        "a//b"
                        "a\\b"
                        "-a/b"
                        "a/b."
                        "a/b--c"
                        "a/b@"
                        "a/b@../x"
                        "a/b@x//y"
                        "a/b@x@y"
                        "a/b@/x"
                        "a/b\n"
                        String('a', 90) + "/bcdefgh"
                        ""
                    ] do
                    Expect.isNone (parsed text) text

            testCase "a folder that exists is taken for itself, and nobody asks for settings"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let settings () : HubSettings = failtest "asked"
                    Expect.equal (Hub.model settings folder) folder "the folder"
                    Expect.equal (Hub.model settings "no folder and no name") "no folder and no name" "a word"
                    Directory.CreateDirectory(Path.Combine(folder, "org", "small")) |> ignore
                    let here = Environment.CurrentDirectory

                    try
                        Environment.CurrentDirectory <- folder
                        Expect.equal (Hub.model settings "org/small") "org/small" "it wins over the hub's"
                    finally
                        Environment.CurrentDirectory <- here)

            testCase "paths of a server stay inside"
            <| fun () ->
                for path in [ "a"; "a/b.c"; ".gitattributes"; "a b/ü" ] do
                    Expect.isTrue (HubName.isSafePath path) path

                for path in
                    [
                        ""
                        "/a"
                        "../a"
                        "a/../b"
                        "a/./b"
                        "a//b"
                        "a\\b"
                        "C:/a"
                        "a/"
                        "a\000b"
                        "a\nb"
                        "..."
                        ".. /a"
                        String('a', 300)
                    ] do
                    Expect.isFalse (HubName.isSafePath path) path
        ]

let private settingsOf (variables: (string * string) list) =
    HubSettings.ofVariables "/home/ann" (fun name -> Map.tryFind name (Map.ofList variables))

let private settings =
    testList
        "settings"
        [
            testCase "the cache is where Hugging Face's variables say"
            <| fun () ->
                for variables, cache in
                    [
                        [], "/home/ann/.cache/huggingface/hub"
                        [ "XDG_CACHE_HOME", "/x" ], "/x/huggingface/hub"
                        [ "HF_HOME", "/h"; "XDG_CACHE_HOME", "/x" ], "/h/hub"
                        [ "HF_HOME", "~/h" ], "/home/ann/h/hub"
                        [ "HUGGINGFACE_HUB_CACHE", "/old"; "HF_HOME", "/h" ], "/old"
                        [ "HF_HUB_CACHE", "/c"; "HUGGINGFACE_HUB_CACHE", "/old" ], "/c"
                    ] do
                    Expect.equal (settingsOf variables).Cache cache $"{variables}"

            testCase "truth is told in Hugging Face's words, and an address has no slash at its end"
            <| fun () ->
                for word in [ "1"; "ON"; "yes"; "True" ] do
                    Expect.isTrue (settingsOf [ "HF_HUB_OFFLINE", word ]).IsOffline word

                Expect.isTrue (settingsOf [ "TRANSFORMERS_OFFLINE", "1" ]).IsOffline "transformers' word"

                for word in [ "0"; "off"; "" ] do
                    Expect.isFalse (settingsOf [ "HF_HUB_OFFLINE", word ]).IsOffline word

                Expect.equal (settingsOf []).Endpoint "https://huggingface.co" "the usual"
                Expect.equal (settingsOf [ "HF_ENDPOINT", "http://a:1/" ]).Endpoint "http://a:1" "another"
                Expect.isFalse (settingsOf [ "HF_HUB_DISABLE_SYMLINKS", "1" ]).UsesLinks "no links"

            testCase "the token is a variable's, or a file's, trimmed"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let file = Path.Combine(folder, "token")
                    File.WriteAllText(file, " hf_file\r\n")

                    let token variables =
                        (settingsOf (("HF_HOME", folder) :: variables)).Token

                    Expect.equal (token []) (Some "hf_file") "the file in HF_HOME"
                    Expect.equal (token [ "HF_TOKEN", "hf_x\n" ]) (Some "hf_x") "the variable before the file"
                    Expect.equal (token [ "HUGGING_FACE_HUB_TOKEN", "hf_o" ]) (Some "hf_o") "the old variable"
                    Expect.isNone (token [ "HF_HUB_DISABLE_IMPLICIT_TOKEN", "1" ]) "not the file"

                    let elsewhere = Path.Combine(folder, "elsewhere")
                    File.WriteAllText(elsewhere, "hf_else")
                    Expect.equal (token [ "HF_TOKEN_PATH", elsewhere ]) (Some "hf_else") "a file named"
                    File.WriteAllText(file, "")
                    Expect.isNone (token []) "an empty file")

            testCase "settings that cannot be are told in one line"
            <| fun () ->
                for variable, value in
                    [
                        "HF_ENDPOINT", "nowhere"
                        "HF_ENDPOINT", "file:///etc"
                        "HF_TOKEN", "two words"
                        "HF_TOKEN", "a\nb"
                        "HF_HUB_DOWNLOAD_TIMEOUT", "soon"
                        "HF_HUB_DOWNLOAD_TIMEOUT", "0"
                    ] do
                    let message = userErrorOf (fun () -> settingsOf [ variable, value ] |> ignore)
                    Expect.stringContains message variable value
        ]

/// The folder of the small repository in a cache.
let private folderIn (cache: string) =
    Path.Combine(cache, "models--org--small")

let private layout =
    testList
        "cache"
        [
            testCase
                "a model becomes blobs, a ref and relative links, as Python's client has them; only needed files are fetched"
            <| fun () ->
                withHub small honestly honestly (fun hub cdn cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let found = Hub.model (fun () -> settings) "org/small"
                    Expect.equal found (Path.Combine(folderIn cache, "snapshots", commit)) "the commit's folder"
                    Expect.equal (filesBelow found) needed "what a checkpoint needs"
                    Expect.equal (File.ReadAllText(Path.Combine(folderIn cache, "refs", "main"))) commit "no newline"
                    Expect.equal (Hub.commitOf found) (Some commit) "the commit is told"
                    Expect.equal (Run.baseName found) "org/small" "and the name"

                    for name, bytes, isLarge in small.Files do
                        if List.contains name needed then
                            let path = Path.Combine(found, name)
                            Expect.equal (File.ReadAllBytes path) bytes name
                            let target = $"../../blobs/{etagOf bytes isLarge}"
                            Expect.equal (FileInfo(path).LinkTarget) target "a relative link"

                    Expect.equal
                        (filesBelow (Path.Combine(folderIn cache, "blobs"))).Length
                        needed.Length
                        "no other blob, nothing incomplete"

                    let text = File.ReadAllText(Path.Combine(cache, "CACHEDIR.TAG"))
                    Expect.stringStarts text "Signature: 8a477f597d28d172789f06886806bc55" "backups pass it over"
                    Expect.equal (cdn.Count("GET", "model.safetensors")) 1 "large files come from elsewhere")

            testCase "what is there is not fetched again: one request tells the commit"
            <| fun () ->
                withHub small honestly honestly (fun hub cdn cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let first = Hub.model (fun () -> settings) "org/small"
                    let before = hub.Requests.Length + cdn.Requests.Length
                    Expect.equal (Hub.model (fun () -> settings) "org/small") first "the same folder"
                    Expect.equal (hub.Requests.Length + cdn.Requests.Length - before) 1 "one request")

            testCase "a content that Python's client left is linked, not fetched"
            <| fun () ->
                withHub small honestly honestly (fun hub cdn cache ->
                    let blobs = Path.Combine(folderIn cache, "blobs")
                    Directory.CreateDirectory blobs |> ignore
                    File.WriteAllBytes(Path.Combine(blobs, etagOf weights true), weights)
                    let settings, _ = settingsFor hub.Address cache
                    let found = Hub.model (fun () -> settings) "org/small"
                    Expect.equal (File.ReadAllBytes(Path.Combine(found, "model.safetensors"))) weights "linked"
                    Expect.equal (cdn.Count("GET", "model.safetensors")) 0 "not fetched")

            testCase "offline nothing is asked: the ref, a commit, or one line"
            <| fun () ->
                withHub small honestly honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let offline = { settings with IsOffline = true }
                    Expect.stringContains (failure offline) "HF_HUB_OFFLINE" "nothing is there yet"
                    let found = Hub.model (fun () -> settings) "org/small"
                    let before = hub.Requests.Length
                    Expect.equal (Hub.model (fun () -> offline) "org/small") found "by the ref"
                    Expect.equal (Hub.model (fun () -> offline) $"org/small@{commit}") found "by the commit"
                    File.Delete(Path.Combine(found, "model.safetensors"))
                    Expect.stringContains (failure offline) "only a part" "incomplete"
                    Expect.equal hub.Requests.Length before "no request")

            testCase "without links the files lie in the commit's folder"
            <| fun () ->
                withHub small honestly honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let found = Hub.model (fun () -> { settings with UsesLinks = false }) "org/small"
                    let path = Path.Combine(found, "model.safetensors")
                    Expect.isNull (FileInfo(path).LinkTarget) "a file"
                    Expect.equal (File.ReadAllBytes path) weights "the content")

            testCase "a branch that moved gives the new commit, and the old one stays"
            <| fun () ->
                let next = String.replicate 4 "abcdef0123"

                let moved =
                    { small with
                        Commit = next
                        Files =
                            small.Files
                            |> List.map (fun (name, bytes, large) ->
                                name, (if name = "config.json" then noise 9 50 else bytes), large)
                    }

                let isMoved = ref false

                withHub
                    small
                    (fun answer request ->
                        if isMoved.Value then
                            honest "" [ moved ] request
                        else
                            answer request)
                    honestly
                    (fun hub cdn cache ->
                        let settings, _ = settingsFor hub.Address cache
                        let first = Hub.model (fun () -> settings) "org/small"
                        isMoved.Value <- true
                        let second = Hub.model (fun () -> settings) "org/small"
                        Expect.equal (Hub.commitOf second) (Some next) "the new one"
                        Expect.isTrue (File.Exists(Path.Combine(first, "config.json"))) "the old one"
                        Expect.equal (cdn.Count("GET", "model.safetensors")) 1 "equal contents once"
                        Expect.equal (File.ReadAllText(Path.Combine(folderIn cache, "refs", "main"))) next "the ref")
        ]

[<Tests>]
let tests = testList "Hub" [ names; settings; layout ]
