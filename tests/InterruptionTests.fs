/// Runs that are stopped, and go on as if they never had been.
module Peft.Tests.InterruptionTests

open System
open System.IO
open System.Threading
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

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

[<Tests>]
let tests = testList "Pipeline" [ continuing ]
