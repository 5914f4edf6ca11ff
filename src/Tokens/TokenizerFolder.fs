namespace Peft

open System.IO

/// Chooses the reader by the files that a folder holds.
[<RequireQualifiedAccess>]
module internal TokenizerFolder =
    let private pieceModels = [ "spiece.model"; "tokenizer.model" ]

    /// Every file that a tokenizer may consist of: who copies a model copies those that are there.
    let files: string list =
        [
            "tokenizer.json"
            yield! pieceModels
            "vocab.json"
            "merges.txt"
            "tokenizer_config.json"
            "special_tokens_map.json"
            "added_tokens.json"
        ]

    /// What the small files of a folder say.
    let private settings (folder: string) : TokenizerSettings =
        [
            "tokenizer_config.json", TokenizerSettings.readConfig
            "special_tokens_map.json", TokenizerSettings.readConfig
            "added_tokens.json", TokenizerSettings.readAdded
        ]
        |> List.map (fun (name, read) -> Path.Combine(folder, name), read)
        |> List.filter (fst >> File.Exists)
        |> List.map (fun (file, read) -> read file (TokenizerFile.read file))
        |> List.fold TokenizerSettings.combine TokenizerSettings.none

    let private ofVocabulary (folder: string) (settings: TokenizerSettings) : TokenizerRecipe =
        let file name = Path.Combine(folder, name)

        let read name =
            file name, TokenizerFile.read (file name)

        VocabularyRecipe.read settings (read "vocab.json") (read "merges.txt")

    let private ofFile (file: string) (settings: TokenizerSettings) : TokenizerRecipe =
        let bytes = TokenizerFile.read file

        if Path.GetExtension file = ".json" then
            TokenizerJson.read file bytes
        else
            PieceRecipe.read file settings bytes

    let private missing (folder: string) (settings: TokenizerSettings) : 'a =
        match settings.Class with
        | Some "ByT5Tokenizer" -> userError $"{folder} has ByT5's tokenizer, which reads bytes and is not supported."
        | _ ->
            userError
                $"{folder} holds no tokenizer: put tokenizer.json, spiece.model, tokenizer.model, or vocab.json and merges.txt of the checkpoint there."

    /// The tokenizer of a folder, or of one file of it: tokenizer.json before the others, as Hugging Face has it.
    let read (path: string) : TokenizerRecipe =
        if not (Directory.Exists path || File.Exists path) then
            userError
                $"{path} does not exist: name the folder of a checkpoint with tokenizer.json, spiece.model, tokenizer.model, or vocab.json and merges.txt."

        let folder =
            if Directory.Exists path then
                path
            else
                match Path.GetDirectoryName path with
                | null
                | "" -> "."
                | folder -> folder

        let settings = settings folder
        let has (name: string) = File.Exists(Path.Combine(folder, name))

        let recipe =
            if File.Exists path && Path.GetFileName path <> "vocab.json" then
                ofFile path settings
            elif File.Exists path then
                ofVocabulary folder settings
            else
                match "tokenizer.json" :: pieceModels |> List.tryFind has with
                | Some name -> ofFile (Path.Combine(folder, name)) settings
                | None when has "vocab.json" && has "merges.txt" -> ofVocabulary folder settings
                | None -> missing folder settings

        TokenizerSettings.apply settings recipe
