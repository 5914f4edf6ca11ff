namespace Peft.Reports

open System
open Peft

/// Tables and figures as parts of a page.
[<RequireQualifiedAccess>]
module Blocks =
    let private link (href: string) (words: string) =
        Element("a", [ "href", Uri.EscapeDataString(href).Replace("%2F", "/"); "download", "" ], [ Text words ])

    let private headerCell (column: SheetColumn) =
        Element(
            "th",
            [
                "scope", "col"
                "aria-sort", "none"
                if column.IsNumber then
                    "class", "number"
            ],
            [ Element("button", [ "type", "button" ], [ Text column.Heading ]) ]
        )

    /// What a cell shows: words, or a button that leads to the result files behind it.
    let private content (cell: SheetCell) =
        match cell.Runs with
        | [] -> Text cell.Text
        | runs ->
            let files =
                if runs.Length = 1 then
                    "1 result file"
                else
                    $"{runs.Length} result files"

            let first = String.Join(" ", List.truncate 5 runs)
            let more = if runs.Length > 5 then " …" else ""

            Element(
                "button",
                [
                    "type", "button"
                    "class", "cell"
                    "data-runs", String.Join(" ", runs)
                    "title", $"from {files}: {first}{more}"
                ],
                [ Text cell.Text ]
            )

    let private bodyCell (place: int) (column: SheetColumn) (cell: SheetCell) =
        let classes =
            [
                if column.IsNumber then
                    "number"
                if cell.IsMissing then
                    "missing"
            ]

        let attributes =
            [
                if place = 0 then
                    "scope", "row"
                if not classes.IsEmpty then
                    "class", String.Join(" ", classes)
                if Double.IsFinite cell.Value then
                    "data-value", Render.exact cell.Value
                if cell.IsMissing && cell.Runs.IsEmpty then
                    "title", "no run gives this"
            ]

        Element((if place = 0 then "th" else "td"), attributes, [ content cell ])

    /// Whether a row is of a technique among `variants`.
    let private isVariant (variants: Set<string>) (sheet: Sheet) (row: SheetCell list) =
        List.zip sheet.Columns row
        |> List.exists (fun (column, cell) -> column.Heading = "technique" && variants.Contains cell.Text)

    /// The bare table of a sheet; rows of `variants` are marked.
    let private tableOf (variants: Set<string>) (sheet: Sheet) =
        let row cells =
            Element(
                "tr",
                (if isVariant variants sheet cells then
                     [ "class", "variant" ]
                 else
                     []),
                cells |> List.mapi2 bodyCell sheet.Columns
            )

        Html.tag
            "table"
            [
                Element("caption", [ "class", "unseen" ], [ Text sheet.Title ])
                Html.tag "thead" [ Html.tag "tr" (sheet.Columns |> List.map headerCell) ]
                Html.tag "tbody" (sheet.Rows |> List.map row)
            ]

    let private scrolling (title: string) (table: Html) =
        Element("div", [ "class", "scroll"; "tabindex", "0"; "role", "region"; "aria-label", title ], [ table ])

    /// From so many rows on a table gets a filter.
    let private filterFrom = 6

    /// The variants that a table hides until they are asked for: those of a table that is not about them.
    let private hidden (variants: Set<string>) (sheet: Sheet) : Set<string> =
        let rows = sheet.Rows |> List.filter (isVariant variants sheet)

        if
            sheet.Name = "failed"
            || sheet.Name.StartsWith "table2"
            || rows.Length = sheet.Rows.Length
        then
            Set.empty
        else
            variants

    /// What chooses among a table's rows: words, and whether ablation variants are shown.
    let private filters (variants: Set<string>) (sheet: Sheet) : Html list =
        let ofVariants = sheet.Rows |> List.filter (isVariant variants sheet) |> List.length

        [
            if sheet.Rows.Length >= filterFrom then
                Html.tag
                    "label"
                    [
                        Text "Filter "
                        Element(
                            "input",
                            [
                                "type", "search"
                                "class", "filter"
                                "placeholder", "words that a row must have"
                            ],
                            []
                        )
                    ]

            if ofVariants > 0 then
                Html.tag
                    "label"
                    [
                        Element("input", [ "type", "checkbox"; "class", "variants" ], [])
                        Text $" ablation variants ({ofVariants})"
                    ]

            if sheet.Rows.Length >= filterFrom || ofVariants > 0 then
                Element("span", [ "class", "count"; "role", "status" ], [])
        ]

    /// A table that sorts and filters, with its note and its files; rows of techniques among `variants` are shown when asked
    /// for.
    let sheet (variants: Set<string>) (sheet: Sheet) : Html =
        let variants = hidden variants sheet

        Element(
            "div",
            [ "class", "sheet"; "id", $"table-{sheet.Name}" ],
            [
                Html.tag "h3" [ Text sheet.Title ]
                if sheet.Note <> "" then
                    Element("p", [ "class", "note" ], [ Text sheet.Note ])
                Element(
                    "div",
                    [ "class", "tools" ],
                    [
                        yield! filters variants sheet
                        Element(
                            "span",
                            [ "class", "files" ],
                            [
                                link $"tables/{sheet.Name}.csv" "CSV"
                                Text " "
                                link $"tables/{sheet.Name}.tex" "LaTeX"
                            ]
                        )
                    ]
                )
                tableOf variants sheet |> scrolling sheet.Title
            ]
        )

    let private figure (isShown: bool) (figure: Chart) =
        Element(
            "figure",
            [
                "class", "plot"
                "data-figure", figure.Name
                if not isShown then
                    "hidden", ""
            ],
            [
                Html.tag "h3" [ Text figure.Title ]
                Element(
                    "div",
                    [
                        "class", "canvas"
                        "role", "img"
                        "aria-label", $"{figure.Title}. {figure.Caption} The numbers are in the table below."
                    ],
                    []
                )
                Html.tag
                    "figcaption"
                    [
                        Text(figure.Caption + " ")
                        link $"figures/{figure.Name}.png" "PNG"
                        Text " "
                        link $"figures/{figure.Name}.svg" "SVG"
                    ]
                Html.tag
                    "details"
                    [
                        Html.tag "summary" [ Text "The numbers of this figure" ]
                        ChartSheet.ofChart figure |> tableOf Set.empty |> scrolling figure.Title
                    ]
            ]
        )

    /// The figures of one group with a choice among them.
    let figures (figures: Chart list) : Html list =
        match figures with
        | [] -> []
        | first :: _ ->
            [
                Element(
                    "div",
                    [ "class", "figures" ],
                    [
                        if figures.Length > 1 then
                            Element(
                                "label",
                                [ "class", "choice" ],
                                [
                                    Text "Show "
                                    Html.tag
                                        "select"
                                        [
                                            for other in figures do
                                                Element("option", [ "value", other.Name ], [ Text other.Choice ])
                                        ]
                                ]
                            )
                        yield! figures |> List.map (fun other -> figure (other.Name = first.Name) other)
                    ]
                )
            ]
