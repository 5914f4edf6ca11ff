/// The lessons of docs/lessons print what their text says that they print.
module Peft.Tests.LessonTests

open System
open System.IO
open Expecto
open Peft.Campaigns
open Peft.Tests.Support

/// Lessons of less than half a minute run always, the others where this variable is set: `.ci/run` sets it.
let private variable = "PEFT_ALL_LESSONS"

let private short = [ "1-first-adapter"; "6-your-own-technique" ]

let private limit = TimeSpan.FromMinutes 10.0

let private prints (name: string) =
    testCase $"{name} prints what its text shows"
    <| fun () ->
        if
            not (List.contains name short)
            && String.IsNullOrEmpty(Environment.GetEnvironmentVariable variable)
        then
            skiptest $"it trains for minutes: set {variable}=1, or run scripts/lessons.fsx"

        Expect.isEmpty (Lessons.run root limit name |> Lessons.differences root name) "differences"

[<Tests>]
let tests =
    testSequenced (
        testList
            "Lessons"
            [
                testCase "there are six, and each shows what it prints"
                <| fun () ->
                    let names = Lessons.all root
                    Expect.equal (names |> List.map (fun name -> string name[0])) (List.map string [ 1..6 ]) "numbers"

                    for name in names do
                        let source = File.ReadAllText(Path.Combine(Lessons.folder root, name + ".fsx"))
                        let blocks = Lessons.shown source
                        Expect.isGreaterThan blocks.Length 1 name
                        Expect.all blocks (fun block -> block.Trim() <> "") name
                        Expect.equal (Lessons.withShown blocks source) source "blocks are put back as they were"

                yield! Lessons.all root |> List.map prints
            ]
    )
