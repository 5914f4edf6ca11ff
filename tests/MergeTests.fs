module Peft.Tests.MergeTests

open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private trained (technique: Technique) (model: Model) =
    Adapter.ofTechnique technique 0 model |> Tiny.shake 3 0.1

let private plainLora =
    Lora.technique
        { LoraSettings.OfRank 3 with
            Alpha = 6.0
        }

let private merge =
    testList
        "Merge"
        [
            testCase "a merged checkpoint is a plain one that computes the same, with the tokenizer beside it"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for seed in [ 1; 3 ] do
                    let model, batch = trained plainLora (Tiny.model seed), Tiny.batch seed 3

                    inTemporaryFolder (fun folder ->
                        let at name = Path.Combine(folder, name)
                        Directory.CreateDirectory(at "base") |> ignore
                        File.WriteAllText(Path.Combine(at "base", "spiece.model"), "pieces")

                        let report =
                            Merge.toCheckpoint (at "base") (at "merged") torch.float32 [ batch ] model

                        let read = Checkpoint.load torch.CPU torch.float32 (at "merged")
                        close 1e-5 (Tiny.logits read batch) (Tiny.logits model batch) "logits"

                        Expect.equal
                            (File.ReadAllText(Path.Combine(at "merged", "spiece.model")))
                            "pieces"
                            "the tokenizer"

                        Expect.equal report.ChangedMaps 16 "q and v of eight attentions"
                        let change = distance (Tiny.logits read batch) (Tiny.logits model batch)
                        Expect.floatClose Accuracy.high report.LargestLogitChange change "the change is what it is"

                        Expect.floatClose
                            Accuracy.high
                            report.LargestLogit
                            (magnitude (Tiny.logits model batch))
                            "the largest logit")

            testCase "bfloat16 changes logits, and the report says how far"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = trained plainLora (Tiny.model 1), Tiny.batch 1 3

                inTemporaryFolder (fun folder ->
                    let report =
                        Merge.toCheckpoint folder (Path.Combine(folder, "merged")) torch.bfloat16 [ batch ] model

                    let read = Checkpoint.load torch.CPU torch.float32 (Path.Combine(folder, "merged"))
                    let change = distance (Tiny.logits read batch) (Tiny.logits model batch)
                    Expect.isGreaterThan change 1e-4 "rounding shows"
                    Expect.floatClose Accuracy.medium report.LargestLogitChange change "as reported")

            testCase "a weight that is not finite is refused, and nothing is written"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = trained plainLora (Tiny.model 1)

                (use _ = torch.no_grad ()
                 (snd (Model.trained model).Head).fill_(infinity.ToScalar()) |> ignore)

                inTemporaryFolder (fun folder ->
                    let target = Path.Combine(folder, "merged")

                    let message =
                        userErrorOf (fun () -> Merge.toCheckpoint folder target torch.float32 [] model |> ignore)

                    Expect.stringContains message "not finite" "says why"
                    Expect.isFalse (Directory.Exists target) "nothing is written")

            testCase "a number that float16 cannot hold is refused"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = trained plainLora (Tiny.model 1)

                (use _ = torch.no_grad ()
                 (snd (Model.trained model).Head).fill_(1e6.ToScalar()) |> ignore)

                inTemporaryFolder (fun folder ->
                    userErrorOf (fun () ->
                        Merge.toCheckpoint folder (Path.Combine(folder, "m")) torch.float16 [] model
                        |> ignore)
                    |> ignore)

            testCase "what a plain checkpoint cannot hold is refused by name"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let cases =
                    [
                        BitFit.technique, "biases"
                        Prompt.ofTokens 3, "soft tokens"
                        Prefix.ofTokens 3, "prefix"
                        BottleneckAdapter.technique (3, BottleneckPlace.Behind), "serial"
                        BottleneckAdapter.technique (3, BottleneckPlace.Beside), "parallel"
                    ]

                for technique, word in cases do
                    let message =
                        userErrorOf (fun () -> Merge.merged (trained technique (Tiny.model 1)) |> ignore)

                    Expect.stringContains message word (Technique.text technique)
        ]

let private folders =
    testList
        "AdapterFolders"
        [
            testCase "adapters of both formats are listed with what they are"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Tiny.model 1

                inTemporaryFolder (fun folder ->
                    let at name = Path.Combine(folder, name)
                    Tiny.save (at "a") Ia3.paper (trained Ia3.paper model)
                    let gated = Checkpoint.load torch.CPU torch.float32 (golden [ "t5-gated" ])
                    let config, adapted = HuggingFace.load (golden [ "peft"; "lora-qv" ]) "xyz" gated
                    HuggingFace.save (at "b") "xyz" config adapted
                    let found = AdapterFolders.list folder

                    Expect.equal
                        (found |> List.map (fun one -> Path.GetFileName one.Folder |> string))
                        [ "a"; "b" ]
                        "two"

                    Expect.equal (found |> List.map _.Technique) [ "paper-ia3"; "lora(rank=2,alpha=4)" ] "their words"
                    Expect.equal (found |> List.map _.Base) [ "abc"; "xyz" ] "their bases"
                    Expect.equal found[1].Elements 2048L "peft's count"
                    Expect.equal found[1].Bytes 8192L "four bytes each")

                let peft = AdapterFolders.list (golden [ "peft" ])
                Expect.equal (peft |> List.map _.Format |> List.distinct) [ HuggingFacePeft ] "the references"
                Expect.equal peft.Length 7 "all of them"

            testCase "T-Few's names and shapes are what is written"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                inTemporaryFolder (fun folder ->
                    let model =
                        Adapter.ofTechnique
                            (PaperLora.ofRank 2)
                            0
                            (Checkpoint.load torch.CPU torch.float32 (golden [ "t5-gated" ]))

                    Tiny.save folder (PaperLora.ofRank 2) model

                    let shapes path =
                        Safetensors.header path
                        |> _.Entries
                        |> Map.map (fun _ entry -> List.ofArray entry.Shape)

                    Expect.equal
                        (shapes (Path.Combine(folder, "adapter.safetensors")))
                        (shapes (golden [ "paper-lora"; "adapter.safetensors" ]))
                        "paper-lora"

                    let inspected = AdapterFolders.inspect folder
                    Expect.equal inspected.Length 128 "every tensor"
                    Expect.equal inspected.Head.Dtype "Float32" "the dtype")

            testCase "a transposed tensor is refused"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = trained plainLora (Tiny.model 2)

                let values =
                    Model.trained model
                    |> List.map (fun (name, parameter) -> name, parameter.detach ())
                    |> dict
                    |> System.Collections.Generic.Dictionary

                let first = Seq.head values.Keys
                values[first] <- values[first].t().contiguous()
                let message = userErrorOf (fun () -> AdapterFile.restore "file" values model)
                Expect.stringContains message first "names it"

            testCase "an adapter folder of format 1 is read with the meaning that its words had"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = Tiny.model 2, Tiny.batch 2 3

                for technique, words in
                    [
                        PaperLora.ofRank 2, "lora(rank=2)"
                        Ia3.paper, "ia3"
                        Ia3.huggingFace, "ia3(hf)"
                    ] do
                    inTemporaryFolder (fun folder ->
                        let adapted = trained technique model
                        Tiny.save folder technique adapted
                        let file = Path.Combine(folder, "adapter.json")
                        let text = File.ReadAllText file

                        File.WriteAllText(
                            file,
                            text
                                .Replace(AdapterFile.format, "peft-adapter-1")
                                .Replace($"\"{technique.Words}\"", $"\"{words}\"")
                        )

                        let loaded = AdapterFolders.load folder "abc" model
                        identical (Tiny.logits loaded batch) (Tiny.logits adapted batch) words)

            testCase "to peft's format and back, an adapter computes the same"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for technique in Tiny.techniques do
                    match HuggingFaceConfig.ofTechnique (Tiny.model 2).Shape technique with
                    | None ->
                        inTemporaryFolder (fun folder ->
                            Tiny.save folder technique (trained technique (Tiny.model 2))

                            userErrorOf (fun () ->
                                AdapterFolders.convert folder (folder + "/b") "abc" (Tiny.model 2) |> ignore)
                            |> ignore)
                    | Some _ ->
                        let model, batch = Tiny.model 2, Tiny.batch 2 3

                        inTemporaryFolder (fun folder ->
                            let at name = Path.Combine(folder, name)
                            Tiny.save (at "a") technique (trained technique model)
                            let there = AdapterFolders.convert (at "a") (at "b") "abc" model
                            let back = AdapterFolders.convert (at "b") (at "c") "abc" model
                            Expect.equal (there.Format, back.Format) (HuggingFacePeft, Own) "formats"

                            let logits name =
                                Tiny.logits (AdapterFolders.load (at name) "abc" model) batch

                            identical (logits "b") (logits "a") (Technique.text technique)
                            identical (logits "c") (logits "a") (Technique.text technique))

            testCase "a placed adapter becomes peft's, on exactly its modules"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model, batch = Tiny.model 2, Tiny.batch 2 3

                for technique, words in
                    [
                        plainLora, "late"
                        Ia3.huggingFace, "decoder & (v | wo)"
                        AdaLora.technique AdaLora.standard, "not(self)"
                    ] do
                    inTemporaryFolder (fun folder ->
                        let at name = Path.Combine(folder, name)
                        let placement = Placement.parse words
                        let adapted = Placement.adapter technique placement 0 model |> Tiny.shake 3 0.1

                        AdapterFile.save
                            (at "a")
                            {
                                Format = AdapterFile.format
                                Technique = Technique.text technique
                                Placement = words
                                Base = "abc"
                                BaseFolder = "tiny"
                                TrainableParameters = Model.countTrained adapted
                            }
                            adapted

                        AdapterFolders.convert (at "a") (at "b") "abc" model |> ignore
                        let _, read = HuggingFace.load (at "b") "abc" model
                        Expect.equal (Model.countTrained read) (Model.countTrained adapted) $"{words}: counts"
                        identical (Tiny.logits read batch) (Tiny.logits adapted batch) words)

            testCase "what the words do not say stays in peft's format"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Checkpoint.load torch.CPU torch.float32 (golden [ "t5-gated" ])

                inTemporaryFolder (fun folder ->
                    for name in [ "lora-regex"; "lora-rank-pattern" ] do
                        let source = golden [ "extended"; $"peft-{name}" ]

                        userErrorOf (fun () -> AdapterFolders.convert source folder "" model |> ignore)
                        |> ignore)

                userErrorOf (fun () -> AdapterFolders.summary (golden [ "t5-gated" ]) |> ignore)
                |> ignore
        ]

[<Tests>]
let tests = testList "Folders" [ merge; folders ]
