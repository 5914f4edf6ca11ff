module Peft.Tests.ColumnsTests

open Expecto
open Peft

[<Tests>]
let tests =
    testList
        "Columns"
        [
            testCase "words stand to the left, numbers to the right"
            <| fun () ->
                Expect.equal
                    (Columns.table [ "what"; "n" ] [ [ "a"; "1,000" ]; [ "bcdef"; "7" ]; [ "g"; "-" ] ])
                    "what       n\n-----  -----\na      1,000\nbcdef      7\ng          -"
                    "a table"

            testCase "bytes take the unit that suits them"
            <| fun () ->
                for value, text in
                    [
                        0L, "0 B"
                        1023L, "1023 B"
                        1024L, "1.0 KiB"
                        1024L * 1024L - 1L, "1024.0 KiB"
                        1024L * 1024L, "1.0 MiB"
                        11399028736L, "10.6 GiB"
                        5L <<< 40, "5.0 TiB"
                        5000L <<< 40, "5000.0 TiB"
                    ] do
                    Expect.equal (Columns.bytes value) text text

            testCase "thousands stand apart"
            <| fun () ->
                Expect.equal
                    (List.map Columns.number [ 0L; 999L; 2849757184L ])
                    [ "0"; "999"; "2,849,757,184" ]
                    "numbers"
        ]
