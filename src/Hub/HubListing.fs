namespace Peft

open System
open System.IO
open System.Net.Http
open System.Text.Json

/// A version of a repository, as the hub lists it.
type internal HubListing =
    {
        Commit: string
        /// Safe paths only.
        Paths: string list
    }

/// What the hub says of one file before its content.
[<NoComparison>]
type internal HubFile =
    {
        Path: string
        /// 40 hexadecimal digits: SHA-1 of a git blob; 64: SHA-256 of the content.
        Etag: string
        Size: int64
        /// Where the content is, which may be another host.
        Source: Uri
    }

/// Asks the hub for versions and files.
[<RequireQualifiedAccess>]
module internal HubListing =
    let private api (settings: HubSettings) (name: HubName) : Uri =
        Uri
            $"{settings.Endpoint}/api/{HubName.plural name.Kind}/{name.Id}/revision/{Uri.EscapeDataString name.Revision}"

    let private resolve (settings: HubSettings) (name: HubName) (commit: string) (path: string) : Uri =
        let kind =
            match name.Kind with
            | HubKind.Model -> ""
            | HubKind.Dataset -> "datasets/"

        let escaped = path.Split '/' |> Array.map Uri.EscapeDataString |> String.concat "/"

        Uri $"{settings.Endpoint}/{kind}{name.Id}/resolve/{commit}/{escaped}"

    let private content (settings: HubSettings) (reply: HttpResponseMessage) : byte[] =
        use all = new MemoryStream()

        HubClient.read settings reply (fun block count ->
            if all.Length + int64 count > Files.mostDescription then
                HubFailure.fail (HubFailure.Odd $"lists more than {Columns.bytes Files.mostDescription} of names")

            all.Write(block, 0, count))

        all.ToArray()

    let private parse (bytes: byte[]) : HubListing =
        try
            use document = JsonDocument.Parse(ReadOnlyMemory bytes)
            let commit = Json.text (document.RootElement.GetProperty "sha")

            if not (HubName.isCommit commit) then
                HubFailure.fail (HubFailure.Odd "names a commit that is none")

            {
                Commit = commit
                Paths =
                    [
                        for file in document.RootElement.GetProperty("siblings").EnumerateArray() ->
                            Json.text (file.GetProperty "rfilename")
                    ]
                    |> List.filter HubName.isSafePath
                    |> List.distinct
            }
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? Collections.Generic.KeyNotFoundException ->
            HubFailure.fail (HubFailure.Odd "answers with no list of files")

    /// The commit that a name means, and its files: one request.
    let ask (settings: HubSettings) (name: HubName) : HubListing =
        HubClient.tries settings 0 (fun () ->
            use reply = HubClient.get settings 0L (api settings name)

            if int reply.StatusCode <> 200 then
                HubFailure.fail (HubClient.failureOf HubFailure.NoRepository reply)

            content settings reply |> parse)

    let private isHash (text: string) =
        (text.Length = 40 || text.Length = 64)
        && text
           |> Seq.forall (fun letter -> Char.IsAsciiDigit letter || letter >= 'a' && letter <= 'f')

    let private etagOf (reply: HttpResponseMessage) : string =
        let given =
            match HubClient.header "X-Linked-Etag" reply with
            | "" -> HubClient.header "ETag" reply
            | linked -> linked

        let weak = if given.StartsWith "W/" then given.Substring 2 else given
        let etag = weak.Trim '"'

        if not (isHash etag) then
            HubFailure.fail (HubFailure.Odd $"gives '{Printable.short 80 given}' where the hash of the file belongs")

        etag

    let private sizeOf (isElsewhere: bool) (reply: HttpResponseMessage) : int64 =
        let given =
            match HubClient.header "X-Linked-Size" reply with
            | "" when not isElsewhere -> HubClient.header "Content-Length" reply
            | linked -> linked

        match Int64.TryParse given with
        | true, size when size >= 0L -> size
        | _ -> HubFailure.fail (HubFailure.Odd "does not say how large the file is")

    /// Hash, size and place of a file; one try.
    let file (settings: HubSettings) (name: HubName) (commit: string) (path: string) : HubFile =
        let asked, reply = HubClient.head settings (resolve settings name commit path)
        use reply = reply
        let elsewhere = HubClient.location asked reply

        if not reply.IsSuccessStatusCode && elsewhere.IsNone then
            HubFailure.fail (HubClient.failureOf HubFailure.NoFile reply)

        if HubClient.header "X-Repo-Commit" reply <> commit then
            HubFailure.fail (HubFailure.Odd $"does not give the commit {commit} that was asked for")

        {
            Path = path
            Etag = etagOf reply
            Size = sizeOf elsewhere.IsSome reply
            Source = elsewhere |> Option.defaultValue asked
        }
