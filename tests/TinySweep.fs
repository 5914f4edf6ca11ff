/// A tiny random model and small data sets in a temporary folder, and sweeps over them.
module Peft.Tests.TinySweep

open System.IO
open System.Threading
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

let private config (vocabulary: int) : Config = Config.gated vocabulary 16 8 2 32 2

/// The tests' vocabulary: 8,000 English pieces.
let vocabulary: string = golden [ "tokenizer"; "english8k.model" ]

/// Writes a checkpoint with random weights, `vocabularySize` rows or as many as the vocabulary has.
let writeModel (folder: string) (vocabularySize: int option) : unit =
    use _ = torch.NewDisposeScope()

    let size =
        vocabularySize
        |> Option.defaultWith (fun () -> (Tokenizer.Load vocabulary).VocabularySize)

    Checkpoint.save folder torch.float32 (randomT5 (config size) 1)
    File.Copy(vocabulary, Path.Combine(folder, "spiece.model"), overwrite = true)

/// The first rows of an embedded data set.
let writeData (folder: string) (task: string) (train: int) (others: int) : unit =
    Directory.CreateDirectory(Path.Combine(folder, task)) |> ignore

    for portion, rows in [ "train", train; "validation", others; "test", others ] do
        let lines =
            File.ReadLines(Path.Combine(root, "data", task, $"{portion}.jsonl"))
            |> Seq.truncate rows

        File.WriteAllLines(Path.Combine(folder, task, $"{portion}.jsonl"), lines)

/// A plan over topic rows with two epochs of a few steps.
let plan (folder: string) : SweepPlan =
    let session =
        SessionOptions.create (Path.Combine(folder, "model")) (Path.Combine(folder, "data"))

    { SweepPlan.standard session with
        Tasks = [ TaskDefinition.find "topic" ]
        Methods = [ Tuned(PaperLora.ofRank 2); Tuned(Prompt.ofTokens 5) ]
        InputLimit = 32
        TargetLimit = 4
        ValidationLimit = 8
        TestLimit = 7
        Overrides =
            { Overrides.None with
                Epochs = Some 3
                BatchSize = Some 4
                Accumulation = Some 2
                Rates = Some(1e-2, 1e-1, 1e-2)
                Patience = Some 3
            }
    }

/// A folder with `model` and `data`, and the plan over them.
let inTinyFolder (body: string -> SweepPlan -> unit) : unit =
    inTemporaryFolder (fun folder ->
        writeModel (Path.Combine(folder, "model")) None
        writeData (Path.Combine(folder, "data")) "topic" 20 8
        body folder (plan folder))

/// Runs a plan in this process; `tell` hears everything, `stop` stops it.
let sweep (plan: SweepPlan) (results: string) (tell: RunEvent -> unit) (stop: CancellationToken) : Run list =
    let shop =
        { Workshop.quiet (Session plan.Session) results with
            Tell = tell
            Stop = stop
            Command = "test"
        }

    Sweep.run shop plan

let quietly plan results =
    sweep plan results ignore CancellationToken.None

/// All that must be equal for two runs of one experiment: everything but times and memory.
let essence (results: string) (run: Run) =
    let scores = [ for score in run.Scores -> score.Key, score.Value ]

    let epochs =
        run.Epochs
        |> List.map (fun log -> log.Epoch, log.TrainingLoss, log.ValidationLoss)

    run.Id, run.Status, scores, epochs, run.ConvergedEpoch, File.ReadAllText(Run.predictionsPath results run.Experiment)

let only method (plan: SweepPlan) = { plan with Methods = [ method ] }
