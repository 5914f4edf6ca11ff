namespace Peft.Reports

open System
open System.Globalization
open System.IO
open Peft

/// From a folder of results to a folder of answers.
[<RequireQualifiedAccess>]
module Report =
    /// The report of a folder of results; `command` is the one that reproduces it.
    let createWithin (budget: int) (command: string) (output: string) (results: string) : ReportContent =
        let findings = Findings.read results
        let samples, damaged = Sample.read budget findings

        let findings =
            { findings with
                Damaged = findings.Damaged @ damaged
            }

        {
            Findings = findings
            Sheets = Sheets.all findings
            Figures = Charts.all findings
            Samples = samples
            Command = command
            MadeAt = DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture)
            ResultsPath = Path.GetRelativePath(output, results).Replace('\\', '/')
        }

    /// `createWithin` the usual size of the page.
    let create (command: string) (output: string) (results: string) : ReportContent =
        createWithin Sample.pageBudget command output results

    /// The report as Markdown: the summary, then every table.
    let toMarkdown (content: ReportContent) : string =
        let findings = content.Findings

        let items (items: string list) =
            items
            |> List.map (fun item -> $"- {item.ReplaceLineEndings(string ' ')}")
            |> String.concat "\n"

        let sheet (sheet: Sheet) =
            [
                $"## {sheet.Title}"
                if sheet.Note <> "" then
                    sheet.Note
                Sheet.toMarkdown sheet
                $"[CSV](tables/{sheet.Name}.csv) · [LaTeX](tables/{sheet.Name}.tex)"
            ]
            |> String.concat "\n\n"

        let figure (figure: Chart) =
            $"## {figure.Title}\n\n![{figure.Title}](figures/{figure.Name}.png)\n\n{figure.Caption}"

        [
            "# Fine-tuning techniques compared"
            Summary.facts findings
            |> List.map (fun (name, value) -> $"{name}: {value}")
            |> items
            match Summary.problems findings with
            | [] -> ()
            | problems ->
                "## What is missing or was left out"
                items problems
            yield! content.Sheets |> List.map sheet
            yield! content.Figures |> List.map figure
            "## Reproduction"
            "```sh\n"
            + String.Join("\n", Summary.commands findings @ [ content.Command ])
            + "\n```"
            items (
                Summary.versions findings
                @ Summary.sources findings
                @ Summary.methods
                @ Summary.notes findings
            )
        ]
        |> String.concat "\n\n"
        |> fun text -> text + "\n"

    /// Writes `report.md`, `report.html`, `tables/*.csv`, `tables/*.tex` and `figures/*.png`, `*.svg` into a folder.
    let write (output: string) (content: ReportContent) : unit =
        let path (parts: string list) =
            Path.Combine(Array.ofList (output :: parts))

        for folder in [ []; [ "tables" ]; [ "figures" ] ] do
            Files.createFolder (path folder)

        for sheet in content.Sheets do
            Files.writeAtomically (path [ "tables"; $"{sheet.Name}.csv" ]) (Sheet.toCsv sheet + "\n")
            Files.writeAtomically (path [ "tables"; $"{sheet.Name}.tex" ]) (Sheet.toLatex sheet + "\n")

        for figure in content.Figures do
            Picture.write (path [ "figures" ]) figure

        Files.writeAtomically (path [ "report.md" ]) (toMarkdown content)
        Files.writeAtomically (path [ "report.html" ]) (Page.toHtml content)
