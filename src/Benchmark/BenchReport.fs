namespace Peft

open System
open System.Globalization
open System.IO
open System.Runtime.InteropServices
open System.Text.Json
open System.Text.Json.Nodes
open TorchSharp

/// Where and when a benchmark ran.
type BenchMachine =
    {
        Processor: string
        Cores: int
        /// Threads of the tensor library that were asked for; 0 for its own default.
        Threads: int
        /// Processes that ran or waited to run, averaged over the last minute before the start; nan where unknown.
        Load: float
        System: string
        Libraries: string
        /// UTC, ISO 8601.
        StartedAt: string
        /// The command of the peer; "" without one.
        Peer: string
    }

/// A whole benchmark.
[<NoComparison>]
type BenchReport =
    {
        Machine: BenchMachine
        Lines: BenchLine list
    }

[<RequireQualifiedAccess>]
module BenchMachine =
    let private firstOf (path: string) (pick: string -> string option) : string option =
        try
            File.ReadLines path |> Seq.tryPick pick
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None

    let private processor () =
        firstOf "/proc/cpuinfo" (fun line ->
            if line.StartsWith("model name", StringComparison.Ordinal) then
                Some(line.Substring(line.IndexOf ':' + 1).Trim())
            else
                None)
        |> Option.defaultValue "unknown"

    let private load () =
        match firstOf "/proc/loadavg" (fun line -> Some(line.Split(' ')[0])) with
        | Some first -> Double.Parse(first, CultureInfo.InvariantCulture)
        | None -> nan

    /// This machine, now.
    let here (threads: int) (peer: string) : BenchMachine =
        {
            Processor = processor ()
            Cores = Environment.ProcessorCount
            Threads = threads
            Load = load ()
            System = RuntimeInformation.OSDescription
            Libraries = $"{RuntimeInformation.FrameworkDescription}, libtorch {torch.__version__}"
            StartedAt = DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"
            Peer = peer
        }

    /// The machine in a line.
    let describe (machine: BenchMachine) : string =
        let threads =
            if machine.Threads > 0 then
                string machine.Threads
            else
                "all"

        let load = machine.Load.ToString("0.##", CultureInfo.InvariantCulture)

        $"{machine.Processor}, {machine.Cores} cores, threads: {threads}; {machine.Libraries}; {machine.System}; {machine.StartedAt}, load {load} at the start"

/// From measurements to numbers, text and files.
[<RequireQualifiedAccess>]
module BenchReport =
    let private own (line: BenchLine) = Result.toOption line.Own

    let private peer (line: BenchLine) =
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

    let private fixed' (decimals: int) (value: float) =
        if Double.IsFinite value then
            value.ToString($"F{decimals}", CultureInfo.InvariantCulture)
        else
            "-"

    let private shown decimals (value: float option) =
        value |> Option.map (fixed' decimals) |> Option.defaultValue ""

    let private percent (value: float option) =
        value
        |> Option.map (fun value -> fixed' 0 (100.0 * value) + " %")
        |> Option.defaultValue ""

    /// What a row says in the unit that suits it.
    let private rate (row: BenchRow) (measured: Measurement) : string =
        let megabytes () =
            fixed' 1 (measured.Value "bytes" / measured.Median / 1e6) + " MB/s"

        match row.Kind with
        | BenchKind.Product -> fixed' 0 (Seq.max measured.Values.Values) + " GFLOP/s"
        | BenchKind.Overhead ->
            fixed' 0 (measured.Value "ns in place")
            + " ns, with a result "
            + fixed' 0 (measured.Value "ns with a result")
            + " ns"
        | BenchKind.Tokenizer -> megabytes ()
        | BenchKind.Checkpoint ->
            let copied = measured.Value "bytes" / measured.Value "s copy" / 1e6
            $"""{megabytes ()}, a copy {fixed' 0 copied}, {fixed' 0 (measured.Value "MiB beyond the weights")} MiB extra"""
        | BenchKind.Loss -> $"""{fixed' 4 (measured.Value "first loss")} to {fixed' 4 (measured.Value "last loss")}"""
        | BenchKind.Share -> percent (Some(measured.Value "kernels")) + " in kernels"
        | _ ->
            BenchWork.tokens row
            |> Option.map (fun tokens -> fixed' 0 (tokens / measured.Median) + " tokens/s")
            |> Option.defaultValue ""

    let private heads =
        [
            "row"
            "seconds"
            "spread"
            "rate"
            "GFLOP"
            "GFLOP/s"
            "of peak"
            "peak MiB"
            "peer s"
            "faster"
            "peer MiB"
            "memory"
        ]

    let private cells (lines: BenchLine list) (line: BenchLine) : string list =
        let name = BenchRow.name line.Row

        match line.Own with
        | Error problem -> name :: $"not measured: {problem}" :: List.replicate (heads.Length - 2) ""
        | Ok measured ->
            let timed = if measured.Seconds.IsEmpty then None else Some measured
            let peer = peer line

            [
                name
                timed |> Option.map _.Median |> shown 3
                timed |> Option.map _.Spread |> percent
                rate line.Row measured
                BenchWork.operations line.Row |> Option.map (fun all -> all / 1e9) |> shown 1
                achieved line |> shown 1
                utilisation lines line |> percent
                (if measured.PeakMiB > 0.0 then
                     Some measured.PeakMiB
                 else
                     None)
                |> shown 0
                match line.Peer with
                | Some(Error _) -> "none"
                | _ -> peer |> Option.map _.Median |> shown 3
                speedUp line |> shown 2
                peer |> Option.map _.PeakMiB |> shown 0
                memoryRatio line |> shown 2
            ]

    /// What rows say beside their time: the phases of a step, the shapes of the products, the shares of a sweep.
    let private details (lines: BenchLine list) : string list =
        [
            for line in lines do
                match line.Own with
                | Ok measured when measured.Values.Count > 0 ->
                    let told =
                        measured.Values
                        |> Seq.map (fun pair ->
                            let decimals = if abs pair.Value < 10.0 then 3 else 0
                            $"{pair.Key}: {fixed' decimals pair.Value}")

                    $"""{BenchRow.name line.Row}: {String.Join("; ", told)}"""
                | _ -> ()

                match line.Peer with
                | Some(Error problem) -> $"{BenchRow.name line.Row}: the peer has none: {problem}"
                | _ -> ()
        ]

    /// A line as soon as it is measured.
    let progress (line: BenchLine) : string =
        match line.Own with
        | Error problem -> $"{BenchRow.name line.Row}: not measured: {problem}"
        | Ok measured ->
            let compared =
                speedUp line
                |> Option.map (fun ratio -> $", {fixed' 2 ratio} times as fast as the peer")
                |> Option.defaultValue ""

            let seconds =
                if measured.Seconds.IsEmpty then
                    ""
                else
                    $" {fixed' 3 measured.Median} s,"

            $"{BenchRow.name line.Row}:{seconds} {rate line.Row measured}{compared}"

    /// The table for a terminal.
    let text (report: BenchReport) : string =
        [
            BenchMachine.describe report.Machine
            ""
            Columns.table heads (report.Lines |> List.map (cells report.Lines))
            ""
            yield! details report.Lines
        ]
        |> String.concat "\n"

    /// A table in Markdown.
    let markdownTable (heads: string list) (rows: string list list) : string =
        let line (cells: string list) = "| " + String.concat " | " cells + " |"

        line heads :: line (heads |> List.map (fun _ -> "---")) :: List.map line rows
        |> String.concat "\n"

    /// The same in Markdown, with the details as a list.
    let markdown (report: BenchReport) : string =
        [
            BenchMachine.describe report.Machine
            ""
            markdownTable heads (report.Lines |> List.map (cells report.Lines))
            ""
            yield! details report.Lines |> List.map (fun line -> $"* {line}")
        ]
        |> String.concat "\n"

    let private answerNode (answer: Result<Measurement, string>) : JsonNode | null =
        match answer with
        | Ok measured -> JsonNode.Parse(Measurement.toJson measured)
        | Error problem ->
            JsonObject
                [
                    Collections.Generic.KeyValuePair("error", JsonValue.Create problem :> JsonNode | null)
                ]

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
        | :? Collections.Generic.KeyNotFoundException -> userError $"{path} is no benchmark's JSON."
