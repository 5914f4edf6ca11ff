/// What a report answers first, and how it keeps ablation variants apart.
module Peft.Tests.ReportAnswerTests

open System.IO
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.SampleRuns
open Peft.Tests.ReportSupport

let private words =
    testList
        "words"
        [
            testCase "every technique stands in its place, with its interval, as the comparison has it"
            <| fun () ->
                inSweep (fun folder ->
                    let setting = (content folder).Findings.Settings.Head
                    let answers = TaskAnswer.all setting
                    Expect.equal answers.Length setting.Comparisons.Length "an answer each"

                    for answer, comparison in List.zip answers setting.Comparisons do
                        Expect.equal answer.Entries.Length comparison.Methods.Length "every technique once"

                        let best =
                            comparison.BesideBest |> Array.find (fun standing -> standing.ToBest = 0.0)

                        Expect.equal answer.Entries.Head.Name best.Name "the best first"
                        let said = TaskAnswer.sentences answer

                        for standing in comparison.BesideBest do
                            let low, high = standing.Interval.Low, standing.Interval.High

                            let told =
                                $"{NumberStyle.text (Fixed 3) standing.Mean} ({NumberStyle.text (Fixed 3) low} … {NumberStyle.text (Fixed 3) high})"

                            let start =
                                if standing.Name = best.Name then "Best: "
                                elif standing.IsTied then "Tied with it: "
                                else "Worse: "

                            let sentence = said |> List.find _.StartsWith(start)
                            Expect.stringContains sentence standing.Name "where it stands"
                            Expect.stringContains sentence told "its interval")

            testCase
                "what nobody tested row by row is called neither tied nor worse; its interval is Student's over seeds"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    for seed, score in [ 1, 0.4; 2, 0.5; 3, 0.6 ] do
                        run TaskDefinition.topic (tuned "paper-lora") (Some Low) seed score 10.0
                        |> Results.write folder

                    run TaskDefinition.topic (tuned "full") (Some Low) 1 0.3 10.0
                    |> Results.write folder

                    let answer =
                        (content folder).Findings.Settings.Head |> TaskAnswer.all |> List.exactlyOne

                    Expect.isFalse answer.IsTested "no predictions"

                    Expect.equal
                        (answer.Entries |> List.map (fun entry -> entry.Name, entry.Place))
                        [ "paper-lora", Place.Best; "full", Place.Untested ]
                        "places"

                    // t of two degrees of freedom at 97.5 % is 4.30265; the deviation is 0.1.
                    let interval = answer.Entries.Head.Interval.Value
                    Expect.floatClose Accuracy.medium interval.Low (0.5 - 4.30265 * 0.1 / sqrt 3.0) "low"
                    Expect.floatClose Accuracy.medium interval.High (0.5 + 4.30265 * 0.1 / sqrt 3.0) "high"
                    Expect.isNone answer.Entries[1].Interval "one run has none")

            testCase "the page opens with the answer, and a model has its name, its digest in small print"
            <| fun () ->
                inSweep (fun folder ->
                    let content = content folder
                    let html = Page.toHtml content
                    let at (text: string) = html.IndexOf text
                    Expect.isLessThan (at "class=\"task-answer\"") (at "What was run") "the answer first"

                    let model =
                        Summary.facts content.Findings
                        |> List.find (fun (name, _) -> name = "Model")
                        |> snd

                    Expect.stringStarts model "model tiny, " "by name"
                    Expect.stringContains html "<small>Digest of the weights: tiny is m.</small>" "small print"
                    let markdown = Report.toMarkdown content

                    Expect.isLessThan
                        (markdown.IndexOf "- Best: ")
                        (markdown.IndexOf "## What was run")
                        "Markdown, too")

            testCase "models of one name are told apart by their digests"
            <| fun () ->
                let first = run TaskDefinition.topic ZeroShot None 1 0.5 1.0

                let other digest name =
                    { first with
                        Base = name
                        Experiment = { first.Experiment with Model = digest }
                    }

                let runs = [ first; other "0123456789abcdef" "tiny"; other "fedcba" "" ]

                Expect.equal
                    (ModelNames.all runs)
                    [
                        "tiny 01234567…", "0123456789abcdef"
                        "unnamed model", "fedcba"
                        "tiny m", "m"
                    ]
                    "names"
        ]

let private variants =
    testList
        "variants"
        [
            testCase "ablation variants have figures of their own, each beside its technique"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    writeSweep folder
                    writeVariants folder
                    let content = content folder
                    let families = Variants.families content.Findings.Settings.Head

                    Expect.equal
                        (Map.toList families)
                        [
                            "paper-lora, early layers", "paper-lora"
                            "paper-lora, later layers", "paper-lora"
                        ]
                        "variants"

                    let namesOf group =
                        content.Figures
                        |> List.filter (fun figure -> figure.Group = group)
                        |> List.map (fun figure -> figure.Series |> List.map _.Name)

                    Expect.hasLength (namesOf "variants") 1 "of the level that has them"

                    for names in namesOf "scores" do
                        Expect.equal names [ "zero-shot"; "full"; "paper-ia3"; "paper-lora" ] "whole techniques"

                    Expect.equal
                        (namesOf "variants")
                        [ [ "paper-lora"; "paper-lora, early layers"; "paper-lora, later layers" ] ]
                        "beside itself"

                    let titles = content.Figures |> List.map _.Title
                    Expect.equal (List.distinct titles) titles "titles of their own"
                    let names = content.Figures |> List.map _.Name
                    Expect.equal (List.distinct names) names "names of their own"

                    let front =
                        content.Figures
                        |> List.find (fun figure -> figure.Name = "front-topic-low-seconds")

                    Expect.contains (front.Series |> List.map _.Name) "ablation variants" "one colour on a front")
        ]

[<Tests>]
let tests = testList "Report answers" [ words; variants ]
