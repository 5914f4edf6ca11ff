namespace Peft

open System.IO
open Argu

/// The options of `download`.
type DownloadOption =
    | [<MainCommand>] Names of names: string list
    | [<AltCommandLine("--task", "-t")>] Tasks of names: string list

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Names _ -> "Models and adapters of the hub: google/flan-t5-base, or with a version owner/name@revision."
            | Tasks _ -> "Tasks whose data sets are fetched for --data hub: agnews, cola, e2e, samsum."

/// `peft download`: into the cache, for later or for machines without a network.
[<RequireQualifiedAccess>]
module DownloadCommand =
    /// Fetches what is named, and prints the folder of each.
    let run (options: ParseResults<DownloadOption>) : int =
        let names = options.GetResult(DownloadOption.Names, []) |> Options.names

        let tasks =
            options.GetResult(DownloadOption.Tasks, [])
            |> Options.names
            |> List.map TaskDefinition.find

        if names.IsEmpty && tasks.IsEmpty then
            userError "download needs a name, google/flan-t5-base, or --tasks with the data sets to fetch."

        for name in names do
            let folder = Hub.either Downloads.settings name

            if not (Directory.Exists folder) then
                userError $"'{name}' is no name of the hub: it is owner/name, or owner/name@revision."

            printfn $"{folder}"

        for task in tasks do
            // A folder called hub does not matter here.
            match task.Files.Hub with
            | Some source -> printfn $"{Hub.rows (Downloads.settings ()) source.Id source.Configuration}"
            | None -> userError $"the hub has no rows of {task.Title}."

        0
