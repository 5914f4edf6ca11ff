/// Which files of a repository are fetched.
module Peft.Tests.HubFilesTests

open System
open System.IO
open Expecto
open Peft
open Peft.Tests.HubServer
open Peft.Tests.HubSupport
open Peft.Tests.Support

[<Tests>]
let tests =
    testList
        "Hub files"
        [
            testCase "shards are fetched as their index lists them, and no shard is a path"
            <| fun () ->
                let index (second: string) =
                    $"{{\"weight_map\": {{\"a\": \"model-1.safetensors\", \"b\": \"{second}\"}}}}"
                    |> Text.Encoding.UTF8.GetBytes

                let sharded second =
                    { small with
                        Files =
                            [
                                "config.json", description, false
                                "model.safetensors.index.json", index second, false
                                "model-1.safetensors", noise 6 1000, true
                                "model-2.safetensors", noise 7 1000, true
                                "model-3.safetensors", noise 8 1000, true
                            ]
                    }

                withHub (sharded "model-2.safetensors") honestly honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache
                    let found = Hub.model (fun () -> settings) "org/small"

                    Expect.equal
                        (filesBelow found)
                        [
                            "config.json"
                            "model-1.safetensors"
                            "model-2.safetensors"
                            "model.safetensors.index.json"
                        ]
                        "the listed ones")

                for second, word in [ "../../../x", "no plain file name"; "model-9.safetensors", "lacks its shard" ] do
                    withHub (sharded second) honestly honestly (fun hub _ cache ->
                        let settings, _ = settingsFor hub.Address cache
                        Expect.stringContains (failure settings) word second)

            testCase "what serves nobody is said before anything is fetched"
            <| fun () ->
                let file name = name, noise 1 10, false

                for files, words in
                    [
                        [ "config.json"; "pytorch_model.bin" ], "pickles"
                        [ "config.json"; "tf_model.h5" ], "no weights"
                        [ "README.md" ], "no config.json"
                        [ "adapter_config.json"; "adapter_model.safetensors" ], "--adapter"
                    ] do
                    withHub
                        { small with
                            Files = List.map file files
                        }
                        honestly
                        honestly
                        (fun hub _ cache ->
                            let settings, _ = settingsFor hub.Address cache
                            Expect.stringContains (failure settings) words $"{files}"
                            Expect.equal hub.Requests.Length 1 "the listing alone")

            testCase "an adapter's two files, of either format; a model is none"
            <| fun () ->
                let file name = name, noise 1 10, false

                for files in
                    [
                        [ "adapter_config.json"; "adapter_model.safetensors" ]
                        [ "adapter.json"; "adapter.safetensors" ]
                    ] do
                    withHub
                        { small with
                            Files = List.map file ("README.md" :: files)
                        }
                        honestly
                        honestly
                        (fun hub _ cache ->
                            let settings, _ = settingsFor hub.Address cache
                            Expect.equal (filesBelow (Hub.adapter (fun () -> settings) "org/small")) files "both"
                            Expect.equal (filesBelow (Hub.either (fun () -> settings) "org/small")) files "found out")

                withHub small honestly honestly (fun hub _ cache ->
                    let settings, _ = settingsFor hub.Address cache

                    Expect.stringContains
                        (userErrorOf (fun () -> Hub.adapter (fun () -> settings) "org/small" |> ignore))
                        "is no adapter"
                        "a model"

                    Expect.equal
                        (filesBelow (Hub.description (fun () -> settings) "org/small"))
                        [ "config.json" ]
                        "its description alone")

            testCase "rows of a data set are one configuration's parquet files"
            <| fun () ->
                let file name = name, noise 1 10, true

                let data files =
                    {
                        Id = "datasets/org/rows"
                        Commit = commit
                        Files = List.map file files
                    }

                let rows config files =
                    let mutable found = []

                    withHub (data files) honestly honestly (fun hub _ cache ->
                        let settings, _ = settingsFor hub.Address cache
                        let folder = Hub.rows settings "org/rows" config
                        Expect.isTrue (folder.Contains "datasets--org--rows") "a data set's folder"

                        Expect.equal
                            (File.ReadAllText(
                                Path.Combine(cache, "datasets--org--rows", "refs", "refs", "convert", "parquet")
                            ))
                            commit
                            "the ref of the branch"

                        found <- filesBelow folder)

                    found

                let two =
                    [
                        "cola/train/0000.parquet"
                        "cola/test/0000.parquet"
                        "sst2/train/0000.parquet"
                    ]

                Expect.equal (rows (Some "cola") two) [ "test/0000.parquet"; "train/0000.parquet" ] "the named one"

                Expect.equal
                    (rows None [ "x/train/0000.parquet"; "x/index.duckdb" ])
                    [ "train/0000.parquet" ]
                    "the only one"

                Expect.equal
                    (rows None [ "a/train/0000.parquet"; "default/train/0000.parquet" ])
                    [ "train/0000.parquet" ]
                    "the default"

                Expect.stringContains
                    (userErrorOf (fun () -> rows None two |> ignore))
                    "cola or sst2"
                    "two, and none is named"

                Expect.stringContains (userErrorOf (fun () -> rows None [ "README.md" ] |> ignore)) "no parquet" "none"
        ]
