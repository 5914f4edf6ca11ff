namespace Peft

open System
open System.Globalization
open System.IO
open System.Threading.Tasks
open Parquet
open Parquet.Schema

/// Rows of parquet files.
[<RequireQualifiedAccess>]
module internal ParquetRows =
    let private await (work: ValueTask) = work.AsTask().GetAwaiter().GetResult()

    let private values<'T when 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType>
        (text: 'T -> string)
        (group: ParquetRowGroupReader)
        (field: DataField)
        : string[] =
        if field.IsNullable then
            let values = Array.zeroCreate<Nullable<'T>>(int group.RowCount)
            await (group.ReadAsync<'T>(field, Memory<Nullable<'T>> values))

            values
            |> Array.map (fun value -> if value.HasValue then text value.Value else "")
        else
            let values = Array.zeroCreate<'T>(int group.RowCount)
            await (group.ReadAsync<'T>(field, Memory<'T> values))
            values |> Array.map text

    /// Numbers, dates and times in a format of .NET; without one, as they print.
    let private formatted<'T when 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> IFormattable>
        (format: string | null)
        : ParquetRowGroupReader -> DataField -> string[] =
        values<'T>(fun value -> value.ToString(format, CultureInfo.InvariantCulture))

    let private numbers<'T when 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> IFormattable> =
        formatted<'T> null

    let private strings (group: ParquetRowGroupReader) (field: DataField) : string[] =
        let values = Array.zeroCreate<string>(int group.RowCount)
        await (group.ReadAsync(field, Memory<string> values))
        values |> Array.map (fun value -> if isNull (box value) then "" else value)

    /// Text that its writer did not mark as such.
    let private bytes (group: ParquetRowGroupReader) (field: DataField) : string[] =
        let values = Array.zeroCreate<byte[]>(int group.RowCount)
        await (group.ReadAsync(field, Memory<byte[]> values))

        values
        |> Array.map (fun value ->
            if isNull (box value) then
                ""
            else
                DataFile.strict.GetString value)

    let private readers =
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
            typeof<decimal>, numbers<decimal>
            typeof<Guid>, numbers<Guid>
            // As JSON and people write them.
            typeof<bool>, values<bool>(fun value -> if value then "true" else "false")
            // ISO 8601 as pandas prints it: no fraction where there is none.
            typeof<DateTime>, formatted<DateTime> "yyyy-MM-dd HH:mm:ss.FFFFFFF"
            typeof<DateOnly>, formatted<DateOnly> "yyyy-MM-dd"
            typeof<TimeOnly>, formatted<TimeOnly> "HH:mm:ss.FFFFFFF"
            typeof<TimeSpan>, formatted<TimeSpan> "c"
        ]

    /// The columns that are read, each with its reader, and the others, each with what it is.
    let private columnsOf (reader: ParquetReader) =
        let kindOf (field: Field) =
            match field with
            | :? DataField as field when not field.IsArray ->
                match readers |> List.tryFind (fun (kind, _) -> kind = field.ClrType) with
                | Some(_, read) -> Choice1Of2(field, read)
                | None -> Choice2Of2 $"{field.Name} (of type {field.ClrType.Name})"
            | :? StructField -> Choice2Of2 $"{field.Name} (a structure)"
            | :? MapField -> Choice2Of2 $"{field.Name} (a map)"
            | field -> Choice2Of2 $"{field.Name} (a list)"

        reader.Schema.Fields |> Array.ofSeq |> Array.partitionWith kindOf

    /// Columns of text, numbers, truth values, dates and times at the top level; the others (lists, maps, structures) are told
    /// where a column is missed.
    let read (file: string) : seq<Row> =
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
            use bytes = DataFile.openSeekable file

            if bytes.Length = 0L then
                userError $"{file} is empty. Fetch it again."

            let reader, (columns, unread) =
                careful (fun () ->
                    try
                        ParquetFooter.check bytes

                        let reader =
                            ParquetReader.CreateAsync(bytes, leaveStreamOpen = true).GetAwaiter().GetResult()

                        reader, columnsOf reader
                    with :? IOException as error ->
                        userError $"{file} is damaged or no parquet file ({error.Message}). Fetch it again.")

            let names = columns |> Array.map (fun (field, _) -> field.Name)
            let mutable number = 0

            for place in 0 .. reader.RowGroupCount - 1 do
                let count, cells =
                    careful (fun () ->
                        use group = reader.OpenRowGroupReader place

                        int group.RowCount, columns |> Array.map (fun (field, read) -> read group field))

                for index in 0 .. count - 1 do
                    number <- number + 1

                    { DataFile.rowOf file names number (cells |> Array.map (fun column -> column[index])) with
                        Unread = unread
                    }

            if number = 0 then
                userError $"{file} has no data rows. Fetch or write it again."
        }
