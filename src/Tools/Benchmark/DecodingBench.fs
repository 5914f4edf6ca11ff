namespace Peft

open TorchSharp

/// Greedy and beam decoding.
[<RequireQualifiedAccess>]
module DecodingBench =
    /// The decoding of a row. `</s>` is forbidden until the last token, so that no row ends early and each gives exactly
    /// `TargetLength` tokens: random weights would otherwise end where chance has it.
    let decodingOf (row: BenchRow) : Decoding =
        { Decoding.Beam(row.Beams, row.TargetLength) with
            MinNewTokens = row.TargetLength
        }

    /// Encoding a row's batch and decoding it, again and again in the caller's scope. An answer of another length than the
    /// row's is an error.
    let work (row: BenchRow) : unit -> unit =
        let model = StepBench.model row |> Model.merge
        let batch = StepBench.batch row 1
        let decoding = decodingOf row

        fun () ->
            for answers in Generate.run decoding model batch.InputIds batch.Mask do
                if answers.Head.Ids.Length <> row.TargetLength then
                    invalidOp $"a row has {answers.Head.Ids.Length} tokens instead of {row.TargetLength}"

    /// Seconds of that work.
    let measure (row: BenchRow) : Measurement =
        use _ = torch.NewDisposeScope()
        let work = work row
        Memory.resetPeak ()
        Repeated.measurement (Repeated.times row.WarmUp row.Repeat work) []
