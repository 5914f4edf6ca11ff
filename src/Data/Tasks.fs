namespace Peft

open System
open System.IO
open System.Text.RegularExpressions

/// The user's own data as a task.
type CustomTask =
    {
        Name: string
        /// A folder with `train.*` and, as far as there are, `validation.*` and `test.*`; used for files given as relative paths too.
        Folder: string
        /// Files, where they are not named like that.
        Train: string option
        Validation: string option
        Test: string option
        InputColumn: string
        TargetColumn: string
        /// A metric's name; one of labels makes the distinct targets the labels.
        Scoring: string
        /// A template with `{column}` and `{options}`; without one the input column is the input.
        Instruction: string option
    }

/// The tasks: everything that words a data set is in this file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module TaskDefinition =
    let private field (name: string) (alternatives: string list list) = name, alternatives

    let private answer (column: string) (codes: (string * string) list) : Answer = { Column = column; Codes = codes }

    let private onHub (id: string) (configuration: string option) : HubSource option =
        Some
            {
                Id = id
                Configuration = configuration
            }

    let private usualNames (folders: string list) (header: Header) : TaskFiles =
        {
            Hub = None
            Folders = folders
            Train = [ [ "train" ] ]
            Validation = [ [ "validation" ]; [ "valid" ]; [ "val" ]; [ "dev" ] ]
            Test = [ [ "test" ] ]
            Header = header
        }

    let private newsTopics = [ "World"; "Sports"; "Business"; "Sci/Tech" ]

    let private coded (first: int) (labels: string list) =
        labels |> List.mapi (fun place label -> string (first + place), label)

    /// AG News: the publisher's CSV (class 1-4, title, description) or Hugging Face's columns (text, label 0-3).
    let agnews: TaskDefinition =
        let columns = [ "class"; "title"; "description" ]

        {
            Name = "agnews"
            Title = "AG News"
            Labels = newsTopics
            Metric = Accuracy.metric
            Instruction = "What label best describes this news article?\n{options}\n\n{text}"
            Fields =
                [
                    field "text" [ [ "text" ]; [ "title"; "description" ]; [ "Title"; "Description" ] ]
                ]
            Answers =
                [
                    answer "label" (coded 0 newsTopics)
                    answer "class" (coded 1 newsTopics)
                    answer "Class Index" (coded 1 newsTopics)
                ]
            Files =
                { usualNames
                      [ "ag_news"; "agnews"; "ag_news_csv" ]
                      (Guessed([ "text"; "label"; "label_text"; "Class Index" ] @ columns, columns)) with
                    Hub = onHub "fancyzhx/ag_news" None
                }
            LeavesOutEmpty = false
        }

    let private judgements = [ "unacceptable"; "acceptable" ]

    let private judging =
        "Would a linguist rate this sentence to be acceptable linguistically?\n{options}\n\n{sentence}"

    /// CoLA: the public release's TSV (source, label, mark, sentence) or GLUE's columns (sentence, label, idx).
    let cola: TaskDefinition =
        let columns = [ "source"; "label"; "mark"; "sentence" ]

        {
            Name = "cola"
            Title = "CoLA"
            Labels = judgements
            Metric = Accuracy.metric
            Instruction = judging
            Fields = []
            Answers = [ answer "label" (coded 0 judgements) ]
            Files =
                {
                    Hub = onHub "nyu-mll/glue" (Some "cola")
                    Folders = [ "cola"; "CoLA"; "cola_public"; "cola/cola_public"; "glue/cola" ]
                    Train = [ [ "in_domain_train" ]; [ "train" ] ]
                    Validation = [ [ "in_domain_dev"; "out_of_domain_dev" ]; [ "validation" ]; [ "dev" ] ]
                    Test = [ [ "test" ] ]
                    Header = Guessed([ "index"; "idx"; "label_text" ] @ columns, columns)
                }
            LeavesOutEmpty = false
        }

    /// E2E NLG: the challenge's CSV (mr, ref) or Hugging Face's columns (meaning_representation, human_reference).
    let e2e: TaskDefinition =
        {
            Name = "e2e"
            Title = "E2E NLG"
            Labels = []
            Metric = Rouge.longest
            Instruction = "Produce a detailed sentence about this restaurant from its attributes.\n\n{attributes}"
            Fields = [ field "attributes" [ [ "mr" ]; [ "meaning_representation" ]; [ "MR" ] ] ]
            Answers = [ answer "ref" []; answer "human_reference" []; answer "target" [] ]
            Files =
                {
                    Hub = onHub "tuetschek/e2e_nlg" None
                    Folders = [ "e2e_nlg"; "e2e"; "e2e-dataset"; "e2e_nlg_cleaned" ]
                    Train = [ [ "trainset" ]; [ "train" ]; [ "train-fixed.no-ol" ] ]
                    Validation = [ [ "devset" ]; [ "validation" ]; [ "dev" ]; [ "devel-fixed.no-ol" ] ]
                    Test = [ [ "testset_w_refs" ]; [ "testset" ]; [ "test" ]; [ "test-fixed" ] ]
                    Header = FirstRow
                }
            LeavesOutEmpty = false
        }

    let private summarizing = "Briefly summarize this dialogue.\n\n{dialogue}"

    /// SAMSum: the publisher's JSON or the CSV, JSON Lines and parquet editions, all with id, dialogue, summary.
    /// The original has a training row without a dialogue; such rows are left out.
    let samsum: TaskDefinition =
        {
            Name = "samsum"
            Title = "SAMSum"
            Labels = []
            Metric = Rouge.longest
            Instruction = summarizing
            Fields = []
            Answers = [ answer "summary" [] ]
            Files =
                { usualNames [ "samsum"; "SAMSum"; "corpus" ] FirstRow with
                    Hub = onHub "knkarthick/samsum" None
                }
            LeavesOutEmpty = true
        }

    let private embedded name title labels instruction column : TaskDefinition =
        {
            Name = name
            Title = title
            Labels = labels
            Metric = Metrics.usual labels
            Instruction = instruction
            Fields = []
            Answers = [ answer column [] ]
            Files = usualNames [ name ] FirstRow
            LeavesOutEmpty = false
        }

    /// The embedded stand-in for AG News.
    let topic: TaskDefinition =
        embedded
            "topic"
            "Topic"
            [ "sports"; "weather"; "cooking"; "music" ]
            "What label best describes this text?\n{options}\n\n{text}"
            "label"

    /// The embedded stand-in for CoLA.
    let acceptability: TaskDefinition =
        embedded "acceptability" "Acceptability" judgements judging "label"

    /// The embedded stand-in for E2E NLG.
    let attributes: TaskDefinition =
        embedded
            "attributes"
            "Attributes"
            []
            "Produce a detailed sentence from these attributes.\n\n{attributes}"
            "text"

    /// The embedded stand-in for SAMSum.
    let dialogue: TaskDefinition =
        embedded "dialogue" "Dialogue" [] summarizing "summary"

    let private labelled (name: string) (title: string) (labels: string) (question: string) (column: string) =
        embedded name title (List.ofArray (labels.Split ' ')) $"{question}\n{{options}}\n\n{{{column}}}" "label"

    /// Two labels: requests by how they are made.
    let politeness: TaskDefinition =
        labelled "politeness" "Politeness" "polite rude" "In what tone is this request made?" "request"

    /// Three labels: reviews by both of their remarks.
    let rating: TaskDefinition =
        labelled "rating" "Rating" "good mixed bad" "What does the writer think of it, all in all?" "review"

    /// Six labels: questions by the kind of answer.
    let question: TaskDefinition =
        labelled
            "question"
            "Question"
            "person place time number reason thing"
            "What kind of answer does this question want?"
            "question"

    /// Twenty labels: what an assistant is asked to do.
    let intent: TaskDefinition =
        labelled
            "intent"
            "Intent"
            "alarm calendar call message translate recipe joke news traffic taxi hotel flight restaurant shopping payment balance volume light heating repair"
            "Which service does the speaker want?"
            "utterance"

    /// Three labels: claims that a text makes certain, excludes or leaves open.
    let inference: TaskDefinition =
        labelled "inference" "Inference" "yes no unclear" "Given the text, is the claim true?" "text"

    /// A detail of a notice.
    let extraction: TaskDefinition =
        embedded "extraction" "Extraction" [] "Find the detail of this notice that is asked for.\n\n{text}" "answer"

    /// A sentence in the passive voice.
    let passive: TaskDefinition =
        embedded "passive" "Passive" [] "Rewrite this sentence in the passive voice.\n\n{sentence}" "passive"

    /// A table in words.
    let table: TaskDefinition =
        embedded "table" "Table" [] "Tell what this table says.\n\n{table}" "text"

    /// The paper's four data sets, in the order of its tables.
    let paper: TaskDefinition list = [ agnews; cola; e2e; samsum ]

    /// The four generated data sets that come with this project, in the same order.
    let generated: TaskDefinition list = [ topic; acceptability; attributes; dialogue ]

    /// The suite on which recommendations are tested: the four generated ones, and eight of other kinds and sizes.
    let suite: TaskDefinition list =
        generated
        @ [ politeness; rating; question; intent; inference; extraction; passive; table ]

    /// Every task with a name of its own.
    let all: TaskDefinition list = paper @ suite

    /// The task of a name; `UserError` where there is none.
    let find (name: string) : TaskDefinition =
        match all |> List.tryFind (fun task -> task.Name = name) with
        | Some task -> task
        | None ->
            let names = all |> List.map _.Name

            let listed = String.Join(", ", names)

            let near =
                match Nearest.among 3 names name with
                | [] -> ""
                | near -> $" Did you mean {Nearest.orList near}?"

            userError
                $"There is no task \"{name}\".{near} Choose one of {listed}; a sweep also takes suite, all twelve embedded tasks."

    /// The tasks that a word means: `suite` all twelve embedded ones, any other the task of that name; `UserError` where there
    /// is none.
    let named (word: string) : TaskDefinition list =
        if word = "suite" then suite else [ find word ]

    /// The user's own rows as a task, read with the same checks as any other. Where the metric is one of labels, they are the
    /// distinct targets of the training rows, in ordinal order; a target of another portion outside them is refused.
    let custom (options: CustomTask) : TaskDefinition =
        let metric = Metrics.find options.Scoring

        // The name becomes part of file names.
        if not (Regex.IsMatch(options.Name, "^[a-z0-9][a-z0-9_-]*$")) then
            userError $"\"{options.Name}\" cannot name a task. Use small letters, digits, - and _."

        if all |> List.exists (fun task -> task.Name = options.Name) then
            userError $"\"{options.Name}\" is the name of a task of this project. Choose another for your own."

        let whole = Path.GetFullPath options.Folder

        let named (file: string option) (usual: string list list) =
            match file with
            | Some path ->
                if not (File.Exists(Path.Combine(whole, path))) then
                    userError $"{path} does not exist. Give the path of a data file, absolute or from {options.Folder}."

                [ [ path ] ]
            | None -> usual

        let usual = usualNames [ whole ] FirstRow

        let instruction =
            options.Instruction |> Option.defaultValue $"{{{options.InputColumn}}}"

        if (Pools.slots instruction).IsEmpty then
            userError
                $"The instruction \"{instruction}\" names no column. Write {{{options.InputColumn}}} where the row's text belongs."

        let unlabelled =
            {
                Name = options.Name
                Title = options.Name
                Labels = []
                Metric = metric
                Instruction = instruction
                Fields = []
                Answers = [ answer options.TargetColumn [] ]
                Files =
                    { usual with
                        Train = named options.Train usual.Train
                        Validation = named options.Validation usual.Validation
                        Test = named options.Test usual.Test
                    }
                LeavesOutEmpty = false
            }

        if not (Metrics.isOfLabels metric.Name) then
            unlabelled
        else
            let targets =
                (Pools.loadTraining whole unlabelled).Examples
                |> Array.map _.Target
                |> Array.distinct

            Array.sortInPlaceWith (fun left right -> String.CompareOrdinal(left, right)) targets

            { unlabelled with
                Labels = List.ofArray targets
            }
