namespace Peft

open Argu

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
    | [<Unique>] Constrain of answers: string
    | Plain
    | [<Unique>] Predictions of file: string
    | [<MainCommand>] Text of texts: string list

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Adapter _ -> "Folder of a trained adapter, or its name on the hub. The base model alone if not given."
            | Model _ ->
                "Folder of the base checkpoint, or its name on the hub: google/flan-t5-base. The embedded model if not given."
            | Data _ -> "Folder of the data sets, or hub. The embedded data if not given."
            | Task _ ->
                "evaluate: the task whose test rows are answered. generate: the task in whose words the texts are put. The task that the adapter was trained on if not given."
            | Custom _ -> "File or folder of your own data, instead of --task."
            | Input_Column _ -> "Your data's input column. Found by its name if not given."
            | Target_Column _ -> "Your data's target column. Found by its name if not given."
            | Scoring _ ->
                $"How your data is scored: {Metrics.all |> List.map _.Name |> Nearest.orList}. By the look of the targets if not given."
            | Instruction _ -> "How your rows are worded, as in training."
            | Seed _ -> "evaluate: the seed of the split. 1 if not given."
            | Device _ -> "cpu, cuda or cuda:1. cpu if not given."
            | Dtype _ -> "float32 or bfloat16. float32 if not given."
            | Threads _ -> "Threads of libtorch. All cores if not given."
            | Test_Limit _ -> "evaluate: the most test rows. 2,500 if not given."
            | Input_Limit _ -> "The most tokens of an input. The adapter's, otherwise 512, if not given."
            | Target_Limit _ -> "The most tokens of an answer. The adapter's, otherwise 128, if not given."
            | Beams _ -> "Beams of the search; 1 is greedy. The adapter's, otherwise 1, if not given."
            | Constrain _ ->
                "What answers are limited to: labels, of the task's. As in the adapter's training if not given; otherwise any text may be an answer."
            | Plain -> "Leave aside the task that the adapter remembers: its wording, columns, scoring and limits."
            | Predictions _ -> "evaluate: a file for the predictions, as JSON Lines."
            | Text _ -> "generate: the inputs; lines of standard input if none is given."
