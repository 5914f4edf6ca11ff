namespace Peft

open System
open System.IO
open System.Runtime.InteropServices
open System.Text
open System.Text.Encodings.Web
open System.Text.Json
open System.Text.Json.Serialization
open System.Text.Json.Serialization.Metadata

/// What stands behind a path.
[<RequireQualifiedAccess>]
type internal FileKind =
    | Regular
    | Folder
    /// A pipe, a device or a socket: it may have no end, and opening it may wait for ever.
    | Special
    | Missing

/// Reading and writing files so that a fault is one line and nothing is half written.
[<RequireQualifiedAccess>]
module Files =
    // The runtime's own call of stat, since .NET tells no pipe from a file: after flags of four bytes comes the mode.
    [<DllImport("libSystem.Native", EntryPoint = "SystemNative_Stat")>]
    extern int private stat([<MarshalAs(UnmanagedType.LPUTF8Str)>] string path, int[] status)

    /// More than the runtime's record of a file takes.
    let private statusRoom = 64

    /// The bits of the mode that tell what a file is, with those of a regular file and of a folder.
    let private typeBits, private regularBits, private folderBits =
        0xF000, 0x8000, 0x4000

    let private unixKind (path: string) : FileKind =
        let status = Array.zeroCreate<int> statusRoom

        try
            if stat (path, status) <> 0 then
                FileKind.Missing
            else
                match status[1] &&& typeBits with
                | bits when bits = regularBits -> FileKind.Regular
                | bits when bits = folderBits -> FileKind.Folder
                | _ -> FileKind.Special
        with :? EntryPointNotFoundException ->
            if File.Exists path then FileKind.Regular
            elif Directory.Exists path then FileKind.Folder
            else FileKind.Missing

    /// What stands behind a path, links followed; a ring of links is missing.
    let internal kindOf (path: string) : FileKind =
        if path.Contains '\000' then
            FileKind.Missing
        elif not (OperatingSystem.IsWindows()) then
            unixKind path
        elif Directory.Exists path then
            FileKind.Folder
        elif not (File.Exists path) then
            FileKind.Missing
        elif File.GetAttributes path &&& FileAttributes.Device = FileAttributes.Device then
            FileKind.Special
        else
            FileKind.Regular

    /// `UserError` where a path names no regular file: a pipe or a device has no end, and opening it may wait for ever.
    let checkRegular (path: string) : unit =
        match kindOf path with
        | FileKind.Regular -> ()
        | FileKind.Folder -> userError $"{path} is a folder, and a file belongs there."
        | FileKind.Special ->
            userError $"{path} is a pipe, a device or a socket: only regular files are read. Copy it to a file first."
        | FileKind.Missing -> userError $"{path} does not exist."

    /// Reads a file's own size at most: one that is larger than `most` bytes is a `UserError`.
    let private checkSize (most: int64) (path: string) (stream: FileStream) : unit =
        if stream.Length > most then
            userError
                $"{path} has {stream.Length >>> 20} MiB; a file of this kind is read up to {most >>> 20} MiB. Is it the right one?"

    /// Opens a regular file to be read from its beginning; `UserError` where that cannot be.
    let openRegular (path: string) : FileStream =
        checkRegular path

        try
            new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read)
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"{path} cannot be read: {error.Message}"

    /// `read` of a regular file of at most `most` bytes; `UserError` where it cannot be read.
    let private whole (most: int64) (path: string) (read: FileStream -> 'found) : 'found =
        use stream = openRegular path
        checkSize most path stream

        try
            read stream
        with :? IOException as error ->
            userError $"{path} cannot be read: {error.Message}"

    /// The bytes of a regular file of at most `most`; `UserError` where it is none or larger.
    let readBytes (most: int64) (path: string) : byte[] =
        whole most path (fun stream ->
            let bytes = Array.zeroCreate<byte>(int stream.Length)
            stream.ReadExactly bytes
            bytes)

    /// What a description (a configuration, an index, a result) may take: the largest that are known have a few MiB.
    let mostDescription: int64 = 64L <<< 20

    /// The text (UTF-8, or as its byte order mark says) of a regular file of at most `most` bytes; `UserError` where it is
    /// none or larger.
    let readText (most: int64) (path: string) : string =
        whole most path (fun stream ->
            use reader = new StreamReader(stream)
            reader.ReadToEnd())

    /// Makes a folder and those above it; `UserError` where that is not allowed.
    let createFolder (path: string) : unit =
        try
            Directory.CreateDirectory path |> ignore
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"the folder {path} cannot be made: {error.Message}"

    /// Calls `work` with the path of a temporary folder, which is not made yet, and removes what stands there afterwards.
    let inTemporary (purpose: string) (work: string -> 'a) : 'a =
        let folder = Path.Combine(Path.GetTempPath(), $"peft-{purpose}-{Guid.NewGuid():N}")

        try
            work folder
        finally
            if Directory.Exists folder then
                Directory.Delete(folder, recursive = true)

    /// `UserError` where no file can be made in a folder.
    let checkWritable (folder: string) : unit =
        let probe = Path.Combine(folder, $".{Guid.NewGuid():N}.tmp")

        try
            File.WriteAllText(probe, "")
            File.Delete probe
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"nothing can be written in {folder}: {error.Message}"

    /// Makes a folder in which files can be made; `UserError` where that is not allowed.
    let prepareFolder (path: string) : unit =
        createFolder path
        checkWritable path

    /// Distinct for each process, of whatever machine: numbers of processes are not.
    let private token = Guid.NewGuid().ToString("N").Substring(0, 12)

    /// Removes a file, if that can be done.
    let internal tryDelete (path: string) : unit =
        try
            File.Delete path
        with
        | :? IOException
        | :? UnauthorizedAccessException -> ()

    /// Renames over what is there. On a network's file system the answer may be lost, and the work is then done all the same.
    let private rename (temporary: string) (path: string) : unit =
        try
            File.Move(temporary, path, overwrite = true)
        with :? FileNotFoundException when File.Exists path && not (File.Exists temporary) ->
            ()

    /// Writes a file through a temporary neighbour and a rename: readers see the old file or the whole new one, and a full
    /// disk leaves the old one. `UserError` where it cannot be written.
    let replace (path: string) (write: Stream -> unit) : unit =
        let temporary = $"{path}.{token}.{Environment.CurrentManagedThreadId}.tmp"

        try
            try
                do
                    use stream = new FileStream(temporary, FileMode.Create, FileAccess.Write)
                    write stream
                    stream.Flush true

                rename temporary path
            with
            | :? IOException
            | :? UnauthorizedAccessException as error ->
                userError
                    $"{path} cannot be written ({error.Message.TrimEnd '.'}). Make room or name another folder; the same command then goes on."
        finally
            tryDelete temporary

    /// Writes a text file, whole or not at all.
    let writeAtomically (path: string) (text: string) : unit =
        replace path (fun stream -> stream.Write(ReadOnlySpan(UTF8Encoding(false).GetBytes text)))

/// How this project writes and reads JSON.
[<RequireQualifiedAccess>]
module Json =
    /// Every field of a record must be there when it is read, but for those that are left out when they are written.
    let internal fields: IJsonTypeInfoResolver =
        let resolver = DefaultJsonTypeInfoResolver()

        resolver.Modifiers.Add(fun info ->
            for field in info.Properties do
                match field.AttributeProvider with
                | null -> ()
                | attributes ->
                    if attributes.IsDefined(typeof<JsonIgnoreAttribute>, true) then
                        field.IsRequired <- false)

        resolver

    /// The one way this project writes JSON: stable order, indented, text kept readable.
    let options: JsonSerializerOptions =
        JsonSerializerOptions(
            WriteIndented = true,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            RespectNullableAnnotations = true,
            RespectRequiredConstructorParameters = true,
            TypeInfoResolver = fields
        )

    /// The string that an element holds; "" for JSON's null. Other kinds raise `InvalidOperationException`.
    let text (element: JsonElement) : string =
        match element.GetString() with
        | null -> ""
        | text -> text

    /// Raises `InvalidOperationException` where a name or a text, at any depth, holds half of a surrogate pair: asked once, where
    /// a file is opened, so that nothing that is read of it later fails.
    let rec checkTexts (value: JsonElement) : unit =
        match value.ValueKind with
        | JsonValueKind.String -> text value |> ignore
        | JsonValueKind.Array -> value.EnumerateArray() |> Seq.iter checkTexts
        | JsonValueKind.Object ->
            for item in value.EnumerateObject() do
                item.Name |> ignore
                checkTexts item.Value
        | _ -> ()

    /// Reads a file that must hold one value of this type; `UserError` where it does not.
    let read<'T when 'T: not null and 'T: not struct> (options: JsonSerializerOptions) (path: string) : 'T =
        try
            match JsonSerializer.Deserialize<'T>(Files.readText Files.mostDescription path, options) with
            | null -> userError $"{path} holds nothing."
            | value -> value
        with
        | :? JsonException as error ->
            userError $"{path} is not readable: {error.Message.ReplaceLineEndings(string ' ')}"
        // A name or a text with half of a surrogate pair.
        | :? InvalidOperationException -> userError $"{path} holds a broken Unicode escape. Write the file again."

    /// One line, for JSON Lines.
    let line: JsonSerializerOptions =
        JsonSerializerOptions(WriteIndented = false, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)
