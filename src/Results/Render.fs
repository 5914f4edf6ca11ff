namespace Peft

open System
open System.Globalization
open Deedle

/// A quantity of one cell of a table: its mean over seeds.
type Cell =
    {
        /// The mean over seeds.
        Mean: float
        /// The sample standard deviation over seeds; nan for one seed.
        Deviation: float
        Seeds: int
        /// The ids of the runs it was computed from, so that a number leads back to result files.
        Runs: string list
    }

    /// Four decimals, and ± where there are several seeds.
    override cell.ToString() =
        let fixed' (value: float) =
            value.ToString("F4", CultureInfo.InvariantCulture)

        if cell.Seeds > 1 then
            $"{fixed' cell.Mean} ± {fixed' cell.Deviation}"
        else
            fixed' cell.Mean

/// The key of a row: the technique or baseline, and the level ("" for a baseline).
type RowKey = string * string

/// How the numbers of a table are written.
type NumberStyle =
    /// So many decimals, always.
    | Fixed of decimals: int
    /// At most so many decimals, with commas between thousands: whole numbers stay whole.
    | Plain of decimals: int
    /// Whole, with commas between thousands.
    | Grouped
    /// So many significant digits; the exponent form below a thousandth.
    | Significant of digits: int
    /// A share as per cent, without decimals.
    | Percent

[<RequireQualifiedAccess>]
module NumberStyle =
    let private invariant = CultureInfo.InvariantCulture

    let private significant (digits: int) (value: float) =
        if value = 0.0 then
            "0"
        elif abs value < 1e-3 then
            let zeros = String('0', digits - 1)
            value.ToString($"0.{zeros}E-00", invariant)
        else
            let decimals = digits - 1 - int (floor (log10 (abs value)))
            value.ToString($"F{max 0 decimals}", invariant)

    /// A number as the style has it; a dash for nan.
    let text (style: NumberStyle) (value: float) : string =
        if Double.IsNaN value then
            "–"
        else
            match style with
            | Fixed decimals -> value.ToString($"F{decimals}", invariant)
            | Plain decimals -> value.ToString("#,0." + String('#', decimals), invariant)
            | Grouped -> value.ToString("N0", invariant)
            | Significant digits -> significant digits value
            | Percent -> (100.0 * value).ToString("F0", invariant) + " %"

[<RequireQualifiedAccess>]
module Cell =
    /// The cell of one value for each seed, at least one, each with the ids of the runs it came from.
    let ofRuns (values: (string list * float) seq) : Cell =
        let runs = values |> Seq.collect fst |> Seq.distinct |> Seq.sort |> List.ofSeq
        // The sum of sorted values: rounding does not depend on the order of runs.
        let values = values |> Seq.map snd |> Seq.sort |> Array.ofSeq
        let mean = Array.average values

        {
            Mean = mean
            Deviation =
                if values.Length > 1 then
                    sqrt (
                        (values |> Array.sumBy (fun value -> (value - mean) ** 2.0))
                        / float (values.Length - 1)
                    )
                else
                    nan
            Seeds = values.Length
            Runs = runs
        }

    /// The cell of one value for each seed; at least one.
    let ofValues (values: float seq) : Cell =
        values |> Seq.map (fun value -> [], value) |> ofRuns

    /// The mean, and ± the deviation where there are several seeds.
    let text (style: NumberStyle) (cell: Cell) : string =
        if cell.Seeds > 1 then
            $"{NumberStyle.text style cell.Mean} ± {NumberStyle.text style cell.Deviation}"
        else
            NumberStyle.text style cell.Mean

/// Frames of cells as text, Markdown, CSV and LaTeX. What is missing is a dash, in CSV an empty field.
[<RequireQualifiedAccess>]
module Render =
    /// How missing cells are marked.
    let missing = "–"

    /// The headings of a row key.
    let keyNames = [ "technique"; "level" ]

    /// The cells of a row in the order of the columns; None where there is none.
    let cellsOf (columns: string list) (frame: Frame<RowKey, string>) (key: RowKey) : Cell option list =
        let cells = frame.GetRow<Cell> key

        columns
        |> List.map (fun column -> cells.TryGet column |> OptionalValue.asOption)

    /// The rows of a frame as text, the header first; `mark` gives what is added to a cell, "" for nothing.
    let marked
        (mark: RowKey -> string -> Cell -> string)
        (style: NumberStyle)
        (frame: Frame<RowKey, string>)
        : string list list =
        let columns = List.ofSeq frame.ColumnKeys

        let row (key: RowKey) =
            let text column cell =
                match cell with
                | Some cell -> Cell.text style cell + mark key column cell
                | None -> missing

            fst key :: snd key :: List.map2 text columns (cellsOf columns frame key)

        (keyNames @ columns) :: (frame.RowKeys |> Seq.map row |> List.ofSeq)

    /// The rows of a frame as text, the header first.
    let texts (style: NumberStyle) (frame: Frame<RowKey, string>) : string list list =
        marked (fun _ _ _ -> "") style frame

    /// Rows of text in columns that are aligned with blanks: the first `names` columns to the left, the others to the
    /// right. The first row is the header.
    let aligned (names: int) (rows: string list list) : string =
        let widths = rows |> List.transpose |> List.map (List.map String.length >> List.max)

        let line (row: string list) =
            List.zip row widths
            |> List.mapi (fun index (text, width) ->
                if index < names then
                    text.PadRight width
                else
                    text.PadLeft width)
            |> String.concat "  "
            |> _.TrimEnd()

        let rule =
            widths |> List.map (fun width -> String('─', width)) |> String.concat "  "

        line rows.Head :: rule :: List.map line rows.Tail |> String.concat "\n"

    /// Columns aligned with blanks: names to the left, numbers to the right.
    let toText (style: NumberStyle) (frame: Frame<RowKey, string>) : string = texts style frame |> aligned 2

    /// Rows of text as a Markdown table, the header first; numbers are aligned to the right. What Markdown or HTML would read
    /// as its own is escaped.
    let markdownOf (isNumber: bool list) (rows: string list list) : string =
        let escaped (cell: string) =
            cell.ReplaceLineEndings(" ").Replace("\\", "\\\\").Replace("|", "\\|").Replace("<", "&lt;")

        let line cells = "| " + String.concat " | " cells + " |"

        let rule = isNumber |> List.map (fun number -> if number then "---:" else "---")

        line (List.map escaped rows.Head)
        :: line rule
        :: List.map (List.map escaped >> line) rows.Tail
        |> String.concat "\n"

    let private numbersAfterKey (rows: string list list) =
        rows.Head |> List.mapi (fun index _ -> index >= keyNames.Length)

    /// A Markdown table.
    let toMarkdown (style: NumberStyle) (frame: Frame<RowKey, string>) : string =
        let rows = texts style frame
        markdownOf (numbersAfterKey rows) rows

    let private latexEscaped (text: string) =
        let escape letter =
            match letter with
            | '\\' -> "\\textbackslash{}"
            | '~' -> "\\textasciitilde{}"
            | '^' -> "\\textasciicircum{}"
            | '±' -> "$\\pm$"
            | '–' -> "--"
            | '…' -> "\\ldots{}"
            | '³' -> "\\textsuperscript{3}"
            | '§' -> "\\S{}"
            // A line that begins with a bracket would be the argument of the \\ or \midrule before it.
            | '[' -> "{[}"
            | ']' -> "{]}"
            | '\n'
            | '\r' -> " "
            | '&'
            | '%'
            | '$'
            | '#'
            | '_'
            | '{'
            | '}' -> $"\\{letter}"
            | other -> string other

        text |> String.collect escape

    /// Rows of text as a LaTeX table with booktabs' rules, the header first; numbers are aligned to the right.
    let latexOf (isNumber: bool list) (rows: string list list) : string =
        let line cells =
            "  " + String.concat " & " (List.map latexEscaped cells) + " \\\\"

        let alignment =
            isNumber
            |> List.map (fun number -> if number then "r" else "l")
            |> String.concat ""

        [
            $"\\begin{{tabular}}{{{alignment}}}"
            "  \\toprule"
            line rows.Head
            "  \\midrule"
            yield! List.map line rows.Tail
            "  \\bottomrule"
            "\\end{tabular}"
        ]
        |> String.concat "\n"

    /// A LaTeX table with booktabs' rules.
    let toLatex (style: NumberStyle) (frame: Frame<RowKey, string>) : string =
        let rows = texts style frame
        latexOf (numbersAfterKey rows) rows

    /// A number with every digit there is; nothing for nan.
    let exact (value: float) : string =
        if Double.IsNaN value then
            ""
        else
            value.ToString("R", CultureInfo.InvariantCulture)

    /// A spreadsheet would run a text that begins like a formula: an apostrophe tells it not to. Numbers stay as they are.
    let private inert (text: string) : string =
        let isNumber () =
            fst (Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture))

        if text <> "" && "=+-@\t\r".Contains text[0] && not (isNumber ()) then
            "'" + text
        else
            text

    /// Rows of text as CSV (RFC 4180, lines ended by a line feed).
    let csvOf (rows: string list list) : string =
        let quoted (text: string) =
            let text = inert text

            if text.IndexOfAny [| ','; '"'; '\n'; '\r' |] >= 0 then
                "\"" + text.Replace("\"", "\"\"") + "\""
            else
                text

        rows |> List.map (List.map quoted >> String.concat ",") |> String.concat "\n"

    /// The rows of a frame for CSV, the header first: a column each for mean, standard deviation and number of seeds.
    let csvRows (frame: Frame<RowKey, string>) : string list list =
        let columns = List.ofSeq frame.ColumnKeys

        let header =
            columns
            |> List.collect (fun column -> [ column; $"{column} sd"; $"{column} seeds" ])

        let row (key: RowKey) =
            cellsOf columns frame key
            |> List.collect (function
                | Some cell -> [ exact cell.Mean; exact cell.Deviation; string cell.Seeds ]
                | None -> [ ""; ""; "" ])
            |> fun values -> fst key :: snd key :: values

        (keyNames @ header) :: (frame.RowKeys |> Seq.map row |> List.ofSeq)

    /// CSV with a column each for mean, standard deviation and number of seeds, with every digit there is.
    let toCsv (frame: Frame<RowKey, string>) : string = csvRows frame |> csvOf
