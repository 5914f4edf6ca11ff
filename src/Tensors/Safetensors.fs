namespace Peft

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Json
open Microsoft.Win32.SafeHandles
open TorchSharp

/// One tensor of a safetensors file: where its bytes lie and what they mean.
type TensorEntry =
    {
        Name: string
        Dtype: torch.ScalarType
        Shape: int64 array
        /// The first byte, from the start of the file.
        Offset: int64
        Bytes: int64
    }

/// The checked header of a safetensors file.
type SafetensorsHeader =
    {
        Path: string
        Entries: Map<string, TensorEntry>
        Metadata: Map<string, string>
    }

/// The safetensors format: 8 bytes header length (little endian), a JSON header, then the tensors' bytes.
/// Everything the header claims is checked against the file before anything is allocated.
[<RequireQualifiedAccess>]
module Safetensors =
    let private largestHeader = 100_000_000L

    /// libtorch's own limit for most operations.
    let private mostDimensions = 64

    /// In the order in which the reference library lays tensors out: falling alignment.
    let private dtypes =
        [
            "I64", torch.ScalarType.Int64, 8L
            "F64", torch.ScalarType.Float64, 8L
            "F32", torch.ScalarType.Float32, 4L
            "I32", torch.ScalarType.Int32, 4L
            "BF16", torch.ScalarType.BFloat16, 2L
            "F16", torch.ScalarType.Float16, 2L
            "I16", torch.ScalarType.Int16, 2L
            "I8", torch.ScalarType.Int8, 1L
            "U8", torch.ScalarType.Byte, 1L
            "BOOL", torch.ScalarType.Bool, 1L
        ]

    let private refuse (path: string) (problem: string) =
        userError $"{path} is not a usable safetensors file: {problem}. Fetch or write it again."

    /// A file's own words, fit for a place in one line of a message.
    let shown (words: string) : string =
        let plain =
            words
            |> String.map (fun letter ->
                if Char.IsControl letter || Char.IsSurrogate letter then
                    '?'
                else
                    letter)

        let cut =
            if plain.Length > 80 then
                plain.Substring(0, 80) + "…"
            else
                plain

        cut.ReplaceLineEndings "?"

    let private readFully (handle: SafeFileHandle) (path: string) (target: Span<byte>) (offset: int64) =
        let mutable filled = 0

        while filled < target.Length do
            let got = RandomAccess.Read(handle, target.Slice filled, offset + int64 filled)

            if got = 0 then
                refuse path "it ends early"

            filled <- filled + got

    /// The bytes of a shape; None where there is no such tensor. An extent of zero does not excuse the others.
    let private bytesOf (shape: int64 array) (size: int64) : int64 option =
        try
            let product extents =
                extents |> Array.fold (fun total extent -> Checked.(*) total extent) size

            product (shape |> Array.map (max 1L)) |> ignore

            if shape.Length > mostDimensions || Array.exists (fun extent -> extent < 0L) shape then
                None
            else
                Some(product shape)
        with :? OverflowException ->
            None

    let private entry path (dataStart: int64) (fileLength: int64) (key: string) (value: JsonElement) : TensorEntry =
        let name = shown key

        let property (key: string) =
            match value.TryGetProperty key with
            | true, found -> found
            | false, _ -> refuse path $"tensor {name} has no {key}"

        let code = Json.text (property "dtype")

        let dtype, size =
            match dtypes |> List.tryFind (fun (known, _, _) -> known = code) with
            | Some(_, dtype, size) -> dtype, size
            | None -> refuse path $"tensor {name} has the unknown dtype {shown code}"

        let shape =
            [| for extent in (property "shape").EnumerateArray() -> extent.GetInt64() |]

        let range =
            [|
                for bound in (property "data_offsets").EnumerateArray() -> bound.GetInt64()
            |]

        if range.Length <> 2 then
            refuse path $"tensor {name} has {range.Length} data_offsets, and two belong there"

        let bytes =
            match bytesOf shape size with
            | Some bytes -> bytes
            | None -> refuse path $"tensor {name} has an impossible shape"

        if range[0] < 0L || range[1] < range[0] || range[1] > fileLength - dataStart then
            refuse path $"the bytes of tensor {name} lie outside the file"

        if range[1] - range[0] <> bytes then
            refuse path $"tensor {name} takes {bytes} bytes by its shape and {range[1] - range[0]} by its range"

        {
            Name = key
            Dtype = dtype
            Shape = shape
            Offset = dataStart + range[0]
            Bytes = bytes
        }

    /// The bytes of all tensors must fill the file from the header on, without holes and overlaps.
    let private checkLayout path (dataStart: int64) (fileLength: int64) (entries: TensorEntry list) =
        let reached =
            entries
            |> List.sortBy (fun entry -> entry.Offset, entry.Bytes)
            |> List.fold
                (fun expected entry ->
                    if entry.Offset <> expected then
                        refuse path $"tensor {shown entry.Name} overlaps another or leaves a hole before it"

                    expected + entry.Bytes)
                dataStart

        if reached <> fileLength then
            refuse path $"{fileLength - reached} bytes after the last tensor belong to none"

    let private parse path (dataStart: int64) (fileLength: int64) (json: byte[]) : SafetensorsHeader =
        use document = JsonDocument.Parse(UTF8Encoding(false, true).GetString json)

        let properties =
            [
                for property in document.RootElement.EnumerateObject() -> property.Name, property.Value
            ]

        if (properties |> List.distinctBy fst).Length <> properties.Length then
            refuse path "two tensors have one name"

        let metadata, tensors =
            properties |> List.partition (fun (name, _) -> name = "__metadata__")

        let entries =
            tensors
            |> List.map (fun (name, value) -> entry path dataStart fileLength name value)

        checkLayout path dataStart fileLength entries

        {
            Path = path
            Entries = entries |> List.map (fun entry -> entry.Name, entry) |> Map.ofList
            Metadata =
                Map.ofList
                    [
                        // The reference library, too, reads null as none.
                        for _, values in
                            metadata
                            |> List.filter (fun (_, values) -> values.ValueKind <> JsonValueKind.Null) do
                            for item in values.EnumerateObject() -> item.Name, Json.text item.Value
                    ]
        }

    let private readHeader (handle: SafeFileHandle) (path: string) : SafetensorsHeader =
        let fileLength = RandomAccess.GetLength handle

        if fileLength < 8L then
            refuse path $"it has {fileLength} bytes"

        let prefix = Array.zeroCreate<byte> 8
        readFully handle path (prefix.AsSpan()) 0L
        let length = BitConverter.ToInt64(prefix, 0)

        if length < 2L || length > largestHeader || length > fileLength - 8L then
            refuse path $"its header would take {uint64 length} of {fileLength} bytes"

        let json = Array.zeroCreate<byte>(int length)
        readFully handle path (json.AsSpan()) 8L

        try
            parse path (8L + length) fileLength json
        with
        | :? JsonException
        | :? DecoderFallbackException
        | :? FormatException
        | :? InvalidOperationException -> refuse path "its header is damaged"

    let private withFile (path: string) (use': SafeFileHandle -> 'a) : 'a =
        Files.checkRegular path

        try
            use handle = File.OpenHandle path
            use' handle
        with
        | :? UnauthorizedAccessException
        | :? IOException as error -> userError $"{path} cannot be read: {error.Message}"

    /// Reads and checks the header only.
    let header (path: string) : SafetensorsHeader =
        withFile path (fun handle -> readHeader handle path)

    let private readEntry handle path (entry: TensorEntry) : torch.Tensor =
        if entry.Bytes > int64 Int32.MaxValue then
            userError $"{path}: tensor {shown entry.Name} is larger than 2 GiB, which is more than this program reads."

        let tensor = torch.empty (entry.Shape, dtype = entry.Dtype)

        if entry.Bytes > 0L then
            readFully handle path tensor.bytes entry.Offset

        tensor

    /// Reads one tensor of a checked file to the CPU in the dtype of the file, straight into its storage.
    let read (header: SafetensorsHeader) (name: string) : torch.Tensor =
        withFile header.Path (fun handle -> readEntry handle header.Path header.Entries[name])

    /// Reads every tensor, as `read` does.
    let readAll (path: string) : IReadOnlyDictionary<string, torch.Tensor> =
        withFile path (fun handle ->
            let found = Dictionary<string, torch.Tensor>()

            for pair in (readHeader handle path).Entries do
                found[pair.Key] <- readEntry handle path pair.Value

            found)

    /// The file's own key-value pairs.
    let readMetadata (path: string) : Map<string, string> = (header path).Metadata

    /// Bytes that stand for a tensor: its name, dtype and shape, and up to 4 KiB from its beginning, middle and end. Enough
    /// to tell checkpoints apart without reading gigabytes.
    let sample (header: SafetensorsHeader) (name: string) : byte[] =
        withFile header.Path (fun handle ->
            use collected = new MemoryStream()
            let add (bytes: byte[]) = collected.Write(bytes, 0, bytes.Length)
            let entry = header.Entries[name]
            let shape = String.Join(",", entry.Shape)
            add (Encoding.UTF8.GetBytes $"{entry.Name} {entry.Dtype} {shape}\n")
            let size = int (min 4096L entry.Bytes)

            for start in [ 0L; (entry.Bytes - int64 size) / 2L; entry.Bytes - int64 size ] do
                let piece = Array.zeroCreate<byte> size
                readFully handle header.Path (piece.AsSpan()) (entry.Offset + start)
                add piece

            collected.ToArray())

    /// The tensors whose names begin with `prefix`, under the rest of their names; shared, not copied.
    let withPrefix
        (prefix: string)
        (tensors: IReadOnlyDictionary<string, torch.Tensor>)
        : Dictionary<string, torch.Tensor> =
        tensors
        |> Seq.filter (fun pair -> pair.Key.StartsWith(prefix, StringComparison.Ordinal))
        |> Seq.map (fun pair -> KeyValuePair(pair.Key.Substring prefix.Length, pair.Value))
        |> Dictionary

    /// The place of a dtype in the layout, its name and the bytes of an element.
    let private describe (dtype: torch.ScalarType) : int * string * int64 =
        match dtypes |> List.tryFindIndex (fun (_, known, _) -> known = dtype) with
        | Some place -> (let code, _, size = dtypes[place] in place, code, size)
        | None -> invalidArg (nameof dtype) $"{dtype} has no safetensors name"

    let private layoutOrder (name: string, tensor: torch.Tensor) (other: string, otherTensor: torch.Tensor) =
        let place (tensor: torch.Tensor) =
            (let place, _, _ = describe tensor.dtype in place)

        match compare (place tensor) (place otherTensor) with
        | 0 -> String.CompareOrdinal(name, other)
        | order -> order

    /// The header's JSON, padded so that the data begin at a multiple of 8.
    let private headerBytes (metadata: Map<string, string>) (tensors: (string * torch.Tensor) list) : byte[] =
        let header = Dictionary<string, obj>()

        if not metadata.IsEmpty then
            header["__metadata__"] <- metadata

        let mutable offset = 0L

        for name, tensor in tensors do
            let _, code, size = describe tensor.dtype
            let next = offset + size * tensor.numel ()

            let item: (string * obj) list =
                [ "dtype", code; "shape", tensor.shape; "data_offsets", [| offset; next |] ]

            // In the reference library's order of keys.
            header.Add(name, item |> List.map KeyValuePair |> Dictionary)

            offset <- next

        let json = JsonSerializer.SerializeToUtf8Bytes(header, Json.line)
        Array.append json (Array.create ((8 - json.Length % 8) % 8) 32uy)

    /// Writes tensors in the reference library's layout (widest dtype first, then by name; header padded to 8 bytes),
    /// through a temporary neighbour and a rename: the file is whole or the old one.
    let write (path: string) (metadata: Map<string, string>) (tensors: (string * torch.Tensor) list) : unit =
        use _ = torch.NewDisposeScope()

        let plain =
            tensors
            |> List.sortWith layoutOrder
            |> List.map (fun (name, tensor) -> name, tensor.detach().cpu().contiguous())

        let header = headerBytes metadata plain

        Files.replace path (fun stream ->
            stream.Write(ReadOnlySpan(BitConverter.GetBytes(int64 header.Length)))
            stream.Write(ReadOnlySpan header)

            for _, tensor in plain do
                if tensor.numel () > 0L then
                    stream.Write(Span<byte>.op_Implicit tensor.bytes))
