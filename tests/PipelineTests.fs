module Peft.Tests.PipelineTests

open System
open System.IO
open System.Text.Json
open System.Threading
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

let private results =
    testList
        "results"
        [
            testCase
                "a sweep of two techniques and the baselines leaves whole result files and a prediction for every test row"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let plan =
                        { plan with
                            Methods = Method.baselines @ plan.Methods
                        }

                    let results = Path.Combine(folder, "results")
                    let runs = quietly plan results
                    Expect.equal (runs |> List.map _.Status) (List.replicate 4 "finished") "all finished"
                    Expect.equal (resultsIn results).Length 4 "a file each"

                    for run in runs do
                        let lines = File.ReadAllLines(Run.predictionsPath results run.Experiment)
                        Expect.equal lines.Length 7 "a line a test row"

                        for index, line in Array.indexed lines do
                            use row = JsonDocument.Parse line
                            Expect.equal (row.RootElement.GetProperty("Row").GetInt32()) index "in the split's order"

                            for field in [ "Input"; "Target"; "Prediction"; "Score" ] do
                                Expect.isTrue (fst (row.RootElement.TryGetProperty field)) field

                        use file = JsonDocument.Parse(File.ReadAllText(Run.path results run.Experiment))
                        let whole = file.RootElement

                        for field in
                            [
                                "Schema"
                                "Id"
                                "Experiment"
                                "Scores"
                                "Epochs"
                                "ConvergedEpoch"
                                "Timing"
                                "TrainableParameters"
                                "TotalParameters"
                                "PeakMemoryMiB"
                                "Device"
                                "Versions"
                                "Command"
                                "FinishedAt"
                                "Source"
                                "Overlap"
                            ] do
                            Expect.isTrue (fst (whole.TryGetProperty field)) field

                        for field in [ "Load"; "Tokenise"; "Train"; "Validate"; "Test" ] do
                            Expect.isTrue (whole.GetProperty("Timing").GetProperty(field).GetDouble() >= 0.0) field

                        Expect.isTrue (run.Score >= 0.0 && run.Score <= 1.0) "a share"
                        Expect.isGreaterThan run.PeakMemoryMiB 10.0 "memory was measured"

                    for run in runs |> List.filter (fun run -> not (Method.isBaseline run.Experiment.Method)) do
                        Expect.equal run.Epochs.Length 3 "epochs"
                        Expect.isGreaterThan run.TrainableParameters 0L "trained"

                        Expect.equal
                            run.ConvergedEpoch
                            (run.Epochs |> List.minBy _.ValidationLoss).Epoch
                            "the best epoch"

                        Expect.equal run.TrainRows 20 "rows")

            testCase "the split does not depend on the technique"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "results")

                    let plan =
                        { plan with
                            Overrides = { plan.Overrides with Epochs = Some 1 }
                        }

                    let runs = quietly plan results
                    Expect.equal (runs |> List.distinctBy _.Experiment.Data).Length 1 "one split"

                    let inputs (run: Run) =
                        File.ReadAllLines(Run.predictionsPath results run.Experiment)
                        |> Array.map (fun line ->
                            (use row = JsonDocument.Parse line in string (row.RootElement.GetProperty "Input")))

                    Expect.equal (inputs runs[0]) (inputs runs[1]) "the same rows")

            testCase "finished runs are skipped and their files stay untouched; another folder is another sweep"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let plan =
                        { only (Tuned(PaperLora.ofRank 2)) plan with
                            Overrides = { plan.Overrides with Epochs = Some 1 }
                        }

                    let one, two = Path.Combine(folder, "one"), Path.Combine(folder, "two")
                    let first = quietly plan one

                    let stamps () =
                        [ for file in Directory.GetFiles one -> file, File.GetLastWriteTimeUtc file ]

                    let before = stamps ()
                    let events = ResizeArray()
                    let again = sweep plan one events.Add CancellationToken.None
                    Expect.equal (stamps ()) before "untouched"

                    Expect.isTrue
                        (events
                         |> Seq.forall (function
                             | Skipped _ -> true
                             | _ -> false))
                        "nothing was run"

                    Expect.equal (List.map (essence one) again) (List.map (essence one) first) "the old result"

                    Expect.equal
                        (quietly plan two |> List.map (essence two))
                        (List.map (essence one) first)
                        "run anew, and equal")

            testCase "another experiment's result under this one's name: one line, before anything runs"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let plan =
                        { plan with
                            Overrides = { plan.Overrides with Epochs = Some 1 }
                        }

                    let results = Path.Combine(folder, "results")
                    let runs = quietly plan results
                    let last = Run.path results runs[1].Experiment
                    File.Copy(Run.path results runs[0].Experiment, last, overwrite = true)
                    File.Delete(Run.path results runs[0].Experiment)
                    let message = userErrorOf (fun () -> quietly plan results |> ignore)
                    Expect.stringContains message last "the file"
                    Expect.isFalse (File.Exists(Run.path results runs[0].Experiment)) "nothing ran")

            testCase "training ends early, and the best epoch is what is tested"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    // A rate that climbs to harm: the best epoch is not the last.
                    let overrides =
                        { plan.Overrides with
                            Epochs = Some 12
                            Rates = Some(1e-2, 3.0, 3.0)
                            Patience = Some 2
                            WarmupShare = Some 0.9
                        }

                    let results = Path.Combine(folder, "results")

                    let run =
                        (quietly
                            { only (Tuned Full.technique) plan with
                                Overrides = overrides
                            }
                            results)
                            .Head

                    Expect.isLessThan run.Epochs.Length 12 "early"
                    Expect.equal run.ConvergedEpoch (run.Epochs.Length - 2) "two epochs without a lower loss"

                    // As many epochs as were best, under the same schedule, end in the same weights; so the answers are equal.
                    let events = ResizeArray()
                    let shorter = Path.Combine(folder, "shorter")
                    use source = new CancellationTokenSource()

                    let stopAtBest event =
                        events.Add event

                        match event with
                        | EpochEnded(log, _) when log.Epoch = run.ConvergedEpoch -> source.Cancel()
                        | _ -> ()

                    try
                        sweep
                            { only (Tuned Full.technique) plan with
                                Overrides = overrides
                            }
                            shorter
                            stopAtBest
                            source.Token
                        |> ignore
                    with :? OperationCanceledException ->
                        ()

                    let best = Directory.GetFiles(shorter, "*.best.safetensors") |> Array.exactlyOne
                    use _ = TorchSharp.torch.NewDisposeScope()

                    let model =
                        Checkpoint.load TorchSharp.torch.CPU TorchSharp.torch.float32 plan.Session.ModelFolder
                        |> Adapter.full

                    AdapterFile.restore best (Safetensors.readAll best) model
                    let session = Session plan.Session

                    let split =
                        session.Split(plan.Tasks.Head, Low, 1, plan.ValidationLimit, plan.TestLimit)

                    let rows =
                        session.Encoded(plan.Tasks.Head, split, plan.InputLimit, plan.TargetLimit)

                    let limit = min plan.TargetLimit (rows.Labels |> Array.map _.Length |> Array.max)

                    let texts =
                        Evaluation.generate
                            (Decoding.Greedy limit)
                            (Model.merge model)
                            session.Tokenizer
                            session.Device
                            (Evaluation.batchSize 4)
                            ignore
                            rows.Test

                    let told = File.ReadAllLines(Run.predictionsPath results run.Experiment)

                    for text, line in Array.zip texts told do
                        use row = JsonDocument.Parse line

                        Expect.equal
                            (row.RootElement.GetProperty("Prediction").GetString() |> string)
                            text
                            "the best epoch's answer")
        ]

let private failures =
    testList
        "failures"
        [
            testCase "a run that diverges is recorded, the others go on, and it is tried again"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "results")

                    let wild =
                        { plan with
                            Methods = [ Tuned Full.technique; ZeroShot ]
                            Overrides =
                                { plan.Overrides with
                                    Rates = Some(1e30, 1e30, 1e30)
                                }
                        }

                    let runs = quietly wild results
                    Expect.equal (runs |> List.map _.Status |> List.sort) [ "failed"; "finished" ] "one failed"
                    let failed = runs |> List.find (_.IsFinished >> not)
                    Expect.stringContains failed.Error "learning rate" "the cause and what to do"
                    Expect.isFalse (File.Exists(Run.predictionsPath results failed.Experiment)) "no predictions"
                    let started = ResizeArray()

                    let note event =
                        match event with
                        | Started(experiment, _, _, _) -> started.Add experiment
                        | _ -> ()

                    sweep wild results note CancellationToken.None |> ignore
                    Expect.equal (List.ofSeq started) [ failed.Experiment ] "only the failed one ran again")

            testCase "a failure whose date lies in the future is tried again"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "results")

                    let wild =
                        { only (Tuned Full.technique) plan with
                            Overrides =
                                { plan.Overrides with
                                    Rates = Some(1e30, 1e30, 1e30)
                                }
                        }

                    let failed = (quietly wild results).Head
                    File.SetLastWriteTimeUtc(Run.path results failed.Experiment, DateTime.UtcNow.AddDays 9.0)
                    let mutable begun = 0

                    let note event =
                        match event with
                        | Started _ -> begun <- begun + 1
                        | _ -> ()

                    sweep wild results note CancellationToken.None |> ignore
                    Expect.equal begun 1 "once more")

            testCase "a folder for adapters that cannot be written is told before the training"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results, file = Path.Combine(folder, "results"), Path.Combine(folder, "file")
                    File.WriteAllText(file, "")
                    let steps = ResizeArray()

                    let shop =
                        { Workshop.quiet (Session plan.Session) results with
                            Adapter = fun _ -> Some(Path.Combine(file, "adapter"))
                            Tell = steps.Add
                        }

                    let run = (Sweep.run shop (only (Tuned(PaperLora.ofRank 2)) plan)).Head
                    Expect.stringContains run.Error file "which folder"

                    Expect.isFalse
                        (steps
                         |> Seq.exists (function
                             | Stepped _ -> true
                             | _ -> false))
                        "nothing was trained")

            testCase "what stands in the way of every run stops the sweep at once, and no run is recorded"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "results")
                    writeModel plan.Session.ModelFolder (Some 500)
                    let message = userErrorOf (fun () -> quietly plan results |> ignore)
                    Expect.stringContains message "spiece.model" "the vocabulary does not fit"
                    Expect.isEmpty (Directory.GetFiles results) "nothing was written")

            testCase "a results folder that cannot be: one line"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let file = Path.Combine(folder, "file")
                    File.WriteAllText(file, "")

                    for results in [ file; Path.Combine(file, "below") ] do
                        Expect.stringContains
                            (userErrorOf (fun () -> quietly plan results |> ignore))
                            results
                            "the folder")
        ]

let private memory =
    testCase "memory stays flat over two hundred steps and over repeated sweeps"
    <| fun () ->
        inTinyFolder (fun folder plan ->
            let plan =
                { plan with
                    Overrides =
                        { plan.Overrides with
                            Epochs = Some 10
                            BatchSize = Some 1
                            Accumulation = Some 1
                            Patience = Some 10
                        }
                }

            let resident () = Environment.WorkingSet / 1048576L

            let round name =
                quietly plan (Path.Combine(folder, name)) |> ignore

            round "first"
            let before = resident ()
            round "second"
            round "third"
            // The model has 0.5 MB, a leaked step some 10 KB: 800 of them would show.
            Expect.isLessThan (resident () - before) 60L "MiB more after 800 steps")

[<Tests>]
let tests = testList "Pipeline" [ results; failures; memory ]
