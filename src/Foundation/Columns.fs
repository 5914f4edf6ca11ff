namespace Peft

open System.Globalization

/// Plain monospaced tables.
[<RequireQualifiedAccess>]
module Columns =
    /// A whole number with its thousands apart: 3,538,944.
    let number (value: int64) : string =
        value.ToString("N0", CultureInfo.InvariantCulture)

    /// Bytes in the unit that suits them: 812 B, 3.4 KiB, 12.0 MiB, 10.6 GiB.
    let bytes (value: int64) : string =
        let units = [ "KiB"; "MiB"; "GiB"; "TiB" ]

        let rec scaled (value: float) (units: string list) =
            match units with
            | unit :: rest when rest.IsEmpty || value < 1024.0 * 1024.0 ->
                (value / 1024.0).ToString("0.0", CultureInfo.InvariantCulture) + $" {unit}"
            | _ :: rest -> scaled (value / 1024.0) rest
            | [] -> ""

        if value < 1024L then
            $"{value} B"
        else
            scaled (float value) units

    let private isNumber (cell: string) =
        cell = "" || cell = "-" || System.Char.IsAsciiDigit cell[0]

    /// The head, a rule, and the rows, each a line without trailing blanks. Columns of numbers stand to the right.
    let table (head: string list) (rows: string list list) : string =
        let columns = List.transpose (head :: rows)
        let widths = columns |> List.map (List.map String.length >> List.max)
        let isRight = columns |> List.map (fun column -> List.forall isNumber column.Tail)

        let line (cells: string list) =
            List.map3
                (fun (cell: string) (width: int) right -> if right then cell.PadLeft width else cell.PadRight width)
                cells
                widths
                isRight
            |> String.concat "  "
            |> _.TrimEnd()

        let rule =
            widths
            |> List.map (String.replicate >> fun repeat -> repeat "-")
            |> String.concat "  "

        line head :: rule :: List.map line rows |> String.concat "\n"
