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
        JsonSerializerOptions(WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

    /// The string that an element holds; "" for JSON's null. Other kinds raise `InvalidOperationException`.
    let text (element: JsonElement) : string =
        match element.GetString() with
        | null -> ""
        | text -> text

    /// One line, for JSON Lines.
    let line: JsonSerializerOptions =
        JsonSerializerOptions(WriteIndented = false, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

[<RequireQualifiedAccess>]
module Files =
    /// Writes a file through a temporary neighbour and a rename: readers see the old file or the whole new one.
    let writeAtomically (path: string) (text: string) : unit =
        let temporary = $"{path}.{Environment.ProcessId}.tmp"

        try
            do
                use stream = new FileStream(temporary, FileMode.Create, FileAccess.Write)
                stream.Write(ReadOnlySpan(UTF8Encoding(false).GetBytes text))
                stream.Flush true

            File.Move(temporary, path, overwrite = true)
        with
        | :? IOException
        | :? UnauthorizedAccessException as error ->
            userError $"{path} cannot be written: {error.Message} Choose another folder with --results."
