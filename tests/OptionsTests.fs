module Peft.Tests.OptionsTests

open System
open System.IO
open Argu
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

/// The exit code of a command line and what it wrote to standard output and error.
let told (command: unit -> int) : int * string * string =
    let output, error = Console.Out, Console.Error
    use outputText = new StringWriter()
    use errorText = new StringWriter()

    try
        Console.SetOut outputText
        Console.SetError errorText
        let code = Guard.run command
        code, string outputText, string errorText
    finally
        Console.SetOut output
        Console.SetError error

let peft (arguments: string list) : int * string * string =
    told (fun () -> Cli.main (List.toArray arguments))

/// The command line ends with this code and one line on standard error that holds these words.
let private refused (code: int) (words: string list) (arguments: string list) : unit =
    let actual, _, error = peft arguments
    let line = error.TrimEnd()
    Expect.equal actual code $"exit code of {arguments}: {line}"
    Expect.stringStarts line "peft: " "it says who speaks"
    Expect.equal (line.Split('\n').Length) 1 $"one line: {line}"
    Expect.isFalse (line.Contains "   at ") "no stack trace"

    for word in words do
        Expect.stringContains line word "it says what"

let private sweepOptions folder (rest: string list) =
    [
        "sweep"
        "--model"
        Path.Combine(folder, "model")
        "--data"
        Path.Combine(folder, "data")
        "--results"
        Path.Combine(folder, "results")
        "--tasks"
        "topic"
        "--no-baselines"
        "--epochs"
        "1"
        "--techniques"
        "lora"
        "--test-limit"
        "4"
        "--validation-limit"
        "4"
        "--input-limit"
        "24"
    ]
    @ rest

/// The options with another value for one of them.
let private withValue (name: string) (value: string) (options: string list) =
    let place = List.findIndex ((=) name) options
    List.updateAt (place + 1) value options

let private unreadable =
    testList
        "options that cannot be read end with 2"
        [
            for arguments in
                [
                    [ "fly" ]
                    []
                    [ "sweep"; "--fly" ]
                    [ "sweep"; "--epochs" ]
                    [ "sweep"; "--epochs"; "two" ]
                    [ "sweep"; "--rates"; "1" ]
                    [ "sweep"; "--threads"; "99999999999999" ]
                    [ "sweep"; "--epochs"; "1"; "--epochs"; "2" ]
                    [ "table"; "--fly" ]
                    [ "sweep"; "--seeds"; "one" ]
                    [ "generate"; "--beams"; "x" ]
                ] do
                let name = String.Join(' ', arguments)
                testCase $"peft {name}" <| fun () -> refused 2 [] arguments

            testCase "help is no error"
            <| fun () ->
                for arguments in [ [ "--help" ]; [ "sweep"; "--help" ]; [ "generate"; "--help" ] ] do
                    let code, output, error = peft arguments
                    Expect.equal (code, error) (0, "") "no error"
                    Expect.stringContains output "USAGE" "usage"
        ]

let private wrong =
    testList
        "what a user can put right ends with 1 and one line"
        [
            for words, rest in
                [
                    [ "--threads is 0" ], [ "--threads"; "0" ]
                    [ "--threads is 100000" ], [ "--threads"; "100000" ]
                    [ "--patience is 0" ], [ "--patience"; "0" ]
                    [ "--batch-size is -4" ], [ "--batch-size"; "-4" ]
                    [ "--accumulation is 0" ], [ "--accumulation"; "0" ]
                    [ "--beams is 0" ], [ "--beams"; "0" ]
                    [ "--target-limit is 0" ], [ "--target-limit"; "0" ]
                    [ "--rates is NaN" ], [ "--rates"; "nan"; "1"; "1" ]
                    [ "--rates is -1" ], [ "--rates"; "1"; "-1"; "1" ]
                    [ "--dropout is 1" ], [ "--dropout"; "1" ]
                    [ "--warmup is 2" ], [ "--warmup"; "2" ]
                    [ "--warmup is NaN" ], [ "--warmup"; "nan" ]
                    [ "--weight-decay is -1" ], [ "--weight-decay"; "-1" ]
                    [ "--clip is NaN" ], [ "--clip"; "nan" ]
                    [ "tpu"; "cuda" ], [ "--device"; "tpu" ]
                    [ "cuda:99" ], [ "--device"; "cuda:99" ]
                    [ "float16"; "bfloat16" ], [ "--dtype"; "float16" ]
                    [ "middle"; "medium" ], [ "--levels"; "middle" ]
                    [ "--seeds" ], [ "--seeds" ]
                    [ "no/such" ], [ "--custom"; "no/such" ]
                    [ "loudness" ], [ "--custom"; "."; "--scoring"; "loudness" ]
                ] do
                let name = String.Join(' ', rest)

                testCase $"sweep {name}"
                <| fun () -> inTinyFolder (fun folder _ -> refused 1 words (sweepOptions folder rest))

            for option, value, words in
                [
                    "--tasks", "juggling", [ "juggling"; "topic" ]
                    "--tasks", "", [ "--tasks" ]
                    "--techniques", "magic", [ "magic"; "lora" ]
                    "--techniques", "", [ "--techniques" ]
                    "--techniques", "lora(rank=0)", [ "rank" ]
                    "--techniques", "lora(rank=", [ "lora" ]
                    "--epochs", "0", [ "--epochs is 0" ]
                    "--test-limit", "-1", [ "--test-limit is -1" ]
                    "--validation-limit", "0", [ "--validation-limit is 0" ]
                    "--input-limit", "-7", [ "--input-limit is -7" ]
                    "--model", "/no/such", [ "/no/such" ]
                    "--data", "/no/such", [ "/no/such" ]
                ] do
                testCase $"sweep {option} '{value}'"
                <| fun () ->
                    inTinyFolder (fun folder _ -> sweepOptions folder [] |> withValue option value |> refused 1 words)

            testCase "a results folder that is a file, or below one"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let file = Path.Combine(folder, "file")
                    File.WriteAllText(file, "x")

                    for results in [ file; Path.Combine(file, "below") ] do
                        sweepOptions folder [] |> withValue "--results" results |> refused 1 [ results ])

            for name, damage, words in
                [
                    "no spiece.model",
                    (fun folder -> File.Delete(Path.Combine(folder, "model", "spiece.model"))),
                    [ "spiece.model" ]
                    "a vocabulary larger than the model's",
                    (fun folder -> writeModel (Path.Combine(folder, "model")) (Some 500)),
                    [ "spiece.model"; "500" ]
                    "half a model.safetensors",
                    (fun folder ->
                        let file = Path.Combine(folder, "model", "model.safetensors")
                        File.WriteAllBytes(file, Array.truncate 5000 (File.ReadAllBytes file))),
                    [ "model.safetensors" ]
                    "an empty data file",
                    (fun folder -> File.WriteAllText(Path.Combine(folder, "data", "topic", "train.jsonl"), "")),
                    [ "train" ]
                    "a row without a column",
                    (fun folder ->
                        File.WriteAllText(Path.Combine(folder, "data", "topic", "train.jsonl"), """{"text":"a"}""")),
                    [ "train.jsonl"; "label" ]
                    "a label outside the set",
                    (fun folder ->
                        File.WriteAllText(
                            Path.Combine(folder, "data", "topic", "train.jsonl"),
                            """{"text":"a","label":"gossip"}"""
                        )),
                    [ "train.jsonl"; "gossip" ]
                    "invalid UTF-8",
                    (fun folder ->
                        File.WriteAllBytes(
                            Path.Combine(folder, "data", "topic", "train.jsonl"),
                            Array.concat [ "{\"text\":\""B; [| 0xFFuy |]; "\",\"label\":\"weather\"}"B ]
                        )),
                    [ "train.jsonl" ]
                ] do
                testCase $"sweep with {name}"
                <| fun () ->
                    inTinyFolder (fun folder _ ->
                        damage folder
                        refused 1 words (sweepOptions folder [])

                        Expect.isEmpty
                            (Directory.GetFiles(folder, "*.json", SearchOption.AllDirectories)
                             |> Array.filter (fun file -> file.Contains "results"))
                            "no result")

            testCase "evaluate, generate, table, train and pretrain"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let model =
                        [
                            "--model"
                            Path.Combine(folder, "model")
                            "--data"
                            Path.Combine(folder, "data")
                        ]

                    refused 1 [ "--task" ] ("evaluate" :: model)
                    refused 1 [ "juggling" ] ("evaluate" :: model @ [ "--task"; "juggling" ])

                    refused
                        1
                        [ "--test-limit is 0" ]
                        ("evaluate" :: model @ [ "--task"; "topic"; "--test-limit"; "0" ])

                    refused 1 [ "--input-limit is -1" ] ("generate" :: model @ [ "--input-limit"; "-1"; "hello" ])
                    refused 1 [ "adapter" ] ("generate" :: model @ [ "--adapter"; folder; "hello" ])
                    refused 1 [ folder ] [ "table"; "--results"; folder ]
                    refused 1 [ "poem" ] [ "table"; "--format"; "poem"; "--results"; folder ]
                    refused 1 [ "--output" ] [ "train"; "--task"; "topic" ]
                    refused 1 [ "one technique" ] ("train" :: model @ [ "--task"; "topic"; "--output"; folder ])
                    refused 1 [ "--output" ] [ "pretrain" ]

                    let pretrain =
                        [
                            "pretrain"
                            "--output"
                            Path.Combine(folder, "new")
                            "--vocabulary"
                            vocabulary
                        ]

                    refused 1 [ "--width" ] (pretrain @ [ "--width"; "33" ])
                    refused 1 [ "--every is 0" ] (pretrain @ [ "--every"; "0" ])
                    refused 1 [ "--batch-size is 0" ] (pretrain @ [ "--batch-size"; "0" ])
                    refused 1 [ "--steps is -1" ] (pretrain @ [ "--steps"; "-1" ])
                    refused 1 [ "--rate is NaN" ] (pretrain @ [ "--rate"; "nan" ])
                    refused 1 [ "--threads is 0" ] (pretrain @ [ "--threads"; "0" ])
                    refused 1 [ "no/such.txt" ] (pretrain @ [ "--text"; "no/such.txt" ])

                    refused
                        1
                        [ "spiece.model" ]
                        [
                            "pretrain"
                            "--output"
                            folder
                            "--vocabulary"
                            Path.Combine(root, "Peft.sln")
                        ])

            testCase "an adapter of another base"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let adapter = Path.Combine(folder, "adapter")

                    let train =
                        "train"
                        :: List.tail (sweepOptions folder [ "--output"; adapter; "--target-limit"; "4" ])
                        |> List.filter ((<>) "--no-baselines")

                    let code, output, error = peft train
                    Expect.equal (code, error) (0, "") output

                    let evaluate =
                        [
                            "evaluate"
                            "--model"
                            Path.Combine(folder, "model")
                            "--data"
                            Path.Combine(folder, "data")
                            "--task"
                            "topic"
                            "--adapter"
                            adapter
                            "--test-limit"
                            "4"
                            "--target-limit"
                            "4"
                        ]

                    let code, output, error = peft evaluate
                    Expect.equal (code, error) (0, "") "its own base"
                    Expect.stringContains output "accuracy" "scores"
                    writeModel (Path.Combine(folder, "model")) (Some 9000)
                    refused 1 [ adapter; "base" ] evaluate)
        ]

let private codes =
    testList
        "exit codes"
        [
            testCase "a sweep with a failed run ends with 1, its table and the others' results; then, put right, with 0"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let options =
                        sweepOptions folder [ "--accumulation"; "1"; "--batch-size"; "4" ]
                        |> List.filter ((<>) "--no-baselines")

                    let code, output, error = peft (options @ [ "--rates"; "1e30"; "1e30"; "1e30" ])
                    Expect.equal (code, error) (1, "") "one failed"
                    Expect.stringContains output "failed" "it is told"
                    let code, output, error = peft options
                    Expect.equal (code, error) (0, "") output
                    Expect.isTrue (File.Exists(Path.Combine(folder, "results", "table1.csv"))) "table"
                    let code, again, _ = peft [ "table"; "--results"; Path.Combine(folder, "results") ]
                    Expect.equal code 0 again)

            testCase "bench lists its rows, prints a file's tables again, and refuses what it cannot measure"
            <| fun () ->
                let code, output, error = peft [ "bench"; "--dry-run"; "--rows"; "step" ]
                Expect.equal (code, error) (0, "") "dry run"
                Expect.stringContains output "step full, small, float32, dropout 0.1" "a row by its name"

                for option, value in
                    [
                        "--size", "tiniest"
                        "--dtype", "float8"
                        "--dropout", "1"
                        "--threads", "0"
                        "--batch", "0"
                        "--rows", "nothing"
                        "--techniques", "magic"
                    ] do
                    refused 1 [ value ] [ "bench"; "--dry-run"; option; value ]

                refused 1 [ "no row" ] [ "bench"; "--measure"; "{}" ]

                inTemporaryFolder (fun folder ->
                    let file = Path.Combine(folder, "bench.json")
                    refused 1 [ file ] [ "bench"; "--from"; file ]
                    File.WriteAllText(file, "{}")
                    refused 1 [ file ] [ "bench"; "--from"; file ])

            testCase "a fault of the program is one line too"
            <| fun () ->
                let code, _, error = told (fun () -> raise (InvalidCastException "a\nb"))
                Expect.equal (code, error.Trim().Split('\n').Length) (1, 1) error

            testCase "names are split at commas outside brackets, and doubles are dropped"
            <| fun () ->
                Expect.equal
                    (Options.names [ "lora(rank=8, alpha=2),full"; " full "; ",," ])
                    [ "lora(rank=8, alpha=2)"; "full" ]
                    "names"

            testCase "the program's own option unions are sound"
            <| fun () -> ArgumentParser<Cli.Command>.CheckStructure()
        ]

[<Tests>]
let tests = testSequenced (testList "Options" [ unreadable; wrong; codes ])
