/// A report's figures, samples and formats.
module Peft.Tests.ReportTests

open System
open System.IO
open System.Net
open System.Security.Cryptography
open System.Text.Json
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns
open Peft.Tests.ReportSupport

/// The texts of an axis's ticks that lie within its limits, as drawn.
let private shownTicks (figure: Chart) : string list * string list =
    use plot = Picture.plot figure
    plot.RenderInMemory(Picture.width, Picture.height)
    let limits = plot.Axes.GetLimits()

    let texts (axis: ScottPlot.IAxis) (low: float) (high: float) =
        [
            for tick in axis.TickGenerator.Ticks do
                if tick.IsMajor && tick.Position >= low && tick.Position <= high then
                    tick.Label
        ]
        |> List.distinct

    texts plot.Axes.Bottom limits.Left limits.Right, texts plot.Axes.Left limits.Bottom limits.Top

let private axes =
    testList
        "axes"
        [
            testCase "every axis of numbers has two ticks or more, also where all values are one"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    for level in [ Low; Medium ] do
                        for name in [ "full"; "paper-lora"; "paper-ia3" ] do
                            for seed in 1..2 do
                                // The same answers, seconds and memory for all.
                                add folder (fun () -> 0.5) TaskDefinition.topic (tuned name) (Some level) seed 0.8 33.3

                    let same = content folder

                    inSweep (fun folder ->
                        let several = content folder

                        for figure in same.Figures @ several.Figures do
                            let x, y = shownTicks figure
                            Expect.isGreaterThanOrEqual y.Length 2 $"{figure.Name}: y has {y}"
                            // An axis of names has one for each task.
                            let least = if figure.X.Title = "" then 1 else 2
                            Expect.isGreaterThanOrEqual x.Length least $"{figure.Name}: x has {x}"

                        Expect.equal
                            (same.Figures |> List.map _.Group |> List.distinct)
                            (several.Figures |> List.map _.Group |> List.distinct)
                            "every kind of figure"))

            testCase "a logarithmic axis tells its places apart, however narrow its range"
            <| fun () ->
                for low in [ 1e-3; 0.031; 0.999; 1.0; 1.3; 7.0; 512.2; 99_999.0; 2.5e9 ] do
                    for ratio in [ 1.0; 1.000001; 1.0001; 1.001; 1.1; 1.9; 3.0; 12.0; 5_000.0 ] do
                        let figure =
                            {
                                Name = ""
                                Group = ""
                                Choice = ""
                                Title = ""
                                Caption = ""
                                X = Chart.logAxis "seconds" [ low; low * ratio ]
                                Y = Chart.axis "score"
                                Series =
                                    [
                                        {
                                            Name = ""
                                            Technique = 0
                                            Points =
                                                [
                                                    for x in [ low; low * ratio ] ->
                                                        {
                                                            X = x
                                                            Y = 0.0
                                                            Low = 0.0
                                                            High = 0.0
                                                            Label = ""
                                                            Runs = []
                                                        }
                                                ]
                                            IsJoined = false
                                            HasMarkers = true
                                        }
                                    ]
                                Reference = nan
                            }

                        let names = figure.X.Ticks |> List.map snd
                        Expect.equal (List.distinct names) names $"{low}, {ratio}: names"
                        let x, y = shownTicks figure
                        Expect.isGreaterThanOrEqual x.Length 2 $"{low}, {ratio}: x has {x} of {names}"
                        Expect.isGreaterThanOrEqual y.Length 2 $"{low}, {ratio}: y has {y}"
        ]

let private samples =
    testList
        "predictions"
        [
            testCase "every run's answer stands beside its test row"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    Expect.equal (content.Samples |> List.map _.Task) [ "topic"; "dialogue" ] "tasks"
                    let sample = content.Samples.Head
                    Expect.equal (sample.Rows.Length, sample.AllRows) (30, 30) "rows"

                    for row in sample.Rows do
                        Expect.equal row.Answers.Length 14 "seven runs of two seeds"

                    let row = sample.Rows |> List.find (fun row -> row.Input = hostile)
                    Expect.all row.Answers (fun answer -> answer.Text = hostile) "whole")

            testCase "too many rows are thinned out evenly"
            <| fun () ->
                inSweep (fun folder ->
                    let samples, damaged = Sample.read 12_000 (Findings.read folder)
                    Expect.isEmpty damaged "nothing is damaged"
                    let sample = samples.Head
                    Expect.isLessThan sample.Rows.Length 30 "fewer"
                    Expect.isGreaterThan sample.Rows.Length 3 "some"
                    Expect.equal sample.Rows.Head.Input "input 0" "from the first")
        ]

let private csvFields (line: string) = line.Split(',').Length

let private formats =
    testList
        "formats"
        [
            testCase "a report is Markdown, a page, CSV and LaTeX of every table, PNG and SVG of every figure"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    let output = Path.Combine(folder, "report")
                    Report.write output content

                    let read (name: string) =
                        File.ReadAllText(Path.Combine(output, name))

                    let markdown = read "report.md"
                    Expect.stringContains (read "report.html") "</html>" "page"

                    for sheet in content.Sheets do
                        Expect.stringContains markdown $"## {sheet.Title}\n" sheet.Name
                        let latex = read $"tables/{sheet.Name}.tex"
                        Expect.stringContains latex "\\toprule" "booktabs"
                        Expect.equal (latex.Split("\\\\\n").Length - 1) (sheet.Rows.Length + 1) "a line a row"

                        if sheet.Name <> "failed" then
                            let lines = (read $"tables/{sheet.Name}.csv").TrimEnd('\n').Split '\n'
                            Expect.equal lines.Length (sheet.Rows.Length + 1) $"{sheet.Name}: a line a row"

                    let table1 = (read "tables/table1.csv").Split '\n'
                    Expect.equal (csvFields table1[1]) (csvFields table1[0]) "fields"

                    for figure in content.Figures do
                        let png = File.ReadAllBytes(Path.Combine(output, "figures", figure.Name + ".png"))
                        Expect.equal png[1..3] "PNG"B figure.Name
                        let width = int png[18] * 256 + int png[19]
                        Expect.equal width (Picture.width * Picture.pngScale) "width"
                        Expect.stringContains (read $"figures/{figure.Name}.svg") "<svg" figure.Name)

            testCase "figures: scores, Figure 1, learning curves and fronts, each point with its runs"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    let groups = content.Figures |> List.countBy _.Group

                    Expect.equal
                        groups
                        [ "scores", 2; "figure1", 2; "learning", 2; "front", 12 ]
                        "two levels, two tasks, three costs"

                    for figure in content.Figures do
                        for series in figure.Series do
                            for point in series.Points do
                                Expect.isNonEmpty point.Runs $"{figure.Name}, {series.Name}"
                                Expect.isFalse (point.Y < point.Low || point.Y > point.High) "within its interval"

                    let front =
                        content.Figures
                        |> List.find (fun figure -> figure.Name = "front-topic-low-seconds")

                    let line = front.Series |> List.find (fun series -> series.Name = "front")

                    Expect.equal
                        (line.Points
                         |> List.pairwise
                         |> List.filter (fun (left, right) -> right.Y <= left.Y))
                        []
                        "a front rises")

            testCase "the page loads nothing from anywhere"
            <| fun () ->
                inSweep (fun folder ->
                    let html = content folder |> Page.toHtml
                    Expect.stringContains html "Content-Security-Policy" "policy"
                    let own = html.Replace(Assets.read Assets.plotly, "")

                    for word in [ "http://"; "https://"; "@import"; "url(" ] do
                        Expect.isFalse (own.Contains word) word)

            testCase "hostile texts are data on the page, never markup"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    let html = Page.toHtml content
                    Expect.isFalse (html.Contains "<img") "no element"
                    let json = PageData.toJson content.Findings content.Figures content.Samples
                    Expect.isFalse (json.Contains '<') "no tag in the data"
                    use document = JsonDocument.Parse json

                    let errors =
                        [
                            for run in document.RootElement.GetProperty("runs").EnumerateArray() do
                                match string ((run.GetProperty "record").GetProperty "Error") with
                                | "" -> ()
                                | error -> error
                        ]

                    Expect.equal errors [ hostile ] "the record is exact"
                    let cell = (sheet "failed" content).Rows.Head[5]
                    Expect.equal cell.Text (Printable.short 500 hostile) "the reason, on one line")

            testProperty "escaped text holds no markup and reads back"
            <| fun (text: string) ->
                let text =
                    if isNull (box text) then
                        ""
                    else
                        text |> String.filter (fun letter -> letter >= ' ')

                let escaped = Html.escape text

                not (escaped |> Seq.exists (fun letter -> "<>\"'".Contains letter))
                && (string (WebUtility.HtmlDecode escaped)).Replace('\uFFFD', '?') =
                    text.Replace('\127', '?').Replace('\uFFFD', '?')

            testCase "the plotting library is its publisher's file"
            <| fun () ->
                let path = Path.Combine(root, "src", "Report", "assets", Assets.plotly)
                let sum = Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes path))
                Expect.equal sum Assets.plotlySum "sum"

                let readme =
                    File.ReadAllText(Path.Combine(root, "src", "Report", "assets", "README.md"))

                Expect.stringContains readme sum "the README names it"
                Expect.stringContains (Assets.read Assets.plotly) $"v{Assets.plotlyVersion}" "version"
        ]

[<Tests>]
let tests = testList "Report" [ axes; samples; formats ]
