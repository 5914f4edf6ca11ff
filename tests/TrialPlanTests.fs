/// How trials are spread, as a value.
module Peft.Tests.TrialPlanTests

open Expecto
open Peft
open Peft.Tests.Support

let private families = [ "a"; "b"; "c"; "d" ]

let private pace: Pace =
    {
        Train = [ "a", 0.02; "b", 0.01; "c", 0.01; "d", 0.01 ]
        Validate = 0.002
        Answer = 0.005
        Run = 0.5
    }

let private rows: RaceRows =
    {
        Train = 200
        Validation = 20
        Test = 60
        Answered = 20
        Epochs = 20
    }

[<Tests>]
let tests =
    testList
        "Choose"
        [
            testCase "halving: each rung has half of the trials before it with twice the training, the last two at half"
            <| fun () ->
                let plan = TrialPlan.halving 8 3 3 4_000

                Expect.equal
                    (plan.Rungs |> List.map (fun rung -> rung.Trials, rung.Examples))
                    [ 8, 500; 4, 1_000; 2, 2_000 ]
                    "three rungs"

                Expect.equal (TrialPlan.runs 4 plan) (4 * 14 + 9) "runs"
                Expect.equal (TrialPlan.halving 1 3 3 400).Rungs [ { Trials = 1; Examples = 200 } ] "one rung"

            testCase "examples are a part of the rows once, or all of them several times"
            <| fun () ->
                Expect.equal (TrialPlan.rowsAndEpochs 200 50) (50, 1) "a part"
                Expect.equal (TrialPlan.rowsAndEpochs 200 1_000) (200, 5) "all"
                Expect.equal (TrialPlan.rowsAndEpochs 200 1_090) (200, 5) "whole epochs"

            testCase "the seconds of a plan are those of its runs, by hand"
            <| fun () ->
                let plan = TrialPlan.halving 2 2 3 400
                // Rung: 2 trials a family, 200 rows once: 200 train + 20 validate + 20 answered + a run.
                let trial perRow =
                    200.0 * perRow + 20.0 * 0.002 + 20.0 * 0.005 + 0.5

                let final perRow =
                    2.0 * (200.0 * perRow + 20.0 * 0.002) + 60.0 * 0.005 + 0.5

                near
                    (2.0 * (trial 0.02 + 3.0 * trial 0.01)
                     + 3.0 * (final 0.02 + final 0.01)
                     + 60.0 * 0.005
                     + 0.5)
                    (TrialPlan.seconds pace rows families plan)
                    "seconds"

            testProperty
                "a plan that is said to fit does, a larger budget never gives less, and every technique has equal trials"
            <| fun (small: FsCheck.PositiveInt) (more: FsCheck.PositiveInt) ->
                let budget = float small.Get * 5.0

                match TrialPlan.within budget 1 pace rows families with
                | Error needed ->
                    Expect.isGreaterThan needed budget "what is needed is more"
                    Expect.isOk (TrialPlan.within needed 1 pace rows families) "and with that it fits"
                | Ok plan ->
                    Expect.isLessThan (TrialPlan.seconds pace rows families plan) budget "fits"

                    match TrialPlan.within (budget + float more.Get) 1 pace rows families with
                    | Ok larger ->
                        Expect.isGreaterThanOrEqual
                            (TrialPlan.seconds pace rows families larger)
                            (TrialPlan.seconds pace rows families plan)
                            "no less"
                    | Error _ -> failtest "a larger budget does not fit"

                    for rung in plan.Rungs do
                        let trials =
                            TechniqueFamily.standard
                            |> List.map (Contender.ofFamily (fun _ -> 1e-2) rung.Trials >> List.distinct >> List.length)

                        Expect.allEqual trials rung.Trials "equal trials for each technique"

            testCase "epochs are fewer the more rows there are, and no finalist trains for more than are asked for"
            <| fun () ->
                Expect.equal ([ 10; 200; 400; 5_000 ] |> List.map TrialPlan.enough) [ 20; 20; 10; 3 ] "enough"

                match TrialPlan.within 1e6 1 pace { rows with Epochs = 4 } families with
                | Ok plan -> Expect.equal plan.Examples (4 * rows.Train) "four epochs"
                | Error _ -> failtest "it fits"

            testCase "contenders come by how far size and rate together are from the likeliest"
            <| fun () ->
                let lora =
                    TechniqueFamily.standard |> List.find (fun family -> family.Name = "lora")

                Expect.equal
                    (Contender.ofFamily (fun _ -> 1e-2) 4 lora
                     |> List.map (fun contender -> Contender.name contender, contender.Peak))
                    [
                        "lora(rank=8,alpha=8)", 1e-2
                        "lora(rank=8,alpha=8)", 3e-3
                        "lora(rank=32,alpha=32)", 1e-2
                        "lora(rank=8,alpha=8)", 3e-2
                    ]
                    "four"

            testCase "families without a variant within the limits are gone, with the cause"
            <| fun () ->
                let shape = Model.shape (Tiny.model 1)

                let isWithin (technique: Technique, placement) =
                    let count = (Accounting.count shape Convention.Paper technique placement).Trainable

                    if count <= 2_000L then
                        Ok()
                    else
                        Error $"it trains {count}."

                let kept, causes =
                    TechniqueFamily.standard |> TechniqueFamily.fitting shape isWithin

                Expect.isFalse (kept |> List.exists (fun family -> family.Name = "full")) "full is too large"
                Expect.isTrue (kept |> List.exists (fun family -> family.Name = "ia3")) "ia3 is not"
                Expect.stringContains (String.concat " " causes) "full is left out: it trains" "said"

            testCase "budgets, memory and parameters as people write them"
            <| fun () ->
                Expect.equal (ChooseQuestion.duration "10m").TotalSeconds 600.0 "minutes"
                Expect.equal (ChooseQuestion.duration "90s").TotalSeconds 90.0 "seconds"
                Expect.equal (ChooseQuestion.duration "1.5h").TotalSeconds 5400.0 "hours"
                Expect.equal (ChooseQuestion.duration "45").TotalSeconds 45.0 "bare"
                Expect.equal (ChooseQuestion.memory "4GiB") 4096.0 "GiB"
                Expect.equal (ChooseQuestion.memory "800MiB") 800.0 "MiB"
                Expect.equal (ChooseQuestion.parameters "1M") 1_000_000L "millions"
                Expect.equal (ChooseQuestion.parameters "500k") 500_000L "thousands"

                for wrong in [ ""; "soon"; "-3m"; "0s"; "nanh" ] do
                    Expect.stringContains
                        (userErrorOf (fun () -> ChooseQuestion.duration wrong |> ignore))
                        "no time"
                        wrong
        ]
