/// What a recommendation takes of its ranking, and how such rules fare on tasks left out.
module Peft.Tests.TakeTests

open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.SampleRuns
open Peft.Tests.RecommendTests

let private cell (task: string) (technique: string) (score: float) (parameters: float) : RegretCell =
    {
        Task = task
        Kind = TaskKind.Classification
        Level = "low"
        Technique = technique
        Score = score
        Parameters = parameters
    }

/// Three tasks on which `a` is best and one on which it is not.
let private cells =
    [
        for task, a, b in [ "t1", 0.8, 0.4; "t2", 0.8, 0.4; "t3", 0.8, 0.4; "t4", 0.5, 1.0 ] do
            cell task "full" a 1e6
            cell task "lora" b 1e4
    ]

let private at technique score parameters =
    { run topic (tuned technique) (Some Low) 1 score 30.0 with
        TrainableParameters = parameters
    }

let private taken (runs: Run list) =
    (Recommend.answer (classification 100) runs).Take

[<Tests>]
let tests =
    testList
        "Recommend"
        [
            testCase "within a hundredth of the best the one with fewer parameters is taken, and why is said"
            <| fun () ->
                let take = taken [ at "full" 0.800 2_500_000L; at "paper-ia3" 0.799 7_500L ]
                Expect.equal (names [ take.Technique.Value ]) [ "paper-ia3" ] "the cheaper"
                Expect.equal (names [ take.First.Value ]) [ "full" ] "for the first"
                Expect.stringContains take.Because "333 times fewer parameters" "why"
                let take = taken [ at "full" 0.80 2_500_000L; at "paper-ia3" 0.70 7_500L ]
                Expect.equal (names [ take.Technique.Value ]) [ "full" ] "no tie"

            testCase "a baseline that scores as much is taken instead"
            <| fun () ->
                let runs =
                    [
                        at "full" 0.44 2_500_000L
                        at "paper-ia3" 0.30 7_500L
                        run topic Majority None 1 0.465 1.0
                    ]

                let answer = Recommend.answer (classification 100) runs

                Expect.stringStarts
                    (RecommendationText.brief answer)
                    "Take none: the majority answer scores 0.465, full 0.440"
                    "said"

            testCase "the answer is five lines at most"
            <| fun () ->
                for question in [ classification 100; generation 1_000 ] do
                    let lines = (RecommendationText.brief (Recommend.answer question [])).Split '\n'
                    Expect.isLessThanOrEqual lines.Length 5 "lines"

            testCase "rows are matched by what was available, not by what carving left"
            <| fun () ->
                let source: SplitSource =
                    {
                        Train =
                            {
                                Files = [ "a.csv" ]
                                Rows = 200
                                Digest = ""
                            }
                        Validation = None
                        Test =
                            {
                                Files = [ "t.csv" ]
                                Rows = 50
                                Digest = ""
                            }
                        IsTestedOnValidation = false
                        UnlabelledValidation = []
                        UnlabelledTest = []
                        Level = Medium
                        Available = 180
                        TrainRows = 180
                        ValidationRows = 20
                        TestRows = 50
                        ValidationLimit = 0
                        TestLimit = 0
                        LeftOut = 0
                    }

                let rowsOf (source: SplitSource) =
                    (Evidence.ofRun
                        { at "full" 0.5 1L with
                            TrainRows = source.TrainRows
                            ValidationRows = source.ValidationRows
                            TestRows = source.TestRows
                            Source = Some source
                        })
                        .Rows

                Expect.equal (rowsOf source) 200 "180 and the 20 that were carved"

                Expect.equal
                    (rowsOf
                        { source with
                            Level = Low
                            TrainRows = 100
                            Available = 1_125
                        })
                    100
                    "a level that took its own number"

                Expect.equal
                    (rowsOf
                        { source with
                            Level = Amount 180
                            Test = { source.Test with Files = [] }
                        })
                    250
                    "carved test rows too"

            testCase "regret of a constant, by hand"
            <| fun () ->
                let check = Regret.check cells
                let always = check.Rules |> List.find (fun rule -> rule.Rule = "always full")
                near (0.5 / 4.0) always.Mean "one task of four is lost by half"
                near 0.5 always.Most "the worst"
                let lora = check.Rules |> List.find (fun rule -> rule.Rule = "always LoRA")
                near (3.0 * 0.5 / 4.0) lora.Mean "three of four by half"

            testCase "the rule that loses least is advised, a constant where nothing loses less"
            <| fun () ->
                Expect.equal
                    (Regret.advise cells TaskKind.Classification "low")
                    (Some("full", "always full"))
                    "the constant"

                let even =
                    [
                        for task in 1..6 do
                            cell $"t{task}" "full" 0.800 1e6
                            cell $"t{task}" "lora" 0.400 1e4
                            cell $"t{task}" "ia3" 0.900 1e3
                    ]

                Expect.equal
                    (Regret.advise even TaskKind.Classification "low")
                    (Some("ia3", "best on average"))
                    "what is better than both"

            testCase "predicted intervals cover 95 % of tasks drawn alike"
            <| fun () ->
                let chance = Chance 5UL

                let normal () =
                    Seq.init 12 (fun _ -> float (chance.Next() >>> 11) / 9007199254740992.0)
                    |> Seq.sum
                    |> (+) -6.0

                // The best is always 1, so that shares are the scores themselves.
                let coverages =
                    [
                        for _ in 1..40 ->
                            [
                                for task in 1..8 do
                                    cell $"t{task}" "best" 1.0 1.0
                                    cell $"t{task}" "other" (0.7 + 0.05 * normal ()) 1.0
                            ]
                            |> Regret.check
                            |> _.Coverage
                    ]

                // Half of the cells are the best itself, which is always held; of 320 others 95 % with 1.2 % of error.
                inside 0.955 0.995 (List.average coverages) "half at 100 %, half at 95 %"

            testCase "evidence of the nearest size is used, by ratio"
            <| fun () ->
                let set name parameters : EvidenceSet =
                    {
                        Name = name
                        Parameters = Some parameters
                        Runs = []
                        IsPaper = false
                    }

                let sets = [ set "large" 2.8e9; set "small" 2.5e6 ]
                Expect.equal (EvidenceSets.nearest (Some 1e7) sets).Name "small" "10 million"
                Expect.equal (EvidenceSets.nearest (Some 2.5e8) sets).Name "large" "250 million"
                Expect.equal (EvidenceSets.nearest None sets).Name "large" "not known: the first"
        ]
