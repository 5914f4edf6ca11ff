/// What a benchmark says beforehand, and what it does about spreads.
module Peft.Tests.BenchTimeTests

open System
open Expecto
open Peft
open Peft.Tests.BenchSupport

[<Tests>]
let tests =
    testList
        "BenchTime"
        [
            testCase "a row that will take more than a minute says so, by the speed of its dtype"
            <| fun () ->
                let speed dtype =
                    if dtype = "bfloat16" then 10.0 else 300.0

                let largest =
                    { stepOf PaperLora.standard "all" with
                        Model = Checkpoint.named "xl"
                        Size = "xl"
                        Dtype = "bfloat16"
                        Batch = 1
                        Accumulation = 16
                        InputLength = 128
                        TargetLength = 32
                        WarmUp = 0
                        Repeat = 1
                    }

                let seconds = BenchWork.step largest / (0.6 * 10e9)

                Expect.isGreaterThan
                    (BenchTime.expected 10.0 largest)
                    seconds
                    "operations at a share of the speed, and the weights"

                match BenchTime.warning speed largest with
                | Some text ->
                    Expect.stringContains text $"{Math.Round(BenchTime.expected 10.0 largest / 60.0)} minutes" text
                | None -> failtest "half an hour without a word"

                for row in rows do
                    if row.Size <> "xl" && row.Kind <> BenchKind.Share then
                        Expect.isNone (BenchTime.warning speed row) (BenchRow.name row)

                let sweep = rows |> List.find (fun row -> row.Kind = BenchKind.Share)
                Expect.isSome (BenchTime.warning speed sweep) "the sweep takes minutes"

            testCase "a dtype that was not asked for is in no row"
            <| fun () ->
                for dtype in [ "float32"; "bfloat16" ] do
                    let chosen =
                        BenchPlan.rows
                            { settings "small" with
                                Dtypes = [ dtype ]
                            }
                        |> List.filter (fun row -> BenchWork.operations row |> Option.isSome)

                    Expect.all chosen (fun row -> row.Dtype = dtype) dtype

                    Expect.equal
                        (chosen |> List.exists (fun row -> row.Size = "xl"))
                        (dtype = "bfloat16")
                        "the largest model is too large for float32"

            testCase "a row whose repetitions are a tenth apart gets one turn more, and is marked where they stay so"
            <| fun () ->
                let taken (turns: float list list) =
                    let mutable place = -1

                    let own _ =
                        place <- place + 1
                        Ok(measurement turns[place] [])

                    BenchRun.measured own None 1 rows[3], place + 1

                let line, turns = taken [ [ 1.0; 1.05 ] ]
                Expect.equal turns 1 "close together"

                Expect.isFalse
                    ((BenchTables.text { Machine = machine; Lines = [ line ] }).Contains "!")
                    "nothing to mark"

                let line, turns = taken [ [ 1.0; 1.5 ]; [ 1.0; 1.0; 1.0 ] ]
                Expect.equal turns 2 "one more, and no third"

                match line.Own with
                | Ok measured ->
                    Expect.equal measured.Seconds [ 1.0; 1.5; 1.0; 1.0; 1.0 ] "all repetitions count"
                    Expect.equal measured.Median 1.0 "the median settles"
                | Error problem -> failtest problem

                Expect.stringContains (BenchTables.text { Machine = machine; Lines = [ line ] }) "50 % !" "marked"

            testCase "the peer's repetitions count as well"
            <| fun () ->
                let mutable turns = 0

                let own _ =
                    turns <- turns + 1
                    Ok(measurement [ 1.0 ] [])

                let line =
                    BenchRun.measured own (Some(fun _ -> Ok(measurement [ 2.0; 3.0 ] []))) 1 rows[3]

                Expect.equal turns 2 "both have one turn more"
                Expect.isTrue (BenchReport.speedUp line = Some 2.5) "the medians of both turns"
        ]
