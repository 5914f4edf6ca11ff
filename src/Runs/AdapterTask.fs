namespace Peft

open System.IO
open System.Text.Json

/// What an adapter was trained to do, as `task.json` in its folder says: it travels with the adapter.
type AdapterTask =
    {
        /// The layout of the file.
        Format: string
        /// The task's, or that of the user's own rows.
        Name: string
        /// The template of the input, with `{column}` and `{options}`.
        Instruction: string
        /// The column of the targets.
        TargetColumn: string
        /// The answers there can be, in the order of the options; none where text is generated.
        Labels: string list
        /// The name of the metric that is reported.
        Metric: string
        /// Tokens of an input at most.
        InputLimit: int
        /// Tokens of an answer at most.
        TargetLimit: int
        Beams: int
        /// What answers are limited to, in the words of `--constrain`; empty where any text may be one.
        Constrain: string
    }

/// Tasks that travel with adapters.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module AdapterTask =
    /// The layout that this version writes.
    let format = "peft-task-1"

    /// The task and the limits of an experiment.
    let ofExperiment (task: TaskDefinition) (experiment: Experiment) : AdapterTask =
        {
            Format = format
            Name = task.Name
            Instruction = task.Instruction
            TargetColumn = task.Answers |> List.tryHead |> Option.map _.Column |> Option.defaultValue ""
            Labels = task.Labels
            Metric = task.Metric.Name
            InputLimit = experiment.InputLimit
            TargetLimit = experiment.TargetLimit
            Beams = experiment.Beams
            Constrain = experiment.Constrain |> Option.map AnswerLimit.text |> Option.defaultValue ""
        }

    /// Writes the task into an adapter's folder.
    let save (folder: string) (task: AdapterTask) : unit =
        Files.writeAtomically (AdapterFile.taskPath folder) (JsonSerializer.Serialize(task, Json.options) + "\n")

    let private check (path: string) (task: AdapterTask) : unit =
        let texts =
            task.Name
            :: task.Instruction
            :: task.TargetColumn
            :: task.Metric
            :: task.Constrain
            :: task.Labels

        if texts |> List.exists (box >> isNull) then
            userError $"{path} has null where a text belongs."

        if task.Format <> format then
            userError
                $"{path} has the format '{Printable.short 40 task.Format}'; this version reads '{format}'. Remove the file to go without it."

        if (Pools.slots task.Instruction).IsEmpty then
            userError $"{path} has a wording that names no column."

        if List.min [ task.InputLimit; task.TargetLimit; task.Beams ] < 1 then
            userError $"{path} has a limit below 1."

        Metrics.find task.Metric |> ignore

        if task.Constrain <> "" then
            AnswerLimit.parse task.Constrain |> ignore

    /// The task of an adapter's folder; none where it remembers none. `UserError` where the file is damaged.
    let tryRead (folder: string) : AdapterTask option =
        let path = AdapterFile.taskPath folder

        if File.Exists path then
            let task = Json.read<AdapterTask> Json.options path
            check path task
            Some task
        else
            None

    let private isOfProject (name: string) =
        TaskDefinition.all |> List.exists (fun known -> known.Name = name)

    /// Whether it is a task of this project rather than of somebody's own rows.
    let isKnown (task: AdapterTask) : bool = isOfProject task.Name

    /// The column of the inputs, where the wording has one only.
    let inputColumn (task: AdapterTask) : string option =
        match Pools.slots task.Instruction with
        | [ only ] -> Some only
        | _ -> None

    /// A definition that words and scores as the training did; without files where the rows were somebody's own.
    let definition (task: AdapterTask) : TaskDefinition =
        let metric = Metrics.find task.Metric

        match TaskDefinition.all |> List.tryFind (fun known -> known.Name = task.Name) with
        | Some known ->
            { known with
                Instruction = task.Instruction
                Labels = task.Labels
                Metric = metric
            }
        | None ->
            {
                Name = task.Name
                Title = task.Name
                Labels = task.Labels
                Metric = metric
                Instruction = task.Instruction
                Fields = []
                Answers =
                    [
                        {
                            Column = task.TargetColumn
                            Codes = []
                        }
                    ]
                Files =
                    {
                        Hub = None
                        Folders = []
                        Train = []
                        Validation = []
                        Test = []
                        Header = FirstRow
                    }
                LeavesOutEmpty = false
            }

    /// The rows of somebody's own with what training knew of such rows where nothing is said of them.
    let complete (task: AdapterTask) (own: OwnData) : OwnData =
        if isKnown task then
            own
        else
            let former = inputColumn task

            let wording =
                match own.InputColumn, former with
                | Some column, Some former when column <> former ->
                    Some(task.Instruction.Replace($"{{{former}}}", $"{{{column}}}"))
                | _ -> Some task.Instruction

            { own with
                InputColumn = own.InputColumn |> Option.orElse former
                TargetColumn = own.TargetColumn |> Option.orElse (Some task.TargetColumn)
                Scoring = own.Scoring |> Option.orElse (Some task.Metric)
                Instruction = own.Instruction |> Option.orElse wording
            }

    /// The labels of training for rows that have no others.
    let withLabels (task: AdapterTask) (definition: TaskDefinition) : TaskDefinition =
        if
            not definition.Labels.IsEmpty
            && definition.Labels |> List.forall (fun label -> List.contains label task.Labels)
        then
            { definition with Labels = task.Labels }
        else
            definition

    /// How a task differs from that of training, a sentence each; `inputLimit` and `targetLimit` are tokens.
    let differences
        (trained: AdapterTask)
        (task: TaskDefinition option)
        (inputLimit: int)
        (targetLimit: int)
        : string list =
        [
            match task with
            | None -> ()
            | Some task when task.Name <> trained.Name && (isKnown trained || isOfProject task.Name) ->
                $"the adapter was trained on {trained.Name}, and this is {task.Name}."
            | Some task ->
                if task.Instruction <> trained.Instruction then
                    $"the adapter was trained with the wording \"{Printable.short 200 trained.Instruction}\", and this one is \"{Printable.short 200 task.Instruction}\"."

                if task.Labels <> trained.Labels then
                    let these, those = String.concat ", " task.Labels, String.concat ", " trained.Labels

                    $"the adapter was trained on the labels {Printable.short 200 those}, and these rows have {Printable.short 200 these}."

                if task.Metric.Name <> trained.Metric then
                    $"the training was scored by {trained.Metric}, and this is scored by {task.Metric.Name}."

            if inputLimit <> trained.InputLimit then
                $"--input-limit is {inputLimit}, and it was {trained.InputLimit} in training."

            if targetLimit <> trained.TargetLimit then
                $"--target-limit is {targetLimit}, and it was {trained.TargetLimit} in training."
        ]
