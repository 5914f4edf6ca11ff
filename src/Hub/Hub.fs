namespace Peft

open System
open System.IO
open System.Threading.Tasks

/// The model hub: what a name stands for, as a folder of the cache with just the files that are needed.
[<RequireQualifiedAccess>]
module Hub =
    /// `work` for each item, several at once; the first failure is raised as it is.
    let private each (settings: HubSettings) (work: 'a -> 'b) (items: 'a list) : 'b list =
        let options = ParallelOptions(MaxDegreeOfParallelism = max 1 settings.AtOnce)
        let items = Array.ofList items
        let results: 'b option[] = Array.replicate items.Length None

        try
            Parallel.For(0, items.Length, options, (fun place -> results[place] <- Some(work items[place])))
            |> ignore
        with :? AggregateException as error ->
            Runtime.ExceptionServices.ExceptionDispatchInfo.Throw error.InnerExceptions[0]

        results |> Array.choose id |> List.ofArray

    /// `work` with what the hub fails at told in one line.
    let private told (settings: HubSettings) (name: HubName) (file: string) (work: unit -> 'a) : 'a =
        try
            work ()
        with HubFailed failure ->
            userError (HubFailure.describe settings name file failure)

    /// Fetches files of a commit that are not there yet.
    let private fetch (settings: HubSettings) (name: HubName) (commit: string) (paths: string list) : unit =
        let missing = paths |> List.filter (HubCache.has settings name commit >> not)

        if not missing.IsEmpty then
            HubCache.prepare settings name

            let ask path =
                HubListing.file settings name commit path

            let files =
                missing
                |> each settings (fun path ->
                    told settings name path (fun () -> HubClient.tries settings 0 (fun () -> ask path)))

            let had =
                files
                |> List.map (fun file -> file.Path, HubDownload.had settings name file, file.Size)

            had
            |> List.sumBy (fun (_, had, size) -> size - had)
            |> HubCache.checkRoom settings name

            let progress = HubProgress($"{name}", had, settings.Show)

            files
            |> each settings (fun file ->
                told settings name file.Path (fun () ->
                    HubDownload.toBlob
                        settings
                        name
                        (fun () -> ask file.Path)
                        (fun () -> HubCache.publish settings name commit file.Path file.Etag)
                        (progress.Heard file.Path)
                        file))
            |> ignore

    /// Fetches what is wanted of a commit whose files are these, and gives its folder.
    let private complete settings name (wanted: HubWanted) (listing: HubListing) : string =
        let folder = HubCache.snapshot settings name listing.Commit
        fetch settings name listing.Commit (wanted.First listing.Paths)
        fetch settings name listing.Commit (wanted.Then folder listing.Paths)
        HubCache.keepCommit settings name listing.Commit
        folder

    /// What the cache holds of a name, as a listing.
    let private cached (settings: HubSettings) (name: HubName) : HubListing option =
        HubCache.tryCommit settings name
        |> Option.map (fun commit ->
            {
                Commit = commit
                Paths = HubCache.files settings name commit
            })
        |> Option.filter (fun listing -> not listing.Paths.IsEmpty)

    /// What is wanted, from the cache alone; `why` says why the hub was not asked.
    let private fromCache (settings: HubSettings) (name: HubName) (wanted: HubWanted) (why: string) : string =
        match cached settings name with
        | None -> userError $"{name} is not in the cache ({settings.Cache}), and {why}."
        | Some listing ->
            let folder = HubCache.snapshot settings name listing.Commit

            let isThere =
                try
                    (wanted.First listing.Paths @ wanted.Then folder listing.Paths)
                    |> List.forall (HubCache.has settings name listing.Commit)
                with UserError _ ->
                    false

            if not isThere then
                userError $"only a part of {name} is in the cache ({settings.Cache}), and {why}."

            folder

    /// The folder of what is wanted: from the hub, or from the cache where the hub cannot be reached or lets nobody in.
    let private folder (settings: HubSettings) (name: HubName) (wanted: HubWanted) : string =
        if settings.IsOffline then
            fromCache settings name wanted "HF_HUB_OFFLINE is set: unset it once to fetch it"
        else
            let there = cached settings name

            // A copy that is there is not waited for.
            let patient =
                if there.IsSome then
                    { settings with Tries = 1 }
                else
                    settings

            let listing =
                try
                    Ok(HubListing.ask patient name)
                with HubFailed failure ->
                    Error failure

            match listing, there with
            | Ok listing, _ -> complete settings name wanted listing
            | Error failure, Some copy when HubFailure.isOfAccess failure ->
                let why = HubFailure.describe settings name "" failure

                let found =
                    fromCache settings name wanted $"the hub gives nothing: {why.TrimEnd '.'}"

                settings.Tell $"{why} The copy in the cache serves, commit {copy.Commit.Substring(0, 12)}."
                found
            | Error failure, _ -> userError (HubFailure.describe settings name "" failure)

    /// The folder that a text names: one that exists (then nobody asks for `settings`), or what is wanted of the repository of that name. Other texts stay what they
    /// are, for whoever opens the folder to complain of.
    let private folderOf (settings: unit -> HubSettings) (wanted: HubName -> HubWanted) (text: string) : string =
        if Directory.Exists text || File.Exists text then
            text
        else
            match HubName.tryParse HubKind.Model text with
            | Some name -> folder (settings ()) name (wanted name)
            | None -> text

    /// The checkpoint folder that a text names: a folder, which wins, or `owner/name[@revision]` of the hub, whose configuration,
    /// tokenizer and safetensors are then fetched into the cache. `UserError` tells what the hub fails at.
    let model (settings: unit -> HubSettings) (text: string) : string =
        folderOf settings HubWanted.checkpoint text

    /// The same without weights: for counting.
    let description (settings: unit -> HubSettings) (text: string) : string =
        folderOf settings HubWanted.description text

    /// The adapter folder that a text names, in this project's format or in peft's.
    let adapter (settings: unit -> HubSettings) (text: string) : string =
        folderOf settings HubWanted.adapter text

    /// Checkpoint or adapter, whichever the repository holds.
    let either (settings: unit -> HubSettings) (text: string) : string =
        let wanted name =
            let checkpoint, adapter = HubWanted.checkpoint name, HubWanted.adapter name

            let isAdapter there =
                not (List.contains "config.json" there) && HubWanted.describesAdapter there

            {
                First = fun there -> (if isAdapter there then adapter else checkpoint).First there
                Then = fun folder there -> if isAdapter there then [] else checkpoint.Then folder there
            }

        folderOf settings wanted text

    /// The branch on which the hub keeps every data set as parquet.
    let converted = "refs/convert/parquet"

    /// The folder with the parquet files of a data set's configuration, `train/0000.parquet` and so on; where no configuration is
    /// named, of the only one, or of `default`.
    let rows (settings: HubSettings) (id: string) (config: string option) : string =
        let name = HubName.create HubKind.Dataset id converted
        let folder = folder settings name (HubWanted.rows name config)

        let there = HubCache.files settings name (string (Path.GetFileName folder))

        Path.Combine(folder, HubWanted.configuration name config there)

    /// The commit of a folder in the cache, 40 hexadecimal digits; none for any other folder.
    let commitOf (folder: string) : string option =
        let parts =
            Path.GetFullPath(folder).Split([| '/'; '\\' |], StringSplitOptions.RemoveEmptyEntries)

        parts
        |> Array.pairwise
        |> Array.tryFindBack (fun (above, commit) -> above = "snapshots" && HubName.isCommit commit)
        |> Option.map snd
