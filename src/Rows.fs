namespace Peft

open System
open System.Buffers
open System.Buffers.Binary
open System.Globalization
open System.IO
open System.IO.Compression
open System.Text
open System.Text.Json
open System.Threading.Tasks
open CsvHelper
open Parquet
open Parquet.Schema

/// One row of a table of text, with what a message needs to name it.
type Row =
    {
        File: string
        /// Data rows count from 1, without the header; a row of JSON Lines has the number of its line.
        Number: int
        Columns: string[]
        Cells: string[]
    }

    /// The file and the row, in words.
    member row.Place: string = $"{row.File}, row {row.Number},"

    /// The text of a column; None where the row lacks it.
    member row.TryFind(column: string) : string option =
        match Array.IndexOf(row.Columns, column) with
        | -1 -> None
        | place -> Some row.Cells[place]

    /// The text of a column; `UserError` where the row lacks it.
    member row.Item
        with get (column: string): string =
            match row.TryFind column with
            | Some cell -> cell
            | None ->
                let present = String.Join(", ", row.Columns)

                userError
                    $"{row.Place} has no column \"{column}\". It has {present}; rename one or name another column."

/// Where the names of the columns of a CSV or TSV file come from.
type Header =
    /// The first row holds them.
    | FirstRow
    /// The file has no header.
    | Given of string list
    /// The first row is a header if at least two of its cells are in `known`, in any case; else the columns are `given`.
    /// Publishers and Hugging Face use one file name for both kinds.
    | Guessed of known: string list * given: string list

/// What a file holds, told by the end of its name.
type Format =
    | Csv
    | Tsv
    | Json
    | Parquet

/// Tables of text, read row by row: CSV, TSV, JSON Lines, JSON arrays and parquet, each also gzipped (`.gz`).
/// Text is strict UTF-8, with or without a byte order mark. A fault of a file is a `UserError` that names the place;
/// rows are read when they are asked for, so it is raised there. Gzipped files are unpacked whole, in memory.
[<RequireQualifiedAccess>]
module Rows =
    /// Throws on invalid bytes; its preamble lets a reader skip a byte order mark at the start, and only there.
    let private strict = UTF8Encoding(true, true)

    let private isGzipped (file: string) =
        file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase)

    /// The format of a file by its extension, under `.gz` if there is one.
    let formatOf (file: string) : Format =
        let bare =
            if isGzipped file then
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

    let private damagedGzip (file: string) =
        userError $"{file} is damaged: its gzip data cannot be unpacked. Fetch it again."

    /// Unpacks a gzip file whole. .NET takes a truncated stream for a complete one, so the length is compared with the
    /// one that gzip keeps in its last four bytes (modulo 2^32).
    let private unpack (file: string) : Stream =
        use packed = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read)
        let all = new MemoryStream()

        try
            (use zip = new GZipStream(packed, CompressionMode.Decompress, leaveOpen = true)
             zip.CopyTo all)
        with :? InvalidDataException ->
            damagedGzip file

        if packed.Length > 0L then
            let length = Array.zeroCreate<byte> 4
            packed.Position <- max 0L (packed.Length - 4L)
            let got = packed.ReadAtLeast(Span length, 4, throwOnEndOfStream = false)

            if
                got < 4
                || BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan length)
                   <> uint32 all.Length
            then
                damagedGzip file

        all.Position <- 0L
        all

    let private openBytes (file: string) : Stream =
        if isGzipped file then
            unpack file
        else
            new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 <<< 16)

    let private openText (file: string) : StreamReader =
        new StreamReader(openBytes file, strict, false, 1 <<< 16)

    let private allBytes (file: string) : byte[] =
        use source = openBytes file
        use all = new MemoryStream()
        source.CopyTo all
        all.ToArray()

    /// The offset of the first byte that is not UTF-8, and its line; both found in a second reading.
    let private firstInvalid (file: string) : int * int =
        let bytes = allBytes file

        let rec find place line =
            let mutable rune = Rune()
            let mutable width = 0

            if place >= bytes.Length then
                place, line
            elif
                Rune.DecodeFromUtf8(ReadOnlySpan(bytes, place, bytes.Length - place), &rune, &width)
                <> OperationStatus.Done
            then
                place, line
            else
                find (place + width) (if bytes[place] = 10uy then line + 1 else line)

        find 0 1

    /// Turns the exceptions of reading into messages.
    let private guarded (file: string) (rows: seq<Row>) : seq<Row> =
        seq {
            use source = rows.GetEnumerator()

            let advance () =
                try
                    source.MoveNext()
                with
                | :? DecoderFallbackException ->
                    let place, line = firstInvalid file
                    userError $"{file} is not UTF-8 at byte {place} (line {line}). Save it as UTF-8."
                | :? FileNotFoundException
                | :? DirectoryNotFoundException -> userError $"{file} does not exist."
                | :? UnauthorizedAccessException
                | :? IOException as error -> userError $"{file} cannot be read: {error.Message}"

            while advance () do
                source.Current
        }

    let private checkColumns (file: string) (columns: string[]) =
        if columns |> Array.exists String.IsNullOrWhiteSpace then
            userError $"{file} has a column without a name. Give every column of its header a name."

        match columns |> Array.countBy id |> Array.tryFind (fun (_, count) -> count > 1) with
        | Some(name, _) -> userError $"{file} has two columns named \"{name}\". Rename one."
        | None -> ()

    let private rowOf (file: string) (columns: string[]) (number: int) (cells: string[]) : Row =
        if cells.Length <> columns.Length then
            let expected = String.Join(", ", columns)

            userError
                $"{file}, row {number}, has {cells.Length} fields where there should be {columns.Length} ({expected}). Correct the row; a field with a comma, quote or line break needs quotes in CSV."

        {
            File = file
            Number = number
            Columns = columns
            Cells = cells
        }

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
                rowOf file columns number first

            while records.MoveNext() do
                number <- number + 1
                rowOf file columns number records.Current

            if number = 0 then
                userError $"{file} has a header and no data rows. Fetch or write it again."
        }

    let private csvRecords (file: string) : seq<string[]> =
        seq {
            use text = openText file
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
            use text = openText file
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

            rowOf file (Array.map fst cells) number (Array.map snd cells)
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
            use text = openText file
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

    let private await (work: ValueTask) = work.AsTask().GetAwaiter().GetResult()

    let private numbers<'T when 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> IFormattable>
        (group: ParquetRowGroupReader)
        (field: DataField)
        : string[] =
        let text (value: 'T) =
            value.ToString(null, CultureInfo.InvariantCulture)

        if field.IsNullable then
            let values = Array.zeroCreate<Nullable<'T>>(int group.RowCount)
            await (group.ReadAsync<'T>(field, Memory<Nullable<'T>> values))

            values
            |> Array.map (fun value -> if value.HasValue then text value.Value else "")
        else
            let values = Array.zeroCreate<'T>(int group.RowCount)
            await (group.ReadAsync<'T>(field, Memory<'T> values))
            values |> Array.map text

    let private strings (group: ParquetRowGroupReader) (field: DataField) : string[] =
        let values = Array.zeroCreate<string>(int group.RowCount)
        await (group.ReadAsync(field, Memory<string> values))
        values |> Array.map (fun value -> if isNull (box value) then "" else value)

    /// Text that its writer did not mark as such.
    let private bytes (group: ParquetRowGroupReader) (field: DataField) : string[] =
        let values = Array.zeroCreate<byte[]>(int group.RowCount)
        await (group.ReadAsync(field, Memory<byte[]> values))

        values
        |> Array.map (fun value -> if isNull (box value) then "" else strict.GetString value)

    let private parquetReaders =
        [
            typeof<ReadOnlyMemory<char>>, strings
            typeof<ReadOnlyMemory<byte>>, bytes
            typeof<int64>, numbers<int64>
            typeof<int32>, numbers<int32>
            typeof<int16>, numbers<int16>
            typeof<sbyte>, numbers<sbyte>
            typeof<byte>, numbers<byte>
            typeof<uint16>, numbers<uint16>
            typeof<uint32>, numbers<uint32>
            typeof<uint64>, numbers<uint64>
            typeof<float>, numbers<float>
            typeof<float32>, numbers<float32>
        ]

    /// Columns of text and numbers at the top level; others (lists, structures, times) are passed over.
    let private parquetRows (file: string) : seq<Row> =
        // The library throws whatever a damaged file leads it to, from IndexOutOfRange to OutOfMemory.
        let careful (work: unit -> 'a) =
            try
                work ()
            with
            | UserError _
            | :? IOException
            | :? UnauthorizedAccessException -> reraise ()
            | error ->
                let cause = error.Message.ReplaceLineEndings " "
                userError $"{file} is damaged or no parquet file ({cause}). Fetch it again."

        seq {
            use bytes = openBytes file

            if bytes.Length = 0L then
                userError $"{file} is empty. Fetch it again."

            let reader =
                careful (fun () ->
                    try
                        ParquetReader.CreateAsync(bytes, leaveStreamOpen = true).GetAwaiter().GetResult()
                    with :? IOException as error ->
                        userError $"{file} is damaged or no parquet file ({error.Message}). Fetch it again.")

            let columns =
                reader.Schema.Fields
                |> Array.ofSeq
                |> Array.choose (function
                    | :? DataField as field when not field.IsArray ->
                        parquetReaders
                        |> List.tryFind (fun (kind, _) -> kind = field.ClrType)
                        |> Option.map (fun (_, read) -> field, read)
                    | _ -> None)

            let names = columns |> Array.map (fun (field, _) -> field.Name)
            let mutable number = 0

            for place in 0 .. reader.RowGroupCount - 1 do
                let count, cells =
                    careful (fun () ->
                        use group = reader.OpenRowGroupReader place
                        int group.RowCount, columns |> Array.map (fun (field, read) -> read group field))

                for index in 0 .. count - 1 do
                    number <- number + 1
                    rowOf file names number (cells |> Array.map (fun column -> column[index]))

            if number = 0 then
                userError $"{file} has no data rows. Fetch or write it again."
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
            | Parquet -> parquetRows file

        guarded file rows
