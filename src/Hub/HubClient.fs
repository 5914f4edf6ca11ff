namespace Peft

open System
open System.IO
open System.Net
open System.Net.Http
open System.Net.Http.Headers
open System.Text.RegularExpressions
open System.Threading

/// Requests to the hub and to where it sends for files: redirects, tokens, time-outs and tries.
[<RequireQualifiedAccess>]
module internal HubClient =
    /// Redirects are followed here, since a token must not follow them to other hosts.
    let private client =
        lazy
            (let handler =
                new SocketsHttpHandler(
                    AllowAutoRedirect = false,
                    AutomaticDecompression = DecompressionMethods.None,
                    UseCookies = false,
                    ConnectTimeout = TimeSpan.FromSeconds 20.0,
                    PooledConnectionLifetime = TimeSpan.FromMinutes 5.0
                )

             let client = new HttpClient(handler, Timeout = Timeout.InfiniteTimeSpan)
             client.DefaultRequestHeaders.UserAgent.ParseAdd "peft.net/0.1"
             client)

    /// A header of an answer, "" where there is none.
    let header (name: string) (reply: HttpResponseMessage) : string =
        match reply.Headers.NonValidated.TryGetValues name with
        | true, values -> values.ToString()
        | false, _ ->
            match reply.Content.Headers.NonValidated.TryGetValues name with
            | true, values -> values.ToString()
            | false, _ -> ""

    /// What an exception of a request or of reading an answer means; none where it is no failure of the network.
    let private tryFailure (error: exn) : HubFailure option =
        match error with
        | :? HttpRequestException as error when
            List.contains
                error.HttpRequestError
                [ HttpRequestError.NameResolutionError; HttpRequestError.ConnectionError ]
            ->
            Some(HubFailure.NoConnection(error.Message.TrimEnd '.'))
        | :? HttpRequestException
        | :? IOException
        | :? HttpProtocolException -> Some(HubFailure.Broken(error.Message.TrimEnd '.'))
        | :? OperationCanceledException -> Some(HubFailure.Broken "no answer in time")
        | _ -> None

    /// `work` with its exceptions of the network as failures.
    let private guarded (work: unit -> 'a) : 'a =
        try
            work ()
        with error ->
            match tryFailure error with
            | Some failure -> HubFailure.fail failure
            | None -> reraise ()

    let private secondsIn (text: string) : TimeSpan option =
        match Int32.TryParse text with
        | true, seconds when seconds >= 0 && seconds < 1_000_000 -> Some(TimeSpan.FromSeconds(float seconds + 1.0))
        | _ -> None

    /// How long an answer asks to wait: `RateLimit: "api";r=0;t=SECONDS`, or `Retry-After`.
    let private waitOf (reply: HttpResponseMessage) : TimeSpan option =
        let limit = Regex.Match(header "RateLimit" reply, @";\s*t=(\d{1,6})")

        if limit.Success then
            secondsIn limit.Groups[1].Value
        else
            secondsIn ((header "Retry-After" reply).Trim())

    /// What an answer that is no success means; `missing` where nothing is there.
    let failureOf (missing: HubFailure) (reply: HttpResponseMessage) : HubFailure =
        match int reply.StatusCode, header "X-Error-Code" reply with
        | _, "RepoNotFound" -> HubFailure.NoRepository
        | _, "RevisionNotFound" -> HubFailure.NoRevision
        | _, "EntryNotFound" -> HubFailure.NoFile
        | _, "GatedRepo" -> HubFailure.Gated
        | 401, _ -> HubFailure.Unauthorised
        | 403, _ -> HubFailure.Forbidden
        | 404, _ -> missing
        | (408 | 429 as status), _ -> HubFailure.Busy(status, waitOf reply)
        | status, _ when status >= 500 -> HubFailure.Busy(status, waitOf reply)
        | status, _ -> HubFailure.Odd $"answers with status {status}"

    let private isRedirect (reply: HttpResponseMessage) =
        List.contains (int reply.StatusCode) [ 301; 302; 303; 307; 308 ]

    /// Where an answer sends for the content; none where it does not.
    let location (from: Uri) (reply: HttpResponseMessage) : Uri option =
        if not (isRedirect reply) then
            None
        else
            match Uri.TryCreate(from, header "Location" reply) with
            | true, NonNull target when target.Scheme = "https" || target.Scheme = from.Scheme -> Some target
            | _ -> HubFailure.fail (HubFailure.Odd "sends to an address that is none, or that is less safe")

    /// Whether two addresses have one host, port and scheme.
    let isSameHost (left: Uri) (right: Uri) : bool =
        left.Scheme = right.Scheme && left.Authority = right.Authority

    /// One request without redirects. The token goes to the hub alone.
    let private send (settings: HubSettings) (method: HttpMethod) (from: int64) (uri: Uri) : HttpResponseMessage =
        use request = new HttpRequestMessage(method, uri)
        request.Headers.AcceptEncoding.ParseAdd "identity"

        match settings.Token with
        | Some token when isSameHost uri (Uri settings.Endpoint) ->
            request.Headers.Authorization <- AuthenticationHeaderValue("Bearer", token)
        | _ -> ()

        if from > 0L then
            request.Headers.Range <- RangeHeaderValue(from, Nullable())

        use patience = new CancellationTokenSource(settings.Timeout)

        guarded (fun () -> client.Value.Send(request, HttpCompletionOption.ResponseHeadersRead, patience.Token))

    /// One request whose redirects are followed where `follows` allows; at most five.
    let rec private chase
        settings
        method
        from
        (follows: Uri -> bool)
        (left: int)
        (uri: Uri)
        : Uri * HttpResponseMessage =
        let reply = send settings method from uri

        match location uri reply with
        | Some target when follows target ->
            reply.Dispose()

            if left = 0 then
                HubFailure.fail (HubFailure.Odd "sends in a circle")

            chase settings method from follows (left - 1) target
        | _ -> uri, reply

    /// Asks for an answer's head at the hub; redirects within it are followed, those to other hosts are given back.
    let head (settings: HubSettings) (uri: Uri) : Uri * HttpResponseMessage =
        chase settings HttpMethod.Head 0L (isSameHost uri) 5 uri

    /// Asks for content from a byte on; redirects are followed to any host.
    let get (settings: HubSettings) (from: int64) (uri: Uri) : HttpResponseMessage =
        chase settings HttpMethod.Get from (fun _ -> true) 5 uri |> snd

    /// Reads an answer's content block by block, with the longest silence that settings allow.
    let read (settings: HubSettings) (reply: HttpResponseMessage) (take: byte[] -> int -> unit) : unit =
        use patience = new CancellationTokenSource(settings.Timeout)
        use stream = guarded (fun () -> reply.Content.ReadAsStream patience.Token)
        let block = Array.zeroCreate<byte>(1 <<< 18)

        let next () =
            patience.CancelAfter settings.Timeout

            guarded (fun () -> stream.ReadAsync(Memory block, patience.Token).AsTask().GetAwaiter().GetResult())

        let mutable got = next ()

        while got > 0 do
            take block got
            got <- next ()

    /// The longest that is waited because a server asks for it.
    let private longestWait = TimeSpan.FromMinutes 5.0

    /// Waits before the try after so many failures in a row: 1 s doubling to 8 s, or as the server asks.
    let pause (settings: HubSettings) (failures: int) (failure: HubFailure) : unit =
        let usual = TimeSpan.FromSeconds(min 8.0 (2.0 ** float (failures - 1)))

        match failure with
        | HubFailure.Busy(_, Some wait) when wait > longestWait -> HubFailure.fail failure
        | HubFailure.Busy(_, Some wait) -> settings.Pause(max wait usual)
        | _ -> settings.Pause usual

    /// A host that does not answer at all is asked twice.
    let triesFor (settings: HubSettings) (failure: HubFailure) : int =
        match failure with
        | HubFailure.NoConnection _ -> min 2 settings.Tries
        | _ -> settings.Tries

    /// `work`, again while its failure may pass, at most so often as settings say.
    let rec tries (settings: HubSettings) (failures: int) (work: unit -> 'a) : 'a =
        let result =
            try
                Ok(work ())
            with HubFailed failure when HubFailure.isPassing failure ->
                Error failure

        match result with
        | Ok value -> value
        | Error failure when failures + 1 >= triesFor settings failure -> HubFailure.fail failure
        | Error failure ->
            pause settings (failures + 1) failure
            tries settings (failures + 1) work
