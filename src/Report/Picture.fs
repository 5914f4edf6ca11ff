namespace Peft.Reports

open System
open ScottPlot
open Peft

/// Figures as PNG and SVG files for a paper.
[<RequireQualifiedAccess>]
module Picture =
    /// In pixels of SVG; PNG has `pngScale` times as many.
    let width, height = 900, 560

    let pngScale = 2

    let private markerShape (name: string) =
        match name with
        | "square" -> MarkerShape.FilledSquare
        | "diamond" -> MarkerShape.FilledDiamond
        | "triangle-up" -> MarkerShape.FilledTriangleUp
        | _ -> MarkerShape.FilledCircle

    /// Beyond the first and last place of a logarithmic axis, in powers of ten.
    let private limitMargin = 0.05

    let private drawSeries (plot: Plot) (place: float -> float) (series: ChartSeries) =
        let colour = Color.FromHex(Chart.colour series.Technique)

        for point in series.Points do
            if not (Double.IsNaN point.Low || Double.IsNaN point.High) then
                let bar = plot.Add.Line(place point.X, point.Low, place point.X, point.High)
                bar.Color <- colour
                bar.LineWidth <- 1.5f

        let points = series.Points |> List.sortBy _.X |> Array.ofList

        let drawn =
            plot.Add.Scatter(points |> Array.map (_.X >> place), points |> Array.map _.Y)

        drawn.LegendText <- series.Name
        drawn.Color <- colour
        drawn.LineWidth <- if series.IsJoined then 1.5f else 0.0f

        drawn.LinePattern <-
            if series.HasMarkers then
                LinePattern.Solid
            else
                LinePattern.Dashed

        drawn.MarkerShape <- markerShape (Chart.marker series.Technique)
        drawn.MarkerSize <- if series.HasMarkers then 8.0f else 0.0f

    /// Whether the machine has any font: without one, pictures have no text.
    let hasFonts () : bool =
        SkiaSharp.SKFontManager.Default.FontFamilyCount > 0

    /// The first of these fonts that the machine has; what Skia takes otherwise may be anything.
    let private font () =
        let known = set SkiaSharp.SKFontManager.Default.FontFamilies

        [ "Helvetica"; "Arial"; "Liberation Sans"; "DejaVu Sans" ]
        |> List.tryFind known.Contains

    /// The figure as ScottPlot's plot.
    let plot (figure: Chart) : Plot =
        let plot = new Plot()
        let place = if figure.X.IsLogarithmic then log10 else id
        figure.Series |> List.iter (drawSeries plot place)

        if not (Double.IsNaN figure.Reference) then
            let line = plot.Add.HorizontalLine figure.Reference
            line.Color <- Color.FromHex(Chart.colour -1)
            line.LinePattern <- LinePattern.Dashed
            line.LineWidth <- 1.0f

        match figure.X.Ticks with
        | [] -> ()
        | ticks ->
            plot.Axes.Bottom.TickGenerator <-
                TickGenerators.NumericManual(
                    ticks |> List.map (fst >> place) |> Array.ofList,
                    ticks |> List.map snd |> Array.ofList
                )

            // Named places keep room on both sides.
            if not figure.X.IsLogarithmic then
                plot.Axes.SetLimitsX(-0.6, float ticks.Length - 0.4)

        Chart.limits figure
        |> Option.iter (fun (low, high) -> plot.Axes.SetLimitsX(place low - limitMargin, place high + limitMargin))

        plot.Title(figure.Title, 16.0f)
        plot.XLabel(figure.X.Title, 13.0f)
        plot.YLabel(figure.Y.Title, 13.0f)
        plot.ShowLegend Edge.Right |> ignore
        font () |> Option.iter (fun name -> plot.Font.Set name |> ignore)
        plot

    /// Writes `<name>.png` and `<name>.svg` into a folder.
    let write (folder: string) (figure: Chart) : unit =
        use plot = plot figure

        let path (kind: string) =
            IO.Path.Combine(folder, $"{figure.Name}.{kind}")

        plot.SaveSvg(path "svg", width, height) |> ignore
        plot.ScaleFactor <- float pngScale
        plot.SavePng(path "png", width * pngScale, height * pngScale) |> ignore
