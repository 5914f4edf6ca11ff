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
        ]

    let private columnsOf (reader: ParquetReader) =
        reader.Schema.Fields
        |> Array.ofSeq
        |> Array.choose (function
            | :? DataField as field when not field.IsArray ->
                readers
                |> List.tryFind (fun (kind, _) -> kind = field.ClrType)
                |> Option.map (fun (_, read) -> field, read)
            | _ -> None)

    /// The footer states the rows twice; where it disagrees with itself, the library would make rows up.
    let private checkCount (group: ParquetRowGroupReader) (field: DataField) =
        match group.GetMetadata field with
        | null -> failwith $"column {field.Name} has no data"
        | chunk ->
            match chunk.MetaData with
            | null -> failwith $"column {field.Name} has no description"
            | data when data.NumValues <> group.RowCount ->
                failwith $"column {field.Name} has {data.NumValues} values for {group.RowCount} rows"
            | _ -> ()

    /// Columns of text and numbers at the top level; others (lists, structures, times) are passed over.
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
            use bytes = DataFile.openBytes file

            if bytes.Length = 0L then
                userError $"{file} is empty. Fetch it again."

            let reader, columns =
                careful (fun () ->
                    try
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

                        for field, _ in columns do
                            checkCount group field

                        int group.RowCount, columns |> Array.map (fun (field, read) -> read group field))

                for index in 0 .. count - 1 do
                    number <- number + 1
                    DataFile.rowOf file names number (cells |> Array.map (fun column -> column[index]))

            if number = 0 then
                userError $"{file} has no data rows. Fetch or write it again."
        }
