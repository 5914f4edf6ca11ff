namespace Peft

open System
open System.Buffers.Binary
open System.IO

/// Holds a parquet file's own descriptions against the file before the library reads by them: the library believes every
/// size, and a wrong byte makes it read for ever or ask for all memory.
[<RequireQualifiedAccess>]
module internal ParquetFooter =
    let private bad (what: string) = raise (ThriftError what)

    let private longestFooter = 256 * 1024 * 1024

    /// The most rows of one group, whatever the file's size: more only where the file has as many bytes.
    let private usualRows = 4_000_000L

    let private find (id: int) (fields: (int * Thrift) list) : Thrift option =
        fields |> List.tryFind (fun (other, _) -> other = id) |> Option.map snd

    let private number (name: string) (kinds: int list) (id: int) fields : int64 option =
        match find id fields with
        | None -> None
        | Some(Thrift.Number(kind, value)) when List.contains kind kinds -> Some value
        | Some _ -> bad $"its {name} is no number"

    /// A number that must be there and is not negative.
    let private count (name: string) (kinds: int list) (id: int) fields : int64 =
        match number name kinds id fields with
        | None -> bad $"its {name} is missing"
        | Some value when value < 0L -> bad $"its {name} is {value}"
        | Some value -> value

    let private i32, i64 = [ 5 ], [ 6 ]

    let private structOf (name: string) (value: Thrift option) : (int * Thrift) list =
        match value with
        | Some(Thrift.Struct fields) -> fields
        | _ -> bad $"its {name} is missing or of another kind"

    let private listOf (name: string) (value: Thrift option) : Thrift[] =
        match value with
        | Some(Thrift.List elements) -> elements
        | _ -> bad $"its {name} is missing or of another kind"

    let private isBinary (value: Thrift option) =
        match value with
        | Some(Thrift.Binary _) -> true
        | _ -> false

    let private optional (name: string) (isKind: Thrift -> bool) (id: int) fields =
        match find id fields with
        | Some value when not (isKind value) -> bad $"its {name} is of another kind"
        | _ -> ()

    let private isStruct (value: Thrift) =
        match value with
        | Thrift.Struct _ -> true
        | _ -> false

    /// The schema is a tree written depth first; every element must be somebody's child.
    let private checkSchema (elements: Thrift[]) : unit =
        let elements =
            elements |> Array.map (fun element -> structOf "schema" (Some element))

        let children (fields: (int * Thrift) list) =
            number "number of children" i32 5 fields |> Option.defaultValue 0L

        let rec walk (place: int) (depth: int) : int =
            if place >= elements.Length || depth > 32 then
                bad "its schema is no tree"

            let fields = elements[place]

            if not (isBinary (find 4 fields)) then
                bad "a column has no name"

            for id, name in
                [
                    1, "type"
                    2, "type length"
                    3, "repetition"
                    6, "type"
                    7, "scale"
                    8, "precision"
                ] do
                match number name i32 id fields with
                | Some value when value < 0L && id <> 7 -> bad $"a column's {name} is {value}"
                | _ -> ()

            optional "logical type" isStruct 10 fields
            let mutable after = place + 1

            if children fields < 0L || children fields > int64 elements.Length then
                bad "its schema is no tree"

            for _ in 1L .. children fields do
                after <- walk after (depth + 1)

            after

        if elements.Length = 0 || walk 0 0 <> elements.Length then
            bad "its schema is no tree"

    /// A number of bytes that packed ones may unpack to.
    let private checkGrowth (packed: int64) (unpacked: int64) =
        if unpacked > Gzip.limit packed then
            bad $"{packed} bytes would unpack to {Columns.bytes unpacked}"

    let private snappy = 1L

    /// A Snappy block begins with the length it unpacks to, which the library believes: seven bits a byte, the lowest first.
    let private checkSnappy (source: Stream) (place: int64) (packed: int64) (unpacked: int64) : unit =
        let bytes = Array.zeroCreate<byte>(int (min 5L packed))
        source.Position <- place
        source.ReadExactly(bytes, 0, bytes.Length)

        let rec length (index: int) (found: int64) =
            if index = bytes.Length then
                bad "a page is no Snappy block"
            else
                let found = found ||| (int64 (bytes[index] &&& 127uy) <<< (7 * index))

                if bytes[index] < 128uy then
                    found
                else
                    length (index + 1) found

        match length 0 0L with
        | own when own = unpacked -> ()
        | own -> bad $"a page would unpack to {own} bytes and says {unpacked}"

    /// Reads the heads of a column's pages; what they announce must fit into the column's bytes.
    let private checkPages (source: Stream) (codec: int64) (start: int64) (length: int64) (values: int64) : unit =
        let head = Array.zeroCreate<byte> 4096

        let rec page (place: int64) (found: int64) =
            if found < values then
                if place >= start + length then
                    bad $"a column has {found} of its {values} values"

                // Statistics can make a page's head longer than the usual hundred bytes.
                let rec read (window: byte[]) =
                    let size = int (min (int64 window.Length) (start + length - place))
                    source.Position <- place
                    source.ReadExactly(window, 0, size)

                    let reader =
                        ThriftReader((if size = window.Length then window else window[.. size - 1]), 0)

                    match
                        (try
                            Some(reader.Struct())
                         with ThriftError _ when size = window.Length && window.Length < (1 <<< 24) ->
                             None)
                    with
                    | Some fields -> fields, reader.Place
                    | None -> read (Array.zeroCreate (window.Length * 8))

                let fields, size = read head
                let packed = count "page size" i32 3 fields
                let unpacked = count "unpacked page size" i32 2 fields
                let behind = place + int64 size + packed

                if behind > start + length then
                    bad "a page goes beyond its column"

                checkGrowth packed unpacked

                // Levels stand before the block of a newer page, unpacked.
                let block (levels: int64) =
                    if codec = snappy && packed > levels then
                        checkSnappy source (behind - packed + levels) (packed - levels) (unpacked - levels)

                let held =
                    match count "page type" i32 1 fields with
                    | 0L ->
                        block 0L
                        count "number of values" i32 1 (structOf "page head" (find 5 fields))
                    | 3L ->
                        let head = structOf "page head" (find 8 fields)
                        let levels = count "level length" i32 5 head + count "level length" i32 6 head

                        if levels > packed || levels > unpacked then
                            bad "a page's levels go beyond it"

                        if find 7 head <> Some(Thrift.Number(1, 0L)) then
                            block levels

                        count "number of rows" i32 3 head |> ignore
                        count "number of nulls" i32 2 head |> ignore
                        count "number of values" i32 1 head
                    | 2L ->
                        let entries =
                            count "number of values" i32 1 (structOf "dictionary head" (find 7 fields))

                        if entries > unpacked then
                            bad "a dictionary has more entries than bytes"

                        block 0L
                        0L
                    | _ -> 0L

                page behind (found + held)

        page start 0L

    let private isRepeated (leaf: Thrift) =
        number "repetition" i32 3 (structOf "schema" (Some leaf)) = Some 2L

    let private checkColumn (source: Stream) (dataEnd: int64) (rows: int64) (leaf: Thrift) (chunk: Thrift) : unit =
        let chunk = structOf "column" (Some chunk)

        if (find 1 chunk).IsSome then
            bad "its columns are in other files"

        let data = structOf "column's description" (find 3 chunk)
        let path = listOf "column's path" (find 3 data)
        let values = count "number of values" i64 5 data
        let packed = count "column size" i64 7 data
        let unpacked = count "unpacked column size" i64 6 data
        let first = count "place of pages" i64 9 data
        count "type" i32 1 data |> ignore
        let codec = count "codec" i32 4 data
        listOf "encodings" (find 2 data) |> ignore
        optional "statistics" isStruct 12 data

        let start =
            match number "place of the dictionary" i64 11 data with
            | Some place when place > 0L && place < first -> place
            | _ -> first

        if start < 4L || packed > dataEnd - start then
            bad "a column lies outside of the file"

        checkGrowth packed unpacked

        // Only these are read: neither lists nor parts of structures.
        if path.Length = 1 && not (isRepeated leaf) then
            // The library would make rows up.
            if values <> rows then
                bad $"a column has {values} values for {rows} rows"

            checkPages source codec start packed values

    let private checkGroup (source: Stream) (dataEnd: int64) (leaves: Thrift[]) (group: Thrift) : int64 =
        let group = structOf "group of rows" (Some group)
        let rows = count "number of rows" i64 3 group
        let chunks = listOf "columns" (find 1 group)

        if chunks.Length <> leaves.Length then
            bad $"a group of rows has {chunks.Length} columns where the schema has {leaves.Length}"

        if rows > max usualRows source.Length then
            bad $"a group has {rows} rows"

        Array.iter2 (checkColumn source dataEnd rows) leaves chunks

        rows

    /// Raises `ThriftError` where the footer or a page's head is no sound description of the file.
    let check (source: Stream) : unit =
        let tail = Array.zeroCreate<byte> 8

        if source.Length < 12L then
            bad "it is too short"

        source.Position <- 0L
        source.ReadExactly(tail, 0, 4)

        if not (ReadOnlySpan(tail, 0, 4).SequenceEqual "PAR1"B) then
            bad "it does not begin with PAR1"

        source.Position <- source.Length - 8L
        source.ReadExactly(tail, 0, 8)

        match Text.Encoding.ASCII.GetString(tail, 4, 4) with
        | "PAR1" -> ()
        | "PARE" -> bad "it is encrypted"
        | _ -> bad "it does not end with PAR1"

        let length = BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan tail) |> int64

        if length > source.Length - 12L || length > int64 longestFooter then
            bad $"its footer would have {length} bytes"

        let dataEnd = source.Length - 8L - length
        let bytes = Array.zeroCreate<byte>(int length)
        source.Position <- dataEnd
        source.ReadExactly(bytes, 0, bytes.Length)
        let reader = ThriftReader(bytes, 0)
        let footer = reader.Struct()

        if reader.Place <> bytes.Length then
            bad "its footer ends too early"

        let schema = listOf "schema" (find 2 footer)
        checkSchema schema

        let leaves =
            schema
            |> Array.filter (fun element ->
                number "number of children" i32 5 (structOf "schema" (Some element))
                |> Option.forall (fun children -> children = 0L))

        let rows = count "number of rows" i64 3 footer

        let inGroups =
            listOf "groups of rows" (find 4 footer)
            |> Array.sumBy (checkGroup source dataEnd leaves)

        if inGroups <> rows then
            bad $"its groups have {inGroups} rows where it should have {rows}"

        source.Position <- 0L
