module Peft.Tests.HuggingFaceTests

open System.Collections.Generic
open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

let private gated () =
    Checkpoint.load torch.CPU torch.float32 (golden [ "t5-gated" ])

let private batchOf (path: string) : Batch =
    let inputs = tensors path

    {
        InputIds = inputs["input_ids"]
        Mask = Some inputs["attention_mask"]
        Labels = inputs["labels"]
    }

/// An adapter folder that Hugging Face's peft wrote, and what it computes.
[<ReferenceEquality>]
type private Case =
    {
        Folder: string
        Inputs: string
        /// The trainable elements by peft's count.
        Count: unit -> int64
        /// The bound on gradients, relative to the largest value of each.
        GradientTolerance: float
        /// The bound on merged against unmerged logits.
        MergedTolerance: float
    }

let private firstSet =
    [ "lora-qv"; "lora-all"; "lora-layers"; "rslora"; "dora"; "ia3"; "prompt" ]
    |> List.map (fun name ->
        {
            Folder = golden [ "peft"; name ]
            Inputs = golden [ "peft"; "inputs.safetensors" ]
            Count =
                fun () ->
                    let table = json (golden [ "peft"; "trainable.json" ])
                    table.GetProperty(name).GetProperty("trainable").GetInt64()
            // LoRA on every layer is badly conditioned: peft's own float32 gradients are 2e-3 (of 22) from its float64
            // ones, its merged logits 3e-4 from the unmerged.
            GradientTolerance = if name = "lora-all" then 1e-3 else 1e-4
            MergedTolerance = if name = "lora-all" then 3e-4 else 1e-4
        })

let private secondSet =
    [
        "lora-regex"
        "lora-rank-pattern"
        "ia3-paper-modules"
        "prompt-single"
        "prefix"
        "vera"
        "adalora"
    ]
    |> List.map (fun name ->
        let folder = golden [ "extended"; $"peft-{name}" ]

        {
            Folder = folder
            Inputs = golden [ "extended"; "peft-inputs.safetensors" ]
            Count = fun () -> (json (Path.Combine(folder, "expected.json"))).GetProperty("trainable").GetInt64()
            GradientTolerance = 1e-4
            MergedTolerance = 1e-4
        })

let private load (case: Case) =
    HuggingFace.load case.Folder "" (gated ())

let private at (case: Case) (file: string) = Path.Combine(case.Folder, file)

/// The names of gradients carry the adapter's name in the first set, and the prompt's module in both.
let private gradientName (name: string) =
    let plain =
        name.Replace(".default", "").Replace("lora_magnitude_vector.weight", "lora_magnitude_vector")

    if plain = "prompt_encoder.embedding.weight" then
        "prompt_embeddings"
    else
        plain

let private sameConfig (written: string) (original: string) =
    let values path =
        [ for item in (json path).EnumerateObject() -> item.Name, item.Value ]

    let rec plain (key: string) (value: JsonElement) =
        match value.ValueKind with
        | JsonValueKind.Number -> $"{value.GetDouble()}"
        // peft's targets are a set: their order is chance.
        | JsonValueKind.Array when key.EndsWith "_modules" ->
            [ for item in value.EnumerateArray() -> item.GetRawText() ]
            |> List.sort
            |> String.concat ","
        | JsonValueKind.Array -> [ for item in value.EnumerateArray() -> plain "" item ] |> String.concat ","
        | JsonValueKind.Object ->
            [
                for item in value.EnumerateObject() -> item.Name + ":" + plain item.Name item.Value
            ]
            |> String.concat ","
        | _ -> value.GetRawText()

    let shown path =
        values path |> List.map (fun (key, value) -> $"{key} = {plain key value}")

    Expect.equal (shown written) (List.sort (shown original)) "the same keys and values"

let private caseTests (case: Case) =
    testList
        (Path.GetFileName case.Folder |> string)
        [
            testCase "logits and loss equal the reference"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let (_, model), batch = load case, batchOf case.Inputs
                let expected = tensors (at case "outputs.safetensors")
                close 1e-4 (Forward.logits Pass.Evaluation model batch) expected["logits"] "logits"
                close 1e-5 (Forward.loss Pass.Evaluation model batch) (expected["loss"].squeeze()) "loss"

                if expected.ContainsKey "lm_loss" then
                    let fit =
                        Forward.lossOfLogits (Forward.logits Pass.Evaluation model batch) batch.Labels

                    close 1e-5 fit (expected["lm_loss"].squeeze()) "loss without penalties"

            testCase "gradients equal the reference"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let config, model = load case
                (Forward.loss Pass.Evaluation model (batchOf case.Inputs)).backward()

                let expected =
                    tensors (at case "gradients.safetensors")
                    |> Seq.map (fun pair -> KeyValuePair(gradientName pair.Key, pair.Value))
                    |> Dictionary

                let ours =
                    T5.trained model
                    |> List.map (fun (name, parameter) -> (HuggingFace.tensorName config.Method name).Value, parameter)

                Expect.equal (ours |> List.map fst |> set) (set expected.Keys) "one gradient a parameter"

                for name, parameter in ours do
                    match parameter.grad with
                    | null -> failtest $"{name} has no gradient"
                    | gradient ->
                        let reference = expected[name]

                        match config.Method with
                        | HuggingFacePrompt(tokens, _) ->
                            close case.GradientTolerance gradient (reference.narrow (0L, 0L, int64 tokens)) name
                            let rest = reference.narrow (0L, int64 tokens, reference.size 0 - int64 tokens)

                            if rest.numel () > 0L then
                                Expect.equal (magnitude rest) 0.0 "the second half is never read"
                        | _ -> close case.GradientTolerance gradient (reference.view gradient.shape) name

            testCase "as many trained elements as peft counts"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let config, model = load case

                let submodules =
                    match config.Method with
                    | HuggingFacePrompt(_, submodules) -> int64 submodules
                    | _ -> 1L

                Expect.equal (submodules * T5.countTrained model) (case.Count()) "trainable"

            testCase "merged, it computes the same"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let (_, model), batch = load case, batchOf case.Inputs
                let merged = T5.merge model
                Expect.isEmpty (T5.trained merged) "nothing is left to train"

                close
                    case.MergedTolerance
                    (Forward.logits Pass.Evaluation merged batch)
                    (Forward.logits Pass.Evaluation model batch)
                    "logits"

            if File.Exists(at case "merged.safetensors") then
                testCase "merged weights equal the reference"
                <| fun () ->
                    use _ = torch.NewDisposeScope()
                    let merged = load case |> snd |> T5.merge |> T5.leaves |> dict
                    let expected = tensors (at case "merged.safetensors")
                    Expect.equal (set merged.Keys) (set expected.Keys) "the names of a plain checkpoint"

                    for pair in expected do
                        close 1e-5 merged[pair.Key].Value pair.Value pair.Key

            testCase "read, then written, it is what peft wrote"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let config, model = load case

                inTemporaryFolder (fun folder ->
                    HuggingFace.save folder "" config model
                    let written = tensors (Path.Combine(folder, "adapter_model.safetensors"))
                    let original = tensors (at case "adapter_model.safetensors")
                    Expect.equal (set written.Keys) (set original.Keys) "names"

                    for pair in original do
                        identical written[pair.Key] pair.Value pair.Key

                    Expect.equal
                        (Safetensors.readMetadata (Path.Combine(folder, "adapter_model.safetensors")))
                        (Safetensors.readMetadata (at case "adapter_model.safetensors"))
                        "metadata"

                    sameConfig (Path.Combine(folder, "adapter_config.json")) (at case "adapter_config.json"))
        ]

let private others =
    testList
        "files"
        [
            testCase "the scale of every site is what peft says"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for name in [ "lora-regex"; "lora-rank-pattern" ] do
                    let folder = golden [ "extended"; $"peft-{name}" ]
                    let expected = (json (Path.Combine(folder, "expected.json"))).GetProperty "scaling"
                    let _, model = HuggingFace.load folder "" (gated ())

                    let scales =
                        T5.projections model
                        |> List.choose (fun (site, projection) ->
                            match projection with
                            | LowRank(scale = scale) -> Some(Site.name site, scale)
                            | _ -> None)

                    Expect.equal
                        (Map.ofList scales)
                        (Map.ofList [ for item in expected.EnumerateObject() -> item.Name, item.Value.GetDouble() ])
                        name

            testCase "VeRA's matrices follow from the key as in peft"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let expected =
                    tensors (golden [ "extended"; "peft-vera"; "adapter_model.safetensors" ])

                let basis = Family.veraBasis 4 11 32L 32L torch.CPU
                close 1e-6 basis.A expected["base_model.vera_A"] "A"
                close 1e-6 basis.B expected["base_model.vera_B"] "B"
        ]

[<Tests>]
let tests =
    testList "HuggingFace" [ yield! List.map caseTests (firstSet @ secondSet); others ]
