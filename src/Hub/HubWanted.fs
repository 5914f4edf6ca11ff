namespace Peft

open System.Text.RegularExpressions

/// Which files of a repository a purpose needs.
[<NoComparison; NoEquality>]
type internal HubWanted =
    {
        /// Files that are fetched first, of those that there are; words of why none serve are a `UserError`.
        First: string list -> string list
        /// Files that the fetched ones name: the folder of the commit, and what there is.
        Then: string -> string list -> string list
    }

/// What is fetched of a repository: the files that this project reads, and nothing else.
[<RequireQualifiedAccess>]
module internal HubWanted =
    let private isIn (there: string list) (file: string) = List.contains file there

    let private present (there: string list) (files: string list) = files |> List.filter (isIn there)

    let private onlyPickles (name: HubName) : 'a =
        userError
            $"{name} has no safetensors, only Python pickles, which are not read: look for a conversion among its pull requests ({name.Id}@refs/pr/1 and so on), or convert it with transformers' save_pretrained."

    /// Whether the repository describes an adapter, in this project's format or in peft's.
    let describesAdapter (there: string list) : bool =
        isIn there "adapter_config.json" || isIn there "adapter.json"

    let private noModel (name: HubName) (there: string list) : 'a =
        if describesAdapter there then
            userError
                $"{name} is an adapter, and a model belongs there: name its base with --model, and it with --adapter."
        else
            userError $"{name} is no model: it has no config.json."

    /// The description of a model, without its weights.
    let description (name: HubName) : HubWanted =
        {
            First =
                fun there ->
                    if not (isIn there "config.json") then
                        noModel name there

                    present there [ "config.json"; "generation_config.json" ]
            Then = fun _ _ -> []
        }

    let private isPickle (file: string) =
        file.EndsWith ".bin" && file.StartsWith "pytorch_model"

    /// A checkpoint: configuration, tokenizer, and safetensors in one file or in shards.
    let checkpoint (name: HubName) : HubWanted =
        let single = "model.safetensors"

        {
            First =
                fun there ->
                    let weights =
                        match List.tryFind (isIn there) [ single; ShardIndex.name ] with
                        | Some weights -> weights
                        | None when not (isIn there "config.json") -> noModel name there
                        | None when List.exists isPickle there -> onlyPickles name
                        | None ->
                            userError $"{name} holds no weights that are read: no {single} and no {ShardIndex.name}."

                    (description name).First there
                    @ present there TokenizerFolder.files
                    @ [ weights ]
            Then =
                fun folder there ->
                    if isIn there single || not (isIn there ShardIndex.name) then
                        []
                    else
                        let shards = ShardIndex.shards (System.IO.Path.Combine(folder, ShardIndex.name))

                        match shards |> List.tryFind (isIn there >> not) with
                        | Some missing ->
                            userError $"{name} lacks its shard {missing}: only a part of it was published."
                        | None -> shards
        }

    /// An adapter folder, in this project's format or in peft's, with the task that it was trained for where that is told.
    let adapter (name: HubName) : HubWanted =
        let formats =
            [
                [ "adapter.json"; "adapter.safetensors" ]
                [ "adapter_config.json"; "adapter_model.safetensors" ]
            ]

        {
            First =
                fun there ->
                    match formats |> List.tryFind (List.forall (isIn there)) with
                    | Some files -> files @ present there [ "task.json" ]
                    | None when isIn there "adapter_model.bin" -> onlyPickles name
                    | None ->
                        userError
                            $"{name} is no adapter: it has neither adapter.json with adapter.safetensors nor adapter_config.json with adapter_model.safetensors."
            Then = fun _ _ -> []
        }

    let private parquet = Regex(@"\A([^/]+)/(train|validation|test)/\d{4}\.parquet\z")

    /// The configurations of a data set on the branch of converted files, which lie in a folder each.
    let configurations (there: string list) : string list =
        there
        |> List.map parquet.Match
        |> List.filter _.Success
        |> List.map _.Groups[1].Value
        |> List.distinct

    /// The configuration to read: the one that is named, the only one, or `default`.
    let configuration (name: HubName) (wanted: string option) (there: string list) : string =
        match wanted, configurations there with
        | _, [] -> userError $"{name} has no parquet files of training rows."
        | Some config, found when List.contains config found -> config
        | None, [ only ] -> only
        | None, found when List.contains "default" found -> "default"
        | _, found ->
            let words = found |> List.truncate 20 |> Nearest.orList
            userError $"{name} has the configurations {words}, and the one that this task reads is none of them."

    /// The parquet files of one configuration.
    let rows (name: HubName) (wanted: string option) : HubWanted =
        {
            First =
                fun there ->
                    let config = configuration name wanted there

                    there
                    |> List.filter (fun file ->
                        let found = parquet.Match file
                        found.Success && found.Groups[1].Value = config)
            Then = fun _ _ -> []
        }
