namespace Peft

open TorchSharp

/// A row with what was measured: by this program, and by a peer where one was asked.
[<NoComparison>]
type BenchLine =
    {
        Row: BenchRow
        /// A measurement, or why there is none.
        Own: Result<Measurement, string>
        /// None where no peer was asked.
        Peer: Result<Measurement, string> option
    }

[<RequireQualifiedAccess>]
module BenchRun =
    /// Measures a row in this process, from its random weights on.
    let measure (row: BenchRow) : Measurement =
        if row.Threads > 0 then
            torch.set_num_threads row.Threads

        match row.Kind with
        | BenchKind.Product -> MachineBench.product row
        | BenchKind.Overhead -> MachineBench.overhead row
        | BenchKind.Step -> StepBench.step row
        | BenchKind.Encoder -> StepBench.encoder row
        | BenchKind.Loss -> StepBench.loss row
        | BenchKind.Decoding -> DecodingBench.measure row
        | BenchKind.Tokenizer -> FileBench.tokenizer row
        | BenchKind.Checkpoint -> FileBench.checkpoint row
        | BenchKind.Share -> ShareBench.measure row

    /// Asks a command, with the row's JSON as its last argument, for a measurement: the last line of its output.
    let ask (program: string) (arguments: string list) (row: BenchRow) : Result<Measurement, string> =
        let json = (BenchRow.toJson row).ToJsonString Json.line

        try
            match BenchProcess.run program (arguments @ [ json ]) with
            | 0, output, _ -> Ok(Measurement.ofJson (BenchProcess.lastLine output))
            | _, _, error -> Error(BenchProcess.lastLine error)
        with UserError problem ->
            Error problem

    /// Measures a row in a process of its own: peaks of memory, and threads that spin, are then its own.
    let inOwnProcess (row: BenchRow) : Result<Measurement, string> =
        let program, arguments = BenchProcess.self ()
        ask program (arguments @ [ "bench"; "--measure" ]) row

    /// Kinds that a peer is asked for.
    let isShared (row: BenchRow) : bool =
        match row.Kind with
        | BenchKind.Step
        | BenchKind.Encoder
        | BenchKind.Decoding ->
            row.Placement = Placement.everywhere
            && row.Accumulation = 1
            && not row.Recomputes
        | _ -> false

    let private joined (answers: Result<Measurement, string> list) : Result<Measurement, string> =
        answers
        |> List.reduce (fun earlier later ->
            match earlier, later with
            | Ok earlier, Ok later -> Ok(Measurement.join earlier later)
            | Error problem, _
            | _, Error problem -> Error problem)

    let private lineOf
        (row: BenchRow)
        (turns: (Result<Measurement, string> * Result<Measurement, string> option) list)
        =
        {
            Row = row
            Own = turns |> List.map fst |> joined
            Peer =
                match turns |> List.choose snd with
                | [] -> None
                | answers -> Some(joined answers)
        }

    let private isUnsettled (line: BenchLine) =
        let isSo (answer: Result<Measurement, string>) =
            match answer with
            | Ok measured -> measured.IsUnsettled
            | Error _ -> false

        isSo line.Own || Option.exists isSo line.Peer

    /// A row by `rounds` turns of `own` and, where there is one, of `peer`; by one more where either's repetitions are more
    /// than a tenth apart.
    let measured
        (own: BenchRow -> Result<Measurement, string>)
        (peer: (BenchRow -> Result<Measurement, string>) option)
        (rounds: int)
        (row: BenchRow)
        : BenchLine =
        let turn _ =
            let mine = own row
            mine, peer |> Option.map (fun peer -> peer row)

        let turns = List.init rounds turn
        let line = lineOf row turns

        if isUnsettled line then
            lineOf row (turns @ [ turn () ])
        else
            line

    /// Measures rows one after the other, ours and the peer's in turn, `rounds` times each; `announce` hears of every row before
    /// it begins, `tell` of every line.
    let all
        (peer: (string * string list) option)
        (rounds: int)
        (announce: BenchRow -> unit)
        (tell: BenchLine -> unit)
        (rows: BenchRow list)
        : BenchLine list =
        [
            for row in rows do
                announce row

                let peer =
                    match peer with
                    | Some(program, arguments) when isShared row -> Some(ask program arguments)
                    | _ -> None

                let line = measured inOwnProcess peer rounds row
                tell line
                line
        ]
