namespace Peft

open System.Collections.Generic
open System.Diagnostics

/// Work done again and again under a clock.
[<RequireQualifiedAccess>]
module Repeated =
    /// The seconds that `work` takes.
    let seconds (work: unit -> unit) : float =
        let watch = Stopwatch.StartNew()
        work ()
        watch.Elapsed.TotalSeconds

    /// The seconds of `count` repetitions after `warmUp` untimed ones.
    let times (warmUp: int) (count: int) (work: unit -> unit) : float list =
        for _ in 1..warmUp do
            work ()

        List.init count (fun _ -> seconds work)

    /// The middle of a few numbers.
    let median (numbers: float list) : float =
        {
            Seconds = numbers
            PeakMiB = 0.0
            Values = Dictionary()
        }
            .Median

    /// A measurement with the process's peak so far.
    let measurement (seconds: float list) (values: (string * float) list) : Measurement =
        {
            Seconds = seconds
            PeakMiB = Memory.peakMiB ()
            Values = values |> List.map KeyValuePair |> Dictionary
        }
