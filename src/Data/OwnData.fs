namespace Peft

open System
open System.IO
open System.Text.RegularExpressions

/// The user's own rows as people name them: one path, and whatever they care to say about it.
type OwnData =
    {
        /// A file, of which test and validation rows are carved, or a folder with `train.*` and, as far as there are,
        /// `validation.*` and `test.*`; a folder of one data file of any name is that file.
        Path: string
        /// Found by the usual names where not given.
        InputColumn: string option
        /// Found by the usual names where not given.
        TargetColumn: string option
        /// A metric's name; by the look of the targets where not given.
        Scoring: string option
        /// A template with `{column}` and `{options}`; without one the input column is the input.
        Instruction: string option
    }

/// From a path to a task: finds files, columns and scoring, or asks for what cannot be found.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module OwnData =
    /// A file or folder of which nothing else is said.
    let at (path: string) : OwnData =
        {
            Path = path
            InputColumn = None
            TargetColumn = None
            Scoring = None
            Instruction = None
        }

    /// What columns of inputs are called, the likeliest first.
    let private inputNames =
        "input text sentence prompt question source document article dialogue review query message content comment body context passage utterance instruction title description"
            .Split
            ' '

    /// What columns of targets are called, the likeliest first: a label in words before its number.
    let private targetNames =
        "target label_text label_name label labels answer output summary completion response reply reference category class intent sentiment topic translation rating stars score y"
            .Split
            ' '

    let private quoted (names: string seq) : string =
        names |> Seq.map (fun name -> $"\"{name}\"") |> String.concat ", "

    /// The column that is called one of `names`, in any case.
    let private known (names: string[]) (columns: string[]) : string option =
        names
        |> Array.tryPick (fun name ->
            columns
            |> Array.tryFind (fun column -> column.Trim().Equals(name, StringComparison.OrdinalIgnoreCase)))

    let private notFound (file: string) (columns: string[]) (what: string) (option: string) =
        let hint =
            if columns.Length = 1 && columns[0].IndexOfAny [| ';'; '\t'; '|' |] >= 0 then
                " Its cells are not separated by commas: save it as CSV with commas, or as .tsv."
            else
                $" Say which holds the {what}: {option} NAME."

        userError $"{Path.GetFileName file} has columns {quoted columns}, and none has a usual name of {what}.{hint}"

    /// The column of inputs and that of targets. Of two columns the other one is meant where one is known.
    let internal columns (own: OwnData) (file: string) (there: string[]) : string * string =
        let given (what: string) (option: string) (name: string option) =
            name
            |> Option.map (fun name ->
                match there |> Array.tryFind ((=) name) with
                | Some found -> found
                | None ->
                    userError
                        $"{Path.GetFileName file} has no column \"{name}\" for its {what}. It has {quoted there}: name one of them with {option}.")

        let input = given "inputs" "--input-column" own.InputColumn
        let target = given "targets" "--target-column" own.TargetColumn

        let without (other: string option) =
            there |> Array.filter (fun column -> Some column <> other)

        let target =
            target |> Option.orElseWith (fun () -> known targetNames (without input))

        let input = input |> Option.orElseWith (fun () -> known inputNames (without target))

        let last (other: string option) =
            match without other with
            | [| only |] when other.IsSome -> Some only
            | _ -> None

        match input |> Option.orElse (last target), target |> Option.orElse (last input) with
        | _, None -> notFound file there "targets" "--target-column"
        | None, _ when own.Instruction.IsSome -> without target |> Array.tryHead |> Option.defaultValue "", target.Value
        | None, _ -> notFound file there "inputs" "--input-column"
        | Some input, Some target -> input, target

    let private dataFile =
        Regex(@"\.(csv|tsv|json|jsonl|parquet)(\.gz)?$", RegexOptions.IgnoreCase)

    /// The usual names of files for validation and testing.
    let private heldNames =
        [ [ "validation" ]; [ "valid" ]; [ "val" ]; [ "dev" ]; [ "test" ] ]

    /// The training files of a path, and whether test and validation rows are carved from them.
    let private files (path: string) : string * string list * bool =
        let whole = Path.TrimEndingDirectorySeparator(Path.GetFullPath path)

        if File.Exists whole then
            string (Path.GetDirectoryName whole), [ whole ], true
        elif not (Directory.Exists whole) then
            userError
                $"{path} does not exist. Give a data file (.csv, .tsv, .json, .jsonl or .parquet), or a folder with one."
        else
            let isAlone = (Pools.choicesOf whole heldNames).IsEmpty

            match Pools.choicesOf whole [ [ "train" ] ] with
            | files :: _ -> whole, files, isAlone
            | [] ->
                match Directory.GetFiles whole |> Array.filter dataFile.IsMatch |> Array.sort with
                | [| only |] -> whole, [ only ], true
                | [||] -> userError $"{path} has no data file. Put a .csv, .tsv, .json, .jsonl or .parquet file there."
                | several ->
                    let names =
                        several |> Array.truncate 5 |> Array.map (Path.GetFileName >> string) |> quoted

                    userError
                        $"{path} has {several.Length} data files, and none is called train: {names}. Give one of them by its path, or call the training rows train."

    /// A task's name from that of its file or folder: it becomes part of file names, and must not be a known task's.
    let nameOf (path: string) : string =
        let bare =
            Path.TrimEndingDirectorySeparator(Path.GetFullPath path)
            |> Path.GetFileName
            |> string

        let stem =
            if File.Exists path then
                dataFile.Replace(bare, "")
            else
                bare

        let words =
            Regex.Replace(stem.ToLowerInvariant(), "[^a-z0-9_]+", "-").Trim('-', '_')

        let name =
            if words = "" then
                "own"
            else
                words.Substring(0, min 60 words.Length)

        if TaskDefinition.all |> List.exists (fun task -> task.Name = name) then
            "own-" + name
        else
            name

    /// More different targets are text to be written, not labels.
    let private mostLabels = 100

    /// The most characters of a label.
    let private longestLabel = 60

    /// Whether targets look like labels: few, short, and seen four times each on average.
    let looksLikeLabels (targets: string[]) : bool =
        let distinct = Array.distinct targets

        distinct.Length <= mostLabels
        && 4 * distinct.Length <= targets.Length
        && distinct
           |> Array.forall (fun target -> target.Length <= longestLabel && not (target.Contains '\n'))

    /// The scoring that targets ask for: the usual of labels, or of text.
    let private scoringOf (own: OwnData) (targets: string[]) : Metric =
        match own.Scoring with
        | Some name -> Metrics.find name
        | None -> Metrics.usual (if looksLikeLabels targets then [ "label" ] else [])

    /// Refuses what nothing can be learned from.
    let private checkLabels (file: string) (column: string) (labels: string[]) : unit =
        if labels.Length = 1 then
            userError
                $"every row of {Path.GetFileName file} has the {column} \"{labels[0]}\": with one label there is nothing to tell apart. Add rows with others, or name another column with --target-column."

    /// The rows as a task: its labels are the distinct targets of the training file, in ordinal order. `UserError` where
    /// files or columns cannot be found.
    let task (own: OwnData) : TaskDefinition =
        own.Scoring |> Option.iter (Metrics.find >> ignore)
        let folder, files, isOneFile = files own.Path
        let first = files.Head |> Rows.read FirstRow |> Seq.head
        let input, target = columns own files.Head first.Columns

        let asText =
            TaskDefinition.custom
                {
                    Name = nameOf own.Path
                    Folder = folder
                    Train = if files.Length = 1 then Some files.Head else None
                    Validation = None
                    Test = None
                    InputColumn = input
                    TargetColumn = target
                    Scoring = Rouge.longest.Name
                    Instruction = own.Instruction
                }

        let asText =
            { asText with
                Files =
                    if isOneFile then
                        { asText.Files with
                            Validation = []
                            Test = []
                        }
                    else
                        asText.Files
            }

        let targets = (Pools.loadTraining folder asText).Examples |> Array.map _.Target
        let metric = scoringOf own targets

        if not (Metrics.isOfLabels metric.Name) then
            { asText with Metric = metric }
        else
            let labels = Array.distinct targets
            checkLabels files.Head target labels
            Array.sortInPlaceWith (fun left right -> String.CompareOrdinal(left, right)) labels

            { asText with
                Metric = metric
                Labels = List.ofArray labels
            }

    /// Labels with a single row among all portions.
    let private lonely (task: TaskDefinition) (split: Split) : string list =
        let counts =
            Seq.concat [ split.Train; split.Validation; split.Test ]
            |> Seq.countBy _.Target
            |> dict

        task.Labels
        |> List.filter (fun label ->
            match counts.TryGetValue label with
            | true, count -> count < 2
            | _ -> true)

    /// What was found and how the rows are used: one line, and a second where a label is too rare to be learned and tested.
    let describe (task: TaskDefinition) (split: Split) : string list =
        let source = split.Source
        let files = String.Join(" and ", source.Train.Files)
        let input = Pools.slots task.Instruction |> quoted
        let target = task.Answers |> List.map _.Column |> quoted

        let labels =
            match task.Labels with
            | [] -> "targets are text"
            | labels when labels.Length > 6 -> $"{labels.Length} labels"
            | labels ->
                let names = String.Join(", ", labels)
                $"labels {names}"

        let drawn =
            if source.Test.Files.IsEmpty then
                ", test and validation rows drawn by seed"
            elif source.Validation.IsNone then
                ", validation rows drawn by seed"
            else
                ""

        [
            $"{files}: {input} to {target}, scored by {task.Metric.Title} ({labels}); {source.TrainRows:N0} of {source.Available:N0} rows to train, {source.ValidationRows:N0} to validate, {source.TestRows:N0} to test{drawn}."
            match lonely task split with
            | [] -> ()
            | rare ->
                let some = rare |> List.truncate 5 |> quoted
                $"{rare.Length} of {task.Labels.Length} labels have a single row or none among these ({some}): they cannot be both learned and tested."
        ]
