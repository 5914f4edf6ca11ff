module Peft.Tests.ExperimentTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Expecto
open FsCheck
open FsCheck.FSharp
open Peft
open Peft.Tests.Support

let private training = Training.paper 0.1 (PaperLora.ofRank 2) Low

/// A fixed experiment, whose id must not change from version to version: result files are found by it.
let private fixed': Experiment =
    {
        Task = "topic"
        Method = Tuned(PaperLora.ofRank 2)
        Placement = Placement.everywhere
        Level = Some Low
        Seed = 1
        Model = "0123456789abcdef"
        Data = "fedcba9876543210"
        Precision = "float32"
        InputLimit = 512
        TargetLimit = 128
        Beams = 1
        Constrain = None
        Training = training
    }

let private methods =
    [ ZeroShot; Majority; Tuned(PaperLora.ofRank 7); Tuned(Prompt.ofTokens 3) ]
    @ List.map Tuned Technique.paper

let private experiments: Gen<Experiment> =
    gen {
        let! text = ArbMap.defaults |> ArbMap.generate<string | null>
        let! seed, input, rate = ArbMap.defaults |> ArbMap.generate<int * int * NormalFloat>
        let! method = Gen.elements methods
        let! level = Gen.elements (None :: List.map Some Level.all)

        return
            { fixed' with
                Task = Option.ofObj text |> Option.defaultValue ""
                Method = method
                Level = level
                Seed = seed
                InputLimit = input
                Training = { training with PeakRate = rate.Get }
            }
    }

let private runOf (experiment: Experiment) : Run =
    {
        Schema = Run.schema
        Id = Experiment.id experiment
        Name = Experiment.name experiment
        Experiment = experiment
        Base = "tiny"
        BaseCommit = Some(String.replicate 4 "0123456789")
        DataCommit = None
        Recipe = Some(Recipe.preset "paper")
        Status = "finished"
        Error = ""
        Scores = Dictionary(dict [ "accuracy", 0.1 + 0.2; "matthews", -1e-17 ])
        Metric = "accuracy"
        Epochs =
            [
                {
                    Epoch = 1
                    TrainingLoss = 1.0 / 3.0
                    ValidationLoss = 0.7
                    TrainSeconds = 1.5
                    ValidationSeconds = 0.25
                }
            ]
        ConvergedEpoch = 1
        Timing =
            {
                Load = 1.0
                Tokenise = 2.0
                Train = 3.0
                Validate = 4.0
                Test = 5.0
            }
        TrainableParameters = 12L
        TotalParameters = 5_000_000_000L
        PeakMemoryMiB = 100.5
        TrainRows = 100
        ValidationRows = 10
        TestRows = 11
        Source =
            Some
                { SampleRuns.source with
                    LeftOut = 3
                    Validation = Some SampleRuns.source.Test
                }
        Overlap = None
        Device = "cpu"
        Processor = None
        Versions = Dictionary(dict [ "peft", "1" ])
        Command = "a \"b\"\n\u2028c"
        FinishedAt = "2020-01-01T00:00:00Z"
    }

let private back (experiment: Experiment) =
    JsonSerializer.Deserialize<Experiment>(JsonSerializer.Serialize(experiment, Experiment.json), Experiment.json)

let private laws =
    [
        testProperty "an experiment, written and read, is equal, and has its id"
        <| Prop.forAll (Arb.fromGen experiments) (fun experiment ->
            // A lone surrogate is no text: JSON carries it as U+FFFD.
            Text.Encoding.UTF8.GetString(Text.Encoding.UTF8.GetBytes experiment.Task)
            <> experiment.Task
            || match back experiment with
               | null -> false
               | read -> read = experiment && Experiment.id read = Experiment.id experiment)

        testProperty "different experiments have different ids and names"
        <| Prop.forAll (Arb.fromGen (Gen.two experiments)) (fun (left, right) ->
            (left = right) = (Experiment.id left = Experiment.id right)
            && (left = right) = (Experiment.name left = Experiment.name right))

        testProperty "names are fit for every file system"
        <| Prop.forAll (Arb.fromGen experiments) (fun experiment ->
            Experiment.name
                { experiment with
                    Task = experiment.Task.Substring(0, min 60 experiment.Task.Length)
                }
            |> fun name ->
                name.Length < 200
                && name
                   |> Seq.forall (fun letter -> Char.IsAsciiLetterOrDigit letter || letter = '-'))

        testCase "the id of a fixed experiment stays what it is"
        <| fun () -> Expect.equal (Experiment.name fixed') "topic-paper-lora-low-s1-05829b432aa4" "pinned"

        testCase "every field counts for the id"
        <| fun () ->
            let variants =
                [
                    fixed'
                    { fixed' with Task = "cola" }
                    { fixed' with
                        Method = Tuned(PaperLora.ofRank 4)
                    }
                    { fixed' with Level = None }
                    { fixed' with Seed = 2 }
                    { fixed' with Model = "x" }
                    { fixed' with Data = "x" }
                    { fixed' with Precision = "bfloat16" }
                    { fixed' with InputLimit = 1 }
                    { fixed' with TargetLimit = 1 }
                    { fixed' with Beams = 4 }
                    { fixed' with
                        Constrain = Some AnswerLimit.Labels
                    }
                    { fixed' with
                        Training = { training with Patience = 2 }
                    }
                ]

            Expect.equal (variants |> List.distinctBy Experiment.id).Length variants.Length "all different"
    ]

let private refusedFile (text: string) =
    inTemporaryFolder (fun folder ->
        let path = Path.Combine(folder, "run.json")
        File.WriteAllText(path, text)
        let message = userErrorOf (fun () -> resultsIn folder |> ignore)
        Expect.stringContains message path "the message names the file"
        Expect.equal (File.ReadAllText path) text "the file was left as it was")

let private files =
    [
        testCase "what answers are limited to is said where they are, and nothing where they are not"
        <| fun () ->
            let limited =
                { fixed' with
                    Constrain = Some AnswerLimit.Labels
                }

            let again experiment =
                (RunJson.parse "" (RunJson.text (runOf experiment))).Experiment

            Expect.equal (again limited) limited "written and read"
            Expect.equal (again fixed') fixed' "none"
            Expect.stringContains (RunJson.text (runOf limited)) "\"Constrain\": \"labels\"" "in a word"
            Expect.isFalse ((RunJson.text (runOf fixed')).Contains "Constrain") "as files without it"
            refusedFile ((RunJson.text (runOf limited)).Replace("\"labels\"", "\"verbs\""))

        testCase "a run, written and read, is equal"
        <| fun () ->
            inTemporaryFolder (fun folder ->
                let failed =
                    { runOf { fixed' with Seed = 2 } with
                        Status = "failed"
                        Error = "the loss is NaN"
                        Metric = ""
                        Scores = Dictionary()
                    }

                for run in [ runOf fixed'; failed ] do
                    Results.write folder run
                    let read = Results.readFile (Run.path folder run.Experiment)

                    let text (run: Run) = RunJson.text run

                    Expect.equal (text read) (text run) "equal"

                let runs = resultsIn folder
                Expect.equal runs.Length 2 "both"

                Expect.isTrue
                    (Double.IsNaN (runs |> List.find (_.IsFinished >> not)).Score)
                    "a failed run has no score")

        for text in
            [
                ""
                "{"
                "[]"
                "7"
                "null"
                "{}"
                """{"Schema":1}"""
                """{"Schema":2}"""
                """{"Schema":3}"""
                """{"Schema":"1"}"""
                """{"Schema":1.5}"""
                """{"Schema":99999999999}"""
                """{"Schema":null}"""
                "\u0000\u0001"
            ] do
            testCase $"a result file that is '{text}': one line, and it stays untouched"
            <| fun () -> refusedFile text

        testCase "a result file cut anywhere, or with a field of another kind: one line"
        <| fun () ->
            let whole = RunJson.text (runOf fixed')

            for length in 0..97 .. whole.Length - 2 do
                refusedFile (whole.Substring(0, length))

            for field in
                [
                    "Id"
                    "Experiment"
                    "Status"
                    "Scores"
                    "Metric"
                    "Epochs"
                    "Timing"
                    "Versions"
                    "TotalParameters"
                ] do
                for value in [ "null"; "true"; "[7]" ] do
                    match JsonNode.Parse whole with
                    | null -> failtest "no JSON"
                    | node ->
                        node[field] <- JsonNode.Parse value
                        refusedFile (node.ToJsonString())

                match JsonNode.Parse whole with
                | null -> failtest "no JSON"
                | node ->
                    node.AsObject().Remove field |> ignore
                    refusedFile (node.ToJsonString())

        testCase "an unknown technique, level or status in a result file: one line"
        <| fun () ->
            let whole = RunJson.text (runOf fixed')
            refusedFile (whole.Replace("paper-lora(rank=2)", "paper-lora(rank=none)"))
            refusedFile (whole.Replace("\"low\"", "\"tiny\""))
            refusedFile (whole.Replace("\"finished\"", "\"half\""))
    ]

[<Tests>]
let tests = testList "Experiment" (laws @ files)
