namespace Peft

open System.Collections.Generic
open System.IO
open System.Text.Json

/// The index of a checkpoint in several files: which shard holds which tensor.
[<RequireQualifiedAccess>]
module ShardIndex =
    /// The name of the index beside safetensors shards.
    let name = "model.safetensors.index.json"

    /// The names of the shards that an index lists, each once. `UserError` where it is none, or where a name is a path, which
    /// could lead out of the folder.
    let shards (index: string) : string list =
        try
            use document = JsonDocument.Parse(Files.readText Files.mostDescription index)

            [
                for item in document.RootElement.GetProperty("weight_map").EnumerateObject() -> Json.text item.Value
            ]
            |> List.distinct
            |> List.map (fun name ->
                if name <> string (Path.GetFileName name) || name = "" || name = "." || name = ".." then
                    userError $"{index} names the shard '{name}', which is no plain file name."

                name)
        with
        | :? JsonException
        | :? System.InvalidOperationException
        | :? KeyNotFoundException -> userError $"{index} is not a readable index of shards."
