namespace Peft

open Argu

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
    | [<Unique>] Cooldown of share: float
    | [<Unique>] Every of steps: int
    | [<Unique>] Seed of number: int
    | [<Unique>] Width of d_model: int
    | [<Unique>] Feed_Forward of d_ff: int
    | [<Unique>] Layers of count: int
    | [<Unique>] Family of name: string
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
            | PretrainOption.Length _ -> "The most tokens of a row. 128 if not given."
            | PretrainOption.Rate _ -> "The peak learning rate. 0.002 if not given."
            | PretrainOption.Warmup_Steps _ -> "Steps until the peak. 400 if not given."
            | PretrainOption.Cooldown _ ->
                "The share of all steps, at the end, in which the rate falls to zero. 0.15 if not given."
            | PretrainOption.Every _ -> "Steps from one checkpoint and validation to the next. 500 if not given."
            | PretrainOption.Seed _ -> "Decides weights and order. 1 if not given."
            | PretrainOption.Width _ -> "d_model, a multiple of 32. 128 if not given."
            | PretrainOption.Feed_Forward _ -> "d_ff. 256 if not given."
            | PretrainOption.Family _ ->
                "Of the model that is begun: t5, llama, qwen2 or qwen3 (--layers blocks, on the same rows). t5 if not given."
            | PretrainOption.Layers _ -> "Blocks of each stack. 4 if not given."
            | PretrainOption.Device _ -> "cpu, cuda or cuda:1. cpu if not given."
            | PretrainOption.Dtype _ ->
                "Dtype of activations, float32 or bfloat16; the trained weights are float32. float32 if not given."
            | PretrainOption.Threads _ -> "Threads of libtorch. All cores if not given."
            | PretrainOption.Check ->
                "Repeat the first steps on the repository's own text and compare the losses with the recorded ones."
            | PretrainOption.Record -> "Write the losses that --check compares with."
