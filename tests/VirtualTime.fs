/// Threads that take turns by a clock of their own making: one runs at a time, the one whose time comes first. What they do
/// follows from their seeds alone.
module Peft.Tests.VirtualTime

open System
open System.Threading

[<Sealed>]
type VirtualTime(threads: int) =
    let times = Array.zeroCreate<float> threads
    let turns = Array.init threads (fun _ -> new SemaphoreSlim(0))

    let next () =
        let first =
            times |> Array.indexed |> Array.minBy (fun (index, time) -> time, index) |> fst

        if Double.IsPositiveInfinity times[first] then
            None
        else
            Some first

    /// Seconds, as all threads see them.
    member _.Now(thread: int) : float = times[thread]

    /// Lets time pass for a thread; others run meanwhile.
    member _.Sleep(thread: int, seconds: float) : unit =
        times[thread] <- times[thread] + seconds

        match next () with
        | Some other when other <> thread ->
            turns[other].Release() |> ignore
            turns[thread].Wait()
        | _ -> ()

    /// Runs all threads to their ends; the first exception of one is raised.
    member _.Run(work: int -> unit) : unit =
        let mutable failure = None

        let start index =
            let body () =
                turns[index].Wait()

                try
                    work index
                with error ->
                    failure <- failure |> Option.orElse (Some error)

                times[index] <- Double.PositiveInfinity
                next () |> Option.iter (fun other -> turns[other].Release() |> ignore)

            let thread = Thread(body)
            thread.Start()
            thread

        let started = Array.init threads start
        turns[0].Release() |> ignore
        started |> Array.iter _.Join()
        failure |> Option.iter raise
