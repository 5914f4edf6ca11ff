/// Names of the hub on the command line, against a loopback hub: models, adapters, data sets, results.
module Peft.Tests.HubCommandTests

open System
open System.IO
open Expecto
open Peft
open Peft.Tests.HubServer
open Peft.Tests.HubSupport
open Peft.Tests.Support
open Peft.Tests.TinySweep

/// The variables of a hub and a cache of its own.
let private variables (address: string) (cache: string) (isOffline: bool) : (string * string) list =
    [
        "HF_ENDPOINT", address
        "HF_HUB_CACHE", cache
        "HF_HUB_OFFLINE", (if isOffline then "1" else "0")
        "HF_TOKEN", "hf_test"
    ]

/// A folder's files as a repository of the loopback hub.
let private repository (id: string) (folder: string) : Repository =
    {
        Id = id
        Commit = commit
        Files =
            filesBelow folder
            |> List.map (fun name -> name, File.ReadAllBytes(Path.Combine(folder, name)), not (name.EndsWith ".json"))
    }

/// AG News as the branch of converted files has it.
let private news (folder: string) : Repository =
    let rows count =
        [
            for row in 1..count -> $"news of {row} and {row % 4}", Nullable(row % 4), int64 row
        ]

    for portion, count in [ "train", 110; "test", 12 ] do
        Directory.CreateDirectory(Path.Combine(folder, "default", portion)) |> ignore
        RowsTests.writeParquet (Path.Combine(folder, "default", portion, "0000.parquet")) (rows count)

    repository "datasets/fancyzhx/ag_news" folder

let private sweep results adapters =
    [
        "sweep"
        "--model"
        "org/tiny"
        "--data"
        "hub"
        "--tasks"
        "agnews"
        "--techniques"
        "lora"
        "--no-baselines"
        "--epochs"
        "1"
        "--input-limit"
        "32"
        "--validation-limit"
        "8"
        "--jobs"
        "2"
        "--seeds"
        "1"
        "2"
        "--results"
        results
        "--adapters"
        adapters
    ]

[<Tests>]
let tests =
    testList
        "Hub commands"
        [
            testCase
                "a sweep over a model and rows of the hub, its adapter from the hub, and the same without a network"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let at name = Path.Combine(folder, name)
                    let cache, results, adapters = at "cache", at "results", at "adapters"
                    let model = repository "models/org/tiny" (at "model")
                    let rows = news (at "news")
                    let published = ref [ model; rows ]
                    use hub = new HubServer(fun request -> honest "" published.Value request)

                    let peft isOffline =
                        CommandLine.succeeds folder (variables hub.Address cache isOffline)


                    let plan = peft false [ "plan"; "--model"; "org/tiny"; "--technique"; "lora" ]
                    Expect.stringContains plan "lora" "a plan"
                    Expect.equal (hub.Count("GET", ".safetensors")) 0 "needs no weights"

                    peft false (sweep results adapters) |> ignore
                    let runs = resultsIn results
                    Expect.equal (runs |> List.map _.Status) [ "finished"; "finished" ] "both runs"
                    Expect.equal (runs |> List.map _.Base |> List.distinct) [ "org/tiny" ] "the base's name"

                    for run in runs do
                        Expect.equal (run.BaseCommit, run.DataCommit) (Some commit, Some commit) "the commits"

                    Expect.equal (hub.Count("GET", "model.safetensors")) 1 "the workers fetch nothing"
                    Expect.equal (hub.Count("GET", "parquet")) 3 "one list of the rows' files, and the two files"

                    let adapter = (Directory.GetDirectories adapters)[0]
                    published.Value <- [ model; rows; repository "models/org/adapter" adapter ]

                    let generate =
                        [ "generate"; "--model"; "org/tiny"; "--adapter"; "org/adapter"; "hello" ]

                    let answer = peft false generate
                    Expect.equal (peft true generate) answer "the same offline"

                    Expect.equal
                        (peft true [ "generate"; "--model"; at "model"; "--adapter"; adapter; "hello" ])
                        answer
                        "the same from folders"

                    let folders = peft true [ "download"; "org/tiny,org/adapter"; "--tasks"; "agnews" ]

                    Expect.equal (folders.Split '\n').Length 3 "three folders"
                    Expect.all (folders.Split '\n') Directory.Exists "that are there")

            testCase "what the hub has not is one line, and a folder's name too"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    use hub = new HubServer(honest "" [])
                    let cache = Path.Combine(folder, "cache")

                    for arguments, words in
                        [
                            [ "generate"; "--model"; "org/none"; "x" ], [ "org/none is no folder here" ]
                            [ "plan"; "--model"; "org/none" ], [ "org/none is no folder here" ]
                            [ "generate"; "--adapter"; "org/none"; "x" ], [ "org/none is no folder here" ]
                            [ "merge"; "--adapter"; "org/none"; "--output"; folder ], [ "org/none is no folder here" ]
                            [ "generate"; "--model"; "nowhere"; "x" ], [ "nowhere"; "does not exist" ]
                            [ "sweep"; "--data"; "hub"; "--tasks"; "topic" ], [ "hub has no rows of Topic" ]
                            [ "sweep"; "--data"; "hub"; "--tasks"; "cola" ], [ "nyu-mll/glue@refs/convert/parquet" ]
                            [ "download" ], [ "needs a name" ]
                            [ "download"; "gpt2" ], [ "owner/name" ]
                        ] do
                        let code, _, error =
                            CommandLine.run folder (variables hub.Address cache false) arguments

                        Expect.equal code 1 $"{arguments} is refused"
                        Expect.isFalse (error.Contains '\n') $"one line: {error}"

                        for word in words do
                            Expect.stringContains error word $"{arguments}")
        ]
