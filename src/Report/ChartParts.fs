namespace Peft.Reports

open System
open Deedle
open Peft

/// What the figures of a report are made of: names, colours and points.
module internal ChartParts =
    /// Text as a part of a file's name.
    let fileWord (text: string) =
        text.ToLowerInvariant()
        |> String.map (fun letter -> if Char.IsAsciiLetterOrDigit letter then letter else '-')

    /// A number as text.
    let number (style: NumberStyle) (value: float) = NumberStyle.text style value

    /// The techniques of a setting in the order of tables: the name without a setting's number, and as tables write it.
    let names (setting: SettingFindings) : (string * string) list =
        let finished = setting.Runs |> List.filter _.IsFinished
        let nameIn = Tables.nameIn setting.Numbered finished

        finished
        |> List.sortBy (fun run -> Tables.rowOrder run, setting.Numbered.Numbers run)
        |> List.map (fun run -> Tables.nameOf run, nameIn run)
        |> List.distinct

    /// A setting with the number of each of its techniques by name, which decides colour and marker: ablation variants come
    /// after all others. It is the same in all settings' figures; only where a technique has several settings in one figure, the second and later ones have numbers
    /// of their own, after all others.
    let numbered (findings: Findings) : (SettingFindings * (string -> int)) list =
        let times (setting: SettingFindings) =
            names setting
            |> List.groupBy fst
            |> List.collect (fun (technique, names) ->
                names |> List.mapi (fun time (_, name) -> name, (technique, time)))

        let techniques =
            findings.Runs
            |> List.filter _.IsFinished
            |> List.sortBy Tables.rowOrder
            |> List.map Tables.nameOf
            |> List.distinct

        let variants = Variants.all findings

        let places =
            findings.Settings
            |> List.collect (times >> List.map snd)
            |> List.distinct
            |> List.sortBy (fun (technique, time) ->
                time, variants.Contains technique, List.findIndex ((=) technique) techniques)

        [
            for setting in findings.Settings do
                let own = times setting |> dict

                setting,
                fun name ->
                    match own.TryGetValue name with
                    | true, place -> List.findIndex ((=) place) places
                    | _ -> -1
        ]

    /// The names of techniques in the groups that are drawn apart, as `Variants.groups` has them.
    let groups (setting: SettingFindings) : (string * string list) list =
        Variants.groups (Variants.families setting) (names setting)

    /// The end of the choice of a figure of ablation variants.
    let placesWord = " and its places"

    /// A figure of one group: its name's, title's and choice's end.
    let endOf (group: string) (choice: string) : string * string * string =
        if group = "" then
            "", "", choice
        else
            $"-{fileWord group}", $", {group}{placesWord}", $"{choice}: {group}{placesWord}"

    /// A series of points without a line.
    let points (name: string) (technique: int) (points: ChartPoint list) : ChartSeries =
        {
            Name = name
            Technique = technique
            Points = points
            IsJoined = false
            HasMarkers = true
        }

    /// The point of a table's cell, with its standard deviation.
    let ofCell (label: string) (x: float) (cell: Cell) : ChartPoint =
        {
            X = x
            Y = cell.Mean
            Low = cell.Mean - cell.Deviation
            High = cell.Mean + cell.Deviation
            Label = label
            Runs = cell.Runs
        }

    /// The cells of a frame, row by row.
    let cellsOf (frame: Frame<RowKey, string>) : (RowKey * string * Cell) list =
        [
            for key in frame.RowKeys do
                let cells = frame.GetRow<Cell> key

                for column in frame.ColumnKeys do
                    match cells.TryGet column |> OptionalValue.asOption with
                    | Some cell -> key, column, cell
                    | None -> ()
        ]
