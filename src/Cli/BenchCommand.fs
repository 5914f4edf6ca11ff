namespace Peft

open System
open System.Collections.Generic
open System.IO
open Argu

/// The options of `bench`.
[<RequireQualifiedAccess>]
type BenchOption =
    | [<Unique>] Size of name: string
    | [<AltCommandLine("--technique", "-p")>] Techniques of names: string list
    | [<AltCommandLine("--dtypes")>] Dtype of names: string list
    | [<Unique>] Batch of rows: int
    | [<Unique>] Input of tokens: int
    | [<Unique>] Target of tokens: int
    | [<Unique>] Dropout of rate: float
    | [<Unique>] Threads of count: int
    | [<Unique>] Repeat of count: int
    | [<Unique>] Rounds of count: int
    | Rows of words: string list
    | [<Unique>] Peer of command: string
    | [<Unique>] Json of file: string
    | [<Unique>] Markdown of file: string
    | [<Unique>] From of file: string
    | Kernels
    | Dry_Run
    | [<Hidden; Unique>] Measure of row: string

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Size _ ->
                "embedded, small, base, large, xl or xxl, or a model folder or a name of the hub for its shape; weights are random. small if not given."
            | Techniques _ -> "Techniques whose training step is measured. The paper's five if not given."
            | Dtype _ -> "float32, bfloat16 or both. Both if not given."
            | Batch _ -> "Rows of a training batch. 16 if not given."
            | Input _ -> "Tokens of every input. 128 if not given."
            | Target _ -> "Tokens of every target. 32 if not given."
            | Dropout _ -> "T5's dropout in training. 0.1 if not given."
            | Threads _ -> "Threads of libtorch, and of the peer. Their own default if not given."
            | Repeat _ -> "Timed repetitions of every row, after one to warm up. 5 if not given."
            | Rounds _ -> "How often ours and the peer's turn comes, row by row. 1 if not given."
            | Rows _ ->
                "Only rows of these kinds (product, overhead, step, encoder, decoding, loss, tokenizer, checkpoint, share) or with these words in their name."
            | Peer _ ->
                "A command to measure beside: it gets a row as JSON in its last argument and prints a line of JSON (docs/performance.md)."
            | Json _ -> "File for every measurement, as JSON."
            | Markdown _ -> "File for the tables, as Markdown."
            | From _ -> "Measure nothing: print the tables of such a JSON file."
            | Kernels ->
                "What each kernel is worth here: a few steps and a decoding, with and without each in turn (docs/performance.md)."
            | Dry_Run -> "List the rows, each as the JSON that a peer gets, and measure nothing."
            | Measure _ -> "Measure one row, given as JSON, and print a line of JSON."

/// `peft bench`: how fast and how lean training and decoding are on this machine.
[<RequireQualifiedAccess>]
module BenchCommand =
    let private atLeast name (least: int) (value: int) =
        if value < least then
            userError $"{name} is {value}; the least is {least}."

        value

    let private settings (options: ParseResults<BenchOption>) : BenchSettings =
        let size = options.GetResult(BenchOption.Size, "small")
        let dropout = options.GetResult(BenchOption.Dropout, 0.1)

        if not (dropout >= 0.0 && dropout < 1.0) then
            userError $"--dropout is {dropout}; it is from 0 up to, not including, 1."

        let dtypes =
            match options.GetResult(BenchOption.Dtype, []) |> Options.names with
            | [] -> [ "float32"; "bfloat16" ]
            | names -> names

        for dtype in dtypes do
            Precision.parse dtype |> ignore

        {
            Size = size
            Model = Checkpoint.named (if size = "embedded" then Embedded.modelFolder () else size)
            Techniques =
                match options.GetResult(BenchOption.Techniques, []) |> Options.names with
                | [] -> Technique.paper
                | names -> names |> List.map Technique.parse
            Dtypes = dtypes
            Batch = options.GetResult(BenchOption.Batch, 16) |> atLeast "--batch" 1
            InputLength = options.GetResult(BenchOption.Input, 128) |> atLeast "--input" 1
            TargetLength = options.GetResult(BenchOption.Target, 32) |> atLeast "--target" 1
            Dropout = dropout
            Repeat = options.GetResult(BenchOption.Repeat, 5) |> atLeast "--repeat" 1
            Threads =
                options.TryGetResult BenchOption.Threads
                |> Option.map Options.threads
                |> Option.defaultValue 0
        }

    /// A command line as program and arguments; words are parted by blanks.
    let private command (text: string) : string * string list =
        match text.Split(' ', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray with
        | [] -> userError "--peer is empty: give the command that measures the peer."
        | program :: arguments -> program, arguments

    let private read (file: string) : BenchReport =
        if not (File.Exists file) then
            userError $"{file} does not exist: --from names a file that --json wrote."

        BenchReport.ofJson file (File.ReadAllText file)

    let private write (options: ParseResults<BenchOption>) (report: BenchReport) =
        options.TryGetResult BenchOption.Json
        |> Option.iter (fun file -> Files.writeAtomically file (BenchReport.toJson report))

    /// Prints the report and writes it where that is asked for.
    let private publish (options: ParseResults<BenchOption>) (report: BenchReport) =
        let targets = BenchTargets.all report.Lines
        printfn $"\n{BenchTables.text report}\n\n{BenchTargets.text targets}"
        write options report

        options.TryGetResult BenchOption.Markdown
        |> Option.iter (fun file ->
            Files.writeAtomically file $"{BenchTables.markdown report}\n\n{BenchTargets.markdown targets}\n")

    /// A machine with less of a queue than this is idle.
    let private idle = 0.5

    let private measureAll (options: ParseResults<BenchOption>) (settings: BenchSettings) (rows: BenchRow list) =
        let peer = options.TryGetResult BenchOption.Peer
        let machine = BenchMachine.here settings.Threads (Option.defaultValue "" peer)

        if machine.Load > idle then
            eprintfn $"Note: the load of this machine is {machine.Load}: what is timed beside other work says little."

        let rounds = options.GetResult(BenchOption.Rounds, 1) |> atLeast "--rounds" 1

        let soFar = ResizeArray()

        // What is measured stays, should the rest be interrupted.
        let tell line =
            soFar.Add line
            printfn $"{BenchTables.progress line}"

            write
                options
                {
                    Machine = machine
                    Lines = List.ofSeq soFar
                }

        let speeds = Dictionary<string, float>()

        let speed (dtype: string) =
            if not (speeds.ContainsKey dtype) then
                speeds[dtype] <- MachineBench.speed settings.Threads dtype

            speeds[dtype]

        let announce row =
            BenchTime.warning speed row |> Option.iter (printfn "%s")

        let lines = rows |> BenchRun.all (peer |> Option.map command) rounds announce tell

        publish options { Machine = machine; Lines = lines }

        let isOk (line: BenchLine) =
            match line.Own with
            | Ok _ -> true
            | Error _ -> false

        if List.forall isOk lines then 0 else 1

    /// Each kernel off in turn, in this process.
    let private kernels (options: ParseResults<BenchOption>) (rows: BenchRow list) =
        let machine = BenchMachine.here (List.head rows).Threads ""
        printfn $"{BenchMachine.describe machine}"

        let worths =
            rows |> List.collect (KernelBench.measure (KernelBench.text >> printfn "%s"))

        printfn $"\n{KernelBench.table worths}"

        options.TryGetResult BenchOption.Markdown
        |> Option.iter (fun file ->
            Files.writeAtomically file $"{BenchMachine.describe machine}\n\n{KernelBench.markdown worths}\n")

        0

    /// Measures, prints and writes; or measures one row for another process.
    let run (options: ParseResults<BenchOption>) : int =
        match options.TryGetResult BenchOption.Measure, options.TryGetResult BenchOption.From with
        | Some row, _ ->
            printfn $"{BenchRow.ofJson row |> BenchRun.measure |> Measurement.toJson}"
            0
        | None, Some file ->
            publish options (read file)
            0
        | None, None ->
            let settings = settings options

            let rows =
                BenchPlan.rows settings
                |> (if options.Contains BenchOption.Kernels then
                        KernelBench.select
                    else
                        id)
                |> BenchPlan.select (options.GetResult(BenchOption.Rows, []) |> Options.names)

            if options.Contains BenchOption.Dry_Run then
                for row in rows do
                    printfn $"{BenchRow.name row}\n  {(BenchRow.toJson row).ToJsonString Json.line}"

                0
            elif options.Contains BenchOption.Kernels then
                kernels options rows
            else
                measureAll options settings rows
