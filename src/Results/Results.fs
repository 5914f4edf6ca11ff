namespace Peft

open System.IO

/// A folder of result files, as far as it can be read.
[<RequireQualifiedAccess>]
module Results =
    /// Refuses a result under a name or id that is not its experiment's: a copy or a renamed file would count twice.
    let private checkIdentity (file: string) (run: Run) : Run =
        let name, id = run.Name + ".json", Experiment.id run.Experiment

        if Path.GetFileName file <> name then
            userError
                $"{file} holds the result of {name}: a copied or renamed result does not count. Give it that name, or move it away; it was left untouched."

        if run.Id <> id then
            userError
                $"{file} states the id {run.Id}, and its experiment has the id {id}: it was changed by hand. Move it away and run the experiment again; it was left untouched."

        run

    /// Every result in a folder, in order of file name, and a line for each file that is none, is damaged, or has another
    /// name or id than its experiment: whoever prints tables of the rest prints these lines too. An experiment has one
    /// name, so none counts twice. `UserError` where there is no such folder.
    let read (folder: string) : Run list * string list =
        if not (Directory.Exists folder) then
            userError $"{folder} does not exist. Name the folder that `--results` of a run or sweep named."

        let tryRead file =
            try
                Ok(Run.read file |> checkIdentity file)
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
