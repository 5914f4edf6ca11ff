module Peft.Tests.CSharpTests

open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.CSharp
open Peft.Tests.Support

/// A model folder with a vocabulary that fits, and an adapter on it.
let private withModel (body: string -> string -> unit) =
    inTemporaryFolder (fun folder ->
        use _ = torch.NewDisposeScope()
        let vocabulary = golden [ "tokenizer"; "english8k.model" ]
        let tokens = (Tokenizer.Load vocabulary).VocabularySize
        let golden = Config.load (golden [ "t5-gated"; "config.json" ])

        let modelFolder, adapterFolder =
            Path.Combine(folder, "model"), Path.Combine(folder, "adapter")

        let model = randomT5 { golden with VocabularySize = tokens } 5
        Checkpoint.save modelFolder torch.float32 model
        File.Copy(vocabulary, Path.Combine(modelFolder, "spiece.model"))
        let adapted = Adapter.ofTechnique BitFit.technique 0 model

        for _, parameter in Model.trained adapted do
            parameter.detach().fill_(0.3.ToScalar()) |> ignore

        AdapterFile.save
            adapterFolder
            {
                Format = AdapterFile.format
                Technique = Technique.text BitFit.technique
                Placement = Placement.text Placement.everywhere
                Base = Checkpoint.fingerprint modelFolder
                BaseFolder = modelFolder
                TrainableParameters = Model.countTrained adapted
            }
            adapted

        body modelFolder adapterFolder)

[<Tests>]
let tests =
    testList
        "C#"
        [
            testCase "a C# program answers with a model and with an adapter on it"
            <| fun () ->
                withModel (fun modelFolder adapterFolder ->
                    let struct (alone, adapted) =
                        Calls.Generate(modelFolder, adapterFolder, "a cat and a dog")

                    use model = TextModel.Load modelFolder
                    Expect.equal alone (model.Generate("a cat and a dog", 8)) "the base"
                    Expect.notEqual adapted alone "the adapter changes the answer"
                    Expect.equal (model.Generate("a cat and a dog", 8)) alone "and leaves the base as it was")

            testCase "a C# program chooses the option that is likeliest as an answer, in any order of the options"
            <| fun () ->
                withModel (fun modelFolder _ ->
                    let texts = [| "a cat and a dog"; "it rains" |]
                    let options = [| "the cat"; "a dog"; "rain" |]
                    let chosen = Calls.Choose(modelFolder, texts, options)
                    Expect.all chosen (fun option -> Array.contains option options) "options"
                    Expect.equal (Calls.Choose(modelFolder, texts, Array.rev options)) chosen "whatever their order"

                    Expect.stringContains
                        (userErrorOf (fun () -> Calls.Choose(modelFolder, texts) |> ignore))
                        "0 options"
                        "none")

            testCase "a C# program counts what a placed technique trains"
            <| fun () ->
                // Blocks 1 of 2 and 1, 2 of 3: 1 + 2·2 attentions of four maps 32 → 32, each 4·(32 + 32) + 32 + 32.
                Expect.equal (Calls.CountLateLora(golden [ "t5-gated" ])) (5L * 4L * 320L) "closed form"

            testCase "a C# program reads results"
            <| fun () ->
                inTemporaryFolder (fun folder -> Expect.isEmpty (Calls.Scores folder) "an empty folder has none")

            testCase "a C# program is told what is missing in one line"
            <| fun () ->
                let message = Calls.ErrorOf "/no/such/folder"
                Expect.stringContains message "/no/such/folder" "the place is named"
                Expect.isFalse (message.Contains '\n') "one line"
        ]
