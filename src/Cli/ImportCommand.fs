namespace Peft

open Argu

/// The options of `import`.
[<RequireQualifiedAccess>]
type ImportOption =
    | [<MainCommand>] Files of paths: string list
    | [<Unique; AltCommandLine("-o")>] Output of file: string
    | [<Unique>] Technique of words: string
    | [<Unique>] Model of name: string
    | [<Unique>] Rows of count: int
    | [<Unique>] Metric of name: string
    | [<Unique>] Filter of name: string

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Files _ ->
                "Result files of Hugging Face peft's method_comparison (.json), or lm-evaluation-harness' samples (.jsonl)."
            | Output _ -> "The file of runs to write (.jsonl or .jsonl.gz). imported.jsonl.gz if not given."
            | Technique _ -> "For samples: the technique that was evaluated."
            | Model _ -> "For samples: the base model's name."
            | Rows _ -> "For samples: how many rows it was trained on."
            | Metric _ -> "For samples: the metric. The first that they name if not given."
            | Filter _ -> "For samples: the filter, where they have several."

/// `peft import`: results of others as a file of runs, which `recommend`, `table` and `report` read like one's own.
[<RequireQualifiedAccess>]
module ImportCommand =
    let private samples (options: ParseResults<ImportOption>) (file: string) : Run =
        match
            options.TryGetResult ImportOption.Technique,
            options.TryGetResult ImportOption.Model,
            options.TryGetResult ImportOption.Rows
        with
        | Some technique, Some model, Some rows when rows > 0 ->
            PeftResults.ofSamples
                (Technique.parse technique)
                model
                rows
                (options.TryGetResult ImportOption.Metric)
                (options.TryGetResult ImportOption.Filter)
                file
        | _ ->
            userError
                $"{file} does not say what was trained: give --technique, --model and --rows, the number of training rows."

    /// Reads foreign results and writes them as one file of runs; 1 where one was left out.
    let run (options: ParseResults<ImportOption>) : int =
        let files = options.GetResult(ImportOption.Files, [])

        if files.IsEmpty then
            userError
                "import needs files: results of peft's method_comparison (.json) or lm-evaluation-harness' samples (.jsonl)."

        let read (file: string) : Result<Run, string> =
            try
                if file.EndsWith(".jsonl", System.StringComparison.OrdinalIgnoreCase) then
                    Ok(samples options file)
                else
                    PeftResults.read file
            with UserError cause ->
                Error cause

        let results = files |> List.map read
        let runs = results |> List.choose Result.toOption |> List.distinctBy _.Id

        for result in results do
            match result with
            | Error cause -> eprintfn $"peft: skipped: {cause}"
            | Ok _ -> ()

        if runs.IsEmpty then
            userError "none of the files could be imported."

        let output = options.GetResult(ImportOption.Output, "imported.jsonl.gz")
        Results.writeFile output runs

        printfn
            $"{output}: {runs.Length} runs; use it as evidence with peft recommend --results {output} --kind generation --rows N."

        if results |> List.forall Result.isOk then 0 else 1
