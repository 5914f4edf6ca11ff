namespace Peft

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Runtime.InteropServices
open System.Threading

/// Keeps the ids of short pieces, for the same words come again and again. Any number of threads may share one.
[<Sealed>]
type internal WordMemory(encode: string -> ResizeArray<int> -> unit) =
    let longest, most = 32, 50_000
    let known = ConcurrentDictionary<string, int[]>(StringComparer.Ordinal)
    let mutable count = 0

    /// Adds the ids of a piece.
    member _.Encode(piece: string, ids: ResizeArray<int>) : unit =
        if piece.Length > longest then
            encode piece ids
        else
            match known.TryGetValue piece with
            | true, found -> CollectionExtensions.AddRange(ids, ReadOnlySpan found)
            | _ ->
                let from = ids.Count
                encode piece ids

                if count < most then
                    let own = CollectionsMarshal.AsSpan(ids).Slice(from).ToArray()

                    if known.TryAdd(piece, own) then
                        Interlocked.Increment &count |> ignore
