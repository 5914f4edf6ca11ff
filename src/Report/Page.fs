namespace Peft.Reports

open System
open Peft

/// What every format of a report says.
[<NoComparison; NoEquality>]
type ReportContent =
    {
        Findings: Findings
        Sheets: Sheet list
        Figures: Chart list
        Samples: TaskSample list
        /// What the runs come to, in words, a line each: the first thing on the page. Empty where nobody has said so.
        Answer: string list
        /// The command that made it.
        Command: string
        /// UTC, to the second.
        MadeAt: string
        /// From the report's folder to the results, for links.
        ResultsPath: string
    }

/// The report as one self-contained HTML page.
[<RequireQualifiedAccess>]
module Page =
    let private section (id: string) (title: string) (children: Html list) =
        Element("section", [ "id", id ], Html.tag "h2" [ Text title ] :: children)

    let private list (items: string list) =
        Html.tag "ul" (items |> List.map (fun item -> Html.tag "li" [ Text item ]))

    let private sheetsWhere (content: ReportContent) (isOne: string -> bool) =
        content.Sheets
        |> List.filter (fun sheet -> isOne sheet.Name)
        |> List.map (Blocks.sheet (Variants.all content.Findings))

    let private named (content: ReportContent) (name: string) = sheetsWhere content ((=) name)

    let private figuresOf (content: ReportContent) (group: string) =
        content.Figures
        |> List.filter (fun figure -> figure.Group = group)
        |> Blocks.figures

    /// A heading for each setting, where there are several.
    let private bySetting (content: ReportContent) (make: SettingFindings -> Html list) : Html list =
        [
            for setting in content.Findings.Settings do
                let parts = make setting

                if content.Findings.Settings.Length > 1 && not parts.IsEmpty then
                    Element("p", [ "class", "setting" ], [ Text $"Setting{setting.Heading}: {setting.Setting}" ])

                yield! parts
        ]

    /// From so many characters on a fact takes the room of two.
    let private longFact = 60

    let private facts (content: ReportContent) =
        Element(
            "dl",
            [ "class", "facts" ],
            [
                for name, value in Summary.facts content.Findings do
                    Element(
                        "div",
                        (if value.Length > longFact then [ "class", "long" ] else []),
                        [ Html.tag "dt" [ Text name ]; Html.tag "dd" [ Text value ] ]
                    )
            ]
        )

    let private problems (content: ReportContent) =
        match Summary.problems content.Findings with
        | [] -> []
        | problems ->
            [
                Element(
                    "div",
                    [ "class", "problems"; "role", "note"; "aria-label", "What is missing" ],
                    [ Html.tag "h3" [ Text "What is missing or was left out" ]; list problems ]
                )
            ]

    let private answer (content: ReportContent) =
        match content.Answer with
        | [] -> []
        | lines -> [ Element("div", [ "class", "answer" ], lines |> List.map Html.paragraph) ]

    let private summary (content: ReportContent) =
        section
            "summary"
            "The answer"
            [
                yield! answer content
                yield! bySetting content (TaskAnswer.all >> AnswerBlocks.tasks)
                yield! problems content
                yield! bySetting content (fun setting -> named content ("best" + setting.Suffix))
                Html.tag "h3" [ Text "What was run" ]
                Html.paragraph (Summary.sentence content.Findings)
                facts content
                Element("p", [ "class", "note" ], [ Html.tag "small" [ Text(Summary.digests content.Findings) ] ])
                yield! named content "settings"
            ]

    let private scores (content: ReportContent) =
        section
            "scores"
            "Scores"
            (bySetting content (fun setting ->
                figuresOf content ("scores" + setting.Suffix)
                @ figuresOf content ("variants" + setting.Suffix)
                @ named content ("table1" + setting.Suffix)
                @ named content ("table2" + setting.Suffix)
                @ named content ("comparison" + setting.Suffix)
                @ named content ("noise" + setting.Suffix)))

    let private costs (content: ReportContent) =
        section
            "costs"
            "Parameters, time and memory"
            (bySetting content (fun setting ->
                [
                    yield! figuresOf content ("front" + setting.Suffix)
                    yield! figuresOf content ("figure1" + setting.Suffix)
                    for name in [ "figure1"; "speedups"; "table3"; "table4"; "table5"; "table6"; "memory" ] do
                        yield! named content (name + setting.Suffix)
                ]))

    let private curves (content: ReportContent) =
        match
            bySetting content (fun setting ->
                figuresOf content ("learning" + setting.Suffix)
                @ named content ("learning-curves" + setting.Suffix))
        with
        | [] -> []
        | parts -> [ section "curves" "Learning curves" parts ]

    let private answers (content: ReportContent) =
        let counts =
            content.Samples
            |> List.map (fun sample ->
                if sample.Rows.Length = sample.AllRows then
                    $"{Tables.title sample.Task}: all {sample.AllRows:N0} distinct test rows"
                else
                    $"{Tables.title sample.Task}: {sample.Rows.Length:N0} of {sample.AllRows:N0} distinct test rows, evenly spread")
            |> String.concat "; "

        section
            "answers"
            "Predictions side by side"
            [
                Html.paragraph $"{counts}. All predictions lie beside the result files, as *.predictions.jsonl."
                Element("div", [ "id", "viewer" ], [ Html.paragraph "Choosing a test row needs JavaScript." ])
                yield! sheetsWhere content _.StartsWith("disagreement-")
            ]

    let private runs (content: ReportContent) =
        section
            "runs"
            "Runs"
            [
                yield! named content "coverage"
                yield! named content "failed"
                yield! named content "runs"
            ]

    let private reproduction (content: ReportContent) =
        let code (lines: string list) =
            Html.tag "pre" [ Html.tag "code" [ Text(String.Join("\n", lines)) ] ]

        section
            "reproduction"
            "Reproduction"
            [
                Html.tag "h3" [ Text "Commands of the runs" ]
                code (Summary.commands content.Findings)
                Html.tag "h3" [ Text "Versions" ]
                list (Summary.versions content.Findings)
                Html.tag "h3" [ Text "Rows" ]
                list (Summary.sources content.Findings)
                Html.tag "h3" [ Text "This report" ]
                code [ content.Command ]
                list Summary.methods
                match Summary.notes content.Findings with
                | [] -> ()
                | notes ->
                    Html.tag "h3" [ Text "Notes" ]
                    list notes
                Html.paragraph
                    $"Made at {content.MadeAt} from {content.Findings.Folder}. Plots by plotly.js {Assets.plotlyVersion} (MIT licence, Plotly, Inc.), which is part of this page."
            ]

    let private sections =
        [
            "summary", "Answer"
            "scores", "Scores"
            "costs", "Costs"
            "curves", "Learning curves"
            "answers", "Predictions"
            "runs", "Runs"
            "reproduction", "Reproduction"
        ]

    let private head (title: string) (style: string) (scripts: string list) =
        let policy =
            let hashes = scripts |> List.map Assets.policyHash |> String.concat " "
            // Plotly sets inline styles. Nothing may be loaded from anywhere.
            $"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"

        Html.tag
            "head"
            [
                Element("meta", [ "charset", "utf-8" ], [])
                Element("meta", [ "http-equiv", "Content-Security-Policy"; "content", policy ], [])
                Element("meta", [ "name", "viewport"; "content", "width=device-width, initial-scale=1" ], [])
                Element("meta", [ "name", "color-scheme"; "content", "light dark" ], [])
                // Without it a browser asks the page's server for /favicon.ico.
                Element("link", [ "rel", "icon"; "href", "data:," ], [])
                Html.tag "title" [ Text title ]
                Html.tag "style" [ Raw style ]
            ]

    let private header (title: string) (hasCurves: bool) : Html list =
        [
            Element("a", [ "class", "skip"; "href", "#summary" ], [ Text "Skip to the answer" ])
            Html.tag
                "header"
                [
                    Html.tag "h1" [ Text title ]
                    Element(
                        "button",
                        [
                            "type", "button"
                            "id", "theme"
                            "aria-label", "Colours: as the system has them"
                        ],
                        [ Text "Colours: system" ]
                    )
                ]
            Element(
                "nav",
                [ "aria-label", "Sections" ],
                [
                    for id, name in sections do
                        if hasCurves || id <> "curves" then
                            Element("a", [ "href", $"#{id}" ], [ Text name ])
                ]
            )
        ]

    /// The page as text. It asks nothing of the network: style, scripts and data are part of it, and its policy forbids
    /// everything else.
    let toHtml (content: ReportContent) : string =
        let title = "Fine-tuning techniques compared"

        let plotly, script, style =
            Assets.read Assets.plotly, Assets.read "report.js", Assets.read "report.css"

        let data = PageData.toJson content.Findings content.Figures content.Samples
        let curves = curves content

        let body =
            Element(
                "body",
                [ "data-results", content.ResultsPath ],
                [
                    yield! header title (not curves.IsEmpty)
                    Html.tag
                        "main"
                        [
                            summary content
                            scores content
                            costs content
                            yield! curves
                            answers content
                            runs content
                            reproduction content
                        ]
                    Element("dialog", [ "id", "evidence"; "aria-labelledby", "evidence-title" ], [])
                    Element("script", [ "type", "application/json"; "id", "data" ], [ Raw data ])
                    Html.tag "script" [ Raw plotly ]
                    Html.tag "script" [ Raw script ]
                ]
            )

        "<!DOCTYPE html>\n"
        + Html.toString
            [
                Element("html", [ "lang", "en" ], [ head title style [ plotly; script ]; body ])
            ]
        + "\n"
