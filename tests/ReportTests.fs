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

/// Words that would do harm if they became markup or ended a script.
let hostile =
    "</script><script>window.isHarmed = true</script><img src=x onerror='window.isHarmed = true'> \"quoted\" & 'so' \u2028 żółć 日本 🙂 <!--"

/// Writes a run and its predictions for 30 rows, of which row 3 is hostile.
let private add folder next (task: TaskDefinition) method level seed share seconds : unit =
    let predictions =
        Array.init 30 (fun row ->
            let isRight = next () < share

            {
                Row = row
                Input = if row = 3 then hostile else $"input {row}"
                Target = "yes"
                Prediction =
                    if row = 3 then hostile
                    elif isRight then "yes"
                    else "no"
                Score = if isRight then 1.0 else 0.0
            })

    let score = predictions |> Array.averageBy _.Score
    let run = run task method level seed score seconds
    Results.write folder run
    Evaluation.write (Run.predictionsPath folder run.Experiment) predictions

let private failed =
    let run = run TaskDefinition.topic (tuned "bitfit") (Some Low) 1 nan 1.0

    { run with
        Status = "failed"
        Error = hostile
        Scores = Collections.Generic.Dictionary()
        Metric = ""
        Command = hostile
    }

/// A small sweep: two tasks, two levels, three techniques and a baseline, two seeds; one run failed.
let writeSweep (folder: string) : unit =
    let next = uniform 21UL

    for task in [ TaskDefinition.topic; TaskDefinition.dialogue ] do
        for seed in 1..2 do
            add folder next task ZeroShot None seed 0.2 1.0

            for level in [ Low; Medium ] do
                for name, share, seconds in [ "full", 0.8, 60.0; "paper-lora", 0.85, 30.0; "paper-ia3", 0.5, 20.0 ] do
                    add folder next task (tuned name) (Some level) seed share (seconds + float seed)

    Results.write folder failed

let private inSweep (body: string -> unit) =
    inTemporaryFolder (fun folder ->
        writeSweep folder
        body folder)

let private content (results: string) : ReportContent =
    Report.create "peft report runs" (Path.Combine(results, "report")) results

let private sheet (name: string) (content: ReportContent) : Sheet =
    match content.Sheets |> List.tryFind (fun sheet -> sheet.Name = name) with
    | Some sheet -> sheet
    | None -> failtest $"there is no table {name}"

let private texts (row: SheetCell list) = row |> List.map (fun cell -> cell.Text)

let private tables =
    testList
        "tables"
        [
            testCase "every number of a table of scores and costs leads to the runs it is the mean of"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    let runs = content.Findings.Runs |> List.map (fun run -> run.Id, run) |> dict

                    for name, value in
                        [
                            "table1", (fun (run: Run) -> run.Score)
                            "memory", _.PeakMemoryMiB
                            "table6", (fun run -> run.Score / (run.Timing.Total / 60.0))
                        ] do
                        for row in (sheet name content).Rows do
                            for cell in row |> List.skip 2 |> List.filter (fun cell -> not cell.IsMissing) do
                                Expect.equal cell.Runs.Length 2 $"{name}: two seeds"

                                Expect.floatClose
                                    Accuracy.high
                                    cell.Value
                                    (cell.Runs |> List.averageBy (fun id -> value runs[id]))
                                    name

                    for sheet in content.Sheets do
                        for row in sheet.Rows do
                            for id in row |> List.collect (fun cell -> cell.Runs) do
                                Expect.isTrue (runs.ContainsKey id) $"{sheet.Name}: {id} is a run"

                                Expect.isTrue
                                    (File.Exists(Path.Combine(folder, RunSheets.fileOf runs[id])))
                                    "its result file is there")

            testCase "the best technique is named with its interval and with what is tied"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder

                    for row in (sheet "best" content).Rows do
                        let comparison =
                            content.Findings.Settings.Head.Comparisons
                            |> List.find (fun comparison ->
                                Tables.title comparison.Task = row[0].Text
                                && (comparison.Level |> Option.map Level.name) = Some row[1].Text)

                        let top = comparison.Standings |> Array.maxBy _.Mean
                        Expect.floatClose Accuracy.high row[3].Value top.Mean "score"

                        for standing in comparison.Standings do
                            if standing.Name <> row[2].Text then
                                Expect.equal
                                    (row[5].Text.Split "; " |> Array.contains standing.Name)
                                    standing.IsTied
                                    $"{standing.Name} in {row[5].Text}")

            testCase "baselines take part in the best, compared or not"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    for level in [ Low; Medium ] do
                        run TaskDefinition.topic (tuned "paper-lora") (Some level) 1 0.5 10.0
                        |> Results.write folder

                    run TaskDefinition.topic ZeroShot None 1 0.6 10.0 |> Results.write folder
                    // Another task's baseline is not asked.
                    run TaskDefinition.dialogue ZeroShot None 1 0.9 10.0 |> Results.write folder

                    Expect.equal
                        ((content folder |> sheet "best").Rows
                         |> List.map (fun row -> row[1].Text, row[2].Text, row[3].Value))
                        [ "low", "zero-shot", 0.6; "medium", "zero-shot", 0.6 ]
                        "best")

            testCase "a partial sweep gives partial tables: what is missing or failed is marked"
            <| fun () ->
                inSweep (fun folder ->
                    for file in Directory.GetFiles(folder, "dialogue-paper-ia3-low-s2-*") do
                        File.Delete file

                    let content = content folder
                    let coverage = (sheet "coverage" content).Rows

                    let row name level =
                        coverage |> List.find (fun row -> row[0].Text = name && row[1].Text = level)

                    Expect.equal (texts (row "paper-ia3" "low")) [ "paper-ia3"; "low"; "2 of 2"; "1 of 2" ] "one seed"
                    Expect.isTrue (row "paper-ia3" "low").[3].IsMissing "marked"
                    Expect.equal (texts (row "bitfit" "low")) [ "bitfit"; "low"; "0 of 2"; "–" ] "failed"
                    Expect.equal (sheet "failed" content).Rows.Length 1 "the failed run"
                    Expect.stringContains (Page.toHtml content) "no run gives this" "the page says so"

                    Expect.exists
                        (Summary.problems content.Findings)
                        _.Contains("paper-ia3 is left out: it has no run to compare with seed 2")
                        "the comparison says so")

            testCase "runs of different models have tables of their own, and nothing is averaged over them"
            <| fun () ->
                inSweep (fun folder ->
                    let run = run TaskDefinition.topic (tuned "paper-lora") (Some Low) 1 0.11 10.0

                    let experiment =
                        { run.Experiment with
                            Model = "another"
                        }

                    Results.write
                        folder
                        { run with
                            Experiment = experiment
                            Id = Experiment.id experiment
                            Name = Experiment.name experiment
                        }

                    Evaluation.write (Run.predictionsPath folder experiment) (predictions 1 [| 0.0; 1.0 |])
                    let content = content folder
                    Expect.equal content.Findings.Settings.Length 2 "settings"

                    let other =
                        if (sheet "table1" content).Rows.Length = 1 then
                            "table1"
                        else
                            "table1-2"

                    Expect.equal (sheet other content).Rows.Head.[2].Value 0.11 "alone"

                    for titles in [ content.Sheets |> List.map _.Title; content.Figures |> List.map _.Title ] do
                        Expect.equal (List.distinct titles) titles "titles say which setting they are of"

                    Expect.stringEnds (sheet "table1" content).Title "[1]" "by its number"
                    Expect.stringEnds (sheet "table1-2" content).Title "[2]" "by its number"

                    Expect.exists
                        (Summary.problems content.Findings)
                        _.Contains("several settings")
                        "the report says so")

            testCase "the same files give the same report"
            <| fun () ->
                inSweep (fun folder ->
                    let first, second = content folder, content folder

                    let page (content: ReportContent) =
                        Page.toHtml { content with MadeAt = "" }

                    Expect.isTrue (page first = page second) "pages")
        ]

/// The small sweep, and some of its runs again with other rates.
let private inTwoSettings (body: string -> unit) =
    inSweep (fun folder ->
        let next = uniform 22UL

        for task in [ TaskDefinition.topic; TaskDefinition.dialogue ] do
            for seed in 1..2 do
                for name in [ "full"; "paper-lora" ] do
                    let usual = run task (tuned name) (Some Low) seed 0.5 40.0

                    let experiment =
                        { usual.Experiment with
                            Training =
                                { usual.Experiment.Training with
                                    InitialRate = 0.1
                                    PeakRate = 0.7
                                    FinalRate = 0.2
                                }
                        }

                    Results.write
                        folder
                        { usual with
                            Experiment = experiment
                            Id = Experiment.id experiment
                            Name = Experiment.name experiment
                        }

                    Array.init 30 (fun _ -> if next () < 0.5 then 1.0 else 0.0)
                    |> predictions 0
                    |> Evaluation.write (Run.predictionsPath folder experiment)

        body folder)

let private settings =
    testList
        "settings"
        [
            testCase "several settings: a list of them once, and their numbers in every table, figure and viewer"
            <| fun () ->
                inTwoSettings (fun folder ->
                    let content = content folder
                    let numbered = content.Findings.Numbered
                    Expect.equal numbered.All.Length 2 "settings"

                    Expect.equal
                        (content.Sheets |> List.countBy (fun sheet -> sheet.Name = "settings"))
                        [ true, 1; false, content.Sheets.Length - 1 ]
                        "one list"

                    let list = (sheet "settings" content).Rows |> List.map texts
                    Expect.equal (list |> List.map List.head) [ "[1]"; "[2]" ] "numbers"
                    Expect.exists list (fun row -> row[1].Contains "rates 0.1 0.7 0.2") "what differs"

                    // Every run behind a named number belongs to the setting that the name says.
                    let numbersOf =
                        content.Findings.Runs
                        |> List.map (fun run -> run.Id, numbered.Numbers run)
                        |> dict

                    let isNamed (name: string) (runs: string list) =
                        runs
                        |> List.forall (fun id ->
                            let numbers = numbersOf[id]

                            if numbers.Length = 1 then
                                name.EndsWith $"[{numbers.Head}]"
                            else
                                not (name.Contains '['))

                    for name in
                        [
                            "table1"
                            "table4"
                            "table5"
                            "table6"
                            "figure1"
                            "memory"
                            "learning-curves"
                        ] do
                        for row in (sheet name content).Rows do
                            Expect.isTrue (row |> List.collect _.Runs |> isNamed row[0].Text) $"{name}: {row[0].Text}"

                    for row in (sheet "comparison" content).Rows do
                        Expect.isTrue (isNamed row[2].Text row[3].Runs) row[2].Text

                    for row in (sheet "best" content).Rows do
                        Expect.isTrue (isNamed row[2].Text row[3].Runs) row[2].Text

                    for figure in content.Figures do
                        for series in figure.Series |> List.filter (fun series -> series.Name <> "front") do
                            for point in series.Points do
                                Expect.isTrue (isNamed series.Name point.Runs) $"{figure.Name}: {series.Name}"

                    for name in [ "runs"; "failed"; "coverage" ] do
                        Expect.exists (sheet name content).Columns (fun column -> column.Heading = "setting") name

                    use json =
                        JsonDocument.Parse(PageData.toJson content.Findings content.Figures content.Samples)

                    for run in json.RootElement.GetProperty("runs").EnumerateArray() do
                        let name, id = string (run.GetProperty "technique"), string (run.GetProperty "id")
                        Expect.isTrue (isNamed name [ id ]) $"the viewer: {name}"

                    Expect.stringContains (sheet "table1" content |> Sheet.toLatex) "paper-lora {[}2{]} & low" "LaTeX"

                    // `\\ [1]` and `\midrule [1]` would take the number for a length.
                    for sheet in content.Sheets do
                        for line in (Sheet.toLatex sheet).Split '\n' do
                            Expect.isFalse (line.TrimStart().StartsWith '[') $"{sheet.Name}: {line}"

                    Expect.stringContains (sheet "table1" content |> Sheet.toCsv) "paper-lora [2],low" "CSV"
                    Expect.stringContains (Report.toMarkdown content) "| paper-lora [2] | low |" "Markdown")

            testCase "with one setting nothing has a number"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    Expect.isFalse (content.Sheets |> List.exists (fun sheet -> sheet.Name = "settings")) "no list"

                    for sheet in content.Sheets do
                        Expect.isFalse ((Sheet.toMarkdown sheet).Contains '[') sheet.Name
                        Expect.isFalse (sheet.Title.Contains '[') sheet.Title

                    for figure in content.Figures do
                        Expect.isFalse (figure.Title.Contains '[') figure.Title

                        for series in figure.Series do
                            Expect.isFalse (series.Name.Contains '[') series.Name)

            testCase "a task with too few techniques says so"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let next = uniform 23UL
                    add folder next TaskDefinition.topic (tuned "paper-lora") (Some Low) 1 0.5 1.0
                    add folder next TaskDefinition.dialogue ZeroShot None 1 0.5 1.0
                    let problems = (content folder).Findings |> Summary.problems |> List.map string

                    Expect.equal
                        (problems |> List.sort)
                        [
                            "Not compared row by row: Dialogue: no technique was trained, only zero-shot ran."
                            "Not compared row by row: Topic, low: paper-lora is the only technique; a comparison takes two."
                        ]
                        "both")
        ]

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

let private command =
    testList
        "command"
        [
            testCase "a whole folder gives 0, a damaged file is named, skipped and gives 1"
            <| fun () ->
                inSweep (fun folder ->
                    let output = Path.Combine(folder, "out")

                    let report () =
                        OptionsTests.peft [ "report"; folder; "--output"; output ]

                    let code, text, error = report ()
                    Expect.equal (code, error) (0, "") "whole"
                    Expect.stringContains text "report.html" "it says where"

                    let damaged = Path.Combine(folder, "damaged.json")
                    File.WriteAllText(damaged, "{ \"Schema\": ")
                    let predictions = Directory.GetFiles(folder, "topic-paper-lora-low-s1-*.jsonl")[0]
                    File.AppendAllText(predictions, "no JSON\n")
                    let code, _, error = report ()
                    Expect.equal code 1 "exit code"
                    let page = File.ReadAllText(Path.Combine(output, "report.html"))

                    for file in [ damaged; predictions ] do
                        Expect.stringContains error file "the error names it"
                        Expect.stringContains page (Path.GetFileName file |> string) "the page names it")

            testCase
                "a missing, damaged or empty predictions file is named once and gives 1, for a report and a comparison"
            <| fun () ->
                let missing, damaged, empty =
                    File.Delete,
                    (fun path -> File.AppendAllText(path, "no JSON\n")),
                    (fun path -> File.WriteAllText(path, ""))

                for change in [ missing; damaged; empty ] do
                    // A baseline's stand behind both levels.
                    for run in [ "topic-zero-shot-s1-*.jsonl"; "topic-paper-lora-low-s1-*.jsonl" ] do
                        inSweep (fun folder ->
                            let path = Directory.GetFiles(folder, run)[0]
                            change path
                            let name = Path.GetFileName path |> string
                            let times (text: string) = text.Split(name).Length - 1

                            let content = content folder

                            Expect.equal
                                (Summary.problems content.Findings |> List.sumBy times)
                                1
                                "once among the report's problems"

                            Expect.exists
                                (Summary.problems content.Findings)
                                _.Contains("is left out: its predictions could not be read.")
                                "what it costs"

                            for command in
                                [
                                    [ "report"; folder; "--output"; Path.Combine(folder, "out") ]
                                    [ "table"; "--compare"; "--results"; folder ]
                                ] do
                                let code, text, error = OptionsTests.peft command
                                Expect.equal code 1 "exit code"
                                Expect.equal (times text, times error) (0, 1) "once, on standard error")

            testCase "comparisons of several settings stand under their setting, and a legend tells the numbers"
            <| fun () ->
                inSweep (fun folder ->
                    let next = uniform 25UL

                    for name in [ "paper-lora"; "paper-ia3" ] do
                        let usual = run TaskDefinition.topic (tuned name) (Some Low) 1 0.5 40.0

                        let experiment =
                            { usual.Experiment with
                                Model = "another"
                            }

                        Results.write
                            folder
                            { usual with
                                Experiment = experiment
                                Id = Experiment.id experiment
                                Name = Experiment.name experiment
                            }

                        Array.init 30 (fun _ -> if next () < 0.5 then 1.0 else 0.0)
                        |> predictions 0
                        |> Evaluation.write (Run.predictionsPath folder experiment)

                    let code, text, error =
                        OptionsTests.peft [ "table"; "--compare"; "--results"; folder ]

                    Expect.equal (code, error) (0, "") "nothing was skipped"
                    let lines = text.Split '\n'
                    let heading = lines |> Array.findIndex _.StartsWith("[1] model another")
                    let second = lines |> Array.findIndex _.StartsWith("[2] model m")
                    let comparison = lines |> Array.findIndex _.StartsWith("Topic, low")
                    Expect.isTrue (heading < comparison && comparison < second) "under its setting"
                    Expect.exists lines _.StartsWith("Note: [1] model: another") "legend"
                    Expect.exists lines _.StartsWith("Note: [2] model: m") "legend")

            testCase "a copied result file is named, counts once and gives 1"
            <| fun () ->
                inSweep (fun folder ->
                    let original = Directory.GetFiles(folder, "topic-paper-lora-low-s1-*.json")[0]
                    let copy = Path.Combine(folder, "copy.json")
                    File.Copy(original, copy)
                    let before = (content folder |> sheet "table1").Rows |> List.map texts
                    File.Delete copy
                    Expect.equal before ((content folder |> sheet "table1").Rows |> List.map texts) "the same table"
                    File.Copy(original, copy)

                    let code, _, error =
                        OptionsTests.peft [ "report"; folder; "--output"; Path.Combine(folder, "out") ]

                    Expect.equal code 1 "exit code"
                    Expect.stringContains error copy "named"
                    Expect.equal (error.TrimEnd().Split('\n').Length) 1 "one line")

            testCase "a report deletes what an earlier one wrote and it does not, and nothing else"
            <| fun () ->
                // However the folder is written, it is the same one.
                for ending in [ ""; "/"; "/." ] do
                    inSweep (fun folder ->
                        let output = Path.Combine(folder, "report") + ending

                        let files () =
                            Directory.GetFiles(output, "*", SearchOption.AllDirectories)
                            |> Array.map (fun path -> Path.GetRelativePath(output, path).Replace('\\', '/'))
                            |> set

                        let manifest = Path.Combine(output, Manifest.fileName)

                        let listed () =
                            File.ReadAllLines manifest |> Seq.skip 1 |> set

                        Report.write output (content folder)
                        Expect.equal (files ()) (Set.add Manifest.fileName (listed ())) "all are listed"
                        let own = [ "mine.txt"; "tables/mine.txt"; "figures/mine.txt" ]

                        for name in own do
                            File.WriteAllText(Path.Combine(output, name), "mine")

                        // A list that was tampered with leads nowhere outside, and to nothing that is no file of a report.
                        let outside = Path.Combine(folder, "outside.txt")
                        File.WriteAllText(outside, "mine")
                        let lines = own @ [ "../outside.txt"; outside; ""; "."; "tables"; "./report.html" ]
                        File.AppendAllLines(manifest, lines)

                        for file in Directory.GetFiles(folder, "dialogue-*") do
                            File.Delete file

                        Report.write output (content folder)

                        Expect.equal (files ()) (listed () + set (Manifest.fileName :: own)) "the stale ones are gone"
                        Expect.isTrue (files () |> Set.contains "report.html") "the page stays"
                        Expect.isFalse (files () |> Set.exists _.Contains("dialogue")) "of the other task"
                        Expect.isTrue (File.Exists outside) "outside nothing is touched")

            testCase "a list that no report wrote deletes nothing, nor one that leads through a link"
            <| fun () ->
                inSweep (fun folder ->
                    let output = Path.Combine(folder, "report")
                    let elsewhere = Path.Combine(folder, "elsewhere")

                    let mine =
                        [
                            Path.Combine(output, "train.csv")
                            Path.Combine(output, "figures", "mine.png")
                            Path.Combine(elsewhere, "mine.csv")
                        ]

                    for path in mine do
                        Directory.CreateDirectory(Path.GetDirectoryName path |> string) |> ignore
                        File.WriteAllText(path, "mine")

                    Directory.CreateSymbolicLink(Path.Combine(output, "tables"), elsewhere)
                    |> ignore

                    let lines = [ "train.csv"; "tables/mine.csv"; "figures/mine.png" ]

                    for name in [ "manifest.txt"; Manifest.fileName ] do
                        File.WriteAllLines(Path.Combine(output, name), lines)

                    Report.write output (content folder)
                    Expect.all mine File.Exists "a list without the first line"
                    File.AppendAllLines(Path.Combine(output, Manifest.fileName), lines[..1])
                    Report.write output (content folder)
                    Expect.all mine File.Exists "a folder that is a link, a name that no report writes")

            testCase "a folder without results is refused in one line"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let code, _, error =
                        OptionsTests.peft [ "report"; folder; "--output"; Path.Combine(folder, "out") ]

                    Expect.equal code 1 "exit code"
                    Expect.stringContains error "holds no result file" "the cause"
                    Expect.equal (error.TrimEnd().Split('\n').Length) 1 "one line"
                    Expect.isFalse (Directory.Exists(Path.Combine(folder, "out"))) "nothing was written")
        ]

[<Tests>]
let tests = testList "Report" [ tables; settings; axes; samples; formats; command ]
