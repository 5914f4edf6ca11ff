namespace Peft

open System

/// Everything that the paper's figures say about themselves.
type Audit =
    {
        Figures: AuditedFigure list
        /// Printed accuracies that no whole number of right answers gives, with the nearest that does.
        OffGrid: (Figure * float) list
        Noise: NoiseTest list
        Best: Best list
        Claims: Claim list
    }

/// The audit of the paper, cell by cell and statement by statement: `peft paper`.
[<RequireQualifiedAccess>]
module Audit =
    let private made =
        lazy
            {
                Figures = Arithmetic.figures ()
                OffGrid = Arithmetic.offGrid ()
                Noise = Arithmetic.noise ()
                Best = Arithmetic.best ()
                Claims = Claims.all
            }

    /// The audit as data.
    let paper () : Audit = made.Value

    let private number = Claim.number

    let private at (task: string) (level: Level) =
        $"{Tables.title task}, {Level.name level}"

    let private mark (verdict: Verdict) =
        match verdict with
        | Recomputes -> "="
        | CutOff -> "≈"
        | Differs -> "≠"

    let private rowText (figure: Figure) =
        if figure.Placement = Placed.allLayers || figure.Placement = "-" then
            figure.Technique
        else
            $"{figure.Technique}, {figure.Placement}"

    /// The recomputed figures of one table beside the printed ones: `=` agrees, `≈` was cut off, `≠` differs.
    let beside (style: NumberStyle) (figures: AuditedFigure list) : string =
        let columns = figures |> List.map _.Figure.Task |> List.distinct

        let row ((name, level), cells: AuditedFigure list) =
            name
            :: level
            :: (columns
                |> List.map (fun task ->
                    match cells |> List.tryFind (fun cell -> cell.Figure.Task = task) with
                    | Some cell ->
                        $"{NumberStyle.text style cell.Recomputed} {mark cell.Verdict} {cell.Figure.Printed.Text}"
                    | None -> Render.missing))

        ("technique" :: "level" :: List.map Tables.title columns)
        :: (figures
            |> List.groupBy (fun cell -> rowText cell.Figure, Level.text cell.Figure.Level)
            |> List.map row)
        |> Render.aligned 2

    /// How many figures have each verdict.
    let count (figures: AuditedFigure list) : string =
        let number verdict =
            figures |> List.filter (fun cell -> cell.Verdict = verdict) |> List.length

        $"{figures.Length} figures: {number Recomputes} agree within rounding, {number CutOff} are cut off instead of rounded, {number Differs} differ."

    let private differences (figures: AuditedFigure list) : string list =
        [
            for cell in figures do
                if cell.Verdict = Differs then
                    let where =
                        [
                            cell.Figure.Technique
                            Level.text cell.Figure.Level
                            Tables.title cell.Figure.Task
                        ]
                        |> List.filter ((<>) "")
                        |> String.concat ", "

                    let hint =
                        match cell.Hints with
                        | [] -> ""
                        | hints -> "; " + String.Join("; ", List.truncate 2 hints)

                    $"  {where}: printed {cell.Figure.Printed.Text}, recomputed {NumberStyle.text (Significant 4) cell.Recomputed}{hint}"
        ]

    let private noiseText (audit: Audit) : string =
        let pairs = audit.Noise
        let raw = pairs |> List.filter _.IsNoise |> List.length

        let corrected =
            pairs |> List.filter (fun test -> test.Adjusted >= 0.05) |> List.length

        let column (best: Best) =
            if List.contains best.Task Arithmetic.classification then
                let tied =
                    if best.Tied.IsEmpty then
                        "alone"
                    else
                        "with " + String.Join(", ", best.Tied)

                [
                    $"  {at best.Task best.Level}: best is {best.Technique} {number (Arithmetic.scoreOf best.Technique best.Level best.Task)}, {tied}"
                ]
            else
                []

        [
            $"Of {pairs.Length} pairs of techniques on AG News (2,500 test rows) and CoLA (522), {raw} differ by no more than chance in the test rows (two-sided, P >= 0.05), {corrected} after Holm's correction. One run each: what another seed would change comes on top."
            "A two-proportion test, since the paper prints no answers row by row; a paired test would be sharper. For ROUGE-L it prints nothing to test with."
            yield! audit.Best |> List.collect column
        ]
        |> String.concat "\n"

    /// The audit as text: Tables 5 and 6, Figure 1 and the speed-ups recomputed beside the printed figures, what differs,
    /// item noise, and each statement with its verdict.
    let describe () : string =
        let audit = paper ()

        let of' quantity =
            audit.Figures |> List.filter (fun cell -> cell.Figure.Quantity = quantity)

        let section heading style quantity =
            let cells = of' quantity

            [
                $"{heading}: recomputed = printed (≈ cut off, ≠ differs)"
                ""
                beside style cells
                ""
                count cells
                yield! differences cells
            ]
            |> String.concat "\n"

        let plain heading quantity =
            let cells = of' quantity
            String.concat "\n" ($"{heading}: {count cells}" :: differences cells)

        let offGrid =
            match audit.OffGrid with
            | [] -> "Every printed accuracy is a whole number of right answers."
            | found ->
                let line (figure: Figure, nearest: float) =
                    $"  {figure.Place}, {rowText figure}, {Level.text figure.Level}, {Tables.title figure.Task}: printed {figure.Printed.Text}, the nearest possible is {number nearest}"

                String.concat
                    "\n"
                    ("Printed accuracies that no whole number of right answers gives:"
                     :: List.map line found)

        [
            section "Table 5, score per 100,000 trainable parameters" (Significant 4) Quantity.PerParameters
            section "Table 6, score per minute" (Significant 4) Quantity.PerMinute
            "Figure 1, run time relative to full fine-tuning (printed as a drawing only)\n\n"
            + Render.toText
                (Fixed 2)
                (Paper.runs
                 |> List.filter (fun run -> run.Experiment.Level <> Some High)
                 |> SpeedUps.figure1)
            section "§3.2, full fine-tuning's mean speed-up in per cent" (Plain 1) Quantity.SpeedUp
            plain "Table 2's rows of whole techniques against Table 1" Quantity.Score
            plain "Table 3 and A.4 against the counts of FLAN-T5-XL's shape" Quantity.Parameters
            offGrid
            "Item noise\n\n" + noiseText audit
            "What the paper concludes, and what its figures say\n\n"
            + (audit.Claims |> List.map Claim.describe |> String.concat "\n\n")
        ]
        |> String.concat "\n\n"
