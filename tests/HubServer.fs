/// A hub on this machine's loopback, which tests let misbehave: nothing here touches a network.
module Peft.Tests.HubServer

open System
open System.Collections.Concurrent
open System.IO
open System.Net
open System.Net.Sockets
open System.Security.Cryptography
open System.Text
open System.Threading
open System.Threading.Tasks

/// A request as it arrived; header names are small letters.
type Request =
    {
        Method: string
        /// With its query.
        Path: string
        Headers: Map<string, string>
    }

    member request.Header(name: string) : string =
        request.Headers |> Map.tryFind name |> Option.defaultValue ""

/// What is answered.
type Reply =
    {
        Status: int
        Headers: (string * string) list
        Body: byte[]
        /// The connection is cut after so many bytes of the body.
        CutAfter: int option
        /// Waits before it answers.
        Delay: TimeSpan
    }

/// An answer with another value of a header that it has.
let withHeader (name: string) (value: string) (answer: Reply) : Reply =
    { answer with
        Headers =
            answer.Headers
            |> List.map (fun (other, its) -> other, (if other = name then value else its))
    }

let reply (status: int) (headers: (string * string) list) (body: byte[]) : Reply =
    {
        Status = status
        Headers = headers
        Body = body
        CutAfter = None
        Delay = TimeSpan.Zero
    }

let nothing (status: int) (headers: (string * string) list) : Reply = reply status headers [||]

/// Reads to the blank line that ends a request's head.
let private readHead (stream: Stream) : string =
    let head = StringBuilder()
    let mutable isOpen = true

    while isOpen && not (head.ToString().EndsWith "\r\n\r\n") do
        match stream.ReadByte() with
        | -1 -> isOpen <- false
        | letter -> head.Append(char letter) |> ignore

    head.ToString()

let private parse (head: string) : Request =
    let lines = head.Split("\r\n", StringSplitOptions.RemoveEmptyEntries)
    let first = lines[0].Split ' '

    {
        Method = first[0]
        Path = first[1]
        Headers =
            lines
            |> Array.skip 1
            |> Array.map (fun line ->
                let place = line.IndexOf ':'
                line.Substring(0, place).ToLowerInvariant(), line.Substring(place + 1).Trim())
            |> Map.ofArray
    }

let private write (stream: Stream) (request: Request) (answer: Reply) : unit =
    let hasLength =
        answer.Headers |> List.exists (fun (name, _) -> name = "Content-Length")

    let headers =
        [
            $"HTTP/1.1 {answer.Status} Said"
            for name, value in answer.Headers do
                $"{name}: {value}"
            if not hasLength then
                $"Content-Length: {answer.Body.Length}"
            "Connection: close"
        ]

    stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes(String.Join("\r\n", headers) + "\r\n\r\n")))

    if request.Method <> "HEAD" then
        let length = defaultArg answer.CutAfter answer.Body.Length
        stream.Write(answer.Body, 0, min length answer.Body.Length)

/// Answers requests as `answer` says, until it is disposed.
type HubServer(answer: Request -> Reply) =
    let listener = new TcpListener(IPAddress.Loopback, 0)
    let seen = ConcurrentQueue<Request>()
    let mutable isOver = false

    let serve (connection: TcpClient) =
        use connection = connection

        try
            use stream = connection.GetStream()
            let head = readHead stream

            if head <> "" then
                let request = parse head
                seen.Enqueue request
                let answer = answer request
                Thread.Sleep answer.Delay
                write stream request answer

                if answer.CutAfter.IsSome then
                    // Reset instead of a polite end.
                    connection.LingerState <- LingerOption(true, 0)
        with :? IOException ->
            ()

    let listen () =
        while not isOver do
            try
                let connection = listener.AcceptTcpClient()
                Task.Run(fun () -> serve connection) |> ignore
            with
            | :? SocketException
            | :? ObjectDisposedException
            | :? InvalidOperationException -> ()

    do
        listener.Start()
        Thread(listen, IsBackground = true).Start()

    /// `http://127.0.0.1:PORT`.
    member val Address: string = $"http://127.0.0.1:{(listener.LocalEndpoint :?> IPEndPoint).Port}"

    /// What was asked so far, in order.
    member _.Requests: Request list = List.ofSeq seen

    /// How often a method was asked for a path that ends like this.
    member server.Count(method: string, ending: string) : int =
        server.Requests
        |> List.filter (fun request -> request.Method = method && request.Path.EndsWith ending)
        |> List.length

    interface IDisposable with
        member _.Dispose() : unit =
            isOver <- true
            listener.Stop()

/// A repository of the loopback hub.
type Repository =
    {
        /// `models/org/name` or `datasets/org/name`.
        Id: string
        Commit: string
        /// With the content's kind: whether it is a large file, whose hash is SHA-256, and which another host holds.
        Files: (string * byte[] * bool) list
    }

let hex (bytes: byte[]) : string =
    Convert.ToHexString(bytes).ToLowerInvariant()

/// What the hub calls a content: SHA-256 of a large file, git's SHA-1 of another.
let etagOf (content: byte[]) (isLarge: bool) : string =
    if isLarge then
        hex (SHA256.HashData content)
    else
        let head = Encoding.ASCII.GetBytes $"blob {content.Length}\000"
        hex (SHA1.HashData(Array.append head content))

let private listing (repository: Repository) : Reply =
    let names =
        repository.Files
        |> List.map (fun (name, _, _) -> $"{{\"rfilename\":{Json.JsonSerializer.Serialize name}}}")
        |> String.concat ","

    Encoding.UTF8.GetBytes $"{{\"id\":\"x\",\"sha\":\"{repository.Commit}\",\"siblings\":[{names}]}}"
    |> reply 200 [ "Content-Type", "application/json" ]

/// A content, from a byte on where that is asked.
let content (request: Request) (bytes: byte[]) : Reply =
    match request.Header "range" with
    | "" -> reply 200 [] bytes
    | range ->
        let start = int (range.Replace("bytes=", "").TrimEnd '-')

        if start >= bytes.Length then
            nothing 416 []
        else
            reply 206 [ "Content-Range", $"bytes {start}-{bytes.Length - 1}/{bytes.Length}" ] bytes[start..]

/// What an honest hub answers; `cdn` is the address that large files are sent from, "" for its own.
let honest (cdn: string) (repositories: Repository list) (request: Request) : Reply =
    let path = Uri.UnescapeDataString request.Path

    let found =
        repositories
        |> List.tryPick (fun repository ->
            let prefix = repository.Id.Replace("models/", "")

            if path.StartsWith $"/api/{repository.Id}/revision/" then
                Some(listing repository)
            elif path.StartsWith $"/{prefix}/resolve/{repository.Commit}/" then
                let file = path.Substring($"/{prefix}/resolve/{repository.Commit}/".Length)

                match repository.Files |> List.tryFind (fun (name, _, _) -> name = file) with
                | None -> Some(nothing 404 [ "X-Error-Code", "EntryNotFound" ])
                | Some(_, bytes, isLarge) ->
                    let commit = "X-Repo-Commit", repository.Commit
                    let etag = $"\"{etagOf bytes isLarge}\""

                    if isLarge && cdn <> "" then
                        nothing
                            302
                            [
                                commit
                                "X-Linked-Etag", etag
                                "X-Linked-Size", string bytes.Length
                                "Location", $"{cdn}/{Uri.EscapeDataString file}"
                            ]
                        |> Some
                    else
                        let answer = content request bytes

                        Some
                            { answer with
                                Headers = commit :: ("ETag", $"W/{etag}") :: answer.Headers
                            }
            else
                None)

    found
    |> Option.defaultWith (fun () -> nothing 404 [ "X-Error-Code", "RepoNotFound" ])
