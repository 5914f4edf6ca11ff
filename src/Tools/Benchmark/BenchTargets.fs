namespace Peft

open System.Globalization

/// A bound that a ratio should keep.
type Bound =
    | AtLeast of float
    | AtMost of float

/// One thing that the project set out to reach, as a ratio within one run of the benchmark.
type BenchTarget =
    {
        Name: string
        Bound: Bound
        /// None where its rows were not measured.
        Found: float option
    }

    /// Whether it is met; none where it was not measured.
    member target.IsMet: bool option =
        target.Found
        |> Option.map (fun found ->
            match target.Bound with
            | AtLeast bound -> found >= bound
            | AtMost bound -> found <= bound)

/// The targets, computed from a benchmark's lines.
[<RequireQualifiedAccess>]
module BenchTargets =
    let private lora = PaperLora.standard

    let private find (lines: BenchLine list) (isWanted: BenchRow -> bool) : BenchLine option =
        lines |> List.tryFind (fun line -> isWanted line.Row)

    /// The training step of a technique everywhere, with or without dropout, without accumulation, with everything kept.
    let private step lines technique dtype hasDropout =
        find lines (fun row ->
            row.Kind = BenchKind.Step
            && row.Technique = technique
            && row.Placement = Placement.everywhere
            && row.Dtype = dtype
            && row.Accumulation = 1
            && not row.Recomputes
            && (row.Dropout > 0.0) = hasDropout)

    let private measured (line: BenchLine option) =
        line |> Option.bind (fun line -> Result.toOption line.Own)

    let private seconds line = measured line |> Option.map _.Median

    let private ratio (over: float option) (under: float option) = Option.map2 (/) over under

    let private target name bound found =
        {
            Name = name
            Bound = bound
            Found = found
        }

    let private training (lines: BenchLine list) : BenchTarget list =
        let faster technique dtype =
            step lines technique dtype true |> Option.bind BenchReport.speedUp

        let full, half = "float32", "bfloat16"

        let time technique dtype hasDropout =
            step lines technique dtype hasDropout |> seconds

        let names = [ Full.technique, "full"; lora, "LoRA" ]

        [
            for technique, name in names do
                target $"{name} step, float32: times as fast as the peer's" (AtLeast 1.3) (faster technique full)

            for technique, name in names do
                target
                    $"{name} step, float32, no dropout: share of the matrix product's peak"
                    (AtLeast 0.8)
                    (step lines technique full false |> Option.bind (BenchReport.utilisation lines))

            for technique, name in names do
                target
                    $"{name} step, float32: share of it that dropout takes"
                    (AtMost 0.08)
                    (ratio (time technique full false) (time technique full true)
                     |> Option.map (fun rest -> 1.0 - rest))

            target "LoRA step, bfloat16: times as fast as the peer's" (AtLeast 2.5) (faster lora half)

            target
                "LoRA step, bfloat16, over our full step, float32"
                (AtMost 0.4)
                (ratio (time lora half true) (time Full.technique full true))
        ]

    /// The loss after the last step, bfloat16 from float32.
    let private loss (lines: BenchLine list) : BenchTarget =
        let last dtype =
            find lines (fun row -> row.Kind = BenchKind.Loss && row.Dtype = dtype)
            |> measured
            |> Option.map (fun measured -> measured.Value "last loss")

        target
            "LoRA's loss after 200 steps: bfloat16's distance from float32's"
            (AtMost 0.01)
            (ratio (last "bfloat16") (last "float32")
             |> Option.map (fun ratio -> abs (ratio - 1.0)))

    /// Every technique but the full one, over the full one, for each dtype; and partial placements over the operations
    /// they save.
    let private savings (lines: BenchLine list) : BenchTarget list =
        let steps =
            lines
            |> List.filter (fun line ->
                line.Row.Kind = BenchKind.Step
                && line.Row.Dropout > 0.0
                && line.Row.Accumulation = 1
                && not line.Row.Recomputes)

        [
            for line in steps do
                let row = line.Row
                let text = Technique.text row.Technique

                if row.Placement <> Placement.everywhere then
                    let whole = step lines row.Technique row.Dtype true

                    let operations =
                        ratio
                            (BenchWork.operations row)
                            (whole |> Option.bind (fun line -> BenchWork.operations line.Row))

                    target
                        $"{text} at {Placement.text row.Placement}, {row.Dtype}: time saved as operations are (1 is exactly)"
                        (AtMost 1.1)
                        (ratio (ratio (seconds (Some line)) (seconds whole)) operations)
                elif row.Technique <> Full.technique then
                    target
                        $"{text} step over the full step, {row.Dtype}"
                        (AtMost 0.68)
                        (ratio (seconds (Some line)) (step lines Full.technique row.Dtype true |> seconds))
        ]

    let private decoding (lines: BenchLine list) : BenchTarget list =
        [
            for line in lines do
                if line.Row.Kind = BenchKind.Decoding then
                    target
                        $"{BenchRow.name line.Row}: times the peer's tokens/s"
                        (AtLeast 2.5)
                        (BenchReport.speedUp line)
        ]

    let private memory (lines: BenchLine list) : BenchTarget list =
        [
            for dtype in [ "float32"; "bfloat16" ] do
                target
                    $"LoRA step's peak memory over the peer's, {dtype}"
                    (AtMost 0.6)
                    (step lines lora dtype true |> Option.bind BenchReport.memoryRatio)

            for dtype in [ "float32"; "bfloat16" ] do
                target
                    $"loading a checkpoint, {dtype}: memory beyond its weights, as a share of them"
                    (AtMost 0.1)
                    (find lines (fun row -> row.Kind = BenchKind.Checkpoint && row.Dtype = dtype)
                     |> measured
                     |> Option.map (fun measured ->
                         measured.Value "MiB beyond the weights" * 1048576.0 / measured.Value "bytes"))

            target
                "FLAN-T5-XL, LoRA step, bfloat16, batch 1, accumulation 16: GiB"
                (AtMost 10.0)
                (find lines (fun row -> row.Kind = BenchKind.Step && row.Size = "xl" && row.Accumulation > 1)
                 |> measured
                 |> Option.map (fun measured -> measured.PeakMiB / 1024.0))
        ]

    /// What computing blocks again saves, and what it costs.
    let private recomputing (lines: BenchLine list) : BenchTarget list =
        [
            for line in lines do
                if line.Row.Recomputes then
                    let row = line.Row
                    let kept = step lines row.Technique row.Dtype (row.Dropout > 0.0)

                    let over (value: Measurement -> float) =
                        ratio (measured (Some line) |> Option.map value) (measured kept |> Option.map value)

                    let name = $"LoRA step with blocks computed again, {row.Dtype}"
                    target $"{name}: peak memory over that of the step that keeps all" (AtMost 0.45) (over _.PeakMiB)
                    target $"{name}: time over that of the step that keeps all" (AtMost 1.3) (over _.Median)
        ]

    let private share (lines: BenchLine list) : BenchTarget =
        target
            "the embedded default sweep: share of its time in kernels, libtorch's and our own"
            (AtLeast 0.9)
            (find lines (fun row -> row.Kind = BenchKind.Share)
             |> measured
             |> Option.map (fun measured -> measured.Value "kernels" + measured.Value "own kernels"))

    /// Every target with what was found.
    let all (lines: BenchLine list) : BenchTarget list =
        training lines
        @ [ loss lines ]
        @ savings lines
        @ decoding lines
        @ memory lines
        @ recomputing lines
        @ [ share lines ]

    let private number (value: float) =
        value.ToString("0.###", CultureInfo.InvariantCulture)

    let private heads = [ "target"; "bound"; "measured"; "" ]

    let private cells (target: BenchTarget) : string list =
        [
            target.Name
            match target.Bound with
            | AtLeast bound -> $"at least {number bound}"
            | AtMost bound -> $"at most {number bound}"
            match target.Found with
            | Some found -> number found
            | None -> "-"
            match target.IsMet with
            | Some true -> "met"
            | Some false -> "MISSED"
            | None -> "not measured"
        ]

    /// The targets as a table for a terminal.
    let text (targets: BenchTarget list) : string =
        Columns.table heads (targets |> List.map cells)

    /// The targets as a table in Markdown.
    let markdown (targets: BenchTarget list) : string =
        BenchTables.markdownTable heads (targets |> List.map cells)
