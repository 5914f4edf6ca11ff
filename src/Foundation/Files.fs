namespace Peft

open System
open System.IO
open System.Text
open System.Text.Encodings.Web
open System.Text.Json

[<RequireQualifiedAccess>]
module Json =
    /// The one way this project writes JSON: stable order, indented, text kept readable.
    let options: JsonSerializerOptions =
        JsonSerializerOptions(
            WriteIndented = true,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            RespectNullableAnnotations = true,
            RespectRequiredConstructorParameters = true
        )

    /// The string that an element holds; "" for JSON's null. Other kinds raise `InvalidOperationException`.
    let text (element: JsonElement) : string =
        match element.GetString() with
        | null -> ""
        | text -> text

    /// Reads a file that must hold one value of this type; `UserError` where it does not.
    let read<'T when 'T: not null and 'T: not struct> (options: JsonSerializerOptions) (path: string) : 'T =
        try
            match JsonSerializer.Deserialize<'T>(File.ReadAllText path, options) with
            | null -> userError $"{path} holds nothing."
            | value -> value
        with
        | :? JsonException as error ->
            userError $"{path} is not readable: {error.Message.ReplaceLineEndings(string ' ')}"
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"{path} cannot be read: {error.Message}"

    /// One line, for JSON Lines.
    let line: JsonSerializerOptions =
        JsonSerializerOptions(WriteIndented = false, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

[<RequireQualifiedAccess>]
module Files =
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

    /// Writes a file through a temporary neighbour and a rename: readers see the old file or the whole new one, and a full
    /// disk leaves the old one. `UserError` where it cannot be written.
    let replace (path: string) (write: Stream -> unit) : unit =
        let temporary = $"{path}.{Environment.ProcessId}.tmp"

        try
            try
                do
                    use stream = new FileStream(temporary, FileMode.Create, FileAccess.Write)
                    write stream
                    stream.Flush true

                File.Move(temporary, path, overwrite = true)
            with
            | :? IOException
            | :? UnauthorizedAccessException as error ->
                userError
                    $"{path} cannot be written ({error.Message.TrimEnd '.'}). Make room or name another folder; the same command then goes on."
        finally
            try
                File.Delete temporary
            with
            | :? IOException
            | :? UnauthorizedAccessException -> ()

    /// Writes a text file, whole or not at all.
    let writeAtomically (path: string) (text: string) : unit =
        replace path (fun stream -> stream.Write(ReadOnlySpan(UTF8Encoding(false).GetBytes text)))
