namespace Peft

open System

/// A value of Thrift's compact protocol, in which parquet writes its descriptions.
[<RequireQualifiedAccess>]
type internal Thrift =
    /// A truth value or a whole number, with its wire type.
    | Number of kind: int * value: int64
    | Double
    /// Bytes or text.
    | Binary of offset: int * length: int
    /// A list or a set.
    | List of Thrift[]
    | Map
    | Struct of (int * Thrift) list

/// Why bytes are no Thrift.
exception internal ThriftError of cause: string with
    override error.Message = error.cause

/// A strict reader: every size is held against the bytes that are left, depth is bounded, and the end is an error. So the
/// time and the memory it takes are within a small multiple of the bytes.
type internal ThriftReader(bytes: byte[], start: int) =
    let deepest = 24
    let mutable place = start

    let next () : int =
        if place >= bytes.Length then
            raise (ThriftError "it ends too early")

        place <- place + 1
        int bytes[place - 1]

    let skip (count: int64) =
        if count < 0L || count > int64 (bytes.Length - place) then
            raise (ThriftError "a size goes beyond its end")

        place <- place + int count

    let varint () : uint64 =
        let rec go (shift: int) (value: uint64) =
            let part = next ()

            if shift = 63 && part > 1 then
                raise (ThriftError "a number is too long")

            let value = value ||| (uint64 (part &&& 0x7F) <<< shift)
            if part &&& 0x80 = 0 then value else go (shift + 7) value

        go 0 0UL

    let size () : int =
        let size = varint ()

        // Each element takes a byte at least.
        if size > uint64 (bytes.Length - place) then
            raise (ThriftError "a size goes beyond its end")

        int size

    let zigzag () : int64 =
        let value = varint ()
        int64 (value >>> 1) ^^^ -(int64 (value &&& 1UL))

    let rec value (kind: int) (isElement: bool) (depth: int) : Thrift =
        if depth > deepest then
            raise (ThriftError "it is nested too deeply")

        match kind with
        | 1
        | 2 when isElement -> Thrift.Number(1, int64 (next ()))
        | 1
        | 2 -> Thrift.Number(1, int64 (2 - kind))
        | 3 -> Thrift.Number(3, int64 (next ()))
        | 4
        | 5
        | 6 -> Thrift.Number(kind, zigzag ())
        | 7 ->
            skip 8L
            Thrift.Double
        | 8 ->
            let length = size ()
            let offset = place
            skip (int64 length)
            Thrift.Binary(offset, length)
        | 9
        | 10 ->
            let head = next ()
            let kind = head &&& 15

            let count = if head >>> 4 < 15 then head >>> 4 else size ()

            if count > bytes.Length - place then
                raise (ThriftError "a size goes beyond its end")

            let elements = ResizeArray()

            for _ in 1..count do
                elements.Add(value kind true (depth + 1))

            Thrift.List(elements.ToArray())
        | 11 ->
            let count = size ()

            if count > 0 then
                let kinds = next ()

                for _ in 1..count do
                    value (kinds >>> 4) true (depth + 1) |> ignore
                    value (kinds &&& 15) true (depth + 1) |> ignore

            Thrift.Map
        | 12 -> Thrift.Struct(fields (depth + 1))
        | other -> raise (ThriftError $"there is no type {other}")

    and fields (depth: int) : (int * Thrift) list =
        let rec go (last: int) (found: (int * Thrift) list) =
            match next () with
            | 0 -> List.rev found
            | head ->
                let id =
                    if head >>> 4 = 0 then
                        int (zigzag ())
                    else
                        last + (head >>> 4)

                go id ((id, value (head &&& 15) false depth) :: found)

        go 0 []

    /// The fields of the structure at the current place.
    member _.Struct() : (int * Thrift) list = fields 0

    /// The place behind what was read.
    member _.Place: int = place
