namespace Peft

open Argu

/// The options of `recommend`.
[<RequireQualifiedAccess>]
type RecommendOption =
    | [<Unique; AltCommandLine("-k")>] Kind of name: string
    | [<Unique; AltCommandLine("-n")>] Rows of count: int
    | [<Unique; AltCommandLine("-m")>] Model of folder: string
    | [<Unique>] Priority of name: string
    | [<Unique>] Max_Minutes of minutes: float
    | [<Unique>] Max_Memory of mib: float
    | [<Unique>] Max_Parameters of count: int64
    | [<Unique>] Floor of share: float
    | [<Unique; AltCommandLine("-r")>] Results of folder: string
    | Why
    | Check

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Kind _ -> "classification or generation."
            | Rows _ -> "How many training rows you have."
            | Model _ ->
                "Folder of your base checkpoint, or small, base, large, xl, xxl: evidence of the nearest size is used."
            | Priority _ -> "What counts most: quality, time, memory or size. quality if not given."
            | Max_Minutes _ -> "The most minutes a run may take."
            | Max_Memory _ -> "The most memory a run may take, in MiB."
            | Max_Parameters _ -> "The most trainable parameters."
            | Floor _ -> "Techniques below this share of the best expected score come last. 0.9 if not given."
            | Results _ -> "Folder or file of your own results, to be used as evidence beside the paper's figures."
            | Why -> "The evidence, the paper's rules, what would change the answer, and what to read with care."
            | Check -> "Instead of a question: leave each task out in turn, and tell what such answers lose."

/// The options of `table`.
[<RequireQualifiedAccess>]
type TableOption =
    | [<AltCommandLine("--table", "-t")>] Tables of names: string list
    | [<Unique; AltCommandLine("-r")>] Results of folder: string
    | [<Unique; AltCommandLine("-f")>] Format of name: string
    | Compare
    | [<Unique>] Pack of file: string

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Tables _ ->
                "Which tables: table1 to table6, figure1, speedups, memory, learning-curves, or all. table1 if not given."
            | Results _ -> "Folder of result files, or a file of runs. 'results' if not given."
            | Format _ -> "text, markdown, latex or csv. text if not given."
            | Compare ->
                "Compare the techniques row by row: which differences could be chance, which are tied with the best."
            | Pack _ ->
                "Print no table, but write all results into this one file of runs (.jsonl or .jsonl.gz), in today's layout."

/// Commands that answer from evidence.
[<RequireQualifiedAccess>]
module AnswerCommands =
    /// Readable results, with the damaged files named on standard error; the flag says whether there were any.
    let readable (folder: string) : Run list * bool =
        let runs, damaged = Results.read folder

        for problem in damaged do
            eprintfn $"peft: skipped: {problem}"

        runs, not damaged.IsEmpty

    /// Audits the paper's arithmetic and conclusions.
    let paper () : int =
        printfn $"{Audit.describe ()}"
        0

    let private sets () : EvidenceSet list =
        EvidenceSets.paper :: Option.toList (EvidenceSets.embedded ())

    /// Leaves each task out of every set of evidence in turn.
    let private check (own: Run list) : unit =
        let mine: EvidenceSet list =
            if own.IsEmpty then
                []
            else
                [
                    {
                        Name = "your runs"
                        Parameters = EvidenceSets.sizeOf own
                        Runs = own
                        IsPaper = false
                    }
                ]

        for set in sets () @ mine do
            try
                printfn $"{Regret.cellsOf set.Runs |> Regret.check |> Regret.describe set.Name}\n"
            with UserError cause ->
                printfn $"{set.Name}: {cause}\n"

    let private ask (options: ParseResults<RecommendOption>) (runs: Run list) : unit =
        let needed (what: string) value =
            match value with
            | Some value -> value
            | None -> userError $"recommend needs {what}."

        let question =
            { Question.create
                  (options.TryGetResult RecommendOption.Kind
                   |> needed "--kind: classification or generation"
                   |> Question.kind)
                  (options.TryGetResult RecommendOption.Rows
                   |> needed "--rows: how many training rows you have") with
                Priority = Question.priority (options.GetResult(RecommendOption.Priority, "quality"))
                MaxSeconds = options.TryGetResult RecommendOption.Max_Minutes |> Option.map ((*) 60.0)
                MaxMemoryMiB = options.TryGetResult RecommendOption.Max_Memory
                MaxParameters = options.TryGetResult RecommendOption.Max_Parameters
                ModelParameters =
                    options.TryGetResult RecommendOption.Model
                    |> Option.map (fun model -> (Checkpoint.shape model).Tensors |> List.sumBy _.Elements |> float)
                Floor = options.GetResult(RecommendOption.Floor, 0.9)
            }

        let answer = Recommend.answerFrom question runs (sets ())

        if options.Contains RecommendOption.Why then
            printfn $"{RecommendationText.brief answer}\n\n{RecommendationText.describe answer}"
        else
            printfn $"{RecommendationText.brief answer}\n(--why shows the evidence.)"

    /// Ranks techniques for a question, or tests how right such answers are.
    let recommend (options: ParseResults<RecommendOption>) : int =
        let runs, hasDamaged =
            match options.TryGetResult RecommendOption.Results with
            | Some folder -> readable folder
            | None -> [], false

        if options.Contains RecommendOption.Check then
            check runs
        else
            ask options runs

        if hasDamaged then 1 else 0

    let private formats =
        [
            "text", Render.toText
            "markdown", Render.toMarkdown
            "latex", Render.toLatex
            "csv", (fun _ -> Render.toCsv)
        ]

    let private named (names: string list) =
        let known = AllTables.all |> List.map (fun (name, _, _, _) -> name)

        match names with
        | [] -> [ "table1" ]
        | [ "all" ] -> known
        | names ->
            for name in names do
                if not (List.contains name known) then
                    let words = String.concat ", " known
                    userError $"'{name}' is no table: use {words} or all."

            names

    /// Prints the comparisons of finished runs, setting by setting; the flag says whether a predictions file was skipped.
    let private compare (results: string) (runs: Run list) : bool =
        let finished = runs |> List.filter _.IsFinished
        let settings = Settings.ofRuns finished
        let skipped = Predictions.problems results finished

        for setting, runs in Tables.bySetting finished do
            let comparisons, problems = Comparison.allIn settings results runs

            if settings.All.Length > 1 then
                printfn $"{Settings.numbersOf settings runs |> Settings.words} {setting}\n"

            for comparison in comparisons do
                printfn $"{ComparisonText.describe comparison}\n"

            for problem in problems do
                printfn $"Note: {Predictions.withoutFiles skipped problem}"

            if not problems.IsEmpty then
                printfn ""

        for line in Settings.legend settings do
            printfn $"Note: {line}"

        for problem in skipped do
            eprintfn $"peft: skipped: {problem}"

        not skipped.IsEmpty

    /// Prints tables of a folder of results.
    let table (options: ParseResults<TableOption>) : int =
        let results = options.GetResult(TableOption.Results, "results")
        let names = options.GetResult(TableOption.Tables, []) |> Options.names |> named
        let format = options.GetResult(TableOption.Format, "text")

        let render =
            match formats |> List.tryFind (fst >> (=) format) with
            | Some(_, render) -> render
            | None -> userError $"'{format}' is no format: use text, markdown, latex or csv."

        let runs, hasDamaged = readable results

        if runs.IsEmpty then
            userError $"{results} holds no result file: run a sweep first, or name its folder with --results."

        let hasSkipped =
            if options.Contains TableOption.Pack then
                let file = options.GetResult TableOption.Pack
                Results.writeFile file runs
                printfn $"{file}: {runs.Length} runs."
                false
            elif options.Contains TableOption.Compare then
                if Results.isRunsFile results then
                    userError
                        $"{results} is a file of runs, which holds no predictions: --compare needs a folder of results."

                compare results runs
            else
                let finished = runs |> List.filter _.IsFinished
                let settings = Settings.ofRuns finished

                for setting, runs in Tables.bySetting finished do
                    for name, heading, style, make in AllTables.all do
                        if List.contains name names then
                            if format = "text" || format = "markdown" then
                                printfn $"{heading} ({setting})\n"

                            printfn $"{render style (make settings runs)}\n"

                for note in Tables.notes runs do
                    eprintfn $"Note: {note}"

                false

        if hasDamaged || hasSkipped then 1 else 0
