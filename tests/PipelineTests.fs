module Peft.Tests.PipelineTests

open System
open System.IO
open System.Text.Json
open System.Threading
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

let private quietly plan results =
    sweep plan results ignore CancellationToken.None

/// All that must be equal for two runs of one experiment: everything but times and memory.
let private essence (results: string) (run: Run) =
    let scores = [ for score in run.Scores -> score.Key, score.Value ]

    let epochs =
        run.Epochs
        |> List.map (fun log -> log.Epoch, log.TrainingLoss, log.ValidationLoss)

    run.Id, run.Status, scores, epochs, run.ConvergedEpoch, File.ReadAllText(Run.predictionsPath results run.Experiment)

let private only method (plan: SweepPlan) = { plan with Methods = [ method ] }

/// Stops a sweep when `when'` says so, then runs it again to the end.
let private interruptedBy (when': RunEvent -> bool) plan results =
    use source = new CancellationTokenSource()

    let report event =
        if when' event then
            source.Cancel()

    Expect.throwsT<OperationCanceledException>
        (fun () -> sweep plan results report source.Token |> ignore)
        "it was stopped"

    Expect.isEmpty (resultsIn results) "no result of half a run"
    let mutable resumed = 0

    let runs =
        sweep
            plan
            results
            (function
            | Started(_, _, _, epochs) -> resumed <- max resumed epochs
            | _ -> ())
            CancellationToken.None

    runs, resumed

let private interruptions =
    [
        "at the first micro-batch",
        (function
        | Stepped _ -> true
        | _ -> false),
        0
        "in the second epoch",
        (function
        | Stepped(step, _, _) -> step > 7
        | _ -> false),
        1
        "at the end of the first epoch",
        (function
        | EpochEnded(log, _) -> log.Epoch = 1
        | _ -> false),
        1
        "at the end of the last epoch",
        (function
        | EpochEnded(log, _) -> log.Epoch = 3
        | _ -> false),
        3
        "while test rows are answered",
        (function
        | Tested _ -> true
        | _ -> false),
        3
    ]

let private continuing =
    testList
        "an interrupted run, continued, is bit for bit the undisturbed one"
        [
            for method in [ Tuned(PaperLora.ofRank 2); Tuned Full.technique; Tuned(Prompt.ofTokens 5) ] do
                testCase (Method.text method)
                <| fun () ->
                    inTinyFolder (fun folder plan ->
                        let plan = only method plan
                        let whole = Path.Combine(folder, "whole")
                        let expected = quietly plan whole |> List.map (essence whole)

                        for name, when', epochs in interruptions do
                            let broken = Path.Combine(folder, name)
                            let runs, resumed = interruptedBy when' plan broken
                            Expect.equal resumed epochs $"stopped {name}, it went on after the last finished epoch"
                            Expect.equal (runs |> List.map (essence broken)) expected $"stopped {name}"
                            Expect.isEmpty (Directory.GetFiles(broken, "*.safetensors")) "no state is left")

            testCase "every technique beyond the paper's, stopped in the second epoch"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let plan =
                        { plan with
                            Methods = List.map Tuned Tiny.wider
                        }

                    let plan =
                        { plan with
                            Overrides = { plan.Overrides with Epochs = Some 2 }
                        }

                    let whole, broken = Path.Combine(folder, "whole"), Path.Combine(folder, "broken")
                    let expected = quietly plan whole |> List.map (essence whole)

                    for method in plan.Methods do
                        let inSecondEpoch event =
                            (match event with
                             | Stepped(step, _, _) -> step > 6
                             | _ -> false)

                        use source = new CancellationTokenSource()

                        let report event =
                            if inSecondEpoch event then
                                source.Cancel()

                        try
                            sweep (only method plan) broken report source.Token |> ignore
                        with :? OperationCanceledException ->
                            ()

                    Expect.isEmpty (resultsIn broken) "all were stopped"
                    Expect.equal (quietly plan broken |> List.map (essence broken)) expected "equal")

            testCase "a damaged state is not continued: the run starts anew, to the same result"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let plan = only (Tuned(PaperLora.ofRank 2)) plan
                    let whole = Path.Combine(folder, "whole")
                    let expected = quietly plan whole |> List.map (essence whole)

                    for pattern in [ "*.state.safetensors"; "*.best.safetensors" ] do
                        let broken = Path.Combine(folder, $"broken{pattern.Length}")

                        let damage event =
                            match event with
                            | EpochEnded _ ->
                                for file in Directory.GetFiles(broken, pattern) do
                                    File.WriteAllBytes(file, Array.truncate 100 (File.ReadAllBytes file))

                                true
                            | _ -> false

                        let runs, resumed = interruptedBy damage plan broken
                        Expect.equal resumed 0 "from the start"
                        Expect.equal (runs |> List.map (essence broken)) expected "equal")
        ]

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

                    let limit = min plan.TargetLimit (Option.get rows.LongestLabel)

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
let tests = testList "Pipeline" [ results; continuing; failures; memory ]
