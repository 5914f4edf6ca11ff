namespace Peft

open System
open System.IO
open System.Text.RegularExpressions

/// How far a download is: what a line on the screen is made of.
type DownloadState =
    {
        /// The repository.
        Name: string
        FilesDone: int
        Files: int
        /// Bytes that are there, those of an earlier try included.
        Bytes: int64
        TotalBytes: int64
        /// Bytes that this try has received, and seconds since it began.
        Received: int64
        /// Seconds.
        Seconds: float
    }

    /// Bytes in a second, 0 before anything has arrived.
    member state.Rate: float =
        if state.Seconds > 0.0 then
            float state.Received / state.Seconds
        else
            0.0

    /// Seconds until all is there at this rate; none before there is one.
    member state.SecondsLeft: float option =
        if state.Rate > 0.0 then
            Some(float (state.TotalBytes - state.Bytes) / state.Rate)
        else
            None

/// Where the hub and its cache are, and how patient a download is.
[<NoComparison; NoEquality>]
type HubSettings =
    {
        /// Without a slash at its end: https://huggingface.co
        Endpoint: string
        /// The folder of all repositories, in Hugging Face's layout.
        Cache: string
        Token: string option
        /// Whether nothing is asked of the hub.
        IsOffline: bool
        /// Whether snapshots are links into the blobs; otherwise they are files.
        UsesLinks: bool
        /// The longest silence of a server.
        Timeout: TimeSpan
        /// How often in a row a request may fail before its failure is told.
        Tries: int
        /// How many files are fetched at once.
        AtOnce: int
        /// Waits between tries.
        Pause: TimeSpan -> unit
        /// The bytes that are free on a folder's disk.
        Room: string -> int64
        /// Hears how far a download is.
        Show: DownloadState -> unit
        /// Hears what a user should know, a line each.
        Tell: string -> unit
    }

[<RequireQualifiedAccess>]
module HubSettings =
    /// The hub that is meant where nothing else is said.
    let standardEndpoint = "https://huggingface.co"

    let private isTrue (text: string) =
        List.contains (text.ToUpperInvariant()) [ "1"; "ON"; "YES"; "TRUE" ]

    let private endpointOf (text: string) : string =
        let trimmed = text.TrimEnd '/'

        match Uri.TryCreate(trimmed, UriKind.Absolute) with
        | true, NonNull uri when uri.Scheme = "https" || uri.Scheme = "http" -> trimmed
        | _ -> userError $"HF_ENDPOINT is '{text}': it is an address like {standardEndpoint}."

    /// A token goes into a header: letters that could end one are refused.
    let private tokenOf (source: string) (text: string) : string option =
        match text.Trim() with
        | "" -> None
        | token when Regex.IsMatch(token, @"\A[\x21-\x7e]{1,1000}\z") -> Some token
        | _ -> userError $"{source} holds no token: a token is one word of plain letters. Copy it again, or remove it."

    let private freeBytes (folder: string) : int64 =
        try
            DriveInfo(Path.GetFullPath folder).AvailableFreeSpace
        with
        | :? IOException
        | :? UnauthorizedAccessException
        | :? ArgumentException -> Int64.MaxValue

    /// A whole number of seconds from 1 to a day; `otherwise` where nothing is said.
    let private secondsOf (name: string) (otherwise: int) (text: string option) : TimeSpan =
        match text with
        | None -> TimeSpan.FromSeconds(int64 otherwise)
        | Some text ->
            match Int32.TryParse text with
            | true, seconds when seconds >= 1 && seconds <= 86_400 -> TimeSpan.FromSeconds(int64 seconds)
            | _ -> userError $"{name} is '{text}': it is a whole number of seconds from 1 to 86400."

    /// The settings that Hugging Face's variables give, which `variable` tells; `home` is the user's folder.
    let ofVariables (home: string) (variable: string -> string option) : HubSettings =
        let said names =
            names |> List.tryPick variable |> Option.filter ((<>) "")

        let whole (path: string) =
            if path = "~" then
                home
            elif path.StartsWith "~/" then
                Path.Combine(home, path.Substring 2)
            else
                Path.GetFullPath path

        let folder =
            match said [ "HF_HOME" ], said [ "XDG_CACHE_HOME" ] with
            | Some path, _ -> whole path
            | None, Some path -> Path.Combine(whole path, "huggingface")
            | None, None -> Path.Combine(home, ".cache", "huggingface")

        let tokenFile =
            said [ "HF_TOKEN_PATH" ]
            |> Option.map whole
            |> Option.defaultWith (fun () -> Path.Combine(folder, "token"))

        let isSet name = said [ name ] |> Option.exists isTrue

        {
            Endpoint = said [ "HF_ENDPOINT" ] |> Option.defaultValue standardEndpoint |> endpointOf
            Cache =
                said [ "HF_HUB_CACHE"; "HUGGINGFACE_HUB_CACHE" ]
                |> Option.map whole
                |> Option.defaultWith (fun () -> Path.Combine(folder, "hub"))
            Token =
                match said [ "HF_TOKEN"; "HUGGING_FACE_HUB_TOKEN" ] with
                | Some token -> tokenOf "HF_TOKEN" token
                | None when isSet "HF_HUB_DISABLE_IMPLICIT_TOKEN" || not (File.Exists tokenFile) -> None
                | None -> tokenOf tokenFile (Files.readText Files.mostDescription tokenFile)
            IsOffline = isSet "HF_HUB_OFFLINE" || isSet "TRANSFORMERS_OFFLINE"
            UsesLinks = not (isSet "HF_HUB_DISABLE_SYMLINKS")
            Timeout = said [ "HF_HUB_DOWNLOAD_TIMEOUT" ] |> secondsOf "HF_HUB_DOWNLOAD_TIMEOUT" 10
            Tries = 5
            AtOnce = 4
            Pause = Threading.Thread.Sleep
            Room = freeBytes
            Show = ignore
            Tell = ignore
        }

    /// The settings of this process, which tell nothing of how a download goes.
    let ofEnvironment () : HubSettings =
        ofVariables
            (Environment.GetFolderPath Environment.SpecialFolder.UserProfile)
            (Environment.GetEnvironmentVariable >> Option.ofObj)
