namespace Peft

open System.IO
open Argu

/// Options of `peft search`.
type SearchOption =
    | [<Unique; AltCommandLine("-m")>] Model of folder: string
    | [<Unique; AltCommandLine("-d")>] Data of folder: string
    | [<Unique; AltCommandLine("-t")>] Tasks of names: string
    | [<Unique>] Techniques of names: string list
    | [<Unique>] Levels of names: string
    | [<Unique>] Seeds of numbers: int list
    | [<Unique>] Peaks of rates: float list
    | Sizes
    | [<Unique; AltCommandLine("-r")>] Results of folder: string
    | [<Unique>] Output of file: string
    | [<Unique>] Validation_Limit of rows: int
    | [<Unique>] Device of name: string
    | [<Unique>] Dtype of name: string
    | [<Unique>] Threads of count: int

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Model _ -> "Folder of the base checkpoint, or its name on the hub. The embedded model if not given."
            | Data _ -> "Folder of the data sets, or hub. The embedded data if not given."
            | Tasks _ ->
                "Tasks, parted by commas, or suite: the twelve embedded ones. All of the data folder if not given."
            | Techniques _ -> "Techniques, as in sweep. The paper's five if not given."
            | Levels _ -> "Amounts of training rows, parted by commas. low if not given."
            | Seeds _ -> "Each trial is the mean over them. 1 if not given."
            | Peaks _ ->
                "Peak learning rates: every technique tries each of them on each task. 0.001 0.003 0.01 0.03 0.1 0.3 if not given."
            | Sizes ->
                "Try four times and a quarter of a technique's rank, tokens or width too, with as many trials in all: as many as --peaks has, at rates around the usual one."
            | Results _ ->
                "Folder of the trials' result files; finished ones are not repeated. 'results/search' if not given."
            | Output _ -> "File for the best rates, as CSV: technique, task, level, peak, loss, trials."
            | Validation_Limit _ -> "The most validation rows, by whose loss trials are judged. 250 if not given."
            | Device _ -> "cpu, cuda or cuda:1. cpu if not given."
            | Dtype _ -> "float32 or bfloat16. float32 if not given."
            | Threads _ -> "libtorch's threads. The processor's cores if not given."

/// `peft search`: equal numbers of trials for every technique on every task, judged by validation rows.
[<RequireQualifiedAccess>]
module SearchCommand =
    let private plan (options: ParseResults<SearchOption>) : SearchPlan =
        let session =
            { SessionOptions.create
                  (options.TryGetResult SearchOption.Model
                   |> Option.defaultWith Embedded.modelFolder)
                  (options.TryGetResult SearchOption.Data |> Option.defaultWith Embedded.dataFolder) with
                Device = options.GetResult(SearchOption.Device, "cpu")
                Precision = options.GetResult(SearchOption.Dtype, "float32")
            }

        let standard = Search.standard session

        let words (option: string option) =
            option |> Option.map (fun text -> Options.names [ text ])

        let sweep =
            { standard.Sweep with
                Tasks =
                    words (options.TryGetResult SearchOption.Tasks)
                    |> Option.map (List.collect TaskDefinition.named)
                    |> Option.defaultValue standard.Sweep.Tasks
                Methods =
                    options.TryGetResult SearchOption.Techniques
                    |> Option.map (Options.names >> List.map (Technique.parse >> Tuned))
                    |> Option.defaultValue standard.Sweep.Methods
                Levels =
                    words (options.TryGetResult SearchOption.Levels)
                    |> Option.map (List.map Level.find)
                    |> Option.defaultValue standard.Sweep.Levels
                Seeds = options.GetResult(SearchOption.Seeds, standard.Sweep.Seeds) |> List.distinct
                ValidationLimit = options.GetResult(SearchOption.Validation_Limit, standard.Sweep.ValidationLimit)
            }

        SweepPlan.check SweepOptions.optionOf sweep

        {
            Sweep = sweep
            Peaks = options.GetResult(SearchOption.Peaks, standard.Peaks)
            HasSizes = options.Contains Sizes
        }

    let private rateOf (found: Found) : SearchedRate =
        {
            Task = found.Task
            Technique = Technique.parse found.Technique
            Level = Level.find found.Level
            Peak = found.Peak
            ValidationLoss = found.ValidationLoss
            Trials = found.Trials
        }

    /// Where the best peak is the first or the last that was tried, a better one may lie beyond.
    let private atTheEdge (plan: SearchPlan) (found: Found list) : string list =
        let least, most = List.min plan.Peaks, List.max plan.Peaks

        [
            for found in found do
                if
                    plan.Peaks.Length > 1
                    && not plan.HasSizes
                    && (found.Peak = least || found.Peak = most)
                then
                    $"{found.Technique} on {found.Task} at {found.Peak}"
        ]

    let private tell (plan: SearchPlan) (trials: Trial list) : Found list =
        let best = Search.best trials
        printfn $"\n{Search.describe best}"

        match atTheEdge plan best with
        | [] -> ()
        | edges ->
            let list = String.concat ", " edges
            printfn $"\nThe best is the first or the last rate tried, and a better one may lie beyond: {list}."

        best

    /// Runs the search; finished trials are not repeated.
    let run (options: ParseResults<SearchOption>) : int =
        Options.useThreads (options.TryGetResult SearchOption.Threads)
        let plan = plan options
        let results = options.GetResult(SearchOption.Results, "results/search")

        for peak in plan.Peaks do
            if not (peak > 0.0 && peak < 1e30) then
                userError $"--peaks has {peak}; rates are above 0."

        options.TryGetResult SearchOption.Output
        |> Option.iter (fun file ->
            match Path.GetDirectoryName(Path.GetFullPath file) with
            | null -> ()
            | folder -> Files.createFolder folder)

        match SearchRun.trials results plan with
        | Error code -> code
        | Ok trials ->
            let best = tell plan trials
            printfn $"\nAll {trials.Length} trials are in {Search.path results}."

            options.TryGetResult SearchOption.Output
            |> Option.iter (fun file ->
                let rates = best |> List.map rateOf
                Files.writeAtomically file (SearchedRate.toCsv rates)
                printfn $"The best rates are in {file}.")

            if trials |> List.exists _.ValidationLoss.IsNone then
                1
            else
                0
