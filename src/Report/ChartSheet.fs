namespace Peft.Reports

open System
open Peft

/// Figures as tables.
[<RequireQualifiedAccess>]
module ChartSheet =
    open ChartParts

    /// A figure as a table: its text alternative.
    let ofChart (figure: Chart) : Sheet =
        let place (point: ChartPoint) =
            match figure.X.Ticks with
            | _ when figure.X.IsLogarithmic -> number (if point.X < 100.0 then Fixed 1 else Grouped) point.X
            | [] -> number (Plain 1) point.X
            | ticks -> ticks |> List.minBy (fun (at, _) -> abs (at - point.X)) |> snd

        let end' runs (value: float) =
            if Double.IsNaN value then
                SheetCell.words ""
            else
                SheetCell.number (Fixed 4) runs value

        Sheet.create
            ("figure-" + figure.Name)
            figure.Title
            figure.Caption
            [
                Sheet.words "technique"
                if figure.X.Title = "" then
                    Sheet.words "task"
                else
                    Sheet.number figure.X.Title
                Sheet.number figure.Y.Title
                Sheet.number "low"
                Sheet.number "high"
            ]
            [
                for series in figure.Series do
                    for point in series.Points do
                        [
                            SheetCell.words series.Name
                            { SheetCell.words (place point) with
                                Value = point.X
                            }
                            SheetCell.number (Fixed 4) point.Runs point.Y
                            end' point.Runs point.Low
                            end' point.Runs point.High
                        ]
            ]
