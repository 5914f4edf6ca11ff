/// A whole race on a tiny random model.
module Peft.Tests.ChooseTests

open System
open System.Collections.Generic
open System.IO
open System.Threading
open Expecto
open Peft
open Peft.Tests.Support

let private withRows (rows: int) (body: string -> ChooseQuestion -> unit) : unit =
    inTemporaryFolder (fun folder ->
        TinySweep.writeModel (Path.Combine(folder, "model")) None

        let line row =
            if row % 2 = 0 then
                $"rain and wind {row},weather"
            else
                $"soup and bread {row},food"

        File.WriteAllLines(Path.Combine(folder, "mine.csv"), "text,label" :: [ for row in 1..rows -> line row ])

        let question =
            ChooseQuestion.create
                (Path.Combine(folder, "mine.csv"))
                (Path.Combine(folder, "model"))
                (TimeSpan.FromMinutes 10.0)
                (Path.Combine(folder, "choice"))

        body
            folder
            { question with
                Techniques = [ Technique.parse "ia3"; Technique.parse "lora(rank=2)" ]
                InputLimit = 16
                TargetLimit = 4
            })

let private runWith question tell stop =
    Choose.runWith question "test" DateTime.UtcNow tell stop

/// The verdict without times.
let private essence (choice: Choice) =
    choice.Verdict
    |> Option.map (fun verdict ->
        verdict.Finalists
        |> List.map (fun finalist -> Contender.name finalist.Contender, finalist.Score, finalist.ValidationLoss))

[<Tests>]
let tests =
    testList
        "Choose"
        [
            testCase
                "a race ends with a technique, three seeds, test rows scored once, and an adapter of Hugging Face's"
            <| fun () ->
                withRows 40 (fun folder question ->
                    let stages = List<Stage>()

                    let tell event =
                        match event with
                        | StageBegan(stage, _) -> stages.Add stage
                        | _ -> ()

                    let choice = runWith question tell CancellationToken.None
                    let verdict = choice.Verdict.Value
                    Expect.equal (verdict.Seeds, verdict.TestRows) (3, 8) "seeds and test rows"
                    Expect.equal verdict.Finalists.Length 2 "both techniques are finalists"
                    Expect.isTrue (HuggingFace.isAdapter choice.Adapter.Value) "adapter"

                    let finals, trials = stages |> List.ofSeq |> List.partition _.IsFinal

                    Expect.equal (finals |> List.map _.Seed) [ 1; 2; 3 ] "seeds"

                    // No test row is among what trials are trained, validated or tested on.
                    let read (path: string) (filter: string) =
                        Directory.GetFiles(path, filter)
                        |> Array.collect (Predictions.read >> Array.map _.Input)
                        |> set

                    let tested = read (Path.Combine(question.Folder, "results")) "*.predictions.jsonl"
                    let tried = read (Path.Combine(question.Folder, "trials")) "*.predictions.jsonl"
                    Expect.isEmpty (Set.intersect tested tried) "trials see no test row"

                    for stage in trials |> List.filter (fun stage -> stage.Name.StartsWith "rung") do
                        let trials =
                            stage.Contenders
                            |> List.countBy (fun contender -> contender.Technique)
                            |> List.map snd

                        Expect.allEqual trials trials.Head $"equal trials: {stage.Name}"

                    Expect.isTrue (File.Exists(Journal.path question.Folder)) "journal"
                    stages.Clear()
                    let again = runWith question tell CancellationToken.None
                    Expect.isEmpty stages "a second call runs nothing"
                    Expect.equal (Choice.lines again) (Choice.lines choice) "and says the same"
                    ignore folder)

            testCase "stopped at a rung it gives the best so far, goes on from there, and ends as if undisturbed"
            <| fun () ->
                withRows 40 (fun _ question ->
                    use source = new CancellationTokenSource()

                    let made = List<string>()

                    let stopAfterFirst event =
                        match event with
                        | RunTold(Ended run) -> made.Add run.Name
                        | RungEnded _ -> source.Cancel()
                        | _ -> ()

                    let stopped = runWith question stopAfterFirst source.Token
                    Expect.isTrue (stopped.IsStopped && stopped.Verdict.IsNone) "no verdict yet"
                    Expect.stringStarts (Choice.lines stopped).Head "Stopped before the finals: best so far is" "told"

                    let ended = List<string>()

                    let tell event =
                        match event with
                        | RunTold(Ended run) -> ended.Add run.Name
                        | _ -> ()

                    let gone = runWith question tell CancellationToken.None

                    let undisturbed =
                        Choose.run
                            { question with
                                Folder = question.Folder + "-2"
                            }

                    Expect.equal (essence gone) (essence undisturbed) "the same end"
                    Expect.isEmpty (Set.intersect (set made) (set ended)) "no run is made twice")

            testCase "a budget below the least, too few rows and limits that nothing meets are one line"
            <| fun () ->
                withRows 40 (fun _ question ->

                    let told question =
                        userErrorOf (fun () -> Choose.run question |> ignore)

                    Expect.stringContains
                        (told
                            { question with
                                MaxParameters = Some 1L
                            })
                        "No technique fits the limits"
                        "parameters"

                    Expect.stringContains
                        (told
                            { question with
                                MaxMemoryMiB = Some 1.0
                            })
                        "--memory"
                        "memory"

                    Expect.stringContains
                        (told
                            { question with
                                Budget = TimeSpan.FromSeconds 0.2
                            })
                        "--budget"
                        "budget")

                withRows 2 (fun _ question ->
                    let question =
                        { question with
                            Data =
                                { question.Data with
                                    Scoring = Some "accuracy"
                                }
                        }

                    Expect.stringContains (userErrorOf (fun () -> Choose.run question |> ignore)) "add rows" "rows")
        ]
