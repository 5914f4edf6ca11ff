namespace Peft

open Argu

/// What `evaluate` and `generate` go by: what the options say, and where they say nothing, what the adapter remembers.
[<NoComparison>]
type ModelRequest =
    {
        Task: TaskDefinition option
        /// Whether it was the adapter that said which task.
        IsRemembered: bool
        /// Tokens of an input at most.
        InputLimit: int
        /// Tokens of an answer at most.
        TargetLimit: int
        Beams: int
        Constrain: AnswerLimit option
        /// How the options differ from the training, a sentence each.
        Warnings: string list
    }

[<RequireQualifiedAccess>]
module ModelRequest =
    let private ownOf (options: ParseResults<ModelOption>) (path: string) : OwnData =
        {
            Path = path
            InputColumn = options.TryGetResult ModelOption.Input_Column
            TargetColumn = options.TryGetResult ModelOption.Target_Column
            Scoring = options.TryGetResult ModelOption.Scoring
            Instruction = options.TryGetResult ModelOption.Instruction
        }

    /// The one task that the options name.
    let private named (options: ParseResults<ModelOption>) (trained: AdapterTask option) : TaskDefinition option =
        match options.TryGetResult ModelOption.Task, options.TryGetResult ModelOption.Custom, trained with
        | Some _, Some _, _ -> userError "--task and --custom name two tasks: give one."
        | Some name, None, _ -> Some(TaskDefinition.find name)
        | None, Some path, None -> Some(OwnData.task (ownOf options path))
        | None, Some path, Some trained ->
            ownOf options path
            |> AdapterTask.complete trained
            |> OwnData.task
            |> AdapterTask.withLabels trained
            |> Some
        | None, None, _ -> None

    /// From the options and the task that the adapter remembers, which `--plain` leaves aside.
    let create (options: ParseResults<ModelOption>) (remembered: AdapterTask option) : ModelRequest =
        let trained =
            if options.Contains ModelOption.Plain then
                None
            else
                remembered

        let limit given pick usual =
            given |> Option.orElse (trained |> Option.map pick) |> Option.defaultValue usual

        let named = named options trained

        let inputLimit =
            limit (options.TryGetResult ModelOption.Input_Limit) _.InputLimit 512

        let targetLimit =
            limit (options.TryGetResult ModelOption.Target_Limit) _.TargetLimit 128

        {
            Task = named |> Option.orElse (trained |> Option.map AdapterTask.definition)
            IsRemembered = named.IsNone && trained.IsSome
            InputLimit = inputLimit
            TargetLimit = targetLimit
            Beams = limit (options.TryGetResult ModelOption.Beams) _.Beams 1
            Constrain =
                options.TryGetResult ModelOption.Constrain
                |> Option.orElse (trained |> Option.map _.Constrain |> Option.filter ((<>) ""))
                |> Option.map AnswerLimit.parse
            Warnings =
                match trained with
                | Some trained -> AdapterTask.differences trained named inputLimit targetLimit
                | None -> []
        }
