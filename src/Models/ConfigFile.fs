namespace Peft

open System
open System.IO
open System.Text.Json

/// A checkpoint folder's `config.json`.
[<RequireQualifiedAccess>]
module ConfigFile =
    /// What `read` makes of the file; `UserError` where it is missing or no JSON of the expected kinds.
    let read (path: string) (read: JsonElement -> 'config) : 'config =
        if not (File.Exists path) then
            userError $"{path} does not exist: a model folder holds config.json, model.safetensors and spiece.model."

        try
            use document = JsonDocument.Parse(Files.readText Files.mostDescription path)
            read document.RootElement
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? FormatException -> userError $"{path} is not a readable JSON configuration. Fetch it again."
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"{path} cannot be read: {error.Message}"
