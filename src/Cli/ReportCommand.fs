namespace Peft

open System.IO
open Argu
open Peft.Reports

/// The options of `report`.
[<RequireQualifiedAccess>]
type ReportOption =
    | [<Unique; AltCommandLine("-r")>] Results of folder: string
    | [<MainCommand; Unique>] Runs of folder: string
    | [<Unique; AltCommandLine("-o")>] Output of folder: string
    | [<Unique>] Predictions of megabytes: float

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Results _ ->
                "The folder of result files that a sweep or run wrote, or a file of runs. 'results' if not given."
            | Runs _ -> "The same without its name."
            | Output _ -> "The folder to write to. 'report' if not given."
            | Predictions _ ->
                "Megabytes of test rows with their predictions on the page, spread evenly over all rows. 12 if not given."

/// `peft report`: a folder of results as Markdown, CSV, LaTeX, figures and one HTML page.
[<RequireQualifiedAccess>]
module ReportCommand =
    let private quoted (text: string) =
        if text.Contains ' ' then $"'{text}'" else text

    /// Writes the report; 1 where a file could not be read.
    let run (options: ParseResults<ReportOption>) : int =
        let results =
            match options.TryGetResult ReportOption.Results, options.TryGetResult ReportOption.Runs with
            | Some _, Some _ -> userError "--results and the word without a name both say which results: give one."
            | given, other -> given |> Option.orElse other |> Option.defaultValue "results"

        let output = options.GetResult(ReportOption.Output, "report")

        let megabytes =
            options.GetResult(ReportOption.Predictions, float Sample.pageBudget / 1e6)

        if not (megabytes >= 0.0 && megabytes <= 1000.0) then
            userError $"--predictions is {megabytes}; it is a number of megabytes from 0 to 1000."

        let content =
            Report.createWithin
                (int (megabytes * 1e6))
                $"peft report --results {quoted results} --output {quoted output}"
                output
                results

        for problem in content.Findings.Damaged do
            eprintfn $"peft: skipped: {problem}"

        Report.write output content

        if not (Picture.hasFonts ()) then
            eprintfn
                "peft: this machine has no font, so the pictures have no text (Debian: apt-get install fonts-dejavu-core)"

        let page = Path.Combine(output, "report.html")

        printfn
            $"{content.Findings.Runs.Length} runs, {content.Sheets.Length} tables, {content.Figures.Length} figures: open {page}, or read report.md, tables and figures beside it."

        if content.Findings.Damaged.IsEmpty then 0 else 1
