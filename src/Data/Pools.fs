namespace Peft

open System
open System.IO
open System.Text.RegularExpressions

/// The worded rows of one portion.
type Pool =
    {
        /// File names, without their folder; empty where there is no labelled file.
        Files: string list
        Examples: Example[]
        /// Rows without any input, which were left out.
        LeftOut: int
        /// Files that were passed over since they hold no labels.
        Unlabelled: string list
    }

/// All worded rows of a task, in the order of the files.
type Pools =
    {
        Train: Pool
        Validation: Pool
        Test: Pool
    }

/// From a data folder to worded rows: finds a task's files, reads them, words every row.
/// Blanks around targets are trimmed; inputs and everything inside them are left as they are.
[<RequireQualifiedAccess>]
module Pools =
    let private extension = @"\.(csv|tsv|json|jsonl|parquet)(\.gz)?$"

    let private names (alternatives: string list) = String.Join(" or ", alternatives)

    /// Numbered parts of one set, `train-00000-of-00003.parquet` and the like, counted from 0 or from 1; all must be there.
    let private shards (folder: string) (name: string) (files: string list) : string list =
        let number =
            Regex($@"^{Regex.Escape name}[-_.](\d{{1,6}})[-_]of[-_](\d{{1,6}})([-_.][0-9a-f]+)?{extension}")

        let found =
            files
            |> List.choose (fun file ->
                let hit = number.Match file

                if hit.Success then
                    Some(int hit.Groups[1].Value, int hit.Groups[2].Value, file)
                else
                    None)
            |> List.sort

        match found with
        | [] -> []
        | (_, total, _) :: _ ->
            let from first =
                List.init total (fun place -> place + first, total)

            let parts = found |> List.map (fun (place, of', _) -> place, of')

            if parts <> from 0 && parts <> from 1 then
                userError
                    $"{folder} holds {found.Length} of the {total} parts of {name} (or parts of two sets). Fetch them all, once."

            found |> List.map (fun (_, _, file) -> file)

    let private listed (folder: string) : string list =
        if Directory.Exists folder then
            Directory.GetFiles folder
            |> Array.map (Path.GetFileName >> string)
            |> Array.sort
            |> List.ofArray
        else
            []

    /// Refuses more than one choice of files.
    let private only (folder: string) (choices: string list list) : string list =
        match choices with
        | [] -> []
        | [ files ] -> files
        | choices ->
            let told = choices |> List.map (List.head >> Path.GetFileName >> string)
            userError $"{folder} holds {names told}, and only one can be read. Move the others away."

    /// The files of a name in a folder: itself, `name.csv` and the like, numbered parts, or a folder of numbered parquet files.
    let private filesOf (folder: string) (name: string) : string list =
        let path = Path.Combine(folder, name)

        if File.Exists path then
            [ path ]
        else
            let files = listed folder
            let single = Regex($"^{Regex.Escape name}{extension}")
            let parts = shards folder name files

            let numbered =
                listed path
                |> List.filter (fun file -> Regex.IsMatch(file, @"^\d{4}\.parquet$"))

            let choices =
                (files
                 |> List.filter single.IsMatch
                 |> List.map (fun file -> [ Path.Combine(folder, file) ]))
                @ [
                    parts |> List.map (fun file -> Path.Combine(folder, file))
                    numbered |> List.map (fun file -> Path.Combine(path, file))
                ]
                |> List.filter (List.isEmpty >> not)

            only folder choices

    /// The files of a portion whose names only begin with one of its names: `test.rows1-6000.csv`, `train_v2.jsonl`,
    /// `train-clean-00000-of-00002.parquet`.
    let private filesBeginning (folder: string) (beginnings: string list) : string list =
        let files = listed folder

        let stems (name: string) =
            let stem =
                Regex(
                    $@"^({Regex.Escape name}[^A-Za-z].*?)([-_.]\d{{1,6}}[-_]of[-_]\d{{1,6}}([-_.][0-9a-f]+)?)?{extension}"
                )

            files
            |> List.choose (fun file ->
                let hit = stem.Match file

                if not hit.Success then None
                elif hit.Groups[2].Success then Some hit.Groups[1].Value
                else Some file)
            |> List.distinct

        beginnings
        |> List.map stems
        |> List.tryFind (List.isEmpty >> not)
        |> Option.defaultValue []
        |> List.map (filesOf folder)
        |> only folder

    /// The files of a portion in a folder, choice after choice: those of a name, or else those whose names begin with one.
    let internal choicesOf (folder: string) (alternatives: string list list) : string list list =
        match
            alternatives
            |> List.map (List.collect (filesOf folder))
            |> List.filter (List.isEmpty >> not)
        with
        | [] ->
            match filesBeginning folder (List.concat alternatives) with
            | [] -> []
            | files -> [ files ]
        | choices -> choices

    /// The folder that holds the task's training rows.
    let private folderOf (dataFolder: string) (task: TaskDefinition) : string =
        if not (Directory.Exists dataFolder) then
            userError $"The data folder {dataFolder} does not exist. Name another with --data."

        let holdsTraining folder =
            choicesOf folder task.Files.Train |> List.isEmpty |> not

        let candidates =
            task.Files.Folders
            |> List.collect (fun folder -> [ folder; $"{folder}/data"; $"{folder}/raw"; $"{folder}/default" ])
            |> List.map (fun folder -> Path.Combine(dataFolder, folder))

        match candidates |> List.tryFind holdsTraining with
        | Some folder -> folder
        | None ->
            let wanted = task.Files.Train |> List.concat |> names
            let where = names task.Files.Folders

            userError
                $"{dataFolder} holds no training rows of {task.Title}: there is no file whose name begins with {wanted} (.csv, .tsv, .json, .jsonl or .parquet, or one of them with .gz) in {where}. Put them there or name another folder with --data."

    /// The list of labels as FLAN words it; empty for generation.
    let private options (task: TaskDefinition) : string =
        match task.Labels with
        | [] -> ""
        | labels -> String.Join("\n", "OPTIONS:" :: (labels |> List.map (fun label -> $"- {label}")))

    let private isBlank (text: string) = String.IsNullOrWhiteSpace text

    let private lacks (task: TaskDefinition) (row: Row) (columns: string list) =
        userError
            $"{row.Place} has no column {names columns}: it has {row.Told}. Rename the column, or check that the file belongs to {task.Title}."

    let private fieldOf (task: TaskDefinition) (name: string) : Row -> string =
        let alternatives =
            match task.Fields |> List.tryFind (fun (field, _) -> field = name) with
            | Some(_, alternatives) -> alternatives
            | None -> [ [ name ] ]

        fun row ->
            let cells columns =
                let cells = columns |> List.map row.TryFind

                if cells |> List.forall Option.isSome then
                    Some(cells |> List.choose id)
                else
                    None

            match alternatives |> List.tryPick cells with
            | Some cells -> String.Join(" ", cells |> List.filter (isBlank >> not))
            | None -> lacks task row (alternatives |> List.map (String.concat " with "))

    /// The columns that an instruction names.
    let internal slots (instruction: string) : string list =
        [
            for hit in Regex.Matches(instruction, @"\{([^{}]+)\}") -> hit.Groups[1].Value
        ]
        |> List.except [ "options" ]

    /// The input of a row; None where every column in it is blank. What a cell holds is not read as a template again.
    let private inputOf (task: TaskDefinition) : Row -> string option =
        let list = options task

        // Literal text at even places, names at odd ones.
        let pieces =
            Regex.Split(task.Instruction, @"\{([^{}]+)\}")
            |> Array.mapi (fun place piece ->
                if place % 2 = 0 then Choice1Of2 piece
                elif piece = "options" then Choice1Of2 list
                else Choice2Of2(fieldOf task piece))

        fun row ->
            let mutable isEmpty = true

            let text =
                pieces
                |> Array.map (function
                    | Choice1Of2 literal -> literal
                    | Choice2Of2 field ->
                        let cell = field row
                        isEmpty <- isEmpty && isBlank cell
                        cell)

            if isEmpty then None else Some(String.Concat text)

    /// A text in the words of a task: its instruction with the options, and the text at the place of the row.
    let word (task: TaskDefinition) (text: string) : string =
        Regex.Replace(
            task.Instruction,
            @"\{([^{}]+)\}",
            fun slot -> if slot.Value = "{options}" then options task else text
        )

    let private answerOf (task: TaskDefinition) (row: Row) : (Answer * string) option =
        task.Answers
        |> List.tryPick (fun answer -> row.TryFind answer.Column |> Option.map (fun cell -> answer, cell.Trim()))

    /// GLUE's test files have -1 for every label.
    let private isUnlabelled (task: TaskDefinition) (row: Row) : bool =
        match answerOf task row with
        | Some(answer, cell) -> cell = "-1" && not answer.Codes.IsEmpty
        | None -> true

    let private targetOf (task: TaskDefinition) (row: Row) : string =
        match answerOf task row with
        | None -> lacks task row (task.Answers |> List.map _.Column)
        | Some(answer, "") -> userError $"{row.Place} has an empty {answer.Column}. Fill it or remove the row."
        | Some(answer, cell) ->
            let target =
                answer.Codes
                |> List.tryFind (fun (code, _) -> code = cell)
                |> Option.map snd
                |> Option.defaultValue cell

            match task.Labels with
            | _ :: _ as labels when not (List.contains target labels) ->
                let known =
                    String.Join(
                        ", ",
                        (if answer.Codes.IsEmpty then
                             labels
                         else
                             answer.Codes |> List.map fst)
                    )

                userError
                    $"{row.Place} has the label \"{cell}\", which is none of {known}. Correct it or remove the row."
            | _ -> target

    let private none: Pool =
        {
            Files = []
            Examples = [||]
            LeftOut = 0
            Unlabelled = []
        }

    /// Reads files as one portion; None where the first row has no label and the portion may do without.
    let private tryRead (task: TaskDefinition) (portion: Portion) (files: string list) : Pool option =
        let examples = ResizeArray<Example>()
        let mutable leftOut = 0
        let mutable isLabelled = true
        let inputOf = inputOf task
        use rows = (files |> Seq.collect (Rows.read task.Files.Header)).GetEnumerator()

        while isLabelled && rows.MoveNext() do
            let row = rows.Current

            if
                portion <> Portion.Train
                && examples.Count + leftOut = 0
                && isUnlabelled task row
            then
                isLabelled <- false
            else
                match inputOf row with
                | Some input ->
                    examples.Add
                        {
                            Input = input
                            Target = targetOf task row
                        }
                | None when task.LeavesOutEmpty -> leftOut <- leftOut + 1
                | None -> userError $"{row.Place} has an empty input. Fill it or remove the row."

        if isLabelled then
            Some
                { none with
                    Files = files |> List.map (Path.GetFileName >> string)
                    Examples = examples.ToArray()
                    LeftOut = leftOut
                }
        else
            None

    /// The first choice of files that has labels.
    let rec private readFirst (task: TaskDefinition) portion (choices: string list list) (passed: string list) : Pool =
        match choices with
        | [] -> { none with Unlabelled = passed }
        | files :: others ->
            match tryRead task portion files with
            | Some pool -> { pool with Unlabelled = passed }
            | None -> readFirst task portion others (passed @ (files |> List.map (Path.GetFileName >> string)))

    let private readPortion (task: TaskDefinition) (folder: string) (portion: Portion) : Pool =
        let alternatives =
            match portion with
            | Portion.Train -> task.Files.Train
            | Portion.Validation -> task.Files.Validation
            | Portion.Test -> task.Files.Test

        readFirst task portion (choicesOf folder alternatives) []

    /// The worded training rows of a task.
    let loadTraining (dataFolder: string) (task: TaskDefinition) : Pool =
        readPortion task (folderOf dataFolder task) Portion.Train

    /// Like `load`; `check` sees the folder and the rows for validation and for testing before the training rows are read,
    /// which may be many.
    let loadChecked (check: string -> Pool -> Pool -> unit) (dataFolder: string) (task: TaskDefinition) : Pools =
        let folder = folderOf dataFolder task
        let validation = readPortion task folder Portion.Validation
        let test = readPortion task folder Portion.Test
        check folder validation test

        {
            Train = readPortion task folder Portion.Train
            Validation = validation
            Test = test
        }

    /// Finds, reads and words all rows of a task under a data folder. A file that is not training rows and whose first
    /// row has no label is passed over; every other fault is a `UserError`.
    let load (dataFolder: string) (task: TaskDefinition) : Pools =
        loadChecked (fun _ _ _ -> ()) dataFolder task
