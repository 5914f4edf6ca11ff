module Peft.Tests.TasksTests

open System
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open Peft
open Peft.Tests.Support

let private rows (pool: Pool) =
    pool.Examples
    |> Array.map (fun row -> row.Input.Split("\n\n")[1], row.Target)
    |> List.ofArray

let private loads task files check =
    withFiles files (fun folder -> check (Pools.load folder task))

let private refused task files (parts: string list) =
    withFiles files (fun folder ->
        let message = userErrorOf (fun () -> Pools.load folder task |> ignore)

        for part in parts do
            Expect.stringContains message part "the message says it")

let private real (folder: string) =
    Path.GetDirectoryName(sharedOrSkip [ "data"; folder ]) |> string

let private count (pool: Pool) target =
    pool.Examples |> Array.filter (fun row -> row.Target = target) |> Array.length

[<Tests>]
let tests =
    testList
        "Tasks"
        [
            testCase "names are unique and found again"
            <| fun () ->
                for task in TaskDefinition.all do
                    Expect.equal (TaskDefinition.find task.Name) task task.Name

                let message = userErrorOf (fun () -> TaskDefinition.find "nope" |> ignore)
                Expect.stringContains message "agnews, cola, e2e, samsum, topic" "the message lists the tasks"

            testCase "tasks report accuracy of labels and ROUGE-L of text"
            <| fun () ->
                for task in TaskDefinition.all do
                    Expect.equal task.Metric (Metrics.usual task.Labels) task.Name
                    Expect.equal task.Metric.Name (if task.Labels.IsEmpty then "rougeL" else "accuracy") task.Name

            testCase "a classification input lists the options before the text"
            <| fun () ->
                loads TaskDefinition.agnews [ "ag_news/train.csv", "\"3\",\"Owls\",\"sell\\wool\"\n" ] (fun pools ->
                    Expect.equal
                        pools.Train.Examples[0]
                        {
                            Input =
                                "What label best describes this news article?\nOPTIONS:\n- World\n- Sports\n- Business\n- Sci/Tech\n\nOwls sell\\wool"
                            Target = "Business"
                        }
                        "the worded row")

            testCase "AG News: the publisher's columns count from 1, Hugging Face's from 0"
            <| fun () ->
                let expected = [ "Owls sing", "World"; "A hut", "Sci/Tech" ]

                for name, text in
                    [
                        "ag_news_csv/train.csv", "\"1\",\"Owls\",\"sing\"\n\"4\",\"A\",\"hut\"\n"
                        "agnews/train.csv", "Class Index,Title,Description\n1,Owls,sing\n4,A,hut\n"
                        "ag_news/train.csv", "text,label\nOwls sing,0\nA hut,3\n"
                        "ag_news/data/train.jsonl",
                        "{\"text\":\"Owls sing\",\"label\":0}\n{\"label\":3,\"text\":\"A hut\"}\n"
                        "ag_news/train.csv.gz", "label,text\n0,Owls sing\n3,A hut\n"
                    ] do
                    loads TaskDefinition.agnews [ name, text ] (fun pools ->
                        Expect.equal (rows pools.Train) expected name)

            testCase "parquet in numbered parts is read in order"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let data = Path.Combine(folder, "ag_news", "data")
                    Directory.CreateDirectory data |> ignore

                    let part number =
                        Path.Combine(data, $"train-0000{number}-of-00002.parquet")

                    RowsTests.writeParquet (part 1) [ "late", Nullable 3, 0L; "last", Nullable 2, 0L ]
                    RowsTests.writeParquet (part 0) [ "first", Nullable 0, 0L; "next", Nullable 1, 0L ]
                    let pools = Pools.load folder TaskDefinition.agnews

                    Expect.equal
                        (rows pools.Train)
                        [ "first", "World"; "next", "Sports"; "late", "Sci/Tech"; "last", "Business" ]
                        "all rows"

                    File.Delete(part 0)

                    let message =
                        userErrorOf (fun () -> Pools.load folder TaskDefinition.agnews |> ignore)

                    Expect.stringContains message "1 of the 2 parts of train" "a missing part is noticed")

            testCase "a portion is the file whose name begins with its word, or the parts whose names do"
            <| fun () ->
                let row text =
                    $"{{\"text\":\"{text}\",\"label\":\"music\"}}\n"

                let read (files: (string * string) list) (check: Pools -> unit) =
                    loads TaskDefinition.topic (files |> List.map (fun (name, text) -> $"topic/{name}", text)) check

                read
                    [
                        "train.subset5000.jsonl", row "a"
                        "test.rows1-6000.jsonl", row "b"
                        "val_v2.jsonl.gz", row "c"
                        "trainer.jsonl", row "no"
                        "train.notes.txt", "no"
                    ]
                    (fun pools ->
                        Expect.equal pools.Train.Files [ "train.subset5000.jsonl" ] "train"
                        Expect.equal pools.Test.Files [ "test.rows1-6000.jsonl" ] "test"
                        Expect.equal pools.Validation.Files [ "val_v2.jsonl.gz" ] "validation")

                read
                    [
                        "train-clean_2_of_2.jsonl", row "b"
                        "train-clean_1_of_2.jsonl", row "a"
                        "test.jsonl", row "x"
                        "test.old.jsonl", row "y"
                    ]
                    (fun pools ->
                        Expect.equal (rows pools.Train) [ "a", "music"; "b", "music" ] "parts counted from 1"
                        Expect.equal pools.Test.Files [ "test.jsonl" ] "the name itself comes first")

                refused
                    TaskDefinition.topic
                    [ "topic/train.a.jsonl", row "a"; "topic/train.b.jsonl", row "b" ]
                    [ "train.a.jsonl or train.b.jsonl"; "only one" ]

                refused
                    TaskDefinition.topic
                    [ "topic/train-x-00000-of-00002.jsonl", row "a" ]
                    [ "1 of the 2 parts of train-x" ]

            testCase "that no rows are there to test on is told before the training rows are read"
            <| fun () ->
                withFiles [ "topic/train.jsonl", "this would be refused" ] (fun folder ->
                    let message =
                        userErrorOf (fun () -> Split.load folder TaskDefinition.topic |> ignore)

                    Expect.stringContains message "Topic has training rows and no test rows" "what is missing")

            testCase "CoLA: the public release, with its second dev file where it is"
            <| fun () ->
                loads
                    TaskDefinition.cola
                    [
                        "cola_public/raw/in_domain_train.tsv", "o1\t1\t\tOwls \"sing.\no1\t0\t*\tSing owl the.\n"
                        "cola_public/raw/in_domain_dev.tsv", "o1\t1\t\tOwls dive.\n"
                        "cola_public/raw/out_of_domain_dev.tsv", "o2\t0\t\tDive the.\n"
                    ]
                    (fun pools ->
                        Expect.equal
                            (rows pools.Train)
                            [ "Owls \"sing.", "acceptable"; "Sing owl the.", "unacceptable" ]
                            "train"

                        Expect.equal
                            pools.Validation.Files
                            [ "in_domain_dev.tsv"; "out_of_domain_dev.tsv" ]
                            "both dev files"

                        Expect.equal pools.Validation.Examples.Length 2 "their rows"
                        Expect.isEmpty pools.Test.Files "no test file")

            testCase "CoLA: GLUE's test files, without labels or with -1, are passed over"
            <| fun () ->
                for name, text in
                    [
                        "glue/cola/test.tsv", "index\tsentence\n0\tOwls dive.\n"
                        "glue/cola/test.jsonl", "{\"sentence\":\"Owls dive.\",\"label\":-1,\"idx\":0}\n"
                    ] do
                    loads
                        TaskDefinition.cola
                        [ "glue/cola/train.csv", "sentence,label,idx\nOwls sing.,1,0\n"; name, text ]
                        (fun pools ->
                            Expect.equal (rows pools.Train) [ "Owls sing.", "acceptable" ] "train"
                            Expect.isEmpty pools.Test.Files "no test rows"
                            Expect.equal pools.Test.Unlabelled [ string (Path.GetFileName name) ] "the file is told")

            testCase "CoLA: training rows with -1 are refused, and so is one -1 among labels"
            <| fun () ->
                refused
                    TaskDefinition.cola
                    [ "cola/train.csv", "sentence,label\nx,-1\n" ]
                    [ "train.csv, row 1"; "\"-1\""; "0, 1" ]

                refused
                    TaskDefinition.cola
                    [
                        "cola/train.csv", "sentence,label\nx,1\n"
                        "cola/test.csv", "sentence,label\nx,1\ny,-1\n"
                    ]
                    [ "test.csv, row 2"; "\"-1\"" ]

            testCase "E2E: the challenge's and Hugging Face's columns; a test file without references is passed over"
            <| fun () ->
                loads
                    TaskDefinition.e2e
                    [
                        "e2e-dataset/trainset.csv", "mr,ref\r\n\"name[Owl], food[Thai]\",\"One\r\n£2\"\r\n"
                        "e2e-dataset/devset.csv",
                        "meaning_representation,human_reference\n\"name[Hut]\",\"\"\"Hut\"\"!\"\n"
                        "e2e-dataset/testset.csv", "MR\nname[Elm]\n"
                    ]
                    (fun pools ->
                        Expect.equal (rows pools.Train) [ "name[Owl], food[Thai]", "One\r\n£2" ] "train"
                        Expect.equal (rows pools.Validation) [ "name[Hut]", "\"Hut\"!" ] "dev"
                        Expect.equal pools.Test.Unlabelled [ "testset.csv" ] "test")

            testCase "SAMSum: blanks around a summary go, those inside and in the dialogue stay"
            <| fun () ->
                loads
                    TaskDefinition.samsum
                    [
                        "samsum/train.json",
                        "[{\"id\":\"1\",\"summary\":\" A  b.\\r\\nC \",\"dialogue\":\" Ann:  🦉\\tho \"}, {\"id\":\"2\",\"summary\":\"x\",\"dialogue\":\"\"}]"
                        "samsum/val.json", "[{\"id\":\"3\",\"summary\":\"y\",\"dialogue\":\"Bo: hi\"}]"
                        "samsum/test.json", "[{\"id\":\"4\",\"summary\":\"z\",\"dialogue\":\"Cy: hi\"}]"
                    ]
                    (fun pools ->
                        Expect.equal (rows pools.Train) [ " Ann:  🦉\tho ", "A  b.\r\nC" ] "train"
                        Expect.equal pools.Train.LeftOut 1 "the row without a dialogue is counted"
                        Expect.equal (rows pools.Validation) [ "Bo: hi", "y" ] "validation"
                        Expect.equal (rows pools.Test) [ "Cy: hi", "z" ] "test")

            testCase "embedded tasks read JSON Lines with label words"
            <| fun () ->
                for task, row, target in
                    [
                        TaskDefinition.topic, "{\"text\":\"t\",\"label\":\"music\"}", "music"
                        TaskDefinition.acceptability, "{\"sentence\":\"t\",\"label\":\"unacceptable\"}", "unacceptable"
                        TaskDefinition.attributes, "{\"attributes\":\"t\",\"text\":\"T\"}", "T"
                        TaskDefinition.dialogue, "{\"dialogue\":\"t\",\"summary\":\"S\"}", "S"
                    ] do
                    loads task [ $"{task.Name}/train.jsonl", row ] (fun pools ->
                        Expect.equal (rows pools.Train) [ "t", target ] task.Name)

            testCase "a cell with braces is not read as a template"
            <| fun () ->
                loads
                    TaskDefinition.attributes
                    [
                        "attributes/train.jsonl", "{\"attributes\":\"{text}\",\"text\":\"{options}\"}"
                    ]
                    (fun pools -> Expect.equal (rows pools.Train) [ "{text}", "{options}" ] "as it stands")

            testCase "bad rows are refused, each with file, row and advice"
            <| fun () ->
                let file text = [ "topic/train.jsonl", text ]
                let good = "{\"text\":\"t\",\"label\":\"music\"}\n"

                refused
                    TaskDefinition.topic
                    (file (good + "{\"text\":\"t\",\"label\":\"jazz\"}"))
                    [ "row 2"; "\"jazz\""; "sports, weather" ]

                refused TaskDefinition.topic (file (good + "{\"text\":\"t\"}")) [ "row 2"; "no column label" ]
                refused TaskDefinition.topic (file (good + "{\"label\":\"music\"}")) [ "row 2"; "no column text" ]

                refused
                    TaskDefinition.topic
                    (file (good + "{\"text\":\" \",\"label\":\"music\"}"))
                    [ "row 2"; "empty input" ]

                refused
                    TaskDefinition.topic
                    (file (good + "{\"text\":\"t\",\"label\":\" \"}"))
                    [ "row 2"; "empty label" ]

                refused TaskDefinition.topic (file "") [ "train.jsonl is empty" ]
                refused TaskDefinition.topic [ "topic/test.jsonl", good ] [ "no training rows of Topic"; "train" ]

                refused
                    TaskDefinition.topic
                    (("topic/train.csv", "text,label\nt,music\n") :: file good)
                    [ "train.csv or train.jsonl"; "only one" ]

                let message =
                    userErrorOf (fun () -> Pools.load "nowhere" TaskDefinition.topic |> ignore)

                Expect.stringContains message "nowhere does not exist" "the folder is named"

            testCase "the real AG News has the rows and labels of its notes"
            <| fun () ->
                let pools = Pools.load (real "ag_news") TaskDefinition.agnews
                let labels = [ "World"; "Sports"; "Business"; "Sci/Tech" ]
                Expect.equal (labels |> List.map (count pools.Train)) [ 1204; 1240; 1291; 1265 ] "train"
                Expect.equal (labels |> List.map (count pools.Test)) [ 1519; 1493; 1470; 1518 ] "test"
                Expect.isEmpty pools.Validation.Files "no validation file"

            testCase "the real CoLA has the rows and labels of its notes"
            <| fun () ->
                let pools = Pools.load (real "cola") TaskDefinition.cola
                let labels = [ "acceptable"; "unacceptable" ]
                Expect.equal (labels |> List.map (count pools.Train)) [ 6023; 2528 ] "train"
                Expect.equal (labels |> List.map (count pools.Validation)) [ 365; 162 ] "dev"

            testCase "the real E2E has the rows of its notes, line breaks in two references, and no labelled test file"
            <| fun () ->
                let pools = Pools.load (real "e2e_nlg") TaskDefinition.e2e
                Expect.equal pools.Train.Examples.Length 42061 "train"
                Expect.equal pools.Validation.Examples.Length 4672 "dev"
                Expect.equal pools.Test.Unlabelled [ "testset.csv" ] "test"

                let distinct (pool: Pool) =
                    pool.Examples |> Array.distinctBy _.Input |> Array.length

                Expect.equal (distinct pools.Train, distinct pools.Validation) (4862, 547) "meaning representations"

                Expect.equal
                    (pools.Train.Examples |> Array.filter _.Target.Contains("\r\n") |> Array.length)
                    2
                    "references of two lines"

            testCase "the real SAMSum has the rows of its notes, emoji and placeholders intact"
            <| fun () ->
                let pools = Pools.load (real "samsum") TaskDefinition.samsum
                Expect.equal (pools.Train.Examples.Length, pools.Train.LeftOut) (14731, 0) "train"
                Expect.equal pools.Validation.Examples.Length 818 "validation"

                let raw = Rows.read FirstRow (sharedOrSkip [ "data"; "samsum"; "train.csv.gz" ])

                let breaks =
                    raw |> Seq.filter (fun row -> row["summary"].Contains '\n') |> Seq.length

                Expect.equal breaks 9 "summaries with a line break, most of them at the end"

                let hasEmoji (row: Example) =
                    row.Input |> Seq.exists Char.IsSurrogate
                    || row.Target |> Seq.exists Char.IsSurrogate

                Expect.equal (pools.Train.Examples |> Array.filter hasEmoji |> Array.length) 1172 "rows beyond the BMP"
                Expect.all pools.Train.Examples (fun row -> row.Target = row.Target.Trim()) "targets are trimmed"
        ]
