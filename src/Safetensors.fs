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
    { Path: string
      Entries: Map<string, TensorEntry>
      Metadata: Map<string, string> }

/// The safetensors format: 8 bytes header length (little endian), a JSON header, then the tensors' bytes.
/// Everything the header claims is checked against the file before anything is allocated.
[<RequireQualifiedAccess>]
module Safetensors =
    let private largestHeader = 100_000_000L

    let private dtypes =
        [ "F64", torch.ScalarType.Float64, 8L
          "F32", torch.ScalarType.Float32, 4L
          "F16", torch.ScalarType.Float16, 2L
          "BF16", torch.ScalarType.BFloat16, 2L
          "I64", torch.ScalarType.Int64, 8L
          "I32", torch.ScalarType.Int32, 4L
          "I16", torch.ScalarType.Int16, 2L
          "I8", torch.ScalarType.Int8, 1L
          "U8", torch.ScalarType.Byte, 1L
          "BOOL", torch.ScalarType.Bool, 1L ]

    let private refuse (path: string) (problem: string) =
        userError $"{path} is not a usable safetensors file: {problem}. Fetch or write it again."

    let private readFully (handle: SafeFileHandle) (path: string) (target: Span<byte>) (offset: int64) =
        let mutable filled = 0

        while filled < target.Length do
            let got = RandomAccess.Read(handle, target.Slice filled, offset + int64 filled)

            if got = 0 then
                refuse path "it ends early"

            filled <- filled + got

    let private entry path (dataStart: int64) (fileLength: int64) (name: string) (value: JsonElement) : TensorEntry =
        let property (key: string) =
            match value.TryGetProperty key with
            | true, found -> found
            | false, _ -> refuse path $"tensor {name} has no {key}"

        let code = Json.text (property "dtype")

        let dtype, size =
            match dtypes |> List.tryFind (fun (known, _, _) -> known = code) with
            | Some(_, dtype, size) -> dtype, size
            | None -> refuse path $"tensor {name} has the unknown dtype {code}"

        let shape = [| for extent in (property "shape").EnumerateArray() -> extent.GetInt64() |]
        let range = [| for bound in (property "data_offsets").EnumerateArray() -> bound.GetInt64() |]

        if shape |> Array.exists (fun extent -> extent < 0L) || range.Length <> 2 then
            refuse path $"tensor {name} has an impossible shape or range"

        let bytes =
            try
                shape |> Array.fold (fun total extent -> Checked.(*) total extent) size
            with :? OverflowException ->
                refuse path $"tensor {name} has an impossible shape"

        if range[0] < 0L || range[1] < range[0] || range[1] > fileLength - dataStart then
            refuse path $"the bytes of tensor {name} lie outside the file"

        if range[1] - range[0] <> bytes then
            refuse path $"tensor {name} takes {bytes} bytes by its shape and {range[1] - range[0]} by its range"

        { Name = name
          Dtype = dtype
          Shape = shape
          Offset = dataStart + range[0]
          Bytes = bytes }

    /// The bytes of all tensors must fill the file from the header on, without holes and overlaps.
    let private checkLayout path (dataStart: int64) (fileLength: int64) (entries: TensorEntry list) =
        let reached =
            entries
            |> List.sortBy (fun entry -> entry.Offset, entry.Bytes)
            |> List.fold
                (fun expected entry ->
                    if entry.Offset <> expected then
                        refuse path $"tensor {entry.Name} overlaps another or leaves a hole before it"

                    expected + entry.Bytes)
                dataStart

        if reached <> fileLength then
            refuse path $"{fileLength - reached} bytes after the last tensor belong to none"

    let private parse path (dataStart: int64) (fileLength: int64) (json: byte[]) : SafetensorsHeader =
        use document = JsonDocument.Parse(UTF8Encoding(false, true).GetString json)
        let properties = [ for property in document.RootElement.EnumerateObject() -> property.Name, property.Value ]

        if (properties |> List.distinctBy fst).Length <> properties.Length then
            refuse path "two tensors have one name"

        let metadata, tensors = properties |> List.partition (fun (name, _) -> name = "__metadata__")
        let entries = tensors |> List.map (fun (name, value) -> entry path dataStart fileLength name value)
        checkLayout path dataStart fileLength entries

        { Path = path
          Entries = entries |> List.map (fun entry -> entry.Name, entry) |> Map.ofList
          Metadata =
            Map.ofList
                [ for _, values in metadata do
                      for item in values.EnumerateObject() -> item.Name, Json.text item.Value ] }

    let private readHeader (handle: SafeFileHandle) (path: string) : SafetensorsHeader =
        let fileLength = RandomAccess.GetLength handle

        if fileLength < 8L then
            refuse path $"it has {fileLength} bytes"

        let prefix = Array.zeroCreate<byte> 8
        readFully handle path (prefix.AsSpan()) 0L
        let length = BitConverter.ToInt64(prefix, 0)

        if length < 2L || length > largestHeader || length > fileLength - 8L then
            refuse path $"its header would take {uint64 length} of {fileLength} bytes"

        let json = Array.zeroCreate<byte> (int length)
        readFully handle path (json.AsSpan()) 8L

        try
            parse path (8L + length) fileLength json
        with
        | :? JsonException
        | :? DecoderFallbackException
        | :? FormatException
        | :? InvalidOperationException -> refuse path "its header is damaged"

    let private withFile (path: string) (use': SafeFileHandle -> 'a) : 'a =
        if not (File.Exists path) then
            userError $"{path} does not exist."

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
            refuse path $"tensor {entry.Name} is larger than 2 GiB"

        let tensor = torch.empty (entry.Shape, dtype = entry.Dtype)

        if entry.Bytes > 0L then
            readFully handle path tensor.bytes entry.Offset

        tensor

    /// Reads every tensor to the CPU in the dtype of the file, straight into its storage.
    let readAll (path: string) : IReadOnlyDictionary<string, torch.Tensor> =
        withFile path (fun handle ->
            let found = Dictionary<string, torch.Tensor>()

            for pair in (readHeader handle path).Entries do
                found[pair.Key] <- readEntry handle path pair.Value

            found)

    /// The file's own key-value pairs.
    let readMetadata (path: string) : Map<string, string> = (header path).Metadata

    /// Bytes that stand for the whole file: each tensor's name, dtype and shape, and up to 4 KiB from its beginning, middle
    /// and end. Enough to tell files apart without reading gigabytes.
    let sample (path: string) : byte[] =
        withFile path (fun handle ->
            use collected = new MemoryStream()
            let add (bytes: byte[]) = collected.Write(bytes, 0, bytes.Length)

            for pair in (readHeader handle path).Entries do
                let entry = pair.Value
                let shape = String.Join(",", entry.Shape)
                add (Encoding.UTF8.GetBytes $"{entry.Name} {entry.Dtype} {shape}\n")
                let size = int (min 4096L entry.Bytes)

                for start in [ 0L; (entry.Bytes - int64 size) / 2L; entry.Bytes - int64 size ] do
                    let piece = Array.zeroCreate<byte> size
                    readFully handle path (piece.AsSpan()) (entry.Offset + start)
                    add piece

            collected.ToArray())

    let private describe (dtype: torch.ScalarType) =
        match dtypes |> List.tryFind (fun (_, known, _) -> known = dtype) with
        | Some(code, _, size) -> code, size
        | None -> invalidArg (nameof dtype) $"{dtype} has no safetensors name"

    /// Writes tensors in the reference library's layout (widest dtype first, then by name; header padded to 8 bytes),
    /// through a temporary neighbour and a rename: the file is whole or the old one.
    let write (path: string) (metadata: Map<string, string>) (tensors: (string * torch.Tensor) list) : unit =
        use _ = torch.NewDisposeScope()
        let ordered = tensors |> List.sortWith (fun (a, ta) (b, tb) ->
            let size (tensor: torch.Tensor) = -(snd (describe tensor.dtype))
            match compare (size ta) (size tb) with
            | 0 -> String.CompareOrdinal(a, b)
            | order -> order)

        let plain = ordered |> List.map (fun (name, tensor) -> name, tensor.detach().cpu().contiguous ())
        let header = Dictionary<string, obj>()

        if not metadata.IsEmpty then
            header["__metadata__"] <- metadata

        let mutable offset = 0L

        for name, tensor in plain do
            let code, size = describe tensor.dtype
            let next = offset + size * tensor.numel ()
            header[name] <- {| dtype = code; shape = tensor.shape; data_offsets = [| offset; next |] |}
            offset <- next

        let json = JsonSerializer.SerializeToUtf8Bytes(header, Json.line)
        let padding = (8 - json.Length % 8) % 8
        let temporary = $"{path}.{Environment.ProcessId}.tmp"

        try
            do
                use stream = new FileStream(temporary, FileMode.Create, FileAccess.Write)
                stream.Write(ReadOnlySpan(BitConverter.GetBytes(int64 (json.Length + padding))))
                stream.Write(ReadOnlySpan json)
                stream.Write(ReadOnlySpan(Array.create padding 32uy))

                for _, tensor in plain do
                    if tensor.numel () > 0L then
                        stream.Write(Span<byte>.op_Implicit tensor.bytes)

                stream.Flush true

            File.Move(temporary, path, overwrite = true)
        with
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            try
                File.Delete temporary
            with _ ->
                ()

            userError $"{path} cannot be written: {error.Message}"
