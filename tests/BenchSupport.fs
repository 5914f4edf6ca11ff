/// Rows of the benchmark on the tiny model.
module Peft.Tests.BenchSupport

open System.Collections.Generic
open Peft
open Peft.T5

let settings (size: string) : BenchSettings =
    {
        Size = size
        Model = T5Family.architecture (Tiny.config 1)
        Techniques = Technique.paper
        Dtypes = [ "float32"; "bfloat16" ]
        Batch = 2
        InputLength = 10
        TargetLength = 6
        Dropout = 0.1
        Repeat = 2
        Threads = 1
    }

let rows = BenchPlan.rows (settings "small")

let stepOf (technique: Technique) (place: string) : BenchRow =
    { (rows |> List.find (fun row -> row.Kind = BenchKind.Step)) with
        Technique = technique
        Placement = Placement.parse place
    }

let measurement (seconds: float list) (values: (string * float) list) : Measurement =
    {
        Seconds = seconds
        PeakMiB = 100.0
        Values = values |> List.map KeyValuePair |> Dictionary
    }

let machine: BenchMachine =
    {
        Processor = "a processor"
        Cores = 2
        Threads = 1
        Load = nan
        System = "a system"
        Libraries = "libtorch"
        StartedAt = "2026-01-01T00:00:00Z"
        Peer = "python3 peer.py"
    }
