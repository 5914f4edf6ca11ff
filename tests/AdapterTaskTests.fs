/// What an adapter remembers of its task, and what is made of it.
module Peft.Tests.AdapterTaskTests

open System.IO
open Argu
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

let private moods: AdapterTask =
    {
        Format = AdapterTask.format
        Name = "moods"
        Instruction = "How is it? {options} {remark}"
        TargetColumn = "feeling"
        Labels = [ "bad"; "good" ]
        Metric = "accuracy"
        InputLimit = 40
        TargetLimit = 6
        Beams = 2
        Constrain = "labels"
    }

let private request (words: string list) (task: AdapterTask option) : ModelRequest =
    let parser = ArgumentParser.Create<ModelOption>()
    ModelRequest.create (parser.ParseCommandLine(List.toArray words)) task

let private files =
    testList
        "files"
        [
            testCase "saved, then read, is equal; a folder without the file remembers nothing"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    Expect.isNone (AdapterTask.tryRead folder) "nothing"
                    AdapterTask.save folder moods
                    Expect.equal (AdapterTask.tryRead folder) (Some moods) "the same")

            testCase "what no task can be is refused in one line"
            <| fun () ->
                for damaged, words in
                    [
                        { moods with Format = "peft-task-9" }, "peft-task-9"
                        { moods with Instruction = "no column" }, "column"
                        { moods with InputLimit = 0 }, "below 1"
                        { moods with Metric = "loudness" }, "loudness"
                        { moods with Constrain = "rhymes" }, "rhymes"
                    ] do
                    inTemporaryFolder (fun folder ->
                        AdapterTask.save folder damaged
                        let message = userErrorOf (fun () -> AdapterTask.tryRead folder |> ignore)
                        Expect.stringContains message words "it says what")

            testCase "a task of the project keeps its files and takes the wording of training"
            <| fun () ->
                let topic = TaskDefinition.find "topic"

                let trained =
                    { moods with
                        Name = "topic"
                        Instruction = "Former words: {text}"
                        Labels = topic.Labels
                    }

                let definition = AdapterTask.definition trained
                Expect.equal definition.Instruction "Former words: {text}" "as in training"
                Expect.equal definition.Files topic.Files "its rows"
                Expect.equal (AdapterTask.definition moods).Labels moods.Labels "somebody's own labels"
        ]

let private requests =
    testList
        "requests"
        [
            testCase "where options say nothing, the adapter does; where they say something, they count, and it is told"
            <| fun () ->
                let alone = request [] None

                Expect.equal
                    (alone.InputLimit, alone.TargetLimit, alone.Beams)
                    (512, 128, 1)
                    "without an adapter's word"

                Expect.isTrue (alone.Task.IsNone && alone.Constrain.IsNone) "no task"

                let remembered = request [] (Some moods)

                Expect.equal
                    (remembered.InputLimit, remembered.TargetLimit, remembered.Beams, remembered.Constrain)
                    (40, 6, 2, Some AnswerLimit.Labels)
                    "the adapter's"

                Expect.isTrue remembered.IsRemembered "its task"
                Expect.isEmpty remembered.Warnings "nothing differs"

                let told =
                    request [ "--input-limit"; "9"; "--beams"; "1"; "--task"; "topic" ] (Some moods)

                Expect.equal (told.InputLimit, told.TargetLimit, told.Beams) (9, 6, 1) "the options'"
                Expect.isFalse told.IsRemembered "another task"
                Expect.equal told.Warnings.Length 2 "task and limit"
                Expect.stringContains told.Warnings[0] "moods" "trained on"
                Expect.stringContains told.Warnings[1] "--input-limit is 9, and it was 40" "limit"

                let plain = request [ "--plain" ] (Some moods)
                Expect.equal (plain.InputLimit, plain.Task.IsNone) (512, true) "left aside"

            testCase
                "one's own rows get columns, scoring and wording; another input column takes the former one's place"
            <| fun () ->
                let own = AdapterTask.complete moods (OwnData.at "rows.csv")
                Expect.equal own.InputColumn (Some "remark") "input"
                Expect.equal own.TargetColumn (Some "feeling") "target"
                Expect.equal own.Scoring (Some "accuracy") "scoring"
                Expect.equal own.Instruction (Some moods.Instruction) "wording"

                let other =
                    AdapterTask.complete
                        moods
                        { OwnData.at "rows.csv" with
                            InputColumn = Some "note"
                        }

                Expect.equal other.Instruction (Some "How is it? {options} {note}") "in its place"

                let known =
                    AdapterTask.complete { moods with Name = "topic" } (OwnData.at "rows.csv")

                Expect.equal known (OwnData.at "rows.csv") "a task of the project says nothing of other rows"
        ]

/// Rows whose columns have no usual names: only the adapter knows them.
let private writeRows (path: string) : unit =
    let rows =
        [
            for number in 1..30 ->
                let mood = if number % 2 = 0 then "good" else "bad"
                $"day {number} was {mood},{mood}"
        ]

    File.WriteAllLines(path, "remark,feeling" :: rows)

let private commands =
    testList
        "commands"
        [
            testCase "an adapter of one's own rows evaluates and generates as it was trained, without a word"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let at name = Path.Combine(folder, name)
                    let rows, adapter, model = at "moods.csv", at "adapter", at "model"
                    writeRows rows

                    let own =
                        [
                            "--custom"
                            rows
                            "--input-column"
                            "remark"
                            "--target-column"
                            "feeling"
                            "--instruction"
                            "How? {options} {remark}"
                        ]

                    let limits = [ "--input-limit"; "24"; "--target-limit"; "4" ]

                    let peft words =
                        match OptionsTests.peft words with
                        | 0, output, error -> output.Trim(), error.Trim()
                        | code, output, error -> failtest $"{words} ended with {code}: {error} {output}"

                    peft (
                        [ "train"; "--model"; model; "--results"; at "results"; "--output"; adapter ]
                        @ [ "--technique"; "lora"; "--epochs"; "1" ]
                        @ own
                        @ limits
                    )
                    |> ignore

                    let using = [ "--model"; model; "--adapter"; adapter ]

                    let scores (text: string) =
                        text.Split '\n' |> Array.takeWhile (fun line -> not (line.Contains ':'))

                    let spelt, _ = peft ("evaluate" :: "--plain" :: using @ own @ limits)
                    let short, error = peft ("evaluate" :: using @ [ "--custom"; rows ])
                    Expect.equal (scores short) (scores spelt) "the same scores"
                    Expect.equal error "" "nothing differs"

                    let _, said = peft ("generate" :: using @ [ "day 3 was bad" ])
                    Expect.stringContains said "moods" "it says which words"

                    let definition = AdapterTask.tryRead adapter |> Option.get |> AdapterTask.definition

                    let byHand, _ =
                        peft (
                            "generate" :: "--plain" :: using
                            @ limits
                            @ [ Pools.word definition "day 3 was bad" ]
                        )

                    let short, _ = peft ("generate" :: using @ [ "day 3 was bad" ])
                    Expect.equal short byHand "the same answer"

                    let code, _, error = OptionsTests.peft ("evaluate" :: using)
                    Expect.equal code 1 "no rows"
                    Expect.stringContains error "--custom" "it asks for them"

                    let converted = at "converted"
                    peft [ "adapters"; adapter; "--convert"; converted; "--model"; model ] |> ignore
                    Expect.equal (AdapterTask.tryRead converted) (AdapterTask.tryRead adapter) "it comes along")

            testCase "a result names its processor, and one of before reads as it was"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "results")
                    let run = (quietly (only ZeroShot plan) results).Head
                    Expect.equal run.Processor (Some(Processor.name ())) "this one"

                    let before = { run with Processor = None }
                    let text = RunJson.text before
                    Expect.isFalse (text.Contains "\"Processor\"") "no field"
                    let again = RunJson.parse before.Name text
                    Expect.equal (again.Id, again.Processor) (run.Id, None) "the same id")
        ]

[<Tests>]
let tests = testSequenced (testList "AdapterTask" [ files; requests; commands ])
