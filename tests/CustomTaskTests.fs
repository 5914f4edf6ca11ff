/// Tasks of a user's own files.
module Peft.Tests.CustomTaskTests

open System
open System.IO
open Expecto
open Peft
open Peft.Tests.Support

[<Tests>]
let tests =
    testList
        "Tasks"
        [
            testCase "a user's folder is a task; its labels are the training targets"
            <| fun () ->
                withFiles
                    [
                        "train.csv", "input,target\na,no\nb, yes \nc,no\n"
                        "test.tsv", "input\ttarget\nd\tyes\n"
                    ]
                    (fun folder ->
                        let task = TaskDefinition.custom (custom folder)
                        Expect.equal task.Labels [ "no"; "yes" ] "labels"

                        let other =
                            TaskDefinition.custom
                                { custom folder with
                                    Scoring = "macroF1"
                                }

                        Expect.equal (other.Labels, other.Metric) (task.Labels, MacroF1.metric) "any metric of labels"

                        let pools = Pools.load folder task
                        Expect.equal pools.Train.Examples[1] { Input = "b"; Target = "yes" } "a row"
                        Expect.equal pools.Test.Examples [| { Input = "d"; Target = "yes" } |] "another kind of file"
                        File.WriteAllText(Path.Combine(folder, "test.tsv"), "input\ttarget\nd\tmaybe\n")
                        let message = Support.userErrorOf (fun () -> Pools.load folder task |> ignore)
                        Expect.stringContains message "test.tsv, row 1" "an unknown label is refused")

            testCase "a user's files, columns and instruction"
            <| fun () ->
                withFiles
                    [
                        "my.jsonl", "{\"q\":\"2+2\",\"hint\":\"\",\"a\":4}"
                        "held.csv", "q,hint,a\n1+1,easy,2\n"
                    ]
                    (fun folder ->
                        let task =
                            TaskDefinition.custom
                                { custom folder with
                                    Train = Some "my.jsonl"
                                    Test = Some(Path.Combine(folder, "held.csv"))
                                    InputColumn = "q"
                                    TargetColumn = "a"
                                    Scoring = "rougeL"
                                    Instruction = Some "Solve {q} ({hint})."
                                }

                        let pools = Pools.load folder task

                        Expect.equal
                            pools.Train.Examples
                            [|
                                {
                                    Input = "Solve 2+2 ()."
                                    Target = "4"
                                }
                            |]
                            "one blank field is fine"

                        Expect.equal
                            pools.Test.Examples
                            [|
                                {
                                    Input = "Solve 1+1 (easy)."
                                    Target = "2"
                                }
                            |]
                            "the test file")

            testCase "a user's mistakes are told"
            <| fun () ->
                withFiles [ "train.csv", "input,target\na,no\n" ] (fun folder ->
                    for options, part in
                        [
                            { custom folder with Name = "cola" }, "Choose another"
                            { custom folder with Name = "../x" }, "small letters"
                            { custom folder with Scoring = "bleu" }, "rougeL"
                            { custom folder with
                                Train = Some "my.csv"
                            },
                            "my.csv does not exist"
                            { custom folder with
                                Instruction = Some "Do it."
                            },
                            "names no column"
                            { custom folder with
                                InputColumn = "text"
                            },
                            "no column text"
                            { custom folder with
                                TargetColumn = "label"
                            },
                            "no column label"
                            { custom (folder + "x") with
                                Name = "x"
                            },
                            "does not exist"
                        ] do
                        let message =
                            Support.userErrorOf (fun () -> TaskDefinition.custom options |> ignore)

                        Expect.stringContains message part "the message says it")
        ]
