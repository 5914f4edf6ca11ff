namespace Peft

open System
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.RegularExpressions
open System.Net.Http

/// One content: goes on with what an earlier try left, checks size and hash, and becomes a blob only then.
[<RequireQualifiedAccess>]
module internal HubDownload =
    /// The hash that an etag is: git's of a blob, or SHA-256.
    let private hasher (file: HubFile) : IncrementalHash =
        if file.Etag.Length = 64 then
            IncrementalHash.CreateHash HashAlgorithmName.SHA256
        else
            let hash = IncrementalHash.CreateHash HashAlgorithmName.SHA1
            hash.AppendData(Encoding.ASCII.GetBytes $"blob {file.Size}\000")
            hash

    /// What of a content is on the disk, with the hash so far.
    type private Growing(file: HubFile, path: string) =
        let stream =
            HubCache.guarded path (fun () ->
                new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read))

        let mutable hash = hasher file

        do
            HubCache.guarded path (fun () ->
                if stream.Length > file.Size then
                    stream.SetLength 0L

                let block = Array.zeroCreate<byte>(1 <<< 18)
                let mutable got = stream.Read(block, 0, block.Length)

                while got > 0 do
                    hash.AppendData(block, 0, got)
                    got <- stream.Read(block, 0, block.Length))

        member _.Length: int64 = stream.Length

        member _.Add(block: byte[], count: int) : unit =
            if stream.Length + int64 count > file.Size then
                stream.SetLength 0L
                HubFailure.fail (HubFailure.Odd $"sends more than the {file.Size} bytes that it announced")

            HubCache.guarded path (fun () -> stream.Write(block, 0, count))
            hash.AppendData(block, 0, count)

        member _.Restart() : unit =
            stream.SetLength 0L
            hash.Dispose()
            hash <- hasher file

        member _.Hash: string = Convert.ToHexString(hash.GetCurrentHash()).ToLowerInvariant()

        member _.Flush() : unit =
            HubCache.guarded path (fun () -> stream.Flush true)

        interface IDisposable with
            member _.Dispose() : unit =
                hash.Dispose()
                HubCache.guarded path stream.Dispose

    /// Whether an answer begins at the byte that was asked for.
    let private beginsAt (offset: int64) (reply: HttpResponseMessage) : bool =
        let range =
            Regex.Match(HubClient.header "Content-Range" reply, @"\Abytes (\d{1,18})-")

        int reply.StatusCode = 206
        && range.Success
        && Int64.Parse range.Groups[1].Value = offset

    /// A content's host is not the hub: what it refuses is an address that has grown old, and a new one is asked for.
    let private failureOf (settings: HubSettings) (file: HubFile) (reply: HttpResponseMessage) : HubFailure =
        match int reply.StatusCode with
        | 401
        | 403 when not (HubClient.isSameHost file.Source (Uri settings.Endpoint)) ->
            HubFailure.Broken $"status {int reply.StatusCode} of {file.Source.Host}"
        | _ -> HubClient.failureOf HubFailure.NoFile reply

    let private receive settings (file: HubFile) (growing: Growing) (heard: int64 -> unit) : unit =
        use reply = HubClient.get settings growing.Length file.Source

        match int reply.StatusCode with
        | 206 when beginsAt growing.Length reply -> ()
        | 200 -> growing.Restart()
        // Another range than was asked for, or none: nothing of this answer serves.
        | 206
        | 416 ->
            growing.Restart()
            HubFailure.fail (HubFailure.Broken $"a wrong range, status {int reply.StatusCode}")
        | _ -> HubFailure.fail (failureOf settings file reply)

        HubClient.read settings reply (fun block count ->
            growing.Add(block, count)
            heard growing.Length)

        if growing.Length < file.Size then
            HubFailure.fail (HubFailure.Broken $"ended after {growing.Length} of {file.Size} bytes")

    /// Whether this try began with bytes of an earlier one matters only where the hash is wrong: then all is fetched anew.
    let private once settings (file: HubFile) (path: string) (heard: int64 -> unit) : unit =
        use growing = new Growing(file, path)
        let before = growing.Length

        if growing.Length < file.Size then
            receive settings file growing heard

        if growing.Hash <> file.Etag then
            let found = growing.Hash
            growing.Restart()
            heard growing.Length

            if before > 0L then
                HubFailure.fail (HubFailure.Broken "what an earlier try left was damaged")
            else
                HubFailure.fail (HubFailure.Odd $"sends other bytes than it announced (hash {found}, not {file.Etag})")

        growing.Flush()

    /// The bytes of a content that are there, as far as they go.
    let had (settings: HubSettings) (name: HubName) (file: HubFile) : int64 =
        let path = HubCache.partial settings name file.Etag

        if HubCache.hasBlob settings name file.Etag file.Size then
            file.Size
        elif Files.kindOf path = FileKind.Regular then
            min file.Size (FileInfo(path).Length)
        else
            0L

    /// Makes a content a blob, and calls `publish` before another process may do so. `again` asks the hub anew where it is, which a broken try needs; `heard` hears how many bytes are
    /// there. Tries are counted from the last progress.
    let toBlob
        (settings: HubSettings)
        (name: HubName)
        (again: unit -> HubFile)
        (publish: unit -> unit)
        (heard: int64 -> unit)
        (file: HubFile)
        : unit =
        let path = HubCache.partial settings name file.Etag

        let rec work (failures: int) (file: HubFile) =
            let before = had settings name file

            let result =
                try
                    Ok(once settings file path heard)
                with HubFailed failure when HubFailure.isPassing failure ->
                    Error failure

            match result with
            | Ok() -> HubCache.guarded path (fun () -> File.Move(path, HubCache.blob settings name file.Etag, true))
            | Error failure ->
                let failures = if had settings name file > before then 1 else failures + 1

                if failures >= HubClient.triesFor settings failure then
                    HubFailure.fail failure

                HubClient.pause settings failures failure
                let anew = HubClient.tries settings failures again

                if anew.Etag <> file.Etag || anew.Size <> file.Size then
                    HubFailure.fail (HubFailure.Odd "says something else of the file than before")

                work failures anew

        HubCache.locked
            settings
            name
            file.Etag
            true
            (fun () -> settings.Tell $"{name}: another process fetches {file.Path}; waiting for it.")
            (fun () ->
                // It may have come from another process, or from Python's client, in the meantime.
                if not (HubCache.hasBlob settings name file.Etag file.Size) then
                    work 0 file

                publish ())

        heard file.Size
