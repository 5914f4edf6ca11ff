/// What people's files look like beyond plain tables, and files that are none.
module Peft.Tests.RowShapesTests

open System
open System.Diagnostics
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open Peft

let private cells (path: string) =
    Rows.read FirstRow path
    |> Seq.map (fun row -> List.ofArray row.Columns, List.ofArray row.Cells)
    |> List.ofSeq

let private withBytes (name: string) (bytes: byte[]) (check: string -> unit) =
    Support.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, name)
        File.WriteAllBytes(path, bytes)
        check path)

let private withText name (text: string) check =
    withBytes name (Encoding.UTF8.GetBytes text) check

/// The rows of a text all have `names`.
let private reads (name: string) (text: string) (names: string list) (rows: string list list) =
    withText name text (fun path ->
        Expect.equal (cells path) (rows |> List.map (fun row -> names, row)) $"{name}: {text}")

let private refusal (path: string) : string =
    Support.userErrorOf (fun () -> Rows.read FirstRow path |> Seq.iter ignore)

let private refused name (text: string) (parts: string list) =
    withText name text (fun path ->
        let message = refusal path

        for part in name :: parts do
            Expect.stringContains message part text)

let private gzip (bytes: byte[]) : byte[] =
    use packed = new MemoryStream()

    (use zip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen = true)
     zip.Write(ReadOnlySpan bytes))

    packed.ToArray()

let private names = [ "a"; "b" ]

[<Tests>]
let tests =
    testList
        "Row shapes"
        [
            testCase "one object of columns: pandas' cells under row numbers, and lists"
            <| fun () ->
                let rows = [ [ "x"; "1" ]; [ "y"; "" ] ]
                reads "t.json" "{\"a\": {\"0\": \"x\", \"1\": \"y\"}, \"b\": {\"0\": 1, \"1\": null}}" names rows
                reads "t.jsonl" "{\"a\": {\"0\": \"x\", \"5\": \"y\"}, \"b\": {\"0\": 1, \"5\": null}}\n" names rows
                reads "t.json" "{\"a\": [\"x\", \"y\"], \"b\": [1, null]}" names rows

                reads
                    "t.json"
                    "{\"columns\": [\"a\", \"b\"], \"index\": [0, 1], \"data\": [[\"x\", 1], [\"y\", null]]}"
                    names
                    rows

                refused "t.json" "{\"a\": [\"x\", \"y\"], \"b\": [1]}" [ "unequal lengths"; "\"a\" has 2"; "\"b\" 1" ]
                refused "t.json" "{\"a\": {\"0\": 1}, \"b\": {\"1\": 1}}" [ "different row numbers" ]

            testCase "one object of rows: under a key, under row numbers, as the data set viewer gives them"
            <| fun () ->
                let rows = [ [ "x"; "1" ]; [ "y"; "2" ] ]
                let list = "[{\"a\": \"x\", \"b\": 1}, {\"a\": \"y\", \"b\": 2}]"

                for text in
                    [
                        $"{{\"version\": \"1\", \"data\": {list}}}"
                        $"{{\"train\": {list}}}"
                        $"{{\"schema\": [{{\"name\": \"a\"}}], \"data\": {list}}}"
                        "{\"0\": {\"a\": \"x\", \"b\": 1}, \"1\": {\"a\": \"y\", \"b\": 2}}"
                        "{\"features\": [{}], \"rows\": [{\"row_idx\": 0, \"row\": {\"a\": \"x\", \"b\": 1}}, {\"row_idx\": 1, \"row\": {\"a\": \"y\", \"b\": 2}}]}"
                    ] do
                    reads "t.json" text names rows

                refused "t.json" $"{{\"train\": {list}, \"test\": {list}}}" [ "\"train\", \"test\""; "file of its own" ]
                refused "t.json" "{\"p\": {\"a\": 1}, \"q\": {\"a\": 2}}" [ "rows or columns"; "\"p\", \"q\"" ]
                refused "t.json" "{\"data\": []}" [ "no data rows" ]

            testCase "objects one after another, over several lines or on one, and a single row"
            <| fun () ->
                reads
                    "t.json"
                    "{\n \"a\": \"x\",\n \"b\": 1\n}\n{\"a\": \"y\", \"b\": 2}"
                    names
                    [ [ "x"; "1" ]; [ "y"; "2" ] ]

                reads "t.jsonl" "{\"a\": \"x\", \"b\": [\"k\", \"l\"]}" names [ [ "x"; "k" ] ]
                refused "t.jsonl" "{\"a\": 1},\n{\"a\": 2}\n" [ "line 1"; "comma" ]
                refused "t.jsonl" "{\"a\": 1}\n{\"a\": 2\n{\"a\": 3}\n" [ "line 3" ]
                refused "t.json" "[{\"a\": 1},]" [ "comma" ]
                refused "t.json" "[{\"a\": 1}" [ "not closed" ]
                refused "t.json" "[{\"a\": 1}] {" [ "follows the array" ]

            testCase "a broken Unicode escape in a name is refused like one in a text"
            <| fun () ->
                refused "t.jsonl" "{\"a\": 1}\n{\"\\ud83e\": 1, \"b\": 2}\n" [ "line 2"; "escape" ]
                refused "t.json" "{\"\\ud83e\": [1], \"b\": [2]}" [ "escape" ]

                withText "c.json" "{\"\\ud83e\": 1}" (fun path ->
                    let message =
                        Support.userErrorOf (fun () ->
                            Json.read<System.Collections.Generic.Dictionary<string, int>> Json.options path
                            |> ignore)

                    Expect.stringContains message "c.json" "the file is named")

            testCase "a column without a name is passed over, wherever it stands"
            <| fun () ->
                reads "t.csv" ",a,b\n0,x,1\n1,y,2\n" names [ [ "x"; "1" ]; [ "y"; "2" ] ]
                reads "t.csv" "a,b,\nx,1,\n" names [ [ "x"; "1" ] ]
                reads "t.tsv" "\ta\tb\n0\tx\t1\n" names [ [ "x"; "1" ] ]

            testCase "gzip: all members are read, and each one's end is checked"
            <| fun () ->
                let rows = [ for number in 0..2000 -> $"{number * number},{number % 7}\n" ]

                for count in [ 1; 2; 7; 50; 2001 ] do
                    let parts = rows |> List.splitInto count |> List.map (String.concat "")
                    let packed = parts |> List.map (Encoding.UTF8.GetBytes >> gzip)
                    let whole = Array.concat (gzip "a,b\n"B :: packed)
                    withBytes "t.csv.gz" whole (fun path -> Expect.equal (cells path).Length 2001 $"{count} members")

                let first, second = gzip "a,b\n1,2\n"B, gzip "3,4\n"B

                for bytes, what in
                    [
                        Array.append first second[.. second.Length - 2], "the last member is cut"
                        Array.append first[.. first.Length - 2] second, "the first member is cut"
                        Array.append (first |> Array.updateAt (first.Length - 6) 77uy) second, "a wrong checksum"
                        Array.concat [ first; second; "more"B ], "bytes behind the last member"
                        Array.append first second[..4], "half a head"
                    ] do
                    withBytes "t.csv.gz" bytes (fun path -> Expect.stringContains (refusal path) "gzip" what)

            testCase "gzip: what grows beyond all measure is refused with the limit, and is never in memory"
            <| fun () ->
                let row = String('1', 99) + ",2\n" |> Encoding.UTF8.GetBytes
                let block = Array.concat (List.replicate 10_000 row)
                use packed = new MemoryStream()

                (use zip = new GZipStream(packed, CompressionLevel.Optimal, leaveOpen = true)

                 for _ in 1..100 do
                     zip.Write(ReadOnlySpan block))

                withBytes "t.csv.gz" (packed.ToArray()) (fun path ->
                    let message =
                        Support.userErrorOf (fun () -> Rows.read (Given names) path |> Seq.iter ignore)

                    Expect.stringContains message "64.0 MiB" "the limit")

            testCase "a row of more than 16 MiB is refused with its place"
            <| fun () ->
                let long = String('x', 17 * 1024 * 1024)
                refused "t.csv" $"a,b\n1,2\n\"{long}\",2\n" [ "line 3"; "16.0 MiB" ]
                refused "t.tsv" $"a\tb\n1\t2\n{long}\t2\n" [ "line 3"; "16.0 MiB" ]
                refused "t.jsonl" $"{{\"a\":1}}\n{{\"a\":\"{long}\"}}\n" [ "line 2"; "16.0 MiB" ]
                refused "t.jsonl" $"{{\"a\":\"{long}\"}}\n{{\"a\":1}}\n" [ "line 1"; "16.0 MiB" ]
                refused "t.json" $"[{{\"a\":\"{long}\"}}]" [ "line 1"; "16.0 MiB" ]

            testCase "pipes, devices and folders are refused at once"
            <| fun () ->
                if not (OperatingSystem.IsWindows()) then
                    Support.inTemporaryFolder (fun folder ->
                        let pipe = Path.Combine(folder, "pipe.csv")
                        use making = Process.Start("mkfifo", pipe)
                        making.WaitForExit()
                        let device = Path.Combine(folder, "device.jsonl")
                        File.CreateSymbolicLink(device, "/dev/zero") |> ignore
                        let inner = Path.Combine(folder, "folder.parquet")
                        Directory.CreateDirectory inner |> ignore

                        for path, part in [ pipe, "a pipe"; device, "a device"; inner, "a folder" ] do
                            Expect.stringContains (refusal path) part "a reader of rows"

                            let message =
                                Support.userErrorOf (fun () -> Json.read<string> Json.options path |> ignore)

                            Expect.stringContains message part "a reader of JSON")
        ]
