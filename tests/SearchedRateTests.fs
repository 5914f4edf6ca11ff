/// Searched learning rates as data, and what tables say of them and of the baselines.
module Peft.Tests.SearchedRateTests

open System.IO
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.SampleRuns

let private rate task technique level peak : SearchedRate =
    {
        Task = task
        Technique = Technique.parse technique
        Level = level
        Peak = peak
        ValidationLoss = 0.25
        Trials = 6
    }

let private files =
    testList
        "files"
        [
            testCase "rates are written and read, whatever their techniques' words"
            <| fun () ->
                let rates =
                    [
                        rate "topic" "full" Low 3e-3
                        rate "topic" "lora(rank=4,alpha=8,on=q+k)" Medium 0.1
                        rate "question" "paper-lora" (Amount 300) 1e-2
                    ]

                Expect.equal (SearchedRate.ofCsv "file" (SearchedRate.toCsv rates)) rates "the same"

            testCase "what is no rate is named"
            <| fun () ->
                let whole = SearchedRate.toCsv [ rate "topic" "full" Low 3e-3 ]

                for damaged in
                    [
                        ""
                        "a,b\n"
                        whole.Replace("0.003", "fast")
                        whole.Replace("0.003", "-1")
                        whole.Replace("0.003", "1e999")
                        whole.Replace("\"full\"", "full")
                        whole.Replace("low", "little")
                        whole.Replace("full", "fool")
                    ] do
                    userErrorOf (fun () -> SearchedRate.ofCsv "rates.csv" damaged |> ignore)
                    |> ignore
        ]

let private preset =
    testList
        "preset"
        [
            testCase "a hundred rows are 25 optimiser steps of an epoch, and more rows have the paper's batch"
            <| fun () ->
                for level, rows, batch, steps in
                    [
                        Low, 100, 4, 25
                        Amount 160, 160, 8, 20
                        Medium, 1_000, 16, 63
                        Level.everything, 5_000, 16, 313
                    ] do
                    let training = Training.searched "topic" 0.1 (Technique.parse "lora") level

                    Expect.equal
                        (training.BatchSize, Training.stepsPerEpoch training rows)
                        (batch, steps)
                        (Level.name level)

            testCase "it is small with the rates that were found"
            <| fun () ->
                for found in SearchedRate.all () do
                    let training = Training.searched found.Task 0.1 found.Technique found.Level

                    Expect.equal
                        training
                        { Training.small 0.1 found.Technique found.Level with
                            BatchSize = 4
                            Patience = 3
                            InitialRate = found.Peak / 10.0
                            PeakRate = found.Peak
                            FinalRate = found.Peak / 10.0
                        }
                        found.Task

            testCase "the paper's techniques were searched on each of its generated tasks, with as many trials each"
            <| fun () ->
                let trials =
                    [
                        for task in TaskDefinition.generated do
                            for technique in Technique.paper do
                                match SearchedRate.tryFind task.Name technique Low with
                                | Some found -> found.Trials
                                | None -> failtest $"{Technique.text technique} on {task.Name} was not searched"
                    ]

                Expect.equal (List.distinct trials).Length 1 "equal budgets"

            testCase "what was not searched is as in small"
            <| fun () ->
                let technique = Technique.parse "adapter(width=9)"
                Expect.isNone (SearchedRate.tryFind "topic" technique Low) "no rate"

                Expect.equal
                    (Training.searched "topic" 0.1 technique Low)
                    { Training.small 0.1 technique Low with
                        BatchSize = 4
                        Patience = 3
                    }
                    "the technique's one rate"

            testCase "what was not searched has the mean of the nearest that was"
            <| fun () ->
                let rates =
                    [
                        rate "topic" "lora(rank=8,alpha=8)" Low 1e-2
                        rate "topic" "lora(rank=2,alpha=8)" Low 1e-4
                        rate "dialogue" "lora(rank=8,alpha=8)" Low 1e-1
                        rate "dialogue" "full" Low 1.0
                    ]

                let near task words =
                    SearchedRate.nearest rates task (Technique.parse words)

                let is expected found what =
                    Expect.floatClose Accuracy.high (Option.defaultValue nan found) expected what

                is 1e-3 (near "topic" "lora(rank=4)") "other settings on this task"
                is (10.0 ** -1.5) (near "rating" "lora(rank=8)") "these settings on other tasks"
                is (10.0 ** (-7.0 / 3.0)) (near "rating" "lora(rank=4)") "the kind anywhere"
                Expect.isNone (near "topic" "ia3") "nothing of the kind"

            testCase "it belongs to the embedded weights, wherever they lie"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let own = Embedded.modelFolder ()
                    Expect.isTrue (Embedded.isModel own) "its own folder"
                    Expect.isFalse (Embedded.isModel folder) "an empty folder"
                    let weights = Path.Combine(folder, "model.safetensors")
                    File.Copy(Path.Combine(own, "model.safetensors"), weights)
                    Expect.isTrue (Embedded.isModel folder) "a copy"

                    Expect.equal
                        (SweepPlan.standard (SessionOptions.create folder folder)).Preset
                        "searched"
                        "its preset"

                    let bytes = File.ReadAllBytes weights
                    bytes[bytes.Length - 1] <- bytes[bytes.Length - 1] ^^^ 1uy
                    File.WriteAllBytes(weights, bytes)
                    Expect.isFalse (Embedded.isModel folder) "other weights")
        ]

let private notes =
    let ofPreset (name: string) (run: Run) =
        { run with
            Recipe = Some(Recipe.preset name)
        }

    let scored name score =
        run TaskDefinition.topic (tuned name) (Some Low) 1 score 1.0

    testList
        "notes"
        [
            testCase "what is not above the better baseline is named, and nothing else"
            <| fun () ->
                let runs =
                    [
                        run TaskDefinition.topic ZeroShot None 1 0.1 1.0
                        run TaskDefinition.topic Majority None 1 0.25 1.0
                        scored "full" 0.9
                        scored "prompt" 0.25
                        scored "bitfit" 0.2
                    ]

                match RunNotes.baselines id runs with
                | [ note ] ->
                    Expect.stringContains note "prompt, low on topic; bitfit, low on topic" "both"
                    Expect.isFalse (note.Contains "full") "and not full"
                | notes -> failtest $"{notes}"

                Expect.isEmpty (RunNotes.baselines id (List.take 3 runs)) "all are above"
                Expect.isEmpty (RunNotes.baselines id [ scored "prompt" 0.0 ]) "no baselines, nothing to say"

            testCase "searched and unsearched rates are told apart"
            <| fun () ->
                let searched = scored "full" 0.9 |> ofPreset "searched"
                let other = scored "vera(rank=3)" 0.9 |> ofPreset "searched"

                match RunNotes.rates id [ searched; other ] with
                | [ found; missing ] ->
                    Expect.stringContains found "best of" "how many trials"
                    Expect.stringContains missing "vera(rank=3) on topic" "which"
                | notes -> failtest $"{notes}"

                Expect.isEmpty (RunNotes.rates id [ scored "full" 0.9 |> ofPreset "small" ]) "another preset"
        ]

[<Tests>]
let tests = testList "Searched rates" [ files; preset; notes ]
