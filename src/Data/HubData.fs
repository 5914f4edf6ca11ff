namespace Peft

open System.IO

/// Data sets of the hub, in the place of a data folder.
[<RequireQualifiedAccess>]
module HubData =
    /// What stands for the hub where a data folder is named.
    let word = "hub"

    /// Whether a data folder is the hub: a folder of that name wins.
    let isHub (dataFolder: string) : bool =
        dataFolder = word && not (Directory.Exists dataFolder)

    /// Where the task's rows lie, with the task to read there: under a data folder; or, where that is the hub, in the cache, into
    /// which they are fetched. `UserError` where the hub has no such data set or fails.
    let locate (settings: unit -> HubSettings) (dataFolder: string) (task: TaskDefinition) : string * TaskDefinition =
        let inFolder (folder: string) =
            folder,
            { task with
                Files = { task.Files with Folders = [ "." ] }
            }

        if not (isHub dataFolder) then
            dataFolder, task
        else
            match task.Files.Hub with
            | Some source -> Hub.rows (settings ()) source.Id source.Configuration |> inFolder
            // The user's own rows are where they say.
            | None when task.Files.Folders |> List.forall Path.IsPathRooted -> ".", task
            | None ->
                userError
                    $"the hub has no rows of {task.Title}: name a task of published data, or a data folder with --data."
