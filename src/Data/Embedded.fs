namespace Peft

open System
open System.IO
open System.Reflection
open System.Security.Cryptography

/// What comes with the repository: generated data sets and a small base model.
[<RequireQualifiedAccess>]
module Embedded =
    let rec private above (folder: DirectoryInfo | null) : string option =
        match folder with
        | null -> None
        | here when File.Exists(Path.Combine(here.FullName, "data", "models", "tiny", "spiece.model")) ->
            Some(Path.Combine(here.FullName, "data"))
        | here -> above here.Parent

    /// The repository's `data` folder: above the program, or above the current folder.
    let dataFolder () : string =
        [
            AppContext.BaseDirectory
            string (Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location))
            Environment.CurrentDirectory
        ]
        |> List.filter (fun folder -> folder <> "")
        |> List.tryPick (DirectoryInfo >> above)
        |> Option.defaultWith (fun () ->
            userError
                "the embedded data folder was not found: name --data and --model, or run inside a clone of the repository.")

    /// The small base model.
    let modelFolder () : string =
        Path.Combine(dataFolder (), "models", "tiny")

    /// Whether a data folder holds the generated data sets and the small base model.
    let isData (folder: string) : bool =
        File.Exists(Path.Combine(folder, "models", "tiny", "spiece.model"))

    let private sameFile (left: string) (right: string) : bool =
        let digest (path: string) =
            use stream = File.OpenRead path
            Convert.ToHexString(SHA256.HashData stream)

        FileInfo(left).Length = FileInfo(right).Length && digest left = digest right

    /// Whether a folder holds the small base model, wherever it lies: the same weights.
    let isModel (folder: string) : bool =
        let weights (folder: string) =
            Path.Combine(folder, "model.safetensors")

        try
            let own = modelFolder ()

            Path.GetFullPath(weights folder) = Path.GetFullPath(weights own)
            || (File.Exists(weights folder) && sameFile (weights folder) (weights own))
        with
        | UserError _
        | :? IOException
        | :? UnauthorizedAccessException -> false
