namespace Peft

open System
open System.IO
open Argu

/// The options of `sweep` and `train`.
type SweepOption =
    | [<AltCommandLine("--task", "-t")>] Tasks of names: string list
    | [<AltCommandLine("--technique", "-p")>] Techniques of names: string list
    | [<AltCommandLine("--placement", "-w")>] Placements of words: string list
    | [<AltCommandLine("--level", "-l")>] Levels of names: string list
    | [<AltCommandLine("--seed", "-s")>] Seeds of numbers: int list
    | Ablations
    | No_Baselines
    | [<Unique; AltCommandLine("-m")>] Model of folder: string
    | [<Unique; AltCommandLine("-d")>] Data of folder: string
    | [<Unique; AltCommandLine("-r")>] Results of folder: string
    | [<Unique; AltCommandLine("--output", "-o")>] Adapters of folder: string
    | [<Unique; AltCommandLine("-j")>] Jobs of count: int
    | [<Unique>] Device of name: string
    | [<Unique>] Dtype of name: string
    | [<Unique>] Threads of count: int
    | [<Unique>] Validation_Limit of rows: int
    | [<Unique>] Test_Limit of rows: int
    | [<Unique>] Input_Limit of tokens: int
    | [<Unique>] Target_Limit of tokens: int
    | [<Unique>] Beams of count: int
    | [<Unique>] Prompt_Text of text: string
    | [<Unique>] Preset of name: string
    | [<Unique>] Epochs of count: int
    | [<Unique>] Batch_Size of rows: int
    | [<Unique>] Accumulation of batches: int
    | [<Unique>] Rates of initial: float * peak: float * final: float
    | [<Unique>] Warmup of share: float
    | [<Unique>] Weight_Decay of rate: float
    | [<Unique>] Clip of norm: float
    | [<Unique>] Dropout of rate: float
    | [<Unique>] Patience of epochs: int
    | [<Unique>] Custom of folder: string
    | [<Unique>] Input_Column of name: string
    | [<Unique>] Target_Column of name: string
    | [<Unique>] Scoring of name: string
    | [<Unique>] Instruction of template: string
    | Dry_Run
    /// What `Workers` starts: when the sweep began, in ticks of UTC, and its command for the result files.
    | [<Unique; Hidden>] Worker of since: int64 * command: string

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Tasks _ ->
                "Tasks to run: agnews, cola, e2e, samsum (published data), topic, acceptability, attributes, dialogue (embedded data). All of the data folder's kind if not given."
            | Techniques _ ->
                "Techniques to compare, for example full, lora, 'lora(rank=8)', ia3, bitfit, prompt. The paper's five if not given."
            | Placements _ ->
                "Where techniques go: all, early, late, 'random(seed=3)', 'not(self)', 'late & q,v', 'only(wo)', …. all if not given."
            | Levels _ -> "Amounts of training data: low (100 rows), medium (1,000), high (10,000). Low if not given."
            | Seeds _ -> "Seeds; scores are averaged over them. 1 if not given."
            | Ablations -> "Run the 13 variants of the paper's Table 2: LoRA and (IA)3 at its places in the model."
            | No_Baselines -> "Leave out the zero-shot and majority rows."
            | Model _ ->
                "Folder of a T5 checkpoint: config.json, model.safetensors, spiece.model. The embedded model if not given."
            | Data _ -> "Folder of the data sets. The embedded data if not given."
            | Results _ -> "Folder of result files; finished runs in it are skipped. 'results' if not given."
            | Adapters _ ->
                "Folder in which every run's trained adapter is kept. None is kept if not given; train needs it."
            | Jobs _ ->
                "sweep: runs at once, each in a process of its own; they share the cores, unless --threads says how many each takes. 1 if not given; with the embedded model, where --threads is not given either, one a core (8 at most) of one thread each. Several sweeps, also of other machines, may work into one results folder at once."
            | Device _ -> "cpu, cuda or cuda:1. cpu if not given."
            | Dtype _ -> "Dtype of frozen weights and activations: float32 or bfloat16. float32 if not given."
            | Threads _ -> "Threads of libtorch. All cores if not given."
            | Validation_Limit _ -> "The most validation rows. 2,500 if not given."
            | Test_Limit _ -> "The most test rows. 2,500 if not given."
            | Input_Limit _ -> "The most tokens of an input. 512 if not given."
            | Target_Limit _ -> "The most tokens of a target or answer. 128 if not given."
            | Beams _ -> "Beams of the search that answers test rows; 1 is greedy. 1 if not given."
            | Prompt_Text _ -> "Start the soft tokens of prompt tuning at the embeddings of this text."
            | Preset _ ->
                "Settings of training: paper, or small for a small model. small for the embedded model, otherwise paper, if not given."
            | Epochs _ -> "The most epochs. 10, 5 and 1 by level if not given."
            | Batch_Size _ -> "Rows of a micro-batch. The preset's if not given."
            | Accumulation _ -> "Micro-batches of an optimiser step. The preset's if not given."
            | Rates _ ->
                "Initial, peak and final learning rate of every technique. The preset's, by technique, if not given."
            | Warmup _ -> "Share of the optimiser steps in which the rate climbs. 0.06 if not given."
            | Weight_Decay _ -> "AdamW's weight decay. 0.01 if not given."
            | Clip _ -> "The largest norm of a step's gradient, 0 for none. 1 if not given."
            | Dropout _ -> "T5's dropout in training. The model's own rate if not given."
            | Patience _ -> "Epochs without a lower validation loss after which a run stops. 1 if not given."
            | Custom _ ->
                "Folder of your own data (train, and if you have them validation and test, as .jsonl, .csv, .tsv or .parquet); it becomes one more task."
            | Input_Column _ -> "Your data's input column. 'input' if not given."
            | Target_Column _ -> "Your data's target column. 'target' if not given."
            | Scoring _ ->
                $"How your data is scored: {Metrics.all |> List.map _.Name |> Nearest.orList}. accuracy if not given."
            | Instruction _ ->
                "How your rows are worded: a template with {column} and {options}. The input column alone if not given."
            | Dry_Run -> "List the runs with their counts and an estimate of the time, and train nothing."
            | Worker _ -> "Work on another process's sweep until standard input closes."

/// The options of `evaluate` and `generate`.
type ModelOption =
    | [<Unique; AltCommandLine("-a")>] Adapter of folder: string
    | [<Unique; AltCommandLine("-m")>] Model of folder: string
    | [<Unique; AltCommandLine("-d")>] Data of folder: string
    | [<Unique; AltCommandLine("-t")>] Task of name: string
    | [<Unique>] Custom of folder: string
    | [<Unique>] Input_Column of name: string
    | [<Unique>] Target_Column of name: string
    | [<Unique>] Scoring of name: string
    | [<Unique>] Instruction of template: string
    | [<Unique; AltCommandLine("-s")>] Seed of number: int
    | [<Unique>] Device of name: string
    | [<Unique>] Dtype of name: string
    | [<Unique>] Threads of count: int
    | [<Unique>] Test_Limit of rows: int
    | [<Unique>] Input_Limit of tokens: int
    | [<Unique>] Target_Limit of tokens: int
    | [<Unique>] Beams of count: int
    | [<Unique>] Predictions of file: string
    | [<MainCommand>] Text of texts: string list

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Adapter _ -> "Folder of a trained adapter. The base model alone if not given."
            | Model _ -> "Folder of the base checkpoint. The embedded model if not given."
            | Data _ -> "Folder of the data sets. The embedded data if not given."
            | Task _ ->
                "evaluate: the task whose test rows are answered. generate: the task in whose words the texts are put."
            | Custom _ -> "Folder of your own data, instead of --task."
            | Input_Column _ -> "Your data's input column. 'input' if not given."
            | Target_Column _ -> "Your data's target column. 'target' if not given."
            | Scoring _ ->
                $"How your data is scored: {Metrics.all |> List.map _.Name |> Nearest.orList}. accuracy if not given."
            | Instruction _ -> "How your rows are worded, as in training."
            | Seed _ -> "evaluate: the seed of the split. 1 if not given."
            | Device _ -> "cpu, cuda or cuda:1. cpu if not given."
            | Dtype _ -> "float32 or bfloat16. float32 if not given."
            | Threads _ -> "Threads of libtorch. All cores if not given."
            | Test_Limit _ -> "evaluate: the most test rows. 2,500 if not given."
            | Input_Limit _ -> "The most tokens of an input. 512 if not given."
            | Target_Limit _ -> "The most tokens of an answer. 128 if not given."
            | Beams _ -> "Beams of the search; 1 is greedy. 1 if not given."
            | Predictions _ -> "evaluate: a file for the predictions, as JSON Lines."
            | Text _ -> "generate: the inputs; lines of standard input if none is given."

/// The options of `pretrain`.
[<RequireQualifiedAccess>]
type PretrainOption =
    | [<Unique; AltCommandLine("-o")>] Output of folder: string
    | [<Unique>] Start of folder: string
    | [<Unique>] Vocabulary of file: string
    | [<AltCommandLine("--texts")>] Text of files: string list
    | [<Unique>] Steps of count: int
    | [<Unique>] Instruction_Steps of count: int
    | [<Unique>] Batch_Size of rows: int
    | [<Unique>] Length of tokens: int
    | [<Unique>] Rate of peak: float
    | [<Unique>] Warmup_Steps of count: int
    | [<Unique>] Every of steps: int
    | [<Unique>] Seed of number: int
    | [<Unique>] Width of d_model: int
    | [<Unique>] Feed_Forward of d_ff: int
    | [<Unique>] Layers of count: int
    | [<Unique>] Device of name: string
    | [<Unique>] Dtype of name: string
    | [<Unique>] Threads of count: int
    | Check
    | Record

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | PretrainOption.Output _ ->
                "Folder for checkpoints and the finished model; training goes on from its last checkpoint."
            | PretrainOption.Start _ ->
                "Folder of a T5 checkpoint to go on from, with its shape and vocabulary. Random weights if not given."
            | PretrainOption.Vocabulary _ -> "A spiece.model in T5's layout. The embedded model's if not given."
            | PretrainOption.Text _ -> "Plain UTF-8 text files to learn from, beside the generated text."
            | PretrainOption.Steps _ -> "Steps of span corruption and copying. 1,500 if not given."
            | PretrainOption.Instruction_Steps _ -> "Steps of the instruction mixture that follow. 9,500 if not given."
            | PretrainOption.Batch_Size _ -> "Rows of a step. 64 if not given."
            | PretrainOption.Length _ -> "The most tokens of a row. 96 if not given."
            | PretrainOption.Rate _ -> "The peak learning rate. 0.002 if not given."
            | PretrainOption.Warmup_Steps _ -> "Steps until the peak. 400 if not given."
            | PretrainOption.Every _ -> "Steps from one checkpoint and validation to the next. 500 if not given."
            | PretrainOption.Seed _ -> "Decides weights and order. 1 if not given."
            | PretrainOption.Width _ -> "d_model, a multiple of 32. 128 if not given."
            | PretrainOption.Feed_Forward _ -> "d_ff. 384 if not given."
            | PretrainOption.Layers _ -> "Blocks of each stack. 3 if not given."
            | PretrainOption.Device _ -> "cpu, cuda or cuda:1. cpu if not given."
            | PretrainOption.Dtype _ ->
                "Dtype of activations, float32 or bfloat16; the trained weights are float32. float32 if not given."
            | PretrainOption.Threads _ -> "Threads of libtorch. All cores if not given."
            | PretrainOption.Check ->
                "Repeat the first steps on the repository's own text and compare the losses with the recorded ones."
            | PretrainOption.Record -> "Write the losses that --check compares with."

/// From parsed options to plans.
[<RequireQualifiedAccess>]
module Options =
    /// Names given one by one or with commas, or both; a comma inside brackets belongs to its name.
    let names (given: string list) : string list =
        let split (text: string) =
            let mutable depth = 0
            let parts = ResizeArray [ "" ]

            for letter in text do
                match letter with
                | ',' when depth = 0 -> parts.Add ""
                | _ ->
                    if letter = '(' then
                        depth <- depth + 1

                    if letter = ')' then
                        depth <- depth - 1

                    parts[parts.Count - 1] <- parts[parts.Count - 1] + string letter

            List.ofSeq parts

        given
        |> List.collect split
        |> List.map _.Trim()
        |> List.filter ((<>) "")
        |> List.distinct

    /// More than any machine has; OpenMP ends the process when it cannot start as many as it is told to.
    let private mostThreads = 1024

    /// A number of threads that can be asked for; `UserError` otherwise.
    let threads (count: int) : int =
        if count < 1 || count > mostThreads then
            userError $"--threads is {count}; it is a number from 1 to {mostThreads}."

        count

    /// More processes would need more memory than a small machine has.
    let private mostJobs = 8

    /// How many processes are to share so many experiments, no more than there are, and the threads of each; none where they
    /// share those that libtorch would use in one. The embedded model is too small for a second thread: it gets a process a
    /// core, and then its numbers are the same with any number of cores.
    let jobs (options: ParseResults<SweepOption>) (isEmbedded: bool) (experiments: int) : int * int option =
        let fitting count = count |> min experiments |> max 1
        let threads = options.TryGetResult SweepOption.Threads |> Option.map threads

        match options.TryGetResult Jobs with
        | Some count when count < 1 -> userError $"--jobs is {count}; the least is 1."
        | Some count -> fitting count, threads
        | None when isEmbedded && threads.IsNone -> fitting (min mostJobs Environment.ProcessorCount), Some 1
        | None -> 1, threads

    /// The user's own folder as a task named after it.
    let private customTask (folder: string) input target scoring (instruction: string option) : TaskDefinition =
        let whole = Path.TrimEndingDirectorySeparator(Path.GetFullPath folder)

        TaskDefinition.custom
            {
                Name = (string (Path.GetFileName whole)).ToLowerInvariant().Replace(' ', '-')
                Folder = whole
                Train = None
                Validation = None
                Test = None
                InputColumn = input
                TargetColumn = target
                Scoring = scoring
                Instruction = instruction
            }

    let private customTasks (options: ParseResults<SweepOption>) : TaskDefinition list =
        options.TryGetResult SweepOption.Custom
        |> Option.map (fun folder ->
            customTask
                folder
                (options.GetResult(SweepOption.Input_Column, "input"))
                (options.GetResult(SweepOption.Target_Column, "target"))
                (options.GetResult(SweepOption.Scoring, "accuracy"))
                (options.TryGetResult SweepOption.Instruction))
        |> Option.toList

    /// The one task that `evaluate` and `generate` may name.
    let modelTask (options: ParseResults<ModelOption>) : TaskDefinition option =
        match options.TryGetResult ModelOption.Task, options.TryGetResult ModelOption.Custom with
        | Some _, Some _ -> userError "--task and --custom name two tasks: give one."
        | Some name, None -> Some(TaskDefinition.find name)
        | None, Some folder ->
            customTask
                folder
                (options.GetResult(ModelOption.Input_Column, "input"))
                (options.GetResult(ModelOption.Target_Column, "target"))
                (options.GetResult(ModelOption.Scoring, "accuracy"))
                (options.TryGetResult ModelOption.Instruction)
            |> Some
        | None, None -> None

    /// The named tasks and the user's own; none where neither is given.
    let private tasks (options: ParseResults<SweepOption>) : TaskDefinition list option =
        match options.TryGetResult Tasks |> Option.map names, customTasks options with
        | None, [] -> None
        | given, custom -> Some((given |> Option.defaultValue [] |> List.map TaskDefinition.find) @ custom)

    let private overrides (options: ParseResults<SweepOption>) : Overrides =
        {
            Epochs = options.TryGetResult Epochs
            BatchSize = options.TryGetResult Batch_Size
            Accumulation = options.TryGetResult Accumulation
            Rates = options.TryGetResult Rates
            WarmupShare = options.TryGetResult Warmup
            WeightDecay = options.TryGetResult Weight_Decay
            ClipNorm = options.TryGetResult Clip
            Dropout = options.TryGetResult Dropout
            Patience = options.TryGetResult Patience
        }

    /// Prompt tuning from the ids of `--prompt-text`; other techniques as they are.
    let private startPrompt (options: ParseResults<SweepOption>) (modelFolder: string) (method: Method) =
        match method, options.TryGetResult Prompt_Text with
        | Tuned(PromptTuning tokens), Some text ->
            let tokenizer = Tokenizer.Load modelFolder

            match tokenizer.Encode text |> Array.filter ((<>) tokenizer.EosId) |> List.ofArray with
            | [] -> userError "--prompt-text is empty: give the words that the prompt starts from."
            | ids -> Tuned(PromptTuningFrom(tokens, Ids ids))
        | _ -> method

    let private sessionOptions (options: ParseResults<SweepOption>) : SessionOptions =
        {
            ModelFolder =
                options.TryGetResult SweepOption.Model
                |> Option.defaultWith Embedded.modelFolder
            DataFolder = options.TryGetResult SweepOption.Data |> Option.defaultWith Embedded.dataFolder
            Device = options.GetResult(SweepOption.Device, "cpu")
            Precision = options.GetResult(SweepOption.Dtype, "float32")
        }

    /// The option that sets a field of a plan.
    let private optionOf (field: string) : string =
        match field with
        | "Methods" -> "--techniques"
        | "WarmupShare" -> "--warmup"
        | "ClipNorm" -> "--clip"
        | _ ->
            let words =
                field
                |> String.collect (fun letter ->
                    if Char.IsUpper letter then
                        $"-{Char.ToLower letter}"
                    else
                        string letter)

            "-" + words

    /// The plan that options describe; what they leave open is `SweepPlan.standard`'s.
    let plan (options: ParseResults<SweepOption>) : SweepPlan =
        let session = sessionOptions options
        let standard = SweepPlan.standard session

        let listed name given fallback read =
            match given |> Option.map names with
            | None -> fallback
            | Some [] -> userError $"{name} names nothing: give at least one, or leave it out for the default."
            | Some words -> List.map read words

        let baselines, techniques = standard.Methods |> List.partition Method.isBaseline

        let plan =
            {
                Session = session
                Tasks = tasks options |> Option.defaultValue standard.Tasks
                Methods =
                    (if options.Contains No_Baselines then [] else baselines)
                    @ (listed "--techniques" (options.TryGetResult Techniques) techniques (Technique.parse >> Tuned)
                       |> List.map (startPrompt options session.ModelFolder))
                Placements = listed "--placements" (options.TryGetResult Placements) standard.Placements Placement.parse
                IsAblation = options.Contains Ablations
                Levels = listed "--levels" (options.TryGetResult Levels) standard.Levels Level.find
                Seeds = options.GetResult(Seeds, standard.Seeds) |> List.distinct
                InputLimit = options.GetResult(SweepOption.Input_Limit, standard.InputLimit)
                TargetLimit = options.GetResult(SweepOption.Target_Limit, standard.TargetLimit)
                ValidationLimit = options.GetResult(Validation_Limit, standard.ValidationLimit)
                TestLimit = options.GetResult(SweepOption.Test_Limit, standard.TestLimit)
                Beams = options.GetResult(SweepOption.Beams, standard.Beams)
                Preset = options.GetResult(Preset, standard.Preset)
                Overrides = overrides options
            }

        SweepPlan.check optionOf plan
        plan
