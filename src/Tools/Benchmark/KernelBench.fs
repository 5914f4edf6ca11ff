namespace Peft

open System.Diagnostics
open Peft.Kernels
open TorchSharp

/// What a kernel is worth in one row: seconds of processor time with it and without it, turn by turn.
type KernelWorth =
    {
        Row: string
        /// The kernel's name, or `all`.
        Kernel: string
        With: float list
        Without: float list
    }

    /// How many times as long the work takes without the kernel: the median over the turns.
    member worth.Times: float = List.map2 (/) worth.Without worth.With |> Repeated.median

    /// The least and the most of the turns.
    member worth.Range: float * float =
        let ratios = List.map2 (/) worth.Without worth.With
        List.min ratios, List.max ratios

    /// Whether they are more than a tenth of the median apart.
    member worth.IsUnsettled: bool =
        let low, high = worth.Range
        high - low > 0.1 * worth.Times

/// Each kernel off in turn, in a few rows of the benchmark.
[<RequireQualifiedAccess>]
module KernelBench =
    /// Whether a row has work for a kernel.
    let internal concerns (row: BenchRow) (kernel: Kernel) : bool =
        let isStep = row.Kind = BenchKind.Step

        match kernel with
        | Kernel.Norm
        | Kernel.Gate
        | Kernel.Attention -> true
        | Kernel.Product -> row.Dtype = "float32"
        | Kernel.CrossEntropy
        | Kernel.AdamW -> isStep
        | Kernel.Dropout -> isStep && row.Dropout > 0.0
        | Kernel.Adapted -> isStep && row.Technique <> Full.technique
        | Kernel.Packing
        | Kernel.StepAttention
        | Kernel.Scores -> not isStep

    /// Steps of full fine-tuning and of LoRA everywhere, with dropout and without, and greedy decoding.
    let select (rows: BenchRow list) : BenchRow list =
        rows
        |> List.filter (fun row ->
            match row.Kind with
            | BenchKind.Step ->
                row.Placement = Placement.everywhere
                && row.Accumulation = 1
                && not row.Recomputes
                && (row.Technique = Full.technique || row.Technique = PaperLora.standard)
            | BenchKind.Decoding -> row.Beams = 1
            | _ -> false)

    /// Turns that are taken whatever they last.
    let private leastTurns = 3

    /// After so many seconds a kernel gets no further turn.
    let private enough = 30.0

    /// Processor seconds of all threads: beside other programs the clock on the wall says little.
    let private seconds (work: unit -> unit) : float =
        use own = Process.GetCurrentProcess()
        let before = own.TotalProcessorTime
        work ()
        own.Refresh()
        (own.TotalProcessorTime - before).TotalSeconds

    let private turns (repeat: int) (work: unit -> unit) (off: Kernel list) : (float * float) list =
        let without () = Kernel.without off work
        // What only runs without the kernel is compiled first.
        without ()
        let watch = Stopwatch.StartNew()
        let found = ResizeArray()

        while found.Count < repeat
              && (found.Count < leastTurns || watch.Elapsed.TotalSeconds < enough) do
            // The order changes from turn to turn: the second of two has the warmer memory.
            if found.Count % 2 = 0 then
                let kept = seconds work
                found.Add(kept, seconds without)
            else
                let missed = seconds without
                found.Add(seconds work, missed)

        List.ofSeq found

    /// Measures a row in this process, kernel by kernel and at last without all of them; `tell` hears of each.
    let measure (tell: KernelWorth -> unit) (row: BenchRow) : KernelWorth list =
        use _ = torch.NewDisposeScope()

        if row.Threads > 0 then
            torch.set_num_threads row.Threads

        let work =
            match row.Kind with
            | BenchKind.Decoding -> DecodingBench.work row
            | _ -> StepBench.work row

        for _ in 1 .. row.WarmUp do
            work ()

        let worth (name: string) (off: Kernel list) =
            let found = turns row.Repeat work off

            let worth =
                {
                    Row = BenchRow.name row
                    Kernel = name
                    With = List.map fst found
                    Without = List.map snd found
                }

            tell worth
            worth

        let concerned = Kernel.all |> List.filter (concerns row)

        (concerned |> List.map (fun kernel -> worth (Kernel.name kernel) [ kernel ]))
        @ [ worth "all" concerned ]

    /// One line of what was measured.
    let text (worth: KernelWorth) : string =
        let low, high = worth.Range

        $"{worth.Row}, without {worth.Kernel}: {Repeated.median worth.Without:F3} s instead of {Repeated.median worth.With:F3}, {worth.Times:F2} times ({low:F2} to {high:F2})"

    let private heads =
        [ "row"; "kernel"; "seconds"; "without"; "times"; "least"; "most"; "turns" ]

    let private cells (worth: KernelWorth) : string list =
        let low, high = worth.Range

        [
            worth.Row
            worth.Kernel
            $"{Repeated.median worth.With:F3}"
            $"{Repeated.median worth.Without:F3}"
            (if worth.IsUnsettled then
                 $"{worth.Times:F2} !"
             else
                 $"{worth.Times:F2}")
            $"{low:F2}"
            $"{high:F2}"
            string worth.With.Length
        ]

    /// The table for a terminal.
    let table (worths: KernelWorth list) : string =
        Columns.table heads (List.map cells worths)

    /// The table in Markdown.
    let markdown (worths: KernelWorth list) : string =
        BenchTables.markdownTable heads (List.map cells worths)
