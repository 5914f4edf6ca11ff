namespace Peft

open System
open System.IO
open CsvHelper

/// Tables of text, read row by row: CSV, TSV, JSON Lines, JSON arrays and parquet, each also gzipped (`.gz`).
/// Text is strict UTF-8, with or without a byte order mark. A fault of a file is a `UserError` that names the place;
/// rows are read when they are asked for, so it is raised there. A file is never in memory whole, but for packed
/// parquet and one JSON object.
[<RequireQualifiedAccess>]
module Rows =
    /// The most characters of one row's text, in a file or on standard input.
    let longest: int = DataFile.longestRow

    let private extension (file: string) : string =
        let bare =
            if DataFile.isGzipped file then
                file.Substring(0, file.Length - 3)
            else
                file

        (Path.GetExtension bare |> string).ToLowerInvariant()

    let private isLines (file: string) = extension file = ".jsonl"

    /// The format of a file by its extension, under `.gz` if there is one.
    let formatOf (file: string) : Format =
        match extension file with
        | ".csv" -> Csv
        | ".tsv" -> Tsv
        | ".json"
        | ".jsonl" -> Json
        | ".parquet" -> Parquet
        | _ ->
            userError
                $"{file} is of no known kind: give a .csv, .tsv, .json, .jsonl or .parquet file, or one of them gzipped."

    let private checkColumns (file: string) (columns: string[]) =
        if columns |> Array.forall String.IsNullOrWhiteSpace then
            userError $"{file} has no column with a name. Give every column of its header a name."

        match
            columns
            |> Array.filter (String.IsNullOrWhiteSpace >> not)
            |> Array.countBy id
            |> Array.tryFind (fun (_, count) -> count > 1)
        with
        | Some(name, _) -> userError $"{file} has two columns named \"{name}\". Rename one."
        | None -> ()

    /// Leaves out the columns without a name: pandas' index, or a comma at the end of each line.
    let private named (columns: string[]) : Row -> Row =
        if columns |> Array.exists String.IsNullOrWhiteSpace then
            let kept =
                [|
                    for place in 0 .. columns.Length - 1 do
                        if not (String.IsNullOrWhiteSpace columns[place]) then
                            place
                |]

            let names = kept |> Array.map (fun place -> columns[place])

            fun row ->
                { row with
                    Columns = names
                    Cells = kept |> Array.map (fun place -> row.Cells[place])
                }
        else
            id

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
            let named = named columns

            let rowOf number cells =
                DataFile.rowOf file columns number cells |> named

            let mutable number = 0

            if isData then
                number <- 1
                rowOf number first

            while records.MoveNext() do
                number <- number + 1
                rowOf number records.Current

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
                    MaxRecordSize = Nullable DataFile.longestRow,
                    MalformedData = CsvMalformedDataHandling.Throw
                )

            use records = CsvReader.Create(text, rules)

            let next () : string[] option =
                try
                    if records.Read() then
                        Some(records.Current.ToArray())
                    else
                        None
                with
                | :? CsvFormatException as error when error.Message.Contains(nameof rules.MaxRecordSize) ->
                    DataFile.tooLong file $"the record at line {error.LineNumber}" DataFile.longestRow
                | :? CsvFormatException as error ->
                    userError
                        $"{file} has a stray or unclosed quote in the record that starts at line {error.LineNumber}. Put quotes around the whole field and double those inside."

            let mutable record = next ()

            while record.IsSome do
                record.Value
                record <- next ()
        }

    let private tsvRecords (file: string) : seq<string[]> =
        DataFile.lines file
        |> Seq.choose (fun struct (_, line) -> if line.Length > 0 then Some(line.Split '\t') else None)

    /// The rows of a file, read by the kind that its name tells; `header` matters for CSV and TSV.
    /// CSV follows RFC 4180: quotes are doubled inside quotes, line breaks may stand there, and a backslash is an ordinary
    /// character. TSV has no quoting: a line is split on tabs and nothing is trimmed. In JSON numbers become text, null is
    /// empty, and a list counts as its first element; an object that is alone may hold columns, or rows under a key. Blank
    /// lines are passed over, and so are columns without a name.
    let read (header: Header) (file: string) : seq<Row> =
        let rows =
            match formatOf file with
            | Csv -> table file header (csvRecords file)
            | Tsv -> table file header (tsvRecords file)
            | Json -> JsonRows.read file (isLines file)
            | Parquet -> ParquetRows.read file

        DataFile.guarded file rows
