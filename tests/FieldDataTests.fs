/// Data files of the kinds that people in this field reported trouble with, written by the libraries they use:
/// tests/golden/field/data, a folder a case.
module Peft.Tests.FieldDataTests

open System.IO
open Expecto
open Peft

let private folder (case: string) =
    Support.golden [ "field"; "data"; case ]

let private task (case: string) : TaskDefinition =
    TaskDefinition.custom (Support.custom (folder case))

/// The first training row, and how many there are.
let private read (case: string) : int * string * string =
    let pools = Pools.load (folder case) (task case)
    let first = pools.Train.Examples[0]
    pools.Train.Examples.Length, first.Input, first.Target

let private usual = "Row 0: is the sky blue, or not? It says \"yes\" 0"

let private right: (string * (int * string * string)) list =
    [
        for case in
            [
                "d22-gz-members"
                "d22-gz-single"
                "d24-index-column"
                "d25-brotli"
                "d25-cdc"
                "d25-delta"
                "d25-dictionary"
                "d25-gzip"
                "d25-large-string"
                "d25-lz4"
                "d25-nested"
                "d25-none"
                "d25-page-index"
                "d25-page-v2"
                "d25-pyarrow"
                "d25-row-groups"
                "d25-small-pages"
                "d25-string-view"
                "d25-zstd"
            ] do
            case, (400, usual, "no")
        "d23-null-words", (40, "null", "null")
        "d25-bool", (400, usual, "false")
        "d28-array", (40, usual, "no")
        "d28-bool", (40, usual, "false")
        "d28-columns", (40, usual, "no")
        "d28-lines-in-json", (40, usual, "no")
        "d28-wrapped", (40, usual, "no")
        "d32-script", (40, "</script><script>document.title=\"owned\"</script><!-- train 0", "plain")
        "d34-bom-crlf", (40, usual, "no")
        "d34-nul", (40, "nul \u0000 here 0", "no")
        "d34-quoted", (40, "line one 0\nline two, \"quoted\"\r\nlast", "no")
        "d34-tsv-quote", (40, "\"the rainmaker\" 0", "no")
        "d34-tsv-quoted-by-pandas", (40, "\"he said \"\"hi\"\" 0\"", "no")
    ]

let private refused: (string * string list) list =
    [
        "d27-nan", [ "train.jsonl"; "line 1, byte 89" ]
        "d34-bare-quote", [ "train.csv"; "quote"; "line 2" ]
        "d34-semicolon", [ "train.csv"; "quote"; "line 2" ]
    ]

[<Tests>]
let tests =
    testList
        "Field data"
        [
            for case, expected in right do
                testCase case
                <| fun () -> Expect.equal (read case) expected "rows, first input and target"

            for case, parts in refused do
                testCase case
                <| fun () ->
                    let message = Support.userErrorOf (fun () -> read case |> ignore)

                    for part in parts do
                        Expect.stringContains message part "the message says it"

            testCase "every folder is a case"
            <| fun () ->
                let cases = List.map fst right @ List.map fst refused |> List.sort

                let folders =
                    Directory.GetDirectories(Support.golden [ "field"; "data" ])
                    |> Array.map (Path.GetFileName >> string)
                    |> Array.sort
                    |> List.ofArray

                Expect.equal folders cases "folders and cases"
        ]
