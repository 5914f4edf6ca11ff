/// Headless Chromium, spoken to by the DevTools protocol: what a page does in a real browser.
module Peft.Tests.Browser

open System
open System.Diagnostics
open System.IO
open System.Net.WebSockets
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open System.Threading
open System.Threading.Tasks
open Expecto

/// How long the browser may take for one answer.
let private patience = TimeSpan.FromSeconds 60.0

/// The browser's program, wherever a PATH holds it.
let private program =
    lazy
        ([ "chromium"; "chromium-browser"; "google-chrome" ]
         |> List.tryPick (fun name ->
             (string (Environment.GetEnvironmentVariable "PATH")).Split Path.PathSeparator
             |> Array.map (fun folder -> Path.Combine(folder, name))
             |> Array.tryFind File.Exists))

/// An open page. Its messages are read while an answer is awaited; nothing runs beside the test.
type Page(browser: Process, profile: string, socket: ClientWebSocket) =
    let mutable lastId = 0
    let mutable session = ""
    let errors = ResizeArray<string>()
    let requests = ResizeArray<string>()
    let seen = ResizeArray<string>()

    let receive () : JsonElement =
        use timeout = new CancellationTokenSource(patience)
        use whole = new MemoryStream()
        let buffer = Array.zeroCreate<byte> 65536
        let mutable isOpen = true

        while isOpen do
            let part =
                socket.ReceiveAsync(ArraySegment buffer, timeout.Token).GetAwaiter().GetResult()

            whole.Write(buffer, 0, part.Count)
            isOpen <- not part.EndOfMessage

        use document = JsonDocument.Parse(whole.ToArray().AsMemory())
        document.RootElement.Clone()

    let text (element: JsonElement) (path: string list) =
        let step (element: JsonElement option) (name: string) =
            element
            |> Option.bind (fun element ->
                match element.ValueKind, element.TryGetProperty name with
                | JsonValueKind.Object, (true, value) -> Some value
                | _ -> None)

        path
        |> List.fold step (Some element)
        |> Option.map string
        |> Option.defaultValue ""

    let note (message: JsonElement) =
        let name = text message [ "method" ]
        seen.Add name

        match name with
        | "Network.requestWillBeSent" -> requests.Add(text message [ "params"; "request"; "url" ])
        | "Runtime.exceptionThrown" ->
            errors.Add(text message [ "params"; "exceptionDetails"; "exception"; "description" ])
        | "Runtime.consoleAPICalled" when List.contains (text message [ "params"; "type" ]) [ "error"; "warning" ] ->
            errors.Add(text message [ "params"; "args" ])
        | "Log.entryAdded" -> errors.Add(text message [ "params"; "entry"; "text" ])
        | _ -> ()

    let send (command: string) (parameters: (string * JsonNode) list) : JsonElement =
        lastId <- lastId + 1
        let id = lastId
        let arguments = JsonObject()

        for key, value in parameters do
            arguments[key] <- value

        let message = JsonObject()
        message["id"] <- JsonValue.Create id
        message["method"] <- JsonValue.Create command
        message["params"] <- arguments

        if session <> "" then
            message["sessionId"] <- JsonValue.Create session

        socket
            .SendAsync(
                ArraySegment(Encoding.UTF8.GetBytes(message.ToJsonString())),
                WebSocketMessageType.Text,
                true,
                CancellationToken.None
            )
            .GetAwaiter()
            .GetResult()

        let rec await () =
            let answer = receive ()

            match answer.TryGetProperty "id" with
            | true, found when found.GetInt32() = id ->
                match answer.TryGetProperty "error" with
                | true, error -> failtest $"{command}: {error}"
                | _ -> answer.GetProperty "result"
            | _ ->
                note answer
                await ()

        await ()

    let value (text: string) : JsonNode =
        match JsonValue.Create text with
        | null -> failwith "a text is a value"
        | node -> node

    let number (count: int) : JsonNode = JsonValue.Create count
    let flag (isSet: bool) : JsonNode = JsonValue.Create isSet

    do
        let target = send "Target.createTarget" [ "url", value "about:blank" ]

        let attached =
            send "Target.attachToTarget" [ "targetId", value (text target [ "targetId" ]); "flatten", flag true ]

        session <- text attached [ "sessionId" ]

        for domain in [ "Page"; "Runtime"; "Network"; "Log" ] do
            send $"{domain}.enable" [] |> ignore

    /// Errors and warnings of the console and uncaught exceptions, so far.
    member _.Errors: string list = List.ofSeq errors

    /// What was asked of the network or of files, the page itself included.
    member _.Requests: string list = List.ofSeq requests

    /// The value of a JavaScript expression; promises are awaited.
    member _.Evaluate(expression: string) : JsonElement =
        let answer =
            send
                "Runtime.evaluate"
                [
                    "expression", value expression
                    "returnByValue", flag true
                    "awaitPromise", flag true
                ]

        match answer.TryGetProperty "exceptionDetails" with
        | true, details -> failtest $"{expression}: {details}"
        | _ ->
            match (answer.GetProperty "result").TryGetProperty "value" with
            | true, found -> found
            | _ -> answer.GetProperty "result"

    /// The value of an expression as text.
    member page.Text(expression: string) : string = string (page.Evaluate expression)

    /// Opens a file and waits for its load event and two painted frames.
    member page.Open(path: string) : unit =
        seen.Clear()
        send "Page.navigate" [ "url", value (Uri(path).AbsoluteUri) ] |> ignore

        while not (seen.Contains "Page.loadEventFired") do
            note (receive ())

        page.Settle()

    /// Waits until observers and frames had their turn.
    member page.Settle() : unit =
        page.Evaluate
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100))))"
        |> ignore

    /// Presses and releases a key, as the page's focus has it.
    member _.Press(key: string, code: int) : unit =
        for kind in [ "keyDown"; "keyUp" ] do
            let typed =
                if key = "Enter" && kind = "keyDown" then
                    [ "text", value "\r" ]
                else
                    []

            send
                "Input.dispatchKeyEvent"
                ([
                    "type", value kind
                    "key", value key
                    "code", value key
                    "windowsVirtualKeyCode", number code
                 ]
                 @ typed)
            |> ignore

    /// Types text into what has the focus.
    member _.Type(words: string) : unit =
        send "Input.insertText" [ "text", value words ] |> ignore

    /// The size of the window in CSS pixels.
    member page.Resize(width: int, height: int, isPhone: bool) : unit =
        send
            "Emulation.setDeviceMetricsOverride"
            [
                "width", number width
                "height", number height
                "deviceScaleFactor", number 1
                "mobile", flag isPhone
            ]
        |> ignore

        page.Settle()

    /// `screen` or `print`; `light` or `dark`.
    member page.Media(medium: string, scheme: string) : unit =
        let feature = JsonObject()
        feature["name"] <- value "prefers-color-scheme"
        feature["value"] <- value scheme
        let features = JsonArray()
        features.Add feature

        send "Emulation.setEmulatedMedia" [ "media", value medium; "features", features ]
        |> ignore

        page.Settle()

    /// A PNG of what the window shows.
    member _.Screenshot(path: string) : unit =
        let answer = send "Page.captureScreenshot" [ "format", value "png" ]
        File.WriteAllBytes(path, Convert.FromBase64String(text answer [ "data" ]))

    /// The page as it prints on A4.
    member _.Print(path: string) : unit =
        let answer =
            send "Page.printToPDF" [ "printBackground", flag true; "preferCSSPageSize", flag true ]

        File.WriteAllBytes(path, Convert.FromBase64String(text answer [ "data" ]))

    interface IDisposable with
        member _.Dispose() =
            socket.Dispose()

            try
                browser.Kill true
                browser.WaitForExit()
                browser.Dispose()
                Directory.Delete(profile, true)
            with
            | :? InvalidOperationException
            | :? IOException -> ()

/// A page in a browser of its own; where there is no Chromium the test is skipped, visibly.
let launch () : Page =
    match program.Value with
    | None -> skiptest "no Chromium on this machine (Debian: apt-get install chromium)"
    | Some path ->
        let profile =
            Path.Combine(Path.GetTempPath(), "peft-tests", "chromium-" + Guid.NewGuid().ToString "N")

        let start =
            ProcessStartInfo(
                path,
                [
                    "--headless=new"
                    // Tests run as root in containers, where Chromium's sandbox does not start.
                    "--no-sandbox"
                    "--disable-gpu"
                    "--disable-dev-shm-usage"
                    "--no-first-run"
                    "--disable-background-networking"
                    "--hide-scrollbars"
                    "--remote-debugging-port=0"
                    $"--user-data-dir={profile}"
                    "about:blank"
                ],
                RedirectStandardError = true,
                RedirectStandardOutput = true
            )

        match Process.Start start with
        | null -> skiptest $"{path} could not be started"
        | browser ->
            let prefix = "DevTools listening on "
            let address = TaskCompletionSource<string>()

            browser.ErrorDataReceived.Add(fun line ->
                match line.Data with
                | null ->
                    address.TrySetException(IOException $"{path} ended without opening its DevTools port")
                    |> ignore
                | text when text.StartsWith prefix -> address.TrySetResult(text.Substring prefix.Length) |> ignore
                | _ -> ())

            // Both pipes are read all the time: a full one would stop the browser.
            browser.OutputDataReceived.Add ignore
            browser.BeginErrorReadLine()
            browser.BeginOutputReadLine()

            try
                let socket = new ClientWebSocket()
                use timeout = new CancellationTokenSource(patience)
                let address = address.Task.WaitAsync(patience).GetAwaiter().GetResult()
                socket.ConnectAsync(Uri address, timeout.Token).GetAwaiter().GetResult()
                new Page(browser, profile, socket)
            with _ ->
                browser.Kill true
                reraise ()
