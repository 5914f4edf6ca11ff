/// Equal budgets: every technique has as many trials on every task, and the lowest validation loss is what is found.
module Peft.Tests.SearchTests

open System.IO
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

let private search (hasSizes: bool) (plan: SweepPlan) : SearchPlan =
    {
        Sweep =
            { plan with
                Overrides =
                    { plan.Overrides with
                        Rates = None
                        Epochs = Some 2
                    }
            }
        Peaks = [ 1e-2; 3e-2; 1e-1; 3e-1 ]
        HasSizes = hasSizes
    }

/// The name of a run's technique.
let private withoutSizes (experiment: Experiment) : string =
    (Method.text experiment.Method).Split('(')[0]

[<Tests>]
let tests =
    testList
        "Search"
        [
            testCase "every technique has as many trials, with sizes and without"
            <| fun () ->
                inTinyFolder (fun _ plan ->
                    let session = Session plan.Session

                    for hasSizes, variants in [ false, 2; true, 4 ] do
                        let experiments = Search.experiments session (search hasSizes plan) |> List.map snd

                        Expect.equal
                            (experiments |> List.countBy withoutSizes |> List.sort)
                            [ "paper-lora", 4; "prompt", 4 ]
                            "of each, however it is tried"

                        Expect.equal
                            (experiments |> List.map _.Method |> List.distinct |> List.length)
                            variants
                            "techniques with their sizes")

            testCase "sizes are four times and a quarter of the technique's own, which comes first"
            <| fun () ->
                let words (technique: string) =
                    (TechniqueFamily.sized true (Technique.parse technique)).Variants
                    |> List.map (fst >> Technique.text)

                Expect.equal
                    (words "prompt(tokens=20)")
                    [ "prompt(tokens=20)"; "prompt(tokens=80)"; "prompt(tokens=5)" ]
                    "tokens"

                Expect.equal
                    (words "paper-lora(rank=2)")
                    [ "paper-lora(rank=2)"; "paper-lora(rank=8)"; "paper-lora(rank=1)" ]
                    "at least one"

                Expect.equal (words "bitfit") [ "bitfit" ] "no size"

            testCase "the lowest validation loss of a technique's trials is found, of whatever size"
            <| fun () ->
                inTinyFolder (fun folder plan ->
                    let results = Path.Combine(folder, "search")
                    let plan = search true plan
                    let trials = Search.run (Workshop.quiet (Session plan.Sweep.Session) results) plan
                    Expect.equal (File.Exists(Search.path results), trials.Length) (true, 8) "all are recorded"
                    let found = Search.best trials

                    Expect.equal
                        (found |> List.map (fun found -> found.Task, found.Level, found.Trials))
                        [ "topic", "low", 4; "topic", "low", 4 ]
                        "of four each"

                    for found in found do
                        let family =
                            trials
                            |> List.filter (fun trial -> trial.Technique.Split('(')[0] = found.Technique.Split('(')[0])

                        let best = family |> List.minBy _.ValidationLoss.Value

                        Expect.equal
                            (found.Technique, found.Peak, Some found.ValidationLoss)
                            (best.Technique, best.Peak, best.ValidationLoss)
                            "the best of them")

            testCase "what is no search is refused in one line"
            <| fun () ->
                inTinyFolder (fun _ plan ->
                    let refused (words: string) (plan: SearchPlan) =
                        Expect.stringContains
                            (userErrorOf (fun () -> Search.experiments (Session plan.Sweep.Session) plan |> ignore))
                            words
                            words

                    let usual = search false plan
                    refused "peak learning rates" { usual with Peaks = [] }

                    refused
                        "needs techniques"
                        { usual with
                            Sweep =
                                { usual.Sweep with
                                    Methods = Method.baselines
                                }
                        }

                    refused
                        "at most"
                        { usual with
                            HasSizes = true
                            Peaks = [ for place in 1..9 -> float place ]
                        })
        ]
