namespace Peft.Reports

open Deedle
open Peft

/// One cell of a report's table.
type SheetCell =
    {
        /// As people read it.
        Text: string
        /// What sorting goes by; nan for words and for what is missing.
        Value: float
        /// The ids of the runs it was computed from.
        Runs: string list
        /// Whether no run gives it.
        IsMissing: bool
    }

type SheetColumn = { Heading: string; IsNumber: bool }

/// A table of a report, for every format.
type Sheet =
    {
        /// The name of its files.
        Name: string
        Title: string
        /// What a reader must know to read it; "" for nothing.
        Note: string
        Columns: SheetColumn list
        Rows: SheetCell list list
        /// For CSV, the header first: numbers with every digit.
        Csv: string list list
    }

[<RequireQualifiedAccess>]
module SheetCell =
    /// Words.
    let words (text: string) : SheetCell =
        {
            Text = text
            Value = nan
            Runs = []
            IsMissing = false
        }

    /// A number in a style, from runs.
    let number (style: NumberStyle) (runs: string list) (value: float) : SheetCell =
        {
            Text = NumberStyle.text style value
            Value = value
            Runs = runs
            IsMissing = System.Double.IsNaN value
        }

    /// What no run gives.
    let missing: SheetCell =
        { words Render.missing with
            IsMissing = true
        }

    /// As CSV has it.
    let exact (cell: SheetCell) : string =
        if cell.IsMissing then ""
        elif System.Double.IsNaN cell.Value then cell.Text
        else Render.exact cell.Value

[<RequireQualifiedAccess>]
module Sheet =
    /// A column of words.
    let words (heading: string) : SheetColumn = { Heading = heading; IsNumber = false }

    /// A column of numbers.
    let number (heading: string) : SheetColumn = { Heading = heading; IsNumber = true }

    /// A table whose CSV holds the same columns.
    let create (name: string) (title: string) (note: string) (columns: SheetColumn list) rows : Sheet =
        {
            Name = name
            Title = title
            Note = note
            Columns = columns
            Rows = rows
            Csv = List.map _.Heading columns :: List.map (List.map SheetCell.exact) rows
        }

    /// The table of a frame; `mark` gives what is added to a cell.
    let ofFrame
        name
        title
        note
        style
        (mark: RowKey -> string -> Cell -> string)
        (frame: Frame<RowKey, string>)
        : Sheet =
        let columns = List.ofSeq frame.ColumnKeys

        let cell key column (cell: Cell option) =
            match cell with
            | None -> SheetCell.missing
            | Some cell ->
                { SheetCell.number style cell.Runs cell.Mean with
                    Text = Cell.text style cell + mark key column cell
                }

        let row (key: RowKey) =
            SheetCell.words (fst key)
            :: SheetCell.words (snd key)
            :: List.map2 (cell key) columns (Render.cellsOf columns frame key)

        {
            Name = name
            Title = title
            Note = note
            Columns = List.map words Render.keyNames @ List.map number columns
            Rows = frame.RowKeys |> Seq.map row |> List.ofSeq
            Csv = Render.csvRows frame
        }

    let private texts (sheet: Sheet) =
        List.map _.Heading sheet.Columns :: List.map (List.map _.Text) sheet.Rows

    let toMarkdown (sheet: Sheet) : string =
        texts sheet |> Render.markdownOf (sheet.Columns |> List.map _.IsNumber)

    let toLatex (sheet: Sheet) : string =
        texts sheet |> Render.latexOf (sheet.Columns |> List.map _.IsNumber)

    let toCsv (sheet: Sheet) : string = Render.csvOf sheet.Csv
