namespace Peft

open System.IO

/// A folder of result files, as far as it can be read.
[<RequireQualifiedAccess>]
module Results =
    /// Every result in a folder, in order of file name, and a line for each file that is none or is damaged: whoever
    /// prints tables of the rest prints these lines too. `UserError` where there is no such folder.
    let read (folder: string) : Run list * string list =
        if not (Directory.Exists folder) then
            userError $"{folder} does not exist. Name the folder that `--results` of a run or sweep named."

        let tryRead file =
            try
                Ok(Run.read file)
            with
            | UserError problem -> Error problem
            | :? IOException
            | :? System.UnauthorizedAccessException as error -> Error $"{file} cannot be read: {error.Message}"

        let found =
            Directory.GetFiles(folder, "*.json")
            |> Array.sort
            |> Array.map tryRead
            |> List.ofArray

        found |> List.choose Result.toOption,
        found
        |> List.choose (function
            | Error problem -> Some problem
            | Ok _ -> None)
