namespace Peft

open System
open System.Diagnostics

/// Downloads as the command line tells of them: one line on a terminal, a line now and then elsewhere, on standard error.
[<RequireQualifiedAccess>]
module internal Downloads =
    let private name (state: DownloadState) =
        let files = if state.Files = 1 then "file" else "files"
        $"{state.Name}: {state.FilesDone} of {state.Files} {files}"

    /// How far a download is: `google/flan-t5-base: 3 of 5 files, 412.0 MiB of 944.0 MiB, 12.3 MiB/s, about 43 s left`.
    let line (state: DownloadState) : string =
        let rate =
            if state.Rate >= 1.0 then
                $", {Columns.bytes (int64 state.Rate)}/s"
            else
                ""

        let left =
            match state.SecondsLeft with
            | Some seconds when state.Bytes < state.TotalBytes -> $", about {Progress.duration (max 1.0 seconds)} left"
            | _ -> ""

        $"{name state}, {Columns.bytes state.Bytes} of {Columns.bytes state.TotalBytes}{rate}{left}"

    /// Where lines are kept, not many are wanted.
    let private apart = TimeSpan.FromSeconds 10.0

    let private onTerminal (state: DownloadState) : unit =
        let width = max 20 (Console.BufferWidth - 1)
        let text = (line state).PadRight width
        let ending = if state.Bytes >= state.TotalBytes then "\n" else ""
        eprintf $"\r{text.Substring(0, width)}{ending}"

    let private elsewhere () : DownloadState -> unit =
        let clock = Stopwatch.StartNew()

        fun state ->
            if state.Bytes >= state.TotalBytes || clock.Elapsed >= apart then
                clock.Restart()
                eprintfn $"{line state}"

    /// This process's settings, with downloads told of.
    let settings () : HubSettings =
        { HubSettings.ofEnvironment () with
            Show =
                (if Console.IsErrorRedirected then
                     elsewhere ()
                 else
                     onTerminal)
            Tell = eprintfn "%s"
        }
