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
                // A file is named once.
                Settings =
                    findings.Settings
                    |> List.map (fun setting ->
                        { setting with
                            NotCompared = setting.NotCompared |> List.map (Predictions.withoutFiles damaged)
                        })
            }

        {
            Findings = findings
            Sheets = Sheets.all findings
            Figures = Charts.all findings
            Samples = samples
            Answer = []
            Command = command
            MadeAt = DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture)
            ResultsPath = Path.GetRelativePath(output, results).Replace('\\', '/')
        }

    /// `createWithin` the usual size of the page.
    let create (command: string) (output: string) (results: string) : ReportContent =
        createWithin Sample.pageBudget command output results

    /// The report as Markdown: the answers, what was run, then every table.
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
            yield! content.Answer
            for setting in findings.Settings do
                for answer in TaskAnswer.all setting do
                    $"## {TaskAnswer.heading answer}{setting.Heading}"
                    items (TaskAnswer.sentences answer)
            "## What was run"
            Summary.facts findings
            |> List.map (fun (name, value) -> $"{name}: {value}")
            |> items
            match Summary.digests findings with
            | "" -> ()
            | told -> $"<sub>{told}</sub>"
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

    /// The files of a report, each with what writes it into its folder.
    let private files (output: string) (content: ReportContent) : (string list * (unit -> unit)) list =
        let text (name: string) (make: unit -> string) =
            [ name ], (fun () -> Files.writeAtomically (Path.Combine(output, name)) (make ()))

        [
            for sheet in content.Sheets do
                text $"tables/{sheet.Name}.csv" (fun () -> Sheet.toCsv sheet + "\n")
                text $"tables/{sheet.Name}.tex" (fun () -> Sheet.toLatex sheet + "\n")

            for figure in content.Figures do
                [ $"figures/{figure.Name}.png"; $"figures/{figure.Name}.svg" ],
                (fun () -> Picture.write (Path.Combine(output, "figures")) figure)

            text "report.md" (fun () -> toMarkdown content)
            text "report.html" (fun () -> Page.toHtml content)
        ]

    /// Writes `report.md`, `report.html`, `tables/*.csv`, `tables/*.tex` and `figures/*.png`, `*.svg` into a folder, and
    /// their list (`Manifest`). What an earlier report wrote and this one does not write is deleted, nothing else.
    let write (output: string) (content: ReportContent) : unit =
        for folder in [ ""; "tables"; "figures" ] do
            Files.createFolder (Path.Combine(output, folder))

        let files, before = files output content, Manifest.read output
        let names = files |> List.collect fst
        // Both lists first: a report that is stopped half-way leaves no file behind that nobody knows of.
        Manifest.write output (before @ names)

        for _, write in files do
            write ()

        for name in List.except names before do
            File.Delete(Path.Combine(output, name))

        Manifest.write output names
