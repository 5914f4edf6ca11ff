namespace Peft

open System
open System.Buffers
open System.IO
open System.Text

/// One row of a table of text, with what a message needs to name it.
type Row =
    {
        File: string
        /// Data rows count from 1, without the header; a row of JSON Lines has the number of its line.
        Number: int
        Columns: string[]
        Cells: string[]
        /// Columns of the file that are no text and no number, each with what it is: "tags (a list)".
        Unread: string[]
    }

    /// The columns of the row, for a message.
    member row.Told: string =
        let told = String.Join(", ", row.Columns)

        if row.Unread.Length = 0 then
            told
        else
            let unread = String.Join(", ", row.Unread)
            $"{told} (and, not readable as text, {unread})"

    /// The file and the row, for the beginning of a message.
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
                userError
                    $"{row.Place} has no column \"{column}\". It has {row.Told}; rename one or name another column."

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

/// What the readers of all kinds of files share: bytes, strict text, rows, and messages for what goes wrong.
[<RequireQualifiedAccess>]
module internal DataFile =
    /// Throws on invalid bytes; its preamble lets a reader skip a byte order mark at the start, and only there.
    let strict = UTF8Encoding(true, true)

    /// Whether a file is packed, by its name.
    let isGzipped (file: string) =
        file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase)

    /// The most bytes of one row's text. No model reads so much of one; more is a damaged file or a missing quote.
    let longestRow = 16 * 1024 * 1024

    /// The most bytes of a file that has to be read whole: one JSON object, or packed parquet.
    let longestWhole = 64 * 1024 * 1024

    /// Refuses what is longer than a limit.
    let tooLong (file: string) (place: string) (limit: int) =
        userError
            $"{file}, {place}, is longer than {Columns.bytes (int64 limit)}. Cut it, or look for a quote or bracket that is not closed."

    /// The bytes of a file, unpacked as they are read.
    let openBytes (file: string) : Stream =
        if isGzipped file then
            Gzip.openRead file
        else
            Files.openRegular file

    /// A file's bytes where they are read out of order: packed ones are unpacked into memory.
    let openSeekable (file: string) : Stream =
        let source = openBytes file

        if source.CanSeek then
            source
        else
            use source = source
            let all = new MemoryStream()
            let block = Array.zeroCreate<byte>(1 <<< 16)
            let mutable got = source.Read(block, 0, block.Length)

            while got > 0 do
                all.Write(block, 0, got)

                if all.Length > int64 longestWhole then
                    userError
                        $"{file} unpacks to more than {Columns.bytes (int64 longestWhole)}, which is read from memory. Unpack it and name the unpacked file."

                got <- source.Read(block, 0, block.Length)

            all.Position <- 0L
            all

    /// The text of a file, unpacked as it is read.
    let openText (file: string) : StreamReader =
        new StreamReader(openBytes file, strict, false, 1 <<< 16)

    /// Lines with their numbers from 1; they end like those of `ReadLine`.
    let lines (file: string) : seq<struct (int * string)> =
        seq {
            use text = openText file
            let line = StringBuilder()
            let buffer = Array.zeroCreate<char>(1 <<< 15)
            let mutable number = 1
            let mutable got = text.Read(buffer, 0, buffer.Length)
            let mutable isAfterReturn = false

            while got > 0 do
                let mutable start = 0

                while start < got do
                    if isAfterReturn && buffer[start] = '\n' then
                        start <- start + 1

                    isAfterReturn <- false
                    let length = Span(buffer, start, got - start).IndexOfAny('\r', '\n')

                    if length < 0 then
                        line.Append(buffer, start, got - start) |> ignore
                        start <- got

                        if line.Length > longestRow then
                            tooLong file $"line {number}" longestRow
                    else
                        line.Append(buffer, start, length) |> ignore
                        struct (number, line.ToString())
                        line.Clear() |> ignore
                        number <- number + 1
                        isAfterReturn <- buffer[start + length] = '\r'
                        start <- start + length + 1

                got <- text.Read(buffer, 0, buffer.Length)

            if line.Length > 0 then
                struct (number, line.ToString())
        }

    /// The offset of the first byte that is not UTF-8, and its line; both found in a second reading.
    let private firstInvalid (file: string) : int64 * int =
        use source = openBytes file
        let buffer = Array.zeroCreate<byte>(1 <<< 16)

        // `kept` bytes at the start of the buffer are the beginning of a character that the last block cut.
        let rec find (offset: int64) (line: int) (kept: int) =
            let got = source.Read(buffer, kept, buffer.Length - kept)
            let filled = kept + got

            let rec within place line =
                let mutable rune = Rune()
                let mutable width = 0

                if place >= filled then
                    Choice2Of2(line, place)
                else
                    match Rune.DecodeFromUtf8(ReadOnlySpan(buffer, place, filled - place), &rune, &width) with
                    | OperationStatus.Done -> within (place + width) (if buffer[place] = 10uy then line + 1 else line)
                    | OperationStatus.NeedMoreData when got > 0 -> Choice2Of2(line, place)
                    | _ -> Choice1Of2(offset + int64 place, line)

            match within 0 line with
            | Choice1Of2 found -> found
            | Choice2Of2(line, place) when got = 0 -> offset + int64 place, line
            | Choice2Of2(line, place) ->
                Buffer.BlockCopy(buffer, place, buffer, 0, filled - place)
                find (offset + int64 place) line (filled - place)

        find 0L 1 0

    /// Turns the exceptions of reading into messages.
    let guarded (file: string) (rows: seq<Row>) : seq<Row> =
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

    /// One row; it must have a cell for each column.
    let rowOf (file: string) (columns: string[]) (number: int) (cells: string[]) : Row =
        if cells.Length <> columns.Length then
            let expected = String.Join(", ", columns)

            userError
                $"{file}, row {number}, has {cells.Length} fields where there should be {columns.Length} ({expected}). Correct the row; a field with a comma, quote or line break needs quotes in CSV."

        {
            File = file
            Number = number
            Columns = columns
            Cells = cells
            Unread = [||]
        }
