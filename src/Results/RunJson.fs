namespace Peft

open System
open System.Text.Json

/// Runs as JSON, in today's schema.
[<RequireQualifiedAccess>]
module RunJson =
    let private optionsOf (experiments: JsonSerializerOptions) =
        let options = JsonSerializerOptions(experiments)
        options.Converters.Add(OverridesConverter())
        options.Converters.Add(WordsConverter<Level>(Level.name, Level.find))
        options

    /// As result files have it.
    let options: JsonSerializerOptions = optionsOf Experiment.json

    /// One line, for files of several runs.
    let private line: JsonSerializerOptions =
        JsonSerializerOptions(options, WriteIndented = false)

    /// A run as a result file has it.
    let text (run: Run) : string =
        JsonSerializer.Serialize(run, options) + "\n"

    /// A run on one line.
    let lineOf (run: Run) : string = JsonSerializer.Serialize(run, line)

    let private ofElement (stem: string) (element: JsonElement) : Run =
        match element.TryGetProperty "Schema" with
        | true, version when version.ValueKind <> JsonValueKind.Number ->
            userError $"has result schema {version.GetRawText() |> Printable.short 40}"
        | true, version ->
            match version.TryGetInt32() with
            | true, 1 -> Legacy.read stem element
            | true, found when found = Run.schema ->
                match element.Deserialize<Run> options with
                | null -> userError "is empty"
                | run -> run
            | _ ->
                userError
                    $"has result schema {version.GetRawText() |> Printable.short 40}, and this version reads schemas 1 and {Run.schema}"
        | false, _ -> userError "is no result file: it states no Schema"

    /// A run of any known schema; `stem` is its file's name without extension, "" in a file of several runs. `UserError`,
    /// in words that follow a file's name, where it is none.
    let parse (stem: string) (text: string) : Run =
        try
            use document = JsonDocument.Parse text
            let run = ofElement stem document.RootElement
            Run.problem run |> Option.iter userError
            run
        with
        | :? JsonException as error -> userError $"is no readable result file ({error.Message |> Printable.short 300})"
        // Also a name or text with half a character in it.
        | :? InvalidOperationException
        | :? FormatException
        | :? OverflowException
        | :? ArgumentException -> userError "is no result file: it is no JSON object with a schema"
