/// Results of others as runs. The files are synthetic: the schema's names with numbers of our own.
module Peft.Tests.PeftResultsTests

open System.IO
open Expecto
open Peft
open Peft.Tests.Support

let private file name = golden [ "foreign"; name ]

let private read name =
    match PeftResults.read (file name) with
    | Ok run -> run
    | Error cause -> failtest cause

[<Tests>]
let tests =
    testList
        "Foreign"
        [
            testCase "a result of peft's suite is a run: technique, rows, score, costs, and what keeps it apart"
            <| fun () ->
                let run = read "lora-rank32.json"
                Expect.equal (Method.text run.Experiment.Method) "lora(rank=32,alpha=64)" "technique"
                Expect.equal (run.Score, run.Scores["forgetting"]) (0.48, 0.05) "the last step's test score"
                Expect.equal (run.TrainRows, run.TestRows) (400, 1_319) "rows"
                Expect.equal (run.Timing.Total, run.PeakMemoryMiB) (600.25, 8000.0) "seconds and MiB"
                Expect.equal (run.TrainableParameters, run.Experiment.Model) (9_000_000L, "example/base-1B") "counts"

                Expect.equal
                    run.Device
                    "Example GPU, peft 0.18.0, torch 2.8.0, transformers 4.56.0"
                    "accelerator and versions"

            testCase "no configuration is full fine-tuning; the mark for a missing forgetting and NaN are left out"
            <| fun () ->
                let full = read "full.json"
                Expect.equal (Method.text full.Experiment.Method) "full" "technique"
                Expect.isFalse (full.Scores.ContainsKey "forgetting") "123 is no forgetting"
                let ia3 = read "ia3-nan.json"
                Expect.equal (List.ofSeq ia3.Scores.Keys) [ "exactMatch" ] "NaN is no drift"

            testCase "a technique that is none here is left out by name; another schema is refused by what is missing"
            <| fun () ->
                match PeftResults.read (file "oft.json") with
                | Error cause -> Expect.stringContains cause "oft/example (OFT)" "named"
                | Ok _ -> failtest "read"

                withFiles [ "a.json", "{\"x\": 1}"; "b.json", "{" ] (fun folder ->
                    for name, words in [ "a.json", "has no run_info/experiment_name"; "b.json", "is no JSON" ] do
                        let told =
                            userErrorOf (fun () -> PeftResults.read (Path.Combine(folder, name)) |> ignore)

                        Expect.stringContains told words name)

            testCase "lm-evaluation-harness' samples are a run of the technique that they are said to be of"
            <| fun () ->
                let run =
                    file "samples_example_task_2026-01-02T03-04-05.678.jsonl"
                    |> PeftResults.ofSamples (Technique.parse "lora") "example/base-1B" 400 None None

                Expect.equal (run.Experiment.Task, run.Metric) ("example_task", "exact_match") "task and metric"
                Expect.equal (run.Score, run.TestRows) (0.75, 8) "score and rows"

            testCase "imported runs are written, read back and recommended from"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "imported.jsonl.gz")

                    [ "lora-rank32.json"; "full.json"; "ia3-nan.json" ]
                    |> List.map read
                    |> Results.writeFile path

                    let runs, problems = Results.read path
                    Expect.isEmpty problems "readable"
                    let answer = Recommend.answer (Question.create TaskKind.Generation 400) runs

                    Expect.equal
                        (answer.Ranking |> List.map (fun candidate -> Method.text candidate.Method))
                        [ "full"; "lora(rank=32,alpha=64)"; "ia3" ]
                        "ranked by test accuracy"

                    Expect.stringContains answer.Basis "1.0 billion" "their base's size")
        ]
