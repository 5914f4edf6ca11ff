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

    /// Every result in a folder, in order of file name; none where there is no folder, and `UserError` for a damaged file.
    [<CompiledName "ReadAll">]
    let readAll (folder: string) : Run list =
        if Directory.Exists folder then
            match read folder with
            | runs, [] -> runs
            | _, problem :: _ -> userError problem
        else
            []
