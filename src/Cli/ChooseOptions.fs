namespace Peft

open Argu
open TorchSharp

/// The options of `choose`.
[<RequireQualifiedAccess>]
type ChooseOption =
    | [<Unique>] Custom of path: string
    | [<Unique>] Budget of time: string
    | [<Unique; AltCommandLine("-m")>] Model of folder: string
    | [<Unique>] Memory of amount: string
    | [<Unique>] Parameters of count: string
    | [<Unique>] Priority of name: string
    | [<AltCommandLine("--technique", "-p")>] Techniques of names: string list
    | [<Unique>] Rows of count: int
    | [<Unique>] Epochs of count: int
    | [<Unique; AltCommandLine("-o")>] Output of folder: string
    | [<Unique; AltCommandLine("-j")>] Jobs of count: int
    | [<Unique>] Input_Column of name: string
    | [<Unique>] Target_Column of name: string
    | [<Unique>] Scoring of name: string
    | [<Unique>] Instruction of template: string
    | [<Unique>] Device of name: string
    | [<Unique>] Dtype of name: string
    | [<Unique>] Threads of count: int
    | [<Unique>] Batch_Size of rows: int
    | [<Unique>] Input_Limit of tokens: int
    | [<Unique>] Target_Limit of tokens: int
    /// What `Workers` starts: when the race began, in ticks of UTC, and its command for the result files.
    | [<Unique; Hidden>] Worker of since: int64 * command: string

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Custom _ ->
                "Your data: a file (.csv, .tsv, .json, .jsonl or .parquet), or a folder of train, and if you have them validation and test."
            | Budget _ -> "The time for all of it: 90s, 10m, 2h. 10m if not given."
            | Model _ -> "Folder of the base checkpoint, or its name on the hub. The embedded model if not given."
            | Memory _ -> "The most memory of a training: 4GiB, 800MiB."
            | Parameters _ -> "The most trained parameters: 1M, 500k."
            | Priority _ ->
                "What decides between techniques that are tied: quality, time, memory or size. quality if not given."
            | Techniques _ ->
                "Techniques to race. full, LoRA, (IA)3, BitFit, adapters and prompt tuning, each in several sizes, if not given."
            | Rows _ -> "Training rows to take. All if not given."
            | Epochs _ ->
                "The most epochs of a finalist. Between 3 and 20, fewer the more rows there are, if not given."
            | Output _ ->
                "Folder of results, adapter and report. choose/NAME, after your data, if not given. The same command goes on there."
            | Jobs _ ->
                "Runs at once, each in a process of its own. 1 if not given; with the embedded model one a core (8 at most)."
            | Input_Column _ -> "Your data's input column. Found by its name if not given."
            | Target_Column _ -> "Your data's target column. Found by its name if not given."
            | Scoring _ ->
                $"How your data is scored: {Metrics.all |> List.map _.Name |> Nearest.orList}. By the look of the targets if not given: few and short ones are labels."
            | Instruction _ ->
                "How your rows are worded: a template with {column} and {options}. The input column alone if not given."
            | Device _ -> "cpu, cuda or cuda:1. cpu if not given."
            | Dtype _ -> "Dtype of frozen weights and activations: float32 or bfloat16. float32 if not given."
            | Threads _ -> "Threads of libtorch. All cores if not given."
            | Batch_Size _ -> "Rows of a batch. 16 if not given."
            | Input_Limit _ -> "The most tokens of an input. 512 if not given."
            | Target_Limit _ -> "The most tokens of a target or answer. 128 if not given."
            | Worker _ -> "Help another process with its race until standard input closes."

/// From the options of `choose` to a question.
[<RequireQualifiedAccess>]
module ChooseOptions =
    /// As in sweeps: how many processes, and the threads of each. The embedded model is too small for a second thread: it gets
    /// a process a core.
    let private jobs (options: ParseResults<ChooseOption>) (isEmbedded: bool) : int * int option =
        let threads =
            options.TryGetResult ChooseOption.Threads |> Option.map Options.threads

        match options.TryGetResult ChooseOption.Jobs with
        | Some jobs when threads.IsNone && isEmbedded -> jobs, Some 1
        | Some jobs when threads.IsNone && jobs > 1 -> jobs, Some(max 1 (torch.get_num_threads () / jobs))
        | Some jobs -> jobs, threads
        | None when isEmbedded && threads.IsNone -> min 8 System.Environment.ProcessorCount, Some 1
        | None -> 1, threads

    /// The question that options ask, and the threads of each process where they say so; `UserError` where they cannot be read.
    let question (options: ParseResults<ChooseOption>) : ChooseQuestion * int option =
        let data =
            match options.TryGetResult ChooseOption.Custom with
            | Some path -> path
            | None -> userError "choose needs your data: --custom FILE, or a folder."

        for name, value in
            [
                "--rows", options.TryGetResult ChooseOption.Rows
                "--epochs", options.TryGetResult ChooseOption.Epochs
                "--batch-size", options.TryGetResult ChooseOption.Batch_Size
                "--input-limit", options.TryGetResult ChooseOption.Input_Limit
                "--target-limit", options.TryGetResult ChooseOption.Target_Limit
                "--jobs", options.TryGetResult ChooseOption.Jobs
            ] do
            match value with
            | Some value when value < 1 -> userError $"{name} is {value}; the least is 1."
            | _ -> ()

        let model =
            options.TryGetResult ChooseOption.Model
            |> Option.defaultWith Embedded.modelFolder
            |> Hub.model Downloads.settings

        let usual =
            ChooseQuestion.create
                data
                model
                (ChooseQuestion.duration (options.GetResult(ChooseOption.Budget, "10m")))
                (System.IO.Path.Combine("choose", OwnData.nameOf data))

        let jobs, threads = jobs options (Embedded.isModel model)

        { usual with
            Data =
                {
                    Path = data
                    InputColumn = options.TryGetResult ChooseOption.Input_Column
                    TargetColumn = options.TryGetResult ChooseOption.Target_Column
                    Scoring = options.TryGetResult ChooseOption.Scoring
                    Instruction = options.TryGetResult ChooseOption.Instruction
                }
            Session =
                { usual.Session with
                    Device = options.GetResult(ChooseOption.Device, "cpu")
                    Precision = options.GetResult(ChooseOption.Dtype, "float32")
                }
            Priority = Question.priority (options.GetResult(ChooseOption.Priority, "quality"))
            MaxParameters =
                options.TryGetResult ChooseOption.Parameters
                |> Option.map ChooseQuestion.parameters
            MaxMemoryMiB = options.TryGetResult ChooseOption.Memory |> Option.map ChooseQuestion.memory
            Techniques =
                options.GetResult(ChooseOption.Techniques, [])
                |> Options.names
                |> List.map Technique.parse
            Rows = options.TryGetResult ChooseOption.Rows
            Epochs = options.TryGetResult ChooseOption.Epochs
            InputLimit = options.GetResult(ChooseOption.Input_Limit, usual.InputLimit)
            TargetLimit = options.GetResult(ChooseOption.Target_Limit, usual.TargetLimit)
            BatchSize = options.GetResult(ChooseOption.Batch_Size, usual.BatchSize)
            Jobs = jobs
            Folder = options.GetResult(ChooseOption.Output, usual.Folder)
        },
        threads
