namespace Peft

open System
open System.IO
open System.Text.Json
open CsvHelper

/// Tables of text, read row by row: CSV, TSV, JSON Lines, JSON arrays and parquet, each also gzipped (`.gz`).
/// Text is strict UTF-8, with or without a byte order mark. A fault of a file is a `UserError` that names the place;
/// rows are read when they are asked for, so it is raised there. Gzipped files are unpacked whole, in memory.
[<RequireQualifiedAccess>]
module Rows =
    /// The format of a file by its extension, under `.gz` if there is one.
    let formatOf (file: string) : Format =
        let bare =
            if DataFile.isGzipped file then
                file.Substring(0, file.Length - 3)
            else
                file

        match (Path.GetExtension bare |> string).ToLowerInvariant() with
        | ".csv" -> Csv
        | ".tsv" -> Tsv
        | ".json"
        | ".jsonl" -> Json
        | ".parquet" -> Parquet
        | _ ->
            userError
                $"{file} is of no known kind: give a .csv, .tsv, .json, .jsonl or .parquet file, or one of them gzipped."

    let private checkColumns (file: string) (columns: string[]) =
        if columns |> Array.exists String.IsNullOrWhiteSpace then
            userError $"{file} has a column without a name. Give every column of its header a name."

        match columns |> Array.countBy id |> Array.tryFind (fun (_, count) -> count > 1) with
        | Some(name, _) -> userError $"{file} has two columns named \"{name}\". Rename one."
        | None -> ()

    /// Records with a header, or without one, as rows.
    let private table (file: string) (header: Header) (records: seq<string[]>) : seq<Row> =
        seq {
            use records = records.GetEnumerator()

            if not (records.MoveNext()) then
                userError $"{file} is empty. Fetch or write it again."

            let first = records.Current

            let columns, isData =
                match header with
                | FirstRow -> first, false
                | Given names -> Array.ofList names, true
                | Guessed(known, given) ->
                    let isKnown (cell: string) =
                        known
                        |> List.exists (fun name -> name.Equals(cell, StringComparison.OrdinalIgnoreCase))

                    if (first |> Array.filter isKnown).Length >= 2 then
                        first, false
                    else
                        Array.ofList given, true

            checkColumns file columns
            let mutable number = 0

            if isData then
                number <- 1
                DataFile.rowOf file columns number first

            while records.MoveNext() do
                number <- number + 1
                DataFile.rowOf file columns number records.Current

            if number = 0 then
                userError $"{file} has a header and no data rows. Fetch or write it again."
        }

    let private csvRecords (file: string) : seq<string[]> =
        seq {
            use text = DataFile.openText file
            // A doubled quote is a quote, a backslash is a backslash. `table` looks after the header.
            let rules =
                CsvReaderOptions(
                    HasHeader = false,
                    Separator = Nullable ',',
                    DetectSeparatorHint = false,
                    TrackLineNumbers = true,
                    MalformedData = CsvMalformedDataHandling.Throw
                )

            use records = CsvReader.Create(text, rules)

            let next () : string[] option =
                try
                    if records.Read() then
                        Some(records.Current.ToArray())
                    else
                        None
                with :? CsvFormatException as error ->
                    userError
                        $"{file} has a stray or unclosed quote in the record that starts at line {error.LineNumber}. Put quotes around the whole field and double those inside."

            let mutable record = next ()

            while record.IsSome do
                record.Value
                record <- next ()
        }

    let private tsvRecords (file: string) : seq<string[]> =
        seq {
            use text = DataFile.openText file
            let mutable line = text.ReadLine() |> Option.ofObj

            while line.IsSome do
                if line.Value.Length > 0 then
                    line.Value.Split '\t'

                line <- text.ReadLine() |> Option.ofObj
        }

    let private jsonOptions =
        JsonDocumentOptions(AllowDuplicateProperties = false, MaxDepth = 64)

    /// Text stays, null is empty, a list counts as its first element, everything else is its JSON.
    let rec private jsonText (value: JsonElement) : string =
        match value.ValueKind with
        | JsonValueKind.String -> Json.text value
        | JsonValueKind.Null -> ""
        | JsonValueKind.Array -> if value.GetArrayLength() = 0 then "" else jsonText value[0]
        | _ -> value.GetRawText()

    let private jsonRow (file: string) (number: int) (value: JsonElement) : Row =
        if value.ValueKind <> JsonValueKind.Object then
            userError $"{file}, row {number}, is not a JSON object. Write every row as {{\"column\": \"text\", …}}."

        try
            let cells =
                [|
                    for property in value.EnumerateObject() -> property.Name, jsonText property.Value
                |]

            DataFile.rowOf file (Array.map fst cells) number (Array.map snd cells)
        with :? InvalidOperationException ->
            userError $"{file}, row {number}, holds a broken Unicode escape. Write the text again."

    let private parseJson (file: string) (number: int option) (text: string) : JsonElement =
        try
            use document = JsonDocument.Parse(text, jsonOptions)
            document.RootElement.Clone()
        with :? JsonException as error ->
            let line = int (error.LineNumber.GetValueOrDefault()) + defaultArg number 1
            let column = error.BytePositionInLine.GetValueOrDefault() + 1L

            userError
                $"{file} is not valid JSON at line {line}, byte {column}. Correct it: one object a line, or one array of objects."

    let private jsonRows (file: string) : seq<Row> =
        seq {
            use text = DataFile.openText file
            let mutable line = 1

            while text.Peek() >= 0 && Char.IsWhiteSpace(char (text.Peek())) do
                if text.Read() = int '\n' then
                    line <- line + 1

            if text.Peek() < 0 then
                userError $"{file} is empty. Fetch or write it again."

            if text.Peek() = int '[' then
                let elements = parseJson file (Some line) (text.ReadToEnd())

                if elements.GetArrayLength() = 0 then
                    userError $"{file} has no data rows. Fetch or write it again."

                yield!
                    elements.EnumerateArray()
                    |> Seq.mapi (fun place value -> jsonRow file (place + 1) value)
            else
                let mutable content = text.ReadLine() |> Option.ofObj

                while content.IsSome do
                    if not (String.IsNullOrWhiteSpace content.Value) then
                        parseJson file (Some line) content.Value |> jsonRow file line

                    line <- line + 1
                    content <- text.ReadLine() |> Option.ofObj
        }

    /// The rows of a file, read by the kind that its name tells; `header` matters for CSV and TSV.
    /// CSV follows RFC 4180: quotes are doubled inside quotes, line breaks may stand there, and a backslash is an ordinary
    /// character. TSV has no quoting: a line is split on tabs and nothing is trimmed. In JSON numbers become text, null is
    /// empty, and a list counts as its first element. Blank lines are passed over.
    let read (header: Header) (file: string) : seq<Row> =
        let rows =
            match formatOf file with
            | Csv -> table file header (csvRecords file)
            | Tsv -> table file header (tsvRecords file)
            | Json -> jsonRows file
            | Parquet -> ParquetRows.read file

        DataFile.guarded file rows
