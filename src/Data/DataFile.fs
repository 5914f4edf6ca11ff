namespace Peft

open System
open System.Buffers
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.Text

/// One row of a table of text, with what a message needs to name it.
type Row =
    {
        File: string
        /// Data rows count from 1, without the header; a row of JSON Lines has the number of its line.
        Number: int
        Columns: string[]
        Cells: string[]
    }

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

/// What the readers of all kinds of files share: bytes, strict text, rows, and messages for what goes wrong.
[<RequireQualifiedAccess>]
module internal DataFile =
    /// Throws on invalid bytes; its preamble lets a reader skip a byte order mark at the start, and only there.
    let strict = UTF8Encoding(true, true)

    /// Whether a file is packed, by its name.
    let isGzipped (file: string) =
        file.EndsWith(".gz", StringComparison.OrdinalIgnoreCase)

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

    /// The bytes of a file, unpacked.
    let openBytes (file: string) : Stream =
        if isGzipped file then
            unpack file
        else
            new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 <<< 16)

    /// The text of a file, unpacked.
    let openText (file: string) : StreamReader =
        new StreamReader(openBytes file, strict, false, 1 <<< 16)

    /// The bytes of a file, unpacked, in an array.
    let allBytes (file: string) : byte[] =
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
        }
