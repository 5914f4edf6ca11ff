namespace Peft

open System

/// What a benchmark is made of.
[<NoComparison>]
type BenchSettings =
    {
        /// `embedded` or a size of FLAN-T5, or a folder.
        Size: string
        Model: Architecture
        Techniques: Technique list
        Dtypes: string list
        Batch: int
        InputLength: int
        TargetLength: int
        Dropout: float
        Repeat: int
        Threads: int
    }

/// From settings to the rows of a benchmark.
[<RequireQualifiedAccess>]
module BenchPlan =
    let private row (settings: BenchSettings) (kind: BenchKind) (dtype: string) : BenchRow =
        {
            Kind = kind
            Size = settings.Size
            Model = settings.Model
            Technique = PaperLora.standard
            Placement = Placement.everywhere
            Dtype = dtype
            Batch = settings.Batch
            Accumulation = 1
            InputLength = settings.InputLength
            TargetLength = settings.TargetLength
            Dropout = settings.Dropout
            Recomputes = false
            Beams = 1
            Steps = 0
            WarmUp = 1
            Repeat = settings.Repeat
            Threads = settings.Threads
        }

    let private steps (settings: BenchSettings) (dtype: string) : BenchRow list =
        let step technique =
            { row settings BenchKind.Step dtype with
                Technique = technique
            }

        let lora = PaperLora.standard

        [
            for technique in settings.Techniques do
                yield step technique

            if settings.Dropout > 0.0 then
                for technique in [ Full.technique; lora ] do
                    if List.contains technique settings.Techniques then
                        yield { step technique with Dropout = 0.0 }

            if List.contains lora settings.Techniques then
                for place in [ Placement.late; Placement.parse "decoder" ] do
                    yield { step lora with Placement = place }

                yield { step lora with Recomputes = true }
        ]

    /// Rows and new tokens of a decoding batch.
    let private decodingBatch, private newTokens = 32, 64

    let private decodings (settings: BenchSettings) (dtype: string) : BenchRow list =
        [
            for beams in [ 1; 4 ] ->
                { row settings BenchKind.Decoding dtype with
                    Batch = decodingBatch
                    TargetLength = newTokens
                    Beams = beams
                    Repeat = max 1 (settings.Repeat / 2)
                }
        ]

    /// A quarter of the batch: 200 steps of the whole would take as long as everything else. Lengths are those of the text, at most
    /// those of the batch.
    let private losses (settings: BenchSettings) : BenchRow list =
        [
            for dtype in settings.Dtypes ->
                { row settings BenchKind.Loss dtype with
                    Batch = max 1 (settings.Batch / 4)
                    Dropout = 0.0
                    Steps = 200
                    WarmUp = 0
                    Repeat = 1
                }
        ]

    /// A dtype in which the largest model's weights are small enough for most machines.
    let private isShort (dtype: string) = dtype <> "float32"

    /// One LoRA step of FLAN-T5-XL with weights in such a dtype, batch 1, 16 micro-batches.
    let private largest (settings: BenchSettings) (dtype: string) : BenchRow =
        { row settings BenchKind.Step dtype with
            Size = "xl"
            Model = Checkpoint.named "xl"
            Batch = 1
            Accumulation = 16
            WarmUp = 0
            Repeat = 1
        }

    /// The rows of a benchmark, in order: the machine, files, training, the encoder, decoding, and where the sweep's time
    /// goes. The largest model and the sweep come with the default size only.
    let rows (settings: BenchSettings) : BenchRow list =
        let isDefault = settings.Size = "small"

        [
            for dtype in settings.Dtypes do
                yield row settings BenchKind.Product dtype

            yield row settings BenchKind.Overhead "float32"
            yield row settings BenchKind.Tokenizer "float32"

            for dtype in settings.Dtypes do
                yield row settings BenchKind.Checkpoint dtype

            for dtype in settings.Dtypes do
                yield! steps settings dtype

            for dtype in settings.Dtypes do
                yield row settings BenchKind.Encoder dtype
                yield! decodings settings dtype

            yield! losses settings

            if isDefault then
                for dtype in settings.Dtypes do
                    if isShort dtype then
                        yield largest settings dtype

                yield row settings BenchKind.Share "float32"
        ]

    /// Keeps rows whose kind is among the words, or whose name holds one that is no kind.
    let select (words: string list) (rows: BenchRow list) : BenchRow list =
        let isWanted (row: BenchRow) (word: string) =
            if BenchKind.all |> List.exists (fst >> (=) word) then
                BenchKind.text row.Kind = word
            else
                (BenchRow.name row).Contains(word, StringComparison.OrdinalIgnoreCase)

        match words with
        | [] -> rows
        | words ->
            match rows |> List.filter (fun row -> List.exists (isWanted row) words) with
            | [] ->
                let asked = String.concat ", " words
                userError $"no row is named by {asked}: --dry-run lists the rows."
            | kept -> kept
