module Peft.Tests.PaperTests

open System
open System.IO
open Deedle
open Expecto
open Peft
open Peft.Tests.Support

let private printed (figure: Printed option) = (Option.get figure).Text

let private meanOf (frame: Frame<RowKey, string>) (row: RowKey) (column: string) = frame.GetRow<Cell>(row).[column].Mean

let private isMissing (frame: Frame<RowKey, string>) (row: RowKey) (column: string) =
    frame.GetRow<Cell>(row).TryGet column |> OptionalValue.asOption |> Option.isNone

let private near (expected: float) (tolerance: float) (actual: float) =
    Expect.isLessThan (abs (actual - expected)) tolerance $"{actual} is not {expected}"

let private transcription =
    testList
        "figures"
        [
            testCase "every table has all of its figures, each once"
            <| fun () ->
                for name, figures, count in
                    [
                        "Table 1", Paper.table1, 60
                        "Table 2", Paper.table2, 52
                        "Table 3 and A.4", Paper.table3, 16
                        "Table 4", Paper.table4, 80
                        "Table 5", Paper.table5, 48
                        "Table 6", Paper.table6, 32
                        "§3.2", Paper.speedUps, 8
                    ] do
                    Expect.equal figures.Length count name

                Expect.equal Paper.figures.Length 296 "all"

                let places =
                    Paper.figures
                    |> List.map (fun figure ->
                        { figure with
                            Printed = Printed.parse "0"
                        })

                Expect.equal (List.distinct places).Length 296 "no place twice"

            testCase "figures keep the digits they are printed with"
            <| fun () ->
                Expect.equal (printed (Paper.score "full" Low "cola")) "0.699" "Table 1"
                Expect.equal (printed (Paper.score "prompt" Low "samsum")) "0.00472" "Table 1"
                Expect.equal (printed (Paper.score "paper-ia3" High "samsum")) "0.43998" "Table 1"
                Expect.equal (printed (Paper.ablation "paper-ia3" "early layers" "agnews")) "0.60" "Table 2"
                Expect.equal (printed (Paper.ablation "paper-lora" "all layers" "cola")) "0.814176" "Table 2"

                Expect.equal
                    (printed (Paper.ablation "paper-ia3" "without dense activation" "e2e"))
                    "0.481544"
                    "Table 2"

                Expect.equal (printed (Paper.parameters "full" "all layers")) "2849757184" "Table 3"
                Expect.equal (printed (Paper.parameters "paper-lora" "without query/output")) "1769472" "Table 3"
                Expect.equal (printed (Paper.seconds "paper-lora" Low "e2e")) "9897" "Table 4"
                Expect.equal (printed (Paper.seconds "bitfit" Medium "cola")) "507" "Table 4"

                let text (figures: Figure list) technique level task =
                    figures
                    |> List.find (fun figure ->
                        (figure.Technique, figure.Level, figure.Task) = (technique, Some level, task))
                    |> _.Printed.Text

                Expect.equal (text Paper.table5 "full" Low "agnews") "3.01E-05" "Table 5"
                Expect.equal (text Paper.table5 "bitfit" Medium "samsum") "0.0363" "Table 5"
                Expect.equal (text Paper.table6 "paper-lora" Low "cola") "0.0583" "Table 6"
                Expect.equal (text Paper.speedUps "" Medium "samsum") "64" "§3.2"

            testCase "the last digit tells how exact a figure is"
            <| fun () ->
                for text, value, step in
                    [
                        "0.60", 0.6, 0.01
                        "3.01E-05", 3.01e-5, 1e-7
                        "89", 89.0, 1.0
                        "0.0363", 0.0363, 1e-4
                    ] do
                    let printed = Printed.parse text
                    Expect.floatClose Accuracy.high printed.Value value text
                    Expect.floatClose Accuracy.high (printed.Unit / step) 1.0 text

            testCase "the files in data/paper are those in the assembly"
            <| fun () ->
                let assembly = typeof<Figure>.Assembly

                for file in Directory.GetFiles(Path.Combine(root, "data", "paper"), "*.csv") do
                    match assembly.GetManifestResourceStream $"paper/{Path.GetFileName file}" with
                    | null -> failtest $"{file} is not in the assembly"
                    | stream ->
                        use reader = new StreamReader(stream)
                        Expect.equal (reader.ReadToEnd()) (File.ReadAllText file) file
        ]

let private tables =
    testList
        "tables"
        [
            testCase "the paper's runs give its Table 1 by the function that serves every run"
            <| fun () ->
                let table = Tables.table1 Paper.runs
                Expect.equal (table.RowCount, table.ColumnCount) (15, 4) "size"
                Expect.equal (Seq.head table.RowKeys) ("full", "low") "the paper's order"

                for figure in Paper.table1 do
                    let metric =
                        if List.contains figure.Task [ "agnews"; "cola" ] then
                            "accuracy"
                        else
                            "ROUGE-L"

                    let level = Level.name figure.Level.Value

                    Expect.equal
                        (meanOf table (figure.Technique, level) $"{Tables.title figure.Task} ({metric})")
                        figure.Printed.Value
                        $"{figure.Technique}, {level}, {figure.Task}"

            testCase "Tables 2, 3 and 4 come back as printed, high-level run times missing"
            <| fun () ->
                Expect.equal (Tables.table2 Paper.ablations).RowCount 13 "Table 2's rows"
                let counts = Tables.table3 (Placed.ofRuns Paper.runs @ Paper.ablations)
                Expect.equal counts.RowCount 16 "Table 3 and A.4, full fine-tuning being the total"
                Expect.equal (meanOf counts ("paper-ia3, without attention", "") "parameters") 344064.0 "a variant"
                let times = Tables.table4 Paper.runs
                Expect.equal (meanOf times ("prompt", "medium") "SAMSum (s)") 2681.0 "seconds"
                Expect.equal (meanOf times ("prompt", "medium") "SAMSum (epoch)") 2.0 "epoch"

                Expect.isTrue (isMissing times ("prompt", "high") "SAMSum (s)") "no time at high"

            testCase "Tables 5 and 6, Figure 1 and the speed-ups, by hand"
            <| fun () ->
                near 0.0717431 1e-7 (meanOf (Tables.table5 Paper.runs) ("paper-ia3", "low") "AG News")
                near 3.01359e-5 1e-9 (meanOf (Tables.table5 Paper.runs) ("full", "low") "AG News")
                near 0.0412554 1e-7 (meanOf (Tables.table6 Paper.runs) ("full", "low") "AG News")
                near 0.0931787 1e-7 (meanOf (Tables.table6 Paper.runs) ("bitfit", "medium") "CoLA")
                near (725.0 / 89.0) 1e-12 (meanOf (SpeedUps.figure1 Paper.runs) ("paper-ia3", "low") "CoLA")
                let speedUps = SpeedUps.speedUps Paper.runs
                near 0.734411 1e-6 (meanOf speedUps ("full fine-tuning's speed-up", "low") "AG News")
                near 0.497927 1e-6 (meanOf speedUps ("full fine-tuning's speed-up", "medium") "SAMSum")

                Expect.isTrue (isMissing speedUps ("full fine-tuning's speed-up", "high") "CoLA") "high"
        ]

let private verdicts (quantity: Quantity) =
    let found =
        (Audit.paper ()).Figures
        |> List.filter (fun cell -> cell.Figure.Quantity = quantity)

    let count verdict =
        found |> List.filter (fun cell -> cell.Verdict = verdict) |> List.length

    count Recomputes, count CutOff, count Differs

let private audit =
    testList
        "audit"
        [
            testCase "how many printed figures recompute, table by table"
            <| fun () ->
                Expect.equal (verdicts Quantity.Score) (8, 0, 0) "Table 2's repeated rows"
                Expect.equal (verdicts Quantity.Parameters) (16, 0, 0) "Table 3 and A.4 follow from the model's shape"
                Expect.equal (verdicts Quantity.PerParameters) (35, 11, 2) "Table 5"
                Expect.equal (verdicts Quantity.PerMinute) (21, 6, 5) "Table 6"
                Expect.equal (verdicts Quantity.SpeedUp) (4, 3, 1) "§3.2"

            testCase "the speed-up on SAMSum at medium is 50 %, not 64 %"
            <| fun () ->
                let wrong =
                    (Audit.paper ()).Figures
                    |> List.filter (fun cell -> cell.Figure.Quantity = Quantity.SpeedUp && cell.Verdict = Differs)

                Expect.equal
                    (wrong
                     |> List.map (fun cell -> cell.Figure.Level, cell.Figure.Task, cell.Figure.Printed.Text))
                    [ Some Medium, "samsum", "64" ]
                    "one"

                near 49.79 0.01 wrong.Head.Recomputed

            testCase "one digit explains LoRA's score per minute on CoLA at low"
            <| fun () ->
                let cell =
                    (Audit.paper ()).Figures
                    |> List.find (fun cell ->
                        let figure = cell.Figure

                        (figure.Quantity, figure.Technique, figure.Level, figure.Task) =
                            (Quantity.PerMinute, "paper-lora", Some Low, "cola"))

                Expect.equal cell.Hints [ "it fits if Table 4's 687 reads 787" ] "hint"

            testCase "two printed accuracies are no whole number of right answers"
            <| fun () ->
                Expect.equal
                    ((Audit.paper ()).OffGrid |> List.map (fun (figure, _) -> figure.Printed.Text))
                    [ "0.60684"; "0.80567" ]
                    "figures"

            testCase "item noise: 38 of 60 pairs are not told apart, 44 after Holm's correction"
            <| fun () ->
                let noise = (Audit.paper ()).Noise
                Expect.equal noise.Length 60 "pairs"
                Expect.equal (noise |> List.filter _.IsNoise |> List.length) 38 "raw"
                Expect.equal (noise |> List.filter (fun test -> test.Adjusted >= 0.05) |> List.length) 44 "corrected"
                Expect.all noise (fun test -> test.Adjusted >= test.Test.P) "Holm never lowers P"

                let best =
                    (Audit.paper ()).Best
                    |> List.find (fun best -> best.Task = "cola" && best.Level = High)

                Expect.equal
                    (best.Technique, best.Tied)
                    ("paper-lora", [ "full"; "paper-ia3"; "bitfit"; "prompt" ])
                    "CoLA at high tells nothing apart"

            testCase "each statement has its verdict"
            <| fun () ->
                for name, verdict, held, all in
                    [
                        "quality-low-medium", Mixed, 7, 8
                        "quality-ia3", Mixed, 2, 8
                        "quality-high", Mixed, 2, 4
                        "bitfit-lora-best", Mixed, 7, 8
                        "full-gains-with-data", Supported, 8, 8
                        "peft-better-low-medium", Mixed, 15, 32
                        "prompt-is-worst", Supported, 12, 12
                        "few-rows", NoEvidence, 0, 0
                        "full-is-faster", Mixed, 31, 32
                        "full-is-better-too", Mixed, 17, 32
                        "peft-converges-faster-with-data", Supported, 16, 16
                        "time-low-medium", Mixed, 7, 8
                        "time-high", NoEvidence, 0, 0
                        "memory-low", Supported, 4, 4
                        "memory-medium-high", Supported, 8, 8
                        "memory-with-prompt", Mixed, 2, 12
                        "below-one-per-cent", Supported, 4, 4
                        "half-is-enough", Mixed, 6, 8
                        "ia3-later-not-early", Mixed, 6, 8
                        "lora-later-not-early", Mixed, 4, 8
                        "attention-matters", Mixed, 7, 8
                        "lora-tolerates-removal", Mixed, 9, 12
                        "self-attention-on-classification", Supported, 4, 4
                    ] do
                    let claim = Claims.find name
                    Expect.equal (claim.Verdict, claim.Held, claim.Checks.Length) (verdict, held, all) name

                Expect.equal Claims.all.Length 23 "no other statement"

            testCase "the text shows both numbers of what differs, and no line is left over from a missing value"
            <| fun () ->
                let text = Audit.describe ()

                for words in
                    [
                        "0.006558 ≠ 0.00597"
                        "48 figures: 35 agree within rounding, 11 are cut off instead of rounded, 2 differ."
                        "medium, SAMSum: printed 64, recomputed 49.79"
                        "no evidence in the paper's figures"
                    ] do
                    Expect.stringContains text words words

                Expect.isFalse (text.Contains "NaN") "no NaN"
        ]

[<Tests>]
let tests = testList "Paper" [ transcription; tables; audit ]
