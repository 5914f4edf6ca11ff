namespace Peft

open System
open Argu

/// The options of `sweep` and `train`.
type SweepOption =
    | [<AltCommandLine("--task", "-t")>] Tasks of names: string list
    | [<AltCommandLine("--technique", "-p")>] Techniques of names: string list
    | [<AltCommandLine("--placement", "-w")>] Placements of words: string list
    | [<AltCommandLine("--level", "-l")>] Levels of names: string list
    | [<Unique>] Rows of count: int
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
    | [<Unique>] Constrain of answers: string
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
    | [<Unique>] Weight_By of what: string
    | Recompute
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
                "Tasks to run: agnews, cola, e2e, samsum (published data), topic, acceptability, attributes, dialogue (embedded data), politeness, rating, question, intent, inference, extraction, passive, table (further embedded data), suite (all twelve embedded). The first four of the data folder's kind if not given."
            | Techniques _ ->
                "Techniques to compare, for example full, lora, 'lora(rank=8,alpha=16)', paper-lora, ia3, bitfit, prompt. The paper's five if not given."
            | Placements _ ->
                "Where techniques go: all, early, late, 'random(seed=3)', 'not(self)', 'late & q,v', 'only(wo)', …. all if not given."
            | Levels _ ->
                "Amounts of training data: low (100 rows), medium (1,000), high (10,000), all-rows. Low if not given; all rows of --custom."
            | Rows _ -> "Training rows to take, instead of a level."
            | Seeds _ -> "Seeds; scores are averaged over them. 1 if not given."
            | Ablations -> "Run the 13 variants of the paper's Table 2: LoRA and (IA)3 at its places in the model."
            | No_Baselines -> "Leave out the zero-shot and majority rows."
            | Model _ ->
                "Folder of a checkpoint (config.json, model.safetensors, the tokenizer's files), or its name on the hub: google/flan-t5-base, or with a version owner/name@revision. The embedded model if not given."
            | Data _ ->
                "Folder of the data sets, or hub: the published ones are then fetched from the hub. The embedded data if not given."
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
            | Constrain _ ->
                "What answers are limited to: labels, of tasks that have labels; results say so. Any text may be an answer if not given."
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
            | Weight_By _ ->
                "tokens: each micro-batch of an optimiser step counts by its label tokens, so that accumulation changes nothing. All count the same if not given."
            | Recompute ->
                "Compute the inside of every block again in the backward pass instead of keeping it: the same numbers in less memory and more time."
            | Custom _ ->
                "Your own data: a file (.csv, .tsv, .json, .jsonl or .parquet), or a folder of train, and if you have them validation and test; it becomes one more task."
            | Input_Column _ -> "Your data's input column. Found by its name if not given."
            | Target_Column _ -> "Your data's target column. Found by its name if not given."
            | Scoring _ ->
                $"How your data is scored: {Metrics.all |> List.map _.Name |> Nearest.orList}. By the look of the targets if not given: few and short ones are labels."
            | Instruction _ ->
                "How your rows are worded: a template with {column} and {options}. The input column alone if not given."
            | Dry_Run -> "List the runs with their counts and an estimate of the time, and train nothing."
            | Worker _ -> "Work on another process's sweep until standard input closes."

/// From the options of `sweep` and `train` to a plan.
[<RequireQualifiedAccess>]
module SweepOptions =
    /// More processes would need more memory than a small machine has.
    let private mostJobs = 8

    /// How many processes are to share so many experiments, no more than there are, and the threads of each; none where they
    /// share those that libtorch would use in one. The embedded model is too small for a second thread: it gets a process a
    /// core, and then its numbers are the same with any number of cores.
    let jobs (options: ParseResults<SweepOption>) (isEmbedded: bool) (experiments: int) : int * int option =
        let fitting count = count |> min experiments |> max 1
        let threads = options.TryGetResult SweepOption.Threads |> Option.map Options.threads

        match options.TryGetResult Jobs with
        | Some count when count < 1 -> userError $"--jobs is {count}; the least is 1."
        | Some count -> fitting count, threads
        | None when isEmbedded && threads.IsNone -> fitting (min mostJobs Environment.ProcessorCount), Some 1
        | None -> 1, threads

    let private customTasks (options: ParseResults<SweepOption>) : TaskDefinition list =
        options.TryGetResult SweepOption.Custom
        |> Option.map (fun path ->
            OwnData.task
                {
                    Path = path
                    InputColumn = options.TryGetResult SweepOption.Input_Column
                    TargetColumn = options.TryGetResult SweepOption.Target_Column
                    Scoring = options.TryGetResult SweepOption.Scoring
                    Instruction = options.TryGetResult SweepOption.Instruction
                })
        |> Option.toList

    /// The levels that are asked for: the user's own rows are all used unless something else is said.
    let private levels (options: ParseResults<SweepOption>) (standard: Level list) : Level list =
        match options.TryGetResult Levels |> Option.map Options.names, options.TryGetResult Rows with
        | Some _, Some _ -> userError "--levels and --rows both say how many rows to train on: give one."
        | Some [], None -> userError "--levels names nothing: give at least one, or leave it out for the default."
        | Some names, None -> names |> List.map Level.find
        | None, Some rows when rows < 1 -> userError $"--rows is {rows}; the least is 1."
        | None, Some rows -> [ Amount rows ]
        | None, None when options.Contains SweepOption.Custom -> [ Level.everything ]
        | None, None -> standard

    /// The named tasks and the user's own; none where neither is given.
    let private tasks (options: ParseResults<SweepOption>) : TaskDefinition list option =
        match options.TryGetResult Tasks |> Option.map Options.names, customTasks options with
        | None, [] -> None
        | given, custom -> Some((given |> Option.defaultValue [] |> List.collect TaskDefinition.named) @ custom)

    let private overrides (options: ParseResults<SweepOption>) (standard: Overrides) : Overrides =
        {
            Epochs = options.TryGetResult Epochs |> Option.orElse standard.Epochs
            BatchSize = options.TryGetResult Batch_Size |> Option.orElse standard.BatchSize
            Accumulation = options.TryGetResult Accumulation |> Option.orElse standard.Accumulation
            Rates = options.TryGetResult Rates |> Option.orElse standard.Rates
            WarmupShare = options.TryGetResult Warmup |> Option.orElse standard.WarmupShare
            WeightDecay = options.TryGetResult Weight_Decay |> Option.orElse standard.WeightDecay
            ClipNorm = options.TryGetResult Clip |> Option.orElse standard.ClipNorm
            Dropout = options.TryGetResult Dropout |> Option.orElse standard.Dropout
            Patience = options.TryGetResult Patience |> Option.orElse standard.Patience
            WeightBy =
                options.TryGetResult Weight_By
                |> Option.map MicroBatchWeight.parse
                |> Option.orElse standard.WeightBy
            Recompute =
                if options.Contains Recompute then
                    Some Recomputed.Blocks
                else
                    standard.Recompute
        }

    /// What options name of a session; the embedded folders are looked for only where nothing else is named.
    let private sessionOptions (options: ParseResults<SweepOption>) (usual: unit -> SessionOptions) : SessionOptions =
        let usual = lazy usual ()

        let given choose (option: string option) =
            option |> Option.defaultWith (fun () -> choose usual.Value)

        {
            ModelFolder =
                options.TryGetResult SweepOption.Model
                |> given _.ModelFolder
                |> Hub.model Downloads.settings
            DataFolder =
                // The user's own rows need no other data.
                if options.Contains SweepOption.Custom && not (options.Contains Tasks) then
                    options.GetResult(SweepOption.Data, ".")
                else
                    options.TryGetResult SweepOption.Data |> given _.DataFolder
            Device = options.GetResult(SweepOption.Device, "cpu")
            Precision = options.GetResult(SweepOption.Dtype, "float32")
        }

    /// The option that sets a field of a plan.
    let optionOf (field: string) : string =
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

    /// A plan with what options change of it: `recipe` makes it for the session `usual ()`, or for the one that options name.
    let planOver
        (usual: unit -> SessionOptions)
        (recipe: SessionOptions -> SweepPlan)
        (options: ParseResults<SweepOption>)
        : SweepPlan =
        let session = sessionOptions options usual
        let standard = recipe session

        let listed name given fallback read =
            match given |> Option.map Options.names with
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
                    @ (listed "--techniques" (options.TryGetResult Techniques) techniques (Technique.parse >> Tuned))
                Placements = listed "--placements" (options.TryGetResult Placements) standard.Placements Placement.parse
                IsAblation = options.Contains Ablations || standard.IsAblation
                Levels = levels options standard.Levels
                Seeds = options.GetResult(Seeds, standard.Seeds) |> List.distinct
                InputLimit = options.GetResult(SweepOption.Input_Limit, standard.InputLimit)
                TargetLimit = options.GetResult(SweepOption.Target_Limit, standard.TargetLimit)
                ValidationLimit = options.GetResult(Validation_Limit, standard.ValidationLimit)
                TestLimit = options.GetResult(SweepOption.Test_Limit, standard.TestLimit)
                Beams = options.GetResult(SweepOption.Beams, standard.Beams)
                Constrain =
                    options.TryGetResult SweepOption.Constrain
                    |> Option.map AnswerLimit.parse
                    |> Option.orElse standard.Constrain
                Preset = options.GetResult(Preset, standard.Preset)
                Overrides = overrides options standard.Overrides
                PromptText = options.TryGetResult Prompt_Text |> Option.orElse standard.PromptText
            }

        SweepPlan.check optionOf plan
        plan

    /// The plan that options describe; what they leave open is `SweepPlan.standard`'s, with the embedded model and data.
    let plan (options: ParseResults<SweepOption>) : SweepPlan =
        planOver SessionOptions.embedded SweepPlan.standard options
