namespace Peft

open System
open System.Globalization
open System.IO

/// Hugging Face's cache of a repository, shared with Python's: `blobs/{etag}`, `refs/{revision}`, and
/// `snapshots/{commit}/{path}`, which are relative links into the blobs.
[<RequireQualifiedAccess>]
module internal HubCache =
    /// `models--google--flan-t5-base`.
    let folderName (name: HubName) : string =
        let id = name.Id.Replace("/", "--")
        $"{HubName.plural name.Kind}--{id}"

    /// The folder of a repository.
    let folder (settings: HubSettings) (name: HubName) : string =
        Path.Combine(settings.Cache, folderName name)

    /// The folder of a commit's files.
    let snapshot (settings: HubSettings) (name: HubName) (commit: string) : string =
        Path.Combine(folder settings name, "snapshots", commit)

    /// Where a file of a commit lies; `UserError` where it would lie elsewhere.
    let file (settings: HubSettings) (name: HubName) (commit: string) (path: string) : string =
        let below = Path.GetFullPath(snapshot settings name commit)
        let whole = Path.GetFullPath(Path.Combine(below, path))

        if
            not (HubName.isSafePath path && HubName.isCommit commit)
            || not (whole.StartsWith(below + string Path.DirectorySeparatorChar, StringComparison.Ordinal))
        then
            userError $"{name}: the hub names the file '{path}', which is no path inside a repository."

        whole

    /// Where a content lies, by its hash.
    let blob (settings: HubSettings) (name: HubName) (etag: string) : string =
        Path.Combine(folder settings name, "blobs", etag)

    /// Where a content grows; the next try, also of another process, goes on with it.
    let partial (settings: HubSettings) (name: HubName) (etag: string) : string =
        blob settings name etag + ".incomplete"

    /// The lock of a content, where Python's client has it too.
    let lockFile (settings: HubSettings) (name: HubName) (etag: string) : string =
        Path.Combine(settings.Cache, ".locks", folderName name, etag + ".lock")

    let private refFile (settings: HubSettings) (name: HubName) =
        Path.Combine(folder settings name, "refs", name.Revision)

    let private parent (path: string) : string = string (Path.GetDirectoryName path)

    /// `UserError` for a fault of the disk.
    let diskFault (path: string) (error: exn) : 'a =
        userError
            $"{path} cannot be written ({error.Message.TrimEnd '.'}). Make room, or set HF_HUB_CACHE to a folder with room; the same command then goes on."

    /// `work` with faults of the disk in one line.
    let guarded (path: string) (work: unit -> 'a) : 'a =
        try
            work ()
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> diskFault path error

    let private tag = "Signature: 8a477f597d28d172789f06886806bc55\n"

    /// Makes the folders of a repository; backup programs pass the cache over.
    let prepare (settings: HubSettings) (name: HubName) : unit =
        for part in [ "blobs"; "refs"; "snapshots" ] do
            Files.createFolder (Path.Combine(folder settings name, part))

        Files.createFolder (Path.Combine(settings.Cache, ".locks", folderName name))
        let mark = Path.Combine(settings.Cache, "CACHEDIR.TAG")

        if not (File.Exists mark) then
            Files.writeAtomically mark tag

    /// The commit that a name meant when it was last asked for; none where it never was.
    let tryCommit (settings: HubSettings) (name: HubName) : string option =
        if HubName.isCommit name.Revision then
            Some name.Revision
        else
            let path = refFile settings name

            if Files.kindOf path = FileKind.Regular then
                Some((Files.readText 4096L path).Trim()) |> Option.filter HubName.isCommit
            else
                None

    /// Keeps the commit that a name means.
    let keepCommit (settings: HubSettings) (name: HubName) (commit: string) : unit =
        if not (HubName.isCommit name.Revision) && tryCommit settings name <> Some commit then
            let path = refFile settings name
            Files.createFolder (parent path)
            Files.writeAtomically path commit

    /// Whether a file of a commit is there.
    let has (settings: HubSettings) (name: HubName) (commit: string) (path: string) : bool =
        Files.kindOf (file settings name commit path) = FileKind.Regular

    /// The paths of a commit's files that are there.
    let files (settings: HubSettings) (name: HubName) (commit: string) : string list =
        let snapshot = snapshot settings name commit

        if Directory.Exists snapshot then
            Directory.GetFiles(snapshot, "*", SearchOption.AllDirectories)
            |> Array.map (fun path -> Path.GetRelativePath(snapshot, path).Replace('\\', '/'))
            |> Array.filter (has settings name commit)
            |> Array.sort
            |> List.ofArray
        else
            []

    /// Whether a content of this size is there.
    let hasBlob (settings: HubSettings) (name: HubName) (etag: string) (size: int64) : bool =
        let path = blob settings name etag
        Files.kindOf path = FileKind.Regular && FileInfo(path).Length = size

    let private tryLink (path: string) (target: string) : bool =
        try
            File.CreateSymbolicLink(path, target) |> ignore
            true
        with
        // Another process was first.
        | :? IOException when Files.kindOf path = FileKind.Regular -> true
        | :? IOException
        | :? UnauthorizedAccessException
        | :? PlatformNotSupportedException -> false

    /// Puts a content that is among the blobs into a commit: as a link, or as a file where there are no links.
    let publish (settings: HubSettings) (name: HubName) (commit: string) (path: string) (etag: string) : unit =
        let target, source = file settings name commit path, blob settings name etag
        Files.createFolder (parent target)

        guarded target (fun () ->
            // A link into nothing is no file and in the way.
            if Files.kindOf target <> FileKind.Regular then
                File.Delete target

                if
                    not (
                        settings.UsesLinks
                        && tryLink target (Path.GetRelativePath(parent target, source))
                    )
                then
                    File.Copy(source, target, overwrite = true))

    /// `UserError` where so many bytes have no room.
    let checkRoom (settings: HubSettings) (name: HubName) (needed: int64) : unit =
        let free = settings.Room(folder settings name)

        if needed > free then
            userError
                $"{name} takes {Columns.bytes needed} more, and the disk of {settings.Cache} has {Columns.bytes free} free. Make room, or set HF_HUB_CACHE to a folder with room."

    /// Runs `work` while no other process has the lock of a content; `waiting` hears of it where one has.
    let rec locked (settings: HubSettings) name etag (isFirst: bool) (waiting: unit -> unit) (work: unit -> 'a) : 'a =
        match FileLock.tryTake (lockFile settings name etag) with
        | Some held ->
            use _ = held
            work ()
        | None ->
            if isFirst then
                waiting ()

            settings.Pause(TimeSpan.FromSeconds 0.2)
            locked settings name etag false waiting work
