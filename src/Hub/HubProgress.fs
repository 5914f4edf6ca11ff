namespace Peft

open System.Collections.Generic
open System.Diagnostics

/// Adds up what the files of a download have; for several threads at once.
[<Sealed>]
type internal HubProgress(name: string, files: (string * int64 * int64) list, show: DownloadState -> unit) =
    let clock = Stopwatch.StartNew()
    let total = files |> List.sumBy (fun (_, _, size) -> size)
    let sizes = dict [ for path, _, size in files -> path, size ]
    let bytes = Dictionary(dict [ for path, had, _ in files -> path, had ])
    let before = files |> List.sumBy (fun (_, had, _) -> had)
    let mutable shown = -1.0

    let state () =
        let all = Seq.sum bytes.Values

        {
            Name = name
            FilesDone = bytes |> Seq.filter (fun pair -> pair.Value >= sizes[pair.Key]) |> Seq.length
            Files = files.Length
            Bytes = all
            TotalBytes = total
            Received = max 0L (all - before)
            Seconds = clock.Elapsed.TotalSeconds
        }

    /// Hears that so many bytes of a file are there; tells it on at most twice a second, and when all is there.
    member _.Heard (path: string) (count: int64) : unit =
        lock bytes (fun () ->
            bytes[path] <- count
            let now = clock.Elapsed.TotalSeconds
            let state = state ()

            if now - shown >= 0.5 || state.Bytes >= total then
                shown <- now
                show state)
