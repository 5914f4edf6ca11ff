/// A path of the user's own as a task.
module Peft.Tests.OwnDataTests

open System.IO
open Expecto
open Peft
open Peft.Tests.Support

let private csv (header: string) (rows: string list) =
    String.concat "\n" (header :: rows) + "\n"

let private reviews =
    csv "id,review,sentiment" [ for row in 0..99 -> $"{row},text {row},{if row % 3 = 0 then 'p' else 'n'}" ]

let private taskOf (folder: string) (name: string) =
    OwnData.task (OwnData.at (Path.Combine(folder, name)))

let private splitOf (task: TaskDefinition) (seed: int) =
    Split.create "." task Level.everything seed 2_500 2_500

let private inputs (rows: Example[]) = rows |> Array.map _.Input |> set

[<Tests>]
let tests =
    testList
        "OwnData"
        [
            testCase "one file of any name: columns found, labels inferred, three portions that share no row"
            <| fun () ->
                withFiles [ "My Reviews.csv", reviews ] (fun folder ->
                    let task = taskOf folder "My Reviews.csv"
                    Expect.equal task.Name "my-reviews" "named after the file"
                    Expect.equal (task.Labels, task.Metric) ([ "n"; "p" ], Accuracy.metric) "labels"
                    let split = splitOf task 1

                    Expect.equal
                        (split.Train.Length, split.Validation.Length, split.Test.Length)
                        (72, 8, 20)
                        "a fifth tests, a tenth of the rest validates"

                    let all = [ split.Train; split.Validation; split.Test ] |> List.map inputs
                    Expect.equal (Set.unionMany all).Count 100 "every row is in one portion"
                    Expect.stringContains (SplitSource.describe split.Source) "carved from the training rows" "said"
                    Expect.stringContains (OwnData.describe task split).Head "\"review\" to \"sentiment\"" "said")

            testCase "carved test rows are the same for every seed, validation rows are not"
            <| fun () ->
                withFiles [ "a.csv", reviews ] (fun folder ->
                    let task = taskOf folder "a.csv"
                    let one, two = splitOf task 1, splitOf task 2
                    Expect.equal (inputs one.Test) (inputs two.Test) "test"
                    Expect.notEqual (inputs one.Validation) (inputs two.Validation) "validation"

                    Expect.equal
                        (Split.available (Split.load "." task) task 2_500)
                        one.Train.Length
                        "what a level may take from")

            testCase "rows of one input stay together"
            <| fun () ->
                let rows =
                    csv "text,summary" [ for row in 0..89 -> $"text {row % 30},a summary of {row}" ]

                withFiles [ "a.csv", rows ] (fun folder ->
                    let task = taskOf folder "a.csv"
                    Expect.equal task.Metric Rouge.longest "many different targets are text"
                    let split = splitOf task 1
                    Expect.equal (Overlap.describe split.Overlap) "no input occurs in two portions" "apart")

            testCase "a folder has its own validation and test rows"
            <| fun () ->
                let some = csv "text,label" [ for row in 0..19 -> $"t{row},{row % 2}" ]

                withFiles [ "train.csv", some; "dev.csv", some; "test.csv", some ] (fun folder ->
                    let split = splitOf (OwnData.task (OwnData.at folder)) 1
                    Expect.equal (split.Train.Length, split.Validation.Length, split.Test.Length) (20, 20, 20) "all")

            testCase "targets look like labels where they are few, short and repeated"
            <| fun () ->
                for expected, targets in
                    [
                        true, [| for row in 0..39 -> string (row % 10) |]
                        false, [| for row in 0..39 -> string (row % 11) |]
                        false, Array.create 40 (System.String('x', 61))
                        false, Array.create 40 "two\nlines"
                    ] do
                    Expect.equal (OwnData.looksLikeLabels targets) expected targets[0]

            testCase "columns: the option's, the usual names in any case, of two the other one"
            <| fun () ->
                let own = OwnData.at "x.csv"
                let find own names = OwnData.columns own "x.csv" names
                Expect.equal (find own [| "Label"; "Text" |]) ("Text", "Label") "usual names"
                Expect.equal (find own [| "phrase"; "label" |]) ("phrase", "label") "of two the other one"
                Expect.equal (find own [| "text"; "verdict" |]) ("text", "verdict") "of two the other one"

                Expect.equal
                    (find own [| "label"; "label_text"; "text" |])
                    ("text", "label_text")
                    "words before numbers"

                Expect.equal
                    (find { own with InputColumn = Some "b" } [| "text"; "b"; "label" |])
                    ("b", "label")
                    "the option's"

            testCase
                "what cannot be found is asked for by the option's name, and hopeless rows are refused, in one line"
            <| fun () ->
                withFiles
                    [
                        "abc.csv", csv "a,b,c" [ "1,2,3" ]
                        "semicolons.csv", csv "text;label" [ "1;2" ]
                        "one.csv", csv "text,label" [ for row in 0..9 -> $"t{row},yes" ]
                        "few.csv", csv "text,label" [ "a,x"; "b,y" ]
                    ]
                    (fun folder ->
                        for name, expected in
                            [
                                "abc.csv", "--target-column NAME"
                                "semicolons.csv", "commas"
                                "one.csv", "nothing to tell apart"
                                "none.csv", "does not exist"
                                "", "4 data files"
                            ] do
                            let told = userErrorOf (fun () -> taskOf folder name |> ignore)
                            Expect.stringContains told expected name

                        let few =
                            userErrorOf (fun () ->
                                let own = OwnData.at (Path.Combine(folder, "few.csv"))
                                splitOf (OwnData.task { own with Scoring = Some "accuracy" }) 1 |> ignore)

                        Expect.stringContains few "add rows" "few.csv")

            testCase "an amount of rows is a level with a name that reads back, and becomes what there is"
            <| fun () ->
                for level in Level.everything :: Amount 240 :: Level.all do
                    Expect.equal (Level.find (Level.name level)) level (Level.name level)

                Expect.equal (Level.among 240 Level.everything) (Amount 240) "all of them"
                Expect.equal (Level.among 240 (Amount 100)) (Amount 100) "fewer"
                Expect.equal (Level.among 60 Low) Low "the paper's stay"

                let technique = Technique.parse "lora"

                for rows, expected in [ 100, Low; 101, Medium; 1_001, High ] do
                    Expect.equal
                        (Training.paper 0.1 technique (Amount rows))
                        (Training.paper 0.1 technique expected)
                        "trained like the paper's level that holds as many"
        ]
