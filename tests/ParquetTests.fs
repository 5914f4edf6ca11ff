module Peft.Tests.ParquetTests

open System
open System.Collections.Generic
open System.IO
open System.Threading.Tasks
open Expecto
open Parquet
open Parquet.Schema
open Peft

let private wait (task: Task) = task.GetAwaiter().GetResult()

/// Writes one group of rows; `write` writes the columns in order.
let private writing (fields: Field list) (write: ParquetRowGroupWriter -> unit) (path: string) : unit =
    use file = File.Create path

    let writer =
        ParquetWriter.CreateAsync(ParquetSchema(Array.ofList fields), file).GetAwaiter().GetResult()

    (use group = writer.CreateRowGroup()
     write group
     group.CompleteValidate())

    writer.DisposeAsync().AsTask() |> wait

let private cells (path: string) =
    Rows.read FirstRow path
    |> Seq.map (fun row -> List.ofArray row.Cells)
    |> List.ofSeq

let private inFile (write: string -> unit) (check: string -> unit) =
    Support.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "t.parquet")
        write path
        check path)

/// Reads a file in another thread: what hangs fails the test, and does not hang it.
let private outcome (path: string) : string =
    let reading =
        Task.Run(fun () ->
            try
                Rows.read FirstRow path |> Seq.iter ignore
                "read"
            with UserError message ->
                message)

    if reading.Wait(TimeSpan.FromSeconds 60.0) then
        reading.Result
    else
        failtest $"{path} is read for ever"

[<Tests>]
let tests =
    testList
        "Parquet"
        [
            testCase "truth values, decimals, dates and times are text, nulls are empty"
            <| fun () ->
                let good = DataField<bool> "good"
                let maybe = DataField<Nullable<bool>> "maybe"
                let price = DecimalDataField("price", 10, 2)
                let time = DataField<DateTime> "time"
                let ratio = DataField<float> "ratio"

                inFile
                    (writing [ good; maybe; price; time; ratio ] (fun group ->
                        wait (group.WriteAsync<bool>(good, ReadOnlyMemory [| true; false |]))

                        wait (
                            group.WriteAsync<bool>(
                                maybe,
                                ReadOnlyMemory<Nullable<bool>> [| Nullable(); Nullable false |]
                            )
                        )

                        wait (group.WriteAsync<decimal>(price, ReadOnlyMemory [| 12.50m; -3.00m |]))

                        wait (
                            group.WriteAsync<DateTime>(
                                time,
                                ReadOnlyMemory
                                    [|
                                        DateTime(2024, 2, 29, 3, 4, 5, DateTimeKind.Utc)
                                        DateTime(1999, 12, 31, 0, 0, 0, DateTimeKind.Utc).AddMilliseconds 250.0
                                    |]
                            )
                        )

                        wait (group.WriteAsync<float>(ratio, ReadOnlyMemory [| 0.1; 3.0 |]))))
                    (fun path ->
                        Expect.equal
                            (cells path)
                            [
                                [ "true"; ""; "12.50"; "2024-02-29 03:04:05"; "0.1" ]
                                [ "false"; "false"; "-3.00"; "1999-12-31 00:00:00.25"; "3" ]
                            ]
                            "cells")

            testCase "the length that a packed block claims is held against its page's"
            <| fun () ->
                let text = DataField<string> "text"
                let words = Array.init 200 (fun row -> $"row {row % 7}")

                inFile (writing [ text ] (fun group -> wait (group.WriteAsync(text, words)))) (fun path ->
                    let whole = File.ReadAllBytes path
                    Expect.equal (outcome path) "read" "the whole file"

                    let claims =
                        [
                            for place in 4..120 do
                                let spoiled = Array.copy whole
                                // 1.6 GB, in seven bits a byte.
                                [| 0xFFuy; 0xFFuy; 0xFFuy; 0xFFuy; 0x05uy |].CopyTo(spoiled, place)
                                File.WriteAllBytes(path, spoiled)
                                let message = outcome path

                                if message.Contains "would unpack to 1610612735 bytes and says" then
                                    place
                        ]

                    Expect.isNonEmpty claims "where a block begins, its claim is named")

            testCase "a list is no text: the message about the missing column names it"
            <| fun () ->
                let path = Support.golden [ "field"; "data"; "d25-nested"; "train.parquet" ]

                let message =
                    Support.userErrorOf (fun () -> (Rows.read FirstRow path |> Seq.head)["tags"] |> ignore)

                for part in [ "no column \"tags\""; "input, target"; "tags (a list)"; "meta (a structure)" ] do
                    Expect.stringContains message part "the message says it"

            testCase "one wrong byte anywhere in the footer or in a page's head ends in rows or in one line"
            <| fun () ->
                inFile
                    (fun path -> RowsTests.writeParquet path [ "eins", Nullable 1, 10L; "zwei", Nullable(), 11L ])
                    (fun path ->
                        let whole = File.ReadAllBytes path

                        for place in 4 .. whole.Length - 5 do
                            for value in [ 0x16uy; 0xFFuy ] do
                                File.WriteAllBytes(path, whole |> Array.updateAt place value)
                                let told = outcome path

                                if told <> "read" then
                                    Expect.stringContains told "t.parquet" $"byte {place} as {value}")

            testCase "a size that goes beyond the footer is refused"
            <| fun () ->
                inFile
                    (fun path -> RowsTests.writeParquet path [ "eins", Nullable 1, 10L; "zwei", Nullable(), 11L ])
                    (fun path ->
                        let whole = File.ReadAllBytes path
                        let footer = BitConverter.ToInt32(whole, whole.Length - 8)
                        let start = whole.Length - 8 - footer
                        // The STOP at the end of the footer becomes a field; the library reads on for ever.
                        File.WriteAllBytes(path, whole |> Array.updateAt (whole.Length - 9) 0x16uy)
                        Expect.stringContains (outcome path) "ends too early" "the end is gone"

                        for place in start .. whole.Length - 14 do
                            let bytes = Array.copy whole
                            Array.blit [| 0xFFuy; 0xFFuy; 0xFFuy; 0xFFuy; 0x07uy |] 0 bytes place 5
                            File.WriteAllBytes(path, bytes)
                            outcome path |> ignore)
        ]
