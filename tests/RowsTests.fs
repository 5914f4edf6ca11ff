module Peft.Tests.RowsTests

open System
open System.Collections.Generic
open System.IO
open System.IO.Compression
open System.Text
open System.Text.Json
open Expecto
open Parquet
open Parquet.Schema
open Peft

/// Writes bytes in a new folder, gzipped where the name says so, and gives the path to `body`.
let private withBytes (name: string) (bytes: byte[]) (body: string -> unit) : unit =
    Support.inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, name)

        if name.EndsWith ".gz" then
            use file = File.Create path
            use zip = new GZipStream(file, CompressionLevel.Fastest)
            zip.Write(bytes, 0, bytes.Length)
        else
            File.WriteAllBytes(path, bytes)

        body path)

let private withText name (text: string) body =
    withBytes name (Encoding.UTF8.GetBytes text) body

let private cells header path =
    Rows.read header path
    |> Seq.map (fun row -> List.ofArray row.Cells)
    |> List.ofSeq

let private check name header text expected =
    withText name text (fun path -> Expect.equal (cells header path) expected name)

let private refused name header (bytes: byte[]) (parts: string list) =
    withBytes name bytes (fun path ->
        let message =
            Support.userErrorOf (fun () -> Rows.read header path |> Seq.iter ignore)

        for part in name :: parts do
            Expect.stringContains message part "the message says it")

let private refusedText name header (text: string) parts =
    refused name header (Encoding.UTF8.GetBytes text) parts

/// A parquet file of text, nullable integers and 64-bit integers, in two row groups.
let writeParquet (path: string) (rows: (string * Nullable<int> * int64) list) : unit =
    let text = DataField<string> "text"
    let label = DataField<Nullable<int>> "label"
    let index = DataField<int64> "idx"
    use file = File.Create path

    let writer =
        ParquetWriter.CreateAsync(ParquetSchema(text, label, index), file).GetAwaiter().GetResult()

    for chunk in List.splitInto 2 rows do
        use group = writer.CreateRowGroup()
        let texts = chunk |> List.map (fun (text, _, _) -> text) |> Array.ofList
        let labels = chunk |> List.map (fun (_, label, _) -> label) |> Array.ofList
        let indices = chunk |> List.map (fun (_, _, index) -> index) |> Array.ofList
        group.WriteAsync(text, texts :> IReadOnlyCollection<string>).GetAwaiter().GetResult()
        group.WriteAsync<int>(label, ReadOnlyMemory<Nullable<int>> labels).GetAwaiter().GetResult()
        group.WriteAsync<int64>(index, ReadOnlyMemory<int64> indices).GetAwaiter().GetResult()
        group.CompleteValidate()

    writer.DisposeAsync().AsTask().GetAwaiter().GetResult()

let private quote (cell: string) =
    "\"" + cell.Replace("\"", "\"\"") + "\""

let private words =
    [
        "plain"
        "a,b"
        "two\nlines"
        "two\r\nlines"
        "say \"hi\""
        "\\"
        "C:\\"
        "\"\""
        "a\tb"
        " blank "
        "🦉"
        "\uFEFF"
        ""
    ]

[<Tests>]
let tests =
    testList
        "Rows"
        [
            testCase "CSV keeps commas, line breaks, quotes and blanks inside quotes"
            <| fun () ->
                check
                    "t.csv"
                    FirstRow
                    "a,b\r\n\"x, y\",\"one\r\ntwo\"\r\n\"the \"\"Owl\"\"\",  z \r\n"
                    [ [ "x, y"; "one\r\ntwo" ]; [ "the \"Owl\""; "  z " ] ]

            testCase "a backslash before the closing quote does not escape it"
            <| fun () ->
                check
                    "t.csv"
                    (Given [ "class"; "title"; "description" ])
                    "\"1\",\"up\\down\",\"grid.\\\"\n\"2\",\"b\",\"\\$5\"\n"
                    [ [ "1"; "up\\down"; "grid.\\" ]; [ "2"; "b"; "\\$5" ] ]

            testCase "a first line sep=; is a row like any other"
            <| fun () -> check "t.csv" (Given [ "only" ]) "sep=;\nx\n" [ [ "sep=;" ]; [ "x" ] ]

            testProperty "every row written as CSV is read back"
            <| fun (picks: (int * int) list) ->
                let pick place = words[abs (place % words.Length)]
                let rows = [ "1"; "2" ] :: [ for left, right in picks -> [ pick left; pick right ] ]
                let line row = String.Join(",", row |> List.map quote)
                check "t.csv" (Given [ "a"; "b" ]) (String.Join("\n", rows |> List.map line) + "\n") rows

            testCase "a header is guessed from its names, in any case"
            <| fun () ->
                let header = Guessed([ "text"; "label" ], [ "class"; "title" ])
                check "t.csv" header "Label,Text\n3,x\n" [ [ "3"; "x" ] ]
                check "t.csv" header "3,text\n4,y\n" [ [ "3"; "text" ]; [ "4"; "y" ] ]

            testCase "TSV splits on tabs only: quotes, empty cells and blanks stay"
            <| fun () ->
                check
                    "t.tsv"
                    (Given [ "a"; "b"; "c"; "d" ])
                    "x\t1\t\tHe said \"no\r\ny\t0\t*\t\"b \n"
                    [ [ "x"; "1"; ""; "He said \"no" ]; [ "y"; "0"; "*"; "\"b " ] ]

            testCase "JSON Lines: numbers become text, null is empty, a list counts as its first element"
            <| fun () ->
                check
                    "t.jsonl"
                    FirstRow
                    "{\"a\":\"🦉\\n\",\"b\":-1}\n\n{\"b\":null,\"a\":[\"x\",\"y\"]}"
                    [ [ "🦉\n"; "-1" ]; [ ""; "x" ] ]

            testCase "a JSON array of objects is read like JSON Lines"
            <| fun () -> check "t.json" FirstRow "\n [ {\"a\": \"x\"},\n {\"a\": true} ]" [ [ "x" ]; [ "true" ] ]

            testCase "parquet: text, integers and nulls over two row groups"
            <| fun () ->
                Support.inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "t.parquet")
                    writeParquet path [ "eins", Nullable 1, 10L; "zwéi", Nullable -1, 11L; "drei", Nullable(), 12L ]
                    let rows = Rows.read FirstRow path |> List.ofSeq
                    Expect.equal (rows |> List.map _.Item("text")) [ "eins"; "zwéi"; "drei" ] "text"
                    Expect.equal (rows |> List.map _.Item("label")) [ "1"; "-1"; "" ] "nullable integers"
                    Expect.equal (rows |> List.map _.Item("idx")) [ "10"; "11"; "12" ] "integers"
                    Expect.equal (rows |> List.map _.Number) [ 1; 2; 3 ] "numbers go on over row groups"

                    withBytes "t.parquet.gz" (File.ReadAllBytes path) (fun zipped ->
                        Expect.equal
                            (cells FirstRow zipped)
                            (rows |> List.map (fun row -> List.ofArray row.Cells))
                            "gzipped"))

            testCase "each kind of text is also read gzipped"
            <| fun () ->
                check "t.csv.gz" FirstRow "a\nx\n" [ [ "x" ] ]
                check "t.tsv.gz" FirstRow "a\nx\n" [ [ "x" ] ]
                check "t.jsonl.gz" FirstRow "{\"a\":\"x\"}" [ [ "x" ] ]

            testCase "a byte order mark is skipped at the start and kept in a cell"
            <| fun () ->
                for name, text in
                    [
                        "t.csv", "\uFEFFa\nx\uFEFF\n"
                        "t.tsv", "\uFEFFa\nx\uFEFF\n"
                        "t.jsonl", "\uFEFF{\"a\":\"x\uFEFF\"}"
                    ] do
                    withText name text (fun path ->
                        Expect.equal (Rows.read FirstRow path |> Seq.map _.Item("a") |> List.ofSeq) [ "x\uFEFF" ] name)

            testCase "rows are read when they are asked for"
            <| fun () ->
                withText "t.csv" "a\nx\n\"unclosed\n" (fun path ->
                    Expect.equal (Rows.read FirstRow path |> Seq.head).Cells [| "x" |] "the fault lies behind")

            testCase "a missing column is named with the columns there are"
            <| fun () ->
                withText "t.csv" "a,b\nx,y\n" (fun path ->
                    let message =
                        Support.userErrorOf (fun () -> (Rows.read FirstRow path |> Seq.head)["c"] |> ignore)

                    for part in [ "t.csv, row 1,"; "\"c\""; "a, b" ] do
                        Expect.stringContains message part "the message says it")

            testCase "invalid UTF-8 is refused with its place"
            <| fun () ->
                let bytes =
                    Array.append (Encoding.UTF8.GetBytes "a\né\n") [| byte 'x'; 0xF0uy; byte 'y'; 10uy |]

                refused "t.csv" FirstRow bytes [ "byte 6"; "line 3" ]
                refused "t.tsv" FirstRow bytes [ "byte 6"; "line 3" ]
                refused "t.csv.gz" FirstRow bytes [ "byte 6"; "line 3" ]
                refused "t.jsonl" FirstRow [| byte '{'; 0xFFuy |] [ "byte 1" ]
                refused "t.csv" FirstRow (Encoding.Unicode.GetPreamble()) [ "byte 0" ]

            testCase "faults of a table are refused, each with its place"
            <| fun () ->
                refusedText "t.csv" FirstRow "" [ "is empty" ]
                refusedText "t.tsv" FirstRow "" [ "is empty" ]
                refusedText "t.csv.gz" FirstRow "" [ "is empty" ]
                refusedText "t.jsonl" FirstRow " \n" [ "is empty" ]
                refusedText "t.csv" FirstRow "a,b\n" [ "no data rows" ]
                refusedText "t.csv" FirstRow "a,b\n1,2\n1,2,3\n" [ "row 2"; "3 fields"; "should be 2 (a, b)" ]
                refusedText "t.tsv" (Given [ "a"; "b" ]) "1\t2\n1\n" [ "row 2"; "1 fields" ]
                refusedText "t.csv" FirstRow "a,b\n1,\"2\n3,4\n" [ "line 2"; "quote" ]
                refusedText "t.csv" FirstRow "a,b\n1,2\n3,x \"y\" z\n" [ "line 3"; "quote" ]
                refusedText "t.csv" FirstRow "a,a\n1,2\n" [ "two columns named \"a\"" ]
                refusedText "t.csv" FirstRow ",\n1,2\n" [ "no column with a name" ]
                refusedText "t.csv" FirstRow "a,b\n1\n" [ "row 1"; "1 fields" ]
                refusedText "t.txt" FirstRow "a\n1\n" [ ".csv, .tsv" ]

            testCase "faults of JSON are refused, each with its place"
            <| fun () ->
                refusedText "t.jsonl" FirstRow "{\"a\":1}\n{\"a\":\n" [ "line 2"; "not valid JSON" ]
                refusedText "t.jsonl" FirstRow "{\"a\":1}\n7\n" [ "row 2"; "not a JSON object" ]
                refusedText "t.jsonl" FirstRow "{\"a\":1,\"a\":2}\n" [ "line 1" ]
                refusedText "t.jsonl" FirstRow "{\"a\":\"\\ud83e\"}\n" [ "row 1"; "escape" ]
                refusedText "t.json" FirstRow "[\n{\"a\":1},\n{]" [ "line 3" ]
                refusedText "t.json" FirstRow "[]" [ "no data rows" ]

            testCase "a damaged gzip file is refused"
            <| fun () ->
                let text =
                    String.Join("\n", [ for number in 0..5000 -> $"{number * number},{number % 7}" ])

                withText "whole.csv.gz" text (fun path ->
                    let whole = File.ReadAllBytes path
                    let cut = Path.Combine(string (Path.GetDirectoryName path), "cut.csv.gz")

                    for bytes in
                        [
                            whole[.. whole.Length / 2]
                            Encoding.UTF8.GetBytes text
                            whole[.. whole.Length - 9]
                            whole[..5]
                        ] do
                        File.WriteAllBytes(cut, bytes)

                        let message =
                            Support.userErrorOf (fun () -> Rows.read (Given [ "a"; "b" ]) cut |> Seq.iter ignore)

                        Expect.stringContains message "gzip" $"{bytes.Length} bytes")

            testCase "a damaged parquet file is refused"
            <| fun () ->
                Support.inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "t.parquet")
                    writeParquet path [ for number in 0..99 -> $"row {number}", Nullable number, int64 number ]
                    let whole = File.ReadAllBytes path
                    let broken = Array.copy whole
                    Array.fill broken (whole.Length / 4) (whole.Length / 2) 0xA5uy

                    for bytes in
                        [
                            Array.empty
                            whole[..3]
                            whole[.. whole.Length / 2]
                            broken
                            Encoding.UTF8.GetBytes "a,b\n1,2\n"
                        ] do
                        File.WriteAllBytes(path, bytes)

                        let message =
                            Support.userErrorOf (fun () -> Rows.read FirstRow path |> Seq.iter ignore)

                        Expect.stringContains message "t.parquet" $"{bytes.Length} bytes")

            testProperty "a file of any content is read or refused by a UserError"
            <| fun (bytes: byte[]) (text: string | null) ->
                let text =
                    match text with
                    | null -> ""
                    | text -> text

                for name in [ "t.csv"; "t.tsv"; "t.json"; "t.parquet"; "t.csv.gz" ] do
                    for content in
                        [
                            bytes
                            Encoding.UTF8.GetBytes text
                            Encoding.UTF8.GetBytes $"a,b\n{text},\"{text}\"\n"
                        ] do
                        Support.inTemporaryFolder (fun folder ->
                            let path = Path.Combine(folder, name)
                            File.WriteAllBytes(path, content)

                            try
                                Rows.read FirstRow path |> Seq.iter ignore
                            with UserError message ->
                                Expect.stringContains message name "the file is named")

            testProperty "a parquet file with a changed byte is read or refused by a UserError"
            <| fun (place: int) (value: byte) ->
                Support.inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "t.parquet")
                    writeParquet path [ for number in 0..29 -> $"row {number % 7}", Nullable number, int64 number ]
                    let bytes = File.ReadAllBytes path
                    bytes[int (uint32 place * 2654435761u % uint32 bytes.Length)] <- value
                    File.WriteAllBytes(path, bytes)

                    try
                        Expect.equal (Rows.read FirstRow path |> Seq.length) 30 "every row is there"
                    with UserError message ->
                        Expect.stringContains message "t.parquet" "the file is named")

            testCase "a missing file is refused"
            <| fun () ->
                let message =
                    Support.userErrorOf (fun () -> Rows.read FirstRow "nowhere/t.csv" |> Seq.iter ignore)

                Expect.stringContains message "nowhere/t.csv does not exist" "the message says it"

            testCase "the real sets have the rows that their notes state"
            <| fun () ->
                let count header parts =
                    Rows.read header (Support.sharedOrSkip ("data" :: parts)) |> Seq.length

                let unnamed = Given [ "a"; "b"; "c" ]
                Expect.equal (count unnamed [ "ag_news"; "train.subset5000.csv" ]) 5000 "AG News, train"
                Expect.equal (count unnamed [ "ag_news"; "test.rows1-6000.csv" ]) 6000 "AG News, test"
                let four = Given [ "a"; "b"; "c"; "d" ]
                Expect.equal (count four [ "cola"; "in_domain_train.tsv" ]) 8551 "CoLA, train"
                Expect.equal (count four [ "cola"; "in_domain_dev.tsv" ]) 527 "CoLA, dev"
                Expect.equal (count FirstRow [ "e2e_nlg"; "trainset.csv.gz" ]) 42061 "E2E, train"
                Expect.equal (count FirstRow [ "e2e_nlg"; "devset.csv" ]) 4672 "E2E, dev"
                Expect.equal (count FirstRow [ "e2e_nlg"; "testset.csv" ]) 630 "E2E, test"
                Expect.equal (count FirstRow [ "samsum"; "train.csv.gz" ]) 14731 "SAMSum, train"
                Expect.equal (count FirstRow [ "samsum"; "validation.csv" ]) 818 "SAMSum, validation"

            testCase "a Latin-1 file is refused at its first such byte"
            <| fun () ->
                let source = Support.sharedOrSkip [ "data"; "trec"; "train.txt" ]

                withBytes "trec.tsv" (File.ReadAllBytes source) (fun path ->
                    let place = Array.IndexOf(File.ReadAllBytes source, 0xF0uy)

                    let message =
                        Support.userErrorOf (fun () -> Rows.read (Given [ "line" ]) path |> Seq.iter ignore)

                    Expect.stringContains message $"byte {place} " "the byte")
        ]
