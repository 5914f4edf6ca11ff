namespace Peft

open System
open System.Collections.Generic
open System.Text.Json
open System.Text.Json.Nodes

/// A whole benchmark.
[<NoComparison>]
type BenchReport =
    {
        Machine: BenchMachine
        Lines: BenchLine list
    }

/// What follows from the measurements, and the report as a file.
[<RequireQualifiedAccess>]
module BenchReport =
    let internal own (line: BenchLine) = Result.toOption line.Own

    let internal peer (line: BenchLine) =
        line.Peer |> Option.bind Result.toOption

    /// The machine's peak in a dtype: the fastest of its products, in GFLOP/s.
    let peak (lines: BenchLine list) (dtype: string) : float option =
        let products =
            lines
            |> List.filter (fun line -> line.Row.Kind = BenchKind.Product && line.Row.Dtype = dtype)
            |> List.choose own
            |> List.collect (fun measured -> List.ofSeq measured.Values.Values)

        match products with
        | [] -> None
        | speeds -> Some(List.max speeds)

    /// GFLOP/s of a row.
    let achieved (line: BenchLine) : float option =
        Option.map2
            (fun operations (measured: Measurement) -> operations / measured.Median / 1e9)
            (BenchWork.operations line.Row)
            (own line)

    /// The share of the machine's peak that a row achieves (model FLOPs utilisation).
    let utilisation (lines: BenchLine list) (line: BenchLine) : float option =
        Option.map2 (/) (achieved line) (peak lines line.Row.Dtype)

    /// How many times as fast as the peer.
    let speedUp (line: BenchLine) : float option =
        Option.map2
            (fun (theirs: Measurement) (ours: Measurement) -> theirs.Median / ours.Median)
            (peer line)
            (own line)

    /// Our peak memory over the peer's.
    let memoryRatio (line: BenchLine) : float option =
        Option.map2
            (fun (theirs: Measurement) (ours: Measurement) -> ours.PeakMiB / theirs.PeakMiB)
            (peer line)
            (own line)

    let private answerNode (answer: Result<Measurement, string>) : JsonNode | null =
        match answer with
        | Ok measured -> JsonNode.Parse(Measurement.toJson measured)
        | Error problem -> JsonObject [ KeyValuePair("error", JsonValue.Create problem :> JsonNode | null) ]

    let private lineNode (lines: BenchLine list) (line: BenchLine) : JsonNode =
        let node = JsonObject()
        node.Add("name", JsonValue.Create(BenchRow.name line.Row))
        node.Add("row", BenchRow.toJson line.Row)
        node.Add("own", answerNode line.Own)

        match line.Peer with
        | Some answer -> node.Add("peer", answerNode answer)
        | None -> ()

        let derived =
            [
                "operations", BenchWork.operations line.Row
                "tokens", BenchWork.tokens line.Row
                "gigaflops", achieved line
                "utilisation", utilisation lines line
                "speedUp", speedUp line
                "memoryRatio", memoryRatio line
            ]

        for key, value in derived do
            match value with
            | Some value when Double.IsFinite value -> node.Add(key, JsonValue.Create value)
            | _ -> ()

        node

    /// The report as JSON: the machine, every row with what was measured, and what follows from it.
    let toJson (report: BenchReport) : string =
        let root = JsonObject()

        let options =
            JsonSerializerOptions(
                Json.options,
                NumberHandling = Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals
            )

        root.Add("machine", JsonSerializer.SerializeToNode(report.Machine, options))

        root.Add(
            "rows",
            JsonArray(
                report.Lines
                |> List.map (lineNode report.Lines >> Unchecked.nonNull)
                |> Array.ofList
            )
        )

        root.ToJsonString Json.options + "\n"

    /// Reads what `toJson` wrote; derived numbers are computed anew. `UserError` where it is none.
    let ofJson (path: string) (json: string) : BenchReport =
        let options =
            JsonSerializerOptions(
                Json.options,
                NumberHandling = Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals
            )

        let answer (element: JsonElement) =
            match element.TryGetProperty "error" with
            | true, problem -> Error(Json.text problem)
            | false, _ -> Ok(Measurement.ofJson (element.GetRawText()))

        try
            use document = JsonDocument.Parse json
            let root = document.RootElement

            match (root.GetProperty "machine").Deserialize<BenchMachine> options with
            | null -> userError $"{path} names no machine."
            | machine ->
                {
                    Machine = machine
                    Lines =
                        [
                            for line in (root.GetProperty "rows").EnumerateArray() ->
                                {
                                    Row = BenchRow.ofJson ((line.GetProperty "row").GetRawText())
                                    Own = answer (line.GetProperty "own")
                                    Peer =
                                        match line.TryGetProperty "peer" with
                                        | true, found -> Some(answer found)
                                        | false, _ -> None
                                }
                        ]
                }
        with
        | :? JsonException
        | :? InvalidOperationException
        | :? KeyNotFoundException -> userError $"{path} is no benchmark's JSON."
