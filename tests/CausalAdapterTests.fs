/// Adapters of decoders against Hugging Face's peft: `golden/wider/adapters`.
module Peft.Tests.CausalAdapterTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support
open Peft.Tests.CausalSupport

/// An adapter folder that peft wrote for a decoder, and what it computes. Two rows, the second padded on the left.
type private Case =
    {
        Base: string
        Method: string
    }

    member case.File(name: string) : string =
        golden [ "wider"; "adapters"; case.Base; case.Method; name ]

let private inputsOf (case: Case) =
    tensors (golden [ "wider"; "adapters"; case.Base; "inputs.safetensors" ])

let private load (case: Case) : HuggingFaceConfig * Model =
    HuggingFace.load (case.File "") "" (model case.Base)

/// Where positions count from the left edge and matter, the padded row is another computation in the references: GPT-Neo's
/// learned positions, and the distance from virtual tokens. The row that fills the width is the same everywhere.
let private comparesPadded (case: Case) : bool =
    case.Base <> "gpt_neo"
    && not (List.contains case.Method [ "prompt"; "ptuning"; "prefix"; "prefix-projection" ])

let private rowsOf (case: Case) : IReadOnlyDictionary<string, torch.Tensor> =
    let inputs = inputsOf case

    if comparesPadded case then
        inputs
    else
        inputs
        |> Seq.map (fun pair -> KeyValuePair(pair.Key, pair.Value.narrow (0L, 0L, 1L)))
        |> Dictionary
        :> _

/// The reference's logits where an answer's token is foretold, for the rows that are compared.
let private atAnswers (inputs: IReadOnlyDictionary<string, torch.Tensor>) (logits: torch.Tensor) : torch.Tensor list =
    let labels = inputs["labels"]

    [
        for row in 0L .. labels.size 0 - 1L do
            let places =
                [|
                    for place in 1L .. labels.size 1 - 1L do
                        if labels[row, place].item<int64>() >= 0L then
                            place - 1L
                |]

            logits[row].index_select(0L, torch.tensor places)
    ]

let private logits (case: Case) =
    testCase "logits and loss equal the reference"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let inputs, expected = rowsOf case, tensors (case.File "outputs.safetensors")
        let (_, model), batch = load case, CausalSupport.batchOf inputs
        let found = Model.logits Pass.Evaluation model batch
        let wanted = atAnswers inputs expected["logits"]

        wanted
        |> List.iteri (fun row wanted ->
            close 3e-4 (found[int64 row].narrow(0L, 0L, wanted.size 0)) wanted $"logits of row {row}")

        if comparesPadded case then
            close 5e-5 (Model.loss Pass.Evaluation model batch) (expected["loss"].squeeze()) "loss"

let private gradients (case: Case) =
    testCase "gradients equal the reference"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let config, model = load case
        (Model.loss Pass.Evaluation model (CausalSupport.batchOf (inputsOf case))).backward()

        let found =
            HuggingFaceSupport.gradients (case.File "gradients.safetensors") config model

        let largest =
            found |> List.map (fun (_, _, reference) -> magnitude reference) |> List.max

        for name, gradient, reference in found do
            Expect.isLessThan (distance (gradient.view reference.shape) reference) (2e-5 + 2e-4 * largest) name

let private merged (case: Case) =
    testCase "merged weights and logits equal the reference"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let (_, model), batch = load case, CausalSupport.batchOf (inputsOf case)
        let merged = Model.merge model
        Expect.isEmpty (Model.trained merged) "nothing is left to train"

        close
            3e-4
            (Model.logits Pass.Evaluation merged batch)
            (Model.logits Pass.Evaluation model batch)
            "merged against unmerged"

        let leaves = merged |> Model.leaves |> dict

        for pair in tensors (case.File "merged_rows.safetensors") do
            // A head that is the embedding has no leaf.
            let name =
                if List.contains pair.Key merged.Shared then
                    $"{Shape.embedding merged.Shape}.weight"
                else
                    pair.Key

            let ours = leaves[name].Value.detach()
            close 1e-5 (ours.narrow (0L, 0L, pair.Value.size 0)) pair.Value pair.Key

let private greedy (case: Case) =
    testCase "greedy answers equal the reference"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let expected = (json (case.File "expected.json")).GetProperty "greedy"

        let inputs =
            tensors (golden [ "wider"; expected.GetProperty("inputs").GetString() |> nonNull ])

        let ids, mask = inputs["input_ids"], inputs["attention_mask"]
        let _, model = load case

        let found =
            Generate.run (Decoding.Greedy(expected.GetProperty("max_new_tokens").GetInt32())) model ids (Some mask)

        let isFull (row: int) =
            mask[int64 row].sum().item<int64>() = mask.size 1

        let rows =
            [
                for row, wanted in Seq.indexed (expected.GetProperty("generated").EnumerateArray()) do
                    if comparesPadded case || isFull row then
                        row, GenerateTests.ints wanted
            ]

        Expect.isNonEmpty rows "rows to compare"

        for row, wanted in rows do
            Expect.equal (List.ofArray found[row].Head.Ids) wanted $"row {row}"

/// Whether peft trained the rows through a network, which it counts and does not save.
let private isReparametrised (case: Case) =
    File.Exists(case.File "prompt_encoder.safetensors")

let private count (case: Case) =
    testCase "as many trained elements as peft counts"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let config, model = load case

        Expect.equal
            (int64 config.Form.Copies * Model.countTrained model)
            ((json (case.File "expected.json")).GetProperty("trainable").GetInt64())
            "trainable"

let private rewritten (case: Case) =
    testCase "read, then written, its tensors are what peft wrote"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let config, model = load case

        inTemporaryFolder (fun folder ->
            HuggingFace.save folder "" config model

            HuggingFaceSupport.sameTensors
                (Path.Combine(folder, "adapter_model.safetensors"))
                (case.File "adapter_model.safetensors"))

let private caseTests (case: Case) =
    testList
        $"{case.Base}/{case.Method}"
        [
            logits case
            if comparesPadded case then
                gradients case
            if File.Exists(case.File "merged_rows.safetensors") then
                merged case
            if File.ReadAllText(case.File "expected.json").Contains "\"greedy\"" then
                greedy case
            if not (isReparametrised case) then
                count case
            rewritten case
        ]

let private cases: Case list =
    [
        for architecture in architectures do
            for folder in
                Directory.GetDirectories(golden [ "wider"; "adapters"; architecture ])
                |> Array.sort do
                {
                    Base = architecture
                    Method = Path.GetFileName folder |> nonNull
                }
    ]

/// What words say of embeddings, on a model with a head of its own and on one whose head is the embedding.
let private wordCases =
    [
        "llama", "lora(rank=2,alpha=4,embedding)"
        "llama", "lora(rank=2,alpha=4,rs,embedding,tokens=3+17,on=o)"
        "llama", "tokens(ids=2+71)"
        "qwen2", "lora(rank=2,alpha=4,tokens=3+17)"
        "qwen2", "tokens(ids=3+17)"
    ]

let private wordTest (architecture: string, words: string) =
    testCase $"{words} on {architecture} starts at the base, merges, and is read back from peft's folder"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let plain = model architecture
        let technique = Technique.parse words

        let batch = CausalSupport.batchOf (inputsOf { Base = architecture; Method = "" })

        let logits model =
            Model.logits Pass.Evaluation model batch

        let fresh = Adapter.ofTechnique technique 1 plain
        identical (logits fresh) (logits plain) "a fresh adapter"

        let count =
            Accounting.count (Model.shape plain) Convention.Paper technique Placement.everywhere

        Expect.equal count.Trainable (Model.countTrained fresh) "trained elements"

        let moved = Tiny.shake 3 0.05 fresh
        Expect.isGreaterThan (distance (logits moved) (logits plain)) 1e-3 "it moved"
        close 1e-4 (logits (Model.merge moved)) (logits moved) "merged"

        let config = (HuggingFaceConfig.ofTechnique (Model.shape plain) technique).Value

        inTemporaryFolder (fun folder ->
            HuggingFace.save folder "" config moved
            let _, read = HuggingFace.load folder "" plain
            identical (logits read) (logits moved) "read back")

let private refusals =
    [
        "llama", "tokens(ids=9999)", "no token 9999"
        "llama", "tokens(ids=3) >> tokens(ids=5)", "trained already"
        "qwen2", "lora(embedding)", "is its embedding"
        "llama", "lora(embedding,dora)", "leave out embedding"
        "qwen2", "tokens(ids=3) >> modules(names=lm_head)", "cannot be trained apart"
        "llama", "tokens(ids=3+3)", "named twice"
    ]

/// The adapter with LoRA on the embedding, whose file holds another embedding than the base's.
let private ofAnotherBase () =
    let case =
        {
            Base = "llama"
            Method = "lora-embed"
        }

    let mutable message = ""

    inTemporaryFolder (fun folder ->
        File.Copy(case.File "adapter_config.json", Path.Combine(folder, "adapter_config.json"))
        let values = Dictionary(tensors (case.File "adapter_model.safetensors"))
        let name = "base_model.model.model.embed_tokens.base_layer.weight"
        values[name] <- values[name].add(1.0.ToScalar())

        values
        |> Seq.map (fun pair -> pair.Key, pair.Value)
        |> List.ofSeq
        |> Safetensors.write (Path.Combine(folder, "adapter_model.safetensors")) Map.empty

        message <- userErrorOf (fun () -> HuggingFace.load folder "" (model case.Base) |> ignore))

    message

let private embeddings =
    testList
        "embeddings"
        [
            yield! List.map wordTest wordCases

            testCase "what cannot be is told in one line"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for architecture, words, part in refusals do
                    let message =
                        userErrorOf (fun () ->
                            Adapter.ofTechnique (Technique.parse words) 1 (model architecture) |> ignore)

                    Expect.stringContains message part words
                    Expect.isFalse (message.Contains '\n') "one line"

            testCase "an embedding in the file that is another than the base's is refused"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                Expect.stringContains (ofAnotherBase ()) "belongs to another base" "why"
        ]

[<Tests>]
let tests = testList "Causal adapters" (List.map caseTests cases @ [ embeddings ])
