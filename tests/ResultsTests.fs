module Peft.Tests.ResultsTests

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.SampleRuns

let private topic = TaskDefinition.topic
let private sample = run topic (tuned "bitfit") (Some Low) 1 0.5 1.0

/// The sentence of a split's source, as results of schema 1 have it.
let private sentence =
    "train.jsonl (1,250 rows, digest 0123abcd) for training; a.tsv and b.tsv (500 rows) for validation; test.jsonl (1 rows) for testing; validation and test rows have files of their own; 100 of 1,250 training rows, 500 validation rows, 1 test rows; 2 rows without input are left out"

/// A run as schema 1 wrote it.
let private ofSchema1 (source: string) (overlap: string) (run: Run) : string =
    match JsonNode.Parse(RunJson.text run) with
    | null -> failtest "no JSON"
    | node ->
        let node = node.AsObject()
        node["Schema"] <- JsonValue.Create 1
        node["Source"] <- JsonValue.Create source
        node["Overlap"] <- JsonValue.Create overlap

        for added in [ "Name"; "Base"; "Recipe" ] do
            node.Remove added |> ignore

        node.ToJsonString Json.options

let private withSource source =
    ofSchema1 source "no input occurs in two portions" sample
    |> RunJson.parse sample.Name

let private legacy =
    testList
        "schema 1"
        [
            testCase "a result of schema 1 is read as today's, its sentence as facts"
            <| fun () ->
                let lifted = withSource sentence
                Expect.equal (lifted.Id, lifted.Name, lifted.Schema) (sample.Id, sample.Name, Run.schema) "identity"
                Expect.equal lifted.Recipe (Some(Recipe.preset "paper")) "the preset that explains it"

                match lifted.Source, lifted.Overlap with
                | Some found, Some overlap ->
                    Expect.equal (SplitSource.describe found) sentence "told again"
                    Expect.equal found.Train.Digest "0123abcd" "a digest"
                    Expect.equal (found.Validation |> Option.map _.Files) (Some [ "a.tsv"; "b.tsv" ]) "two files"
                    Expect.equal (found.Available, found.TestRows, found.LeftOut) (1_250, 1, 2) "counts"
                    Expect.equal overlap.TrainTest { Inputs = 0; Rows = 0; Of = 1 } "no overlap"
                | other -> failtest $"{other}"

            testCase "every sentence of a split's source is told again as it was"
            <| fun () ->
                for words in
                    [
                        "train.csv (1,200 rows) for training; dev.tsv (527 rows) for testing; there is no labelled test file (x.csv has no labels), so dev.tsv gives the test rows and validation rows are carved from the training rows; 100 of 1,080 training rows, 120 validation rows, 527 test rows"
                        "train.csv (90 rows) for training; test.csv (9 rows) for testing; there is no validation file, so validation rows are carved from the training rows; 81 training rows, all there are (the low level would take 100), 9 validation rows, 9 test rows; 1 row without input is left out"
                    ] do
                    Expect.equal ((withSource words).Source |> Option.map SplitSource.describe) (Some words) words

            testCase "a sentence of nobody's is no source, and overlaps are read as numbers"
            <| fun () ->
                Expect.isNone (withSource "by hand").Source "none"

                let words =
                    "2 of 500 validation rows have an input of the training rows (1 with the same target)"

                let lifted = ofSchema1 sentence words sample |> RunJson.parse sample.Name

                Expect.equal
                    (lifted.Overlap |> Option.map _.TrainValidation)
                    (Some { Inputs = 2; Rows = 1; Of = 500 })
                    "numbers"

            testCase "words of schema 1 have the meaning that they had, and the file keeps its name"
            <| fun () ->
                let old = golden [ "results"; "schema1.json" ]
                let lifted = RunJson.parse "topic-lora-low-s1-c0ffee" (File.ReadAllText old)
                Expect.equal lifted.Experiment.Method (tuned "paper-lora") "the paper's LoRA"
                Expect.equal lifted.Id (Experiment.id lifted.Experiment) "today's id"
                let stem = "topic-lora-low-s1-561f58ec27bc"
                Expect.equal (RunJson.parse stem (File.ReadAllText old)).Name stem "the name of its predictions"

            testCase "a result of schema 1 that was changed by hand is refused"
            <| fun () ->
                let changed = (ofSchema1 sentence "" sample).Replace("\"Seed\": 1", "\"Seed\": 2")

                Expect.stringContains
                    (userErrorOf (fun () -> RunJson.parse "" changed |> ignore))
                    "changed by hand"
                    "its id is another's"
        ]

let private hostile =
    testList
        "hostile files"
        [
            testCase "what no run can have is named, and the folder's others are read"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    Results.write folder sample
                    let whole = RunJson.text sample

                    let damaged =
                        [
                            "rate", whole.Replace("\"PeakRate\": 0.003", "\"PeakRate\": 1e999")
                            "rows", whole.Replace("\"TrainRows\": 100,\n  \"V", "\"TrainRows\": -1,\n  \"V")
                            "words",
                            whole.Replace(
                                "\"Method\": \"bitfit\"",
                                "\"Method\": \"bitfit" + String(' ', 150_000) + "\""
                            )
                            "chain",
                            whole.Replace(
                                "\"Method\": \"bitfit\"",
                                "\"Method\": \"bitfit" + String.replicate 100_000 "+bitfit" + "\""
                            )
                            "device",
                            whole.Replace("\"Device\": \"cpu\"", "\"Device\": \"" + String('x', 100_000) + "\"")
                            "surrogate", whole.Replace("\"Device\"", "\"\\ud800Device\"")
                            "deep", String('[', 100_000)
                            "epoch", whole.Replace("\"Epochs\": []", "\"Epochs\": [null]")
                            "missing", whole.Replace("\"Device\": \"cpu\"", "\"Device\": null")
                        ]

                    for name, text in damaged do
                        Expect.notEqual text whole name
                        File.WriteAllText(Path.Combine(folder, name + ".json"), text)

                    let watch = Diagnostics.Stopwatch.StartNew()
                    let runs, problems = Results.read folder
                    Expect.isLessThan watch.Elapsed.TotalSeconds 5.0 "at once"
                    Expect.equal (runs |> List.map _.Id) [ sample.Id ] "the good one"
                    Expect.equal problems.Length damaged.Length "the others are named"

                    for name, _ in damaged do
                        Expect.exists problems _.Contains($"{name}.json") name

                    for problem in problems do
                        Expect.isLessThan problem.Length 800 "short"
                        Expect.isFalse (problem |> Seq.exists Char.IsControl) "one line")

            testCase "only regular files of sane size are read as results"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    Results.write folder sample
                    let path (name: string) = Path.Combine(folder, name)
                    use large = new FileStream(path "large.json", FileMode.CreateNew)
                    large.SetLength(1_500L <<< 20)
                    large.Dispose()
                    Directory.CreateDirectory(path "folder.json") |> ignore

                    if not (OperatingSystem.IsWindows()) then
                        use maker = Diagnostics.Process.Start("mkfifo", path "pipe.json")
                        maker.WaitForExit()

                    let runs, problems = Results.read folder
                    Expect.equal runs.Length 1 "the good one"
                    Expect.exists problems _.Contains("large.json") "the large one"

                    if not (OperatingSystem.IsWindows()) then
                        Expect.exists problems _.Contains("pipe.json") "the pipe")

            testCase "texts of others reach neither a spreadsheet as formulas nor a screen as control characters"
            <| fun () ->
                let row = [ "=HYPERLINK(1)"; "+a"; "@b"; "-c"; "-0.5"; "1e-3"; "plain" ]
                Expect.equal (Render.csvOf [ row ]) "'=HYPERLINK(1),'+a,'@b,'-c,-0.5,1e-3,plain" "CSV"

                let failed =
                    { sample with
                        Status = "failed"
                        Error = "\u001b[31m" + String('x', 20_000)
                    }

                let note = Tables.notes [ failed ] |> List.exactlyOne
                Expect.isLessThan note.Length 700 "short"
                Expect.isFalse (note |> Seq.exists Char.IsControl) "no escape"
        ]

let private packed =
    testList
        "files of runs"
        [
            testCase "one file of runs gives what the folder gives"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let runs =
                        [
                            for name in [ "bitfit"; "paper-lora"; "full" ] do
                                for seed in 1..2 -> run topic (tuned name) (Some Low) seed (0.1 * float seed) 1.0
                        ]

                    runs |> List.iter (Results.write folder)
                    let ofFolder, _ = Results.read folder

                    for name in [ "runs.jsonl"; "runs.jsonl.gz" ] do
                        let file = Path.Combine(folder, name)
                        Results.writeFile file ofFolder
                        let ofFile, problems = Results.read file
                        Expect.isEmpty problems name
                        Expect.equal (ofFile |> List.map RunJson.text) (ofFolder |> List.map RunJson.text) name

                        Expect.equal
                            (Tables.toText (Tables.table1 ofFile))
                            (Tables.toText (Tables.table1 ofFolder))
                            "the same table"

                        let before = File.ReadAllBytes file
                        Results.writeFile file ofFile
                        Expect.equal (File.ReadAllBytes file) before "the same bytes")

            testCase "bad lines of a file of runs are named by their numbers, a run that comes twice counts once"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let file = Path.Combine(folder, "runs.jsonl")
                    let line = RunJson.lineOf sample
                    let changed = line.Replace("\"Seed\":1", "\"Seed\":2")
                    File.WriteAllLines(file, [ line; "{"; ""; changed; line ])
                    let runs, problems = Results.read file
                    Expect.equal (runs |> List.map _.Id) [ sample.Id ] "once"
                    Expect.exists problems _.Contains("line 2,") "no JSON"
                    Expect.exists problems _.Contains("line 4,") "changed"
                    Expect.exists problems _.Contains("2 times") "twice"
                    Expect.equal problems.Length 3 "all are told"
                    File.WriteAllText(file + ".gz", "no gzip")

                    Expect.stringContains
                        (userErrorOf (fun () -> Results.read (file + ".gz") |> ignore))
                        "cannot be read"
                        "gzip")
        ]

let private bases =
    testCase "that FLAN-T5 has seen the published data is said of FLAN-T5 only"
    <| fun () ->
        let own = run TaskDefinition.agnews (tuned "bitfit") (Some Low) 1 0.5 1.0
        Expect.isEmpty (Tables.seenBefore [ own ]) "a tiny model"

        Expect.hasLength
            (Tables.seenBefore
                [
                    { own with
                        Base = "google/flan-t5-small"
                    }
                ])
            1
            "by name"

        let sized =
            { own with
                Base = ""
                TotalParameters =
                    (Checkpoint.sizes |> List.find (fst >> (=) "small") |> snd).Elements
                    + own.TrainableParameters
            }

        Expect.hasLength (Tables.seenBefore [ sized ]) 1 "by size"

        Expect.isEmpty
            (Tables.seenBefore
                [
                    { sized with
                        Experiment = sample.Experiment
                    }
                ])
            "another task"

        Expect.equal
            (Run.baseName "/cache/models--google--flan-t5-base/snapshots/abc")
            "google/flan-t5-base"
            "the hub's"

        Expect.equal (Run.baseName "/models/tiny/") "tiny" "the folder's"

[<Tests>]
let tests = testList "Results" [ legacy; hostile; packed; bases ]
