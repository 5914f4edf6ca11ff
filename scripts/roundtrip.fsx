// Writes checkpoints and adapters as this project writes them for Hugging Face's tools, each with what this project computes
// from it; scripts/roundtrip.py then loads them with transformers and peft and compares.
//
//   dotnet fsi scripts/roundtrip.fsx FOLDER       an empty folder, or one that this script wrote
//   python3 scripts/roundtrip.py FOLDER           needs torch, transformers and safetensors; peft for the adapters
#load "prelude.fsx"

open System.IO
open System.Text.Json
open Peft
open Peft.T5
open TorchSharp

let root =
    match List.tail (List.ofArray fsi.CommandLineArgs) with
    | [ folder ] -> folder
    | _ -> failwith "Give a folder to write into."

let texts =
    [
        "Which topic is this text about? The match went to extra time."
        "Rain is coming  to the hills tonight, naïve café № 5!"
        "<extra_id_0> walks in <extra_id_1> park"
    ]

/// The most tokens of a greedy answer.
let limit = 12

let device, float32 = torch.CPU, torch.float32

/// Rows of ids of a vocabulary, from a seed: two of different lengths.
let batchOf (vocabulary: int) : Batch =
    let random = System.Random 5

    let ids length =
        Array.append (Array.init length (fun _ -> random.Next(3, vocabulary))) [| 1 |]

    [| 14, 5; 9, 7 |]
    |> Array.map (fun (input, target) -> { Ids = ids input; Labels = ids target })
    |> Batch.ofRows 0 device

/// Writes beside a checkpoint or adapter what the model computes.
let expect (name: string) (model: Model) (withTokens: string option) : unit =
    let folder = Path.Combine(root, name)
    let batch = batchOf (Model.shape model).Vocabulary
    use _ = torch.no_grad ()

    Safetensors.write
        (Path.Combine(folder, "expected.safetensors"))
        Map.empty
        [
            "input_ids", batch.InputIds
            match batch.Mask with
            | Some mask -> "attention_mask", mask
            | None -> ()
            "labels", batch.Labels
            "logits", (Model.logits Pass.Evaluation model batch).``to`` float32
        ]

    let answers =
        Generate.run (Decoding.Greedy limit) (Model.merge model) batch.InputIds batch.Mask
        |> Array.map (fun found -> found.Head.Ids)

    let tokens =
        match withTokens with
        | Some folder ->
            let tokenizer = Checkpoint.tokenizer folder
            texts |> List.map (fun text -> text, tokenizer.Encode text)
        | None -> []

    let expected =
        {|
            limit = limit
            answers = answers
            tokens = dict tokens
        |}

    File.WriteAllText(Path.Combine(folder, "expected.json"), JsonSerializer.Serialize expected)
    printfn $"{name}"

/// A checkpoint of a model, with the embedded model's tokenizer where its vocabulary is the same.
let checkpoint (name: string) (dtype: torch.ScalarType) (tokenizer: string option) (model: Model) : unit =
    let folder = Path.Combine(root, name)
    Directory.CreateDirectory folder |> ignore
    Checkpoint.save folder dtype model
    tokenizer |> Option.iter (fun source -> Checkpoint.copyTokenizer source folder)
    expect name (Checkpoint.load device float32 folder) (tokenizer |> Option.map (fun _ -> folder))

/// An adapter with no zeros: every trained tensor moved by some noise.
let shaken (model: Model) : Model =
    use generator = new torch.Generator(7UL, torch.CPU)
    use _ = torch.no_grad ()

    for _, parameter in Model.trained model do
        parameter.add_ (torch.randn(parameter.shape, dtype = float32, generator = generator).mul(0.05.ToScalar()))
        |> ignore

    model

let embedded = Embedded.modelFolder ()
let tiny = Checkpoint.load device float32 embedded

let adapted words =
    shaken (Adapter.ofTechnique (Technique.parse words) 1 tiny)

// What `pretrain` writes, in both dtypes.
checkpoint "embedded-float32" float32 (Some embedded) tiny
checkpoint "embedded-bfloat16" torch.bfloat16 (Some embedded) tiny

// Every head and every activation.
let small = Config.gated 64 32 8 4 64 2

for isTied, scales in [ true, true; true, false; false, true; false, false ] do
    let config =
        { small with
            IsTied = isTied
            ScalesOutput = scales
        }

    let name =
        (if isTied then "tied" else "own") + (if scales then "-scaled" else "-unscaled")

    checkpoint $"head-{name}" float32 None ((T5Family.architecture config).Random float32 3)

let activations =
    [
        Relu
        GeluNew
        Gelu
        Gelu10
        QuickGelu
        Silu
        Relu2
        Relu6
        LeakyRelu
        HardSwish
        Mish
        Laplace
        Sigmoid
        Tanh
        Linear
    ]

for activation in activations do
    for isGated in [ false; true ] do
        let config =
            { small with
                Activation = activation
                IsGated = isGated
            }

        let gate = if isGated then "gated-" else ""
        checkpoint $"{gate}{Activation.name activation}" float32 None ((T5Family.architecture config).Random float32 4)

// What `merge` writes: adapters folded into the weights.
for words in
    [
        "lora(rank=4)"
        "lora(rank=4,dora)"
        "ia3"
        "paper-lora"
        "vera(rank=4)"
        "layernorm"
        "modules(names=lm_head)"
        "full"
    ] do
    let name =
        "merged-"
        + (words.Split '(')[0]
        + (if words.Contains "dora" then "-dora" else "")

    let folder = Path.Combine(root, name)
    Directory.Delete(Directory.CreateDirectory(folder).FullName, true)
    Merge.toCheckpoint embedded folder float32 [] (adapted words) |> ignore
    expect name (Checkpoint.load device float32 folder) (Some folder)

// What `adapters --convert` writes.
for words in
    [
        "lora(rank=4)"
        "lora(rank=4,rs)"
        "lora(rank=4,dora)"
        "ia3"
        "lora(rank=4,pissa)"
        "paper-lora"
        "vera(rank=4)"
        "adalora"
        "layernorm"
        "modules(names=lm_head)"
        "lora(rank=4) >> modules(names=lm_head)"
        "prefix(tokens=4)"
        "prompt(tokens=4)"
    ] do
    match HuggingFaceConfig.ofTechnique tiny.Shape (Technique.parse words) with
    | None -> ()
    | Some config ->
        let name =
            "adapter-"
            + words.Replace(" >> ", "-").Replace("(", "-").Replace(")", "").Replace("=", "").Replace(",", "-")

        let folder = Path.Combine(root, name)
        let model = adapted words
        HuggingFace.save folder "" config model
        File.WriteAllText(Path.Combine(folder, "base.txt"), "embedded-float32\n")
        expect name (HuggingFace.load folder "" tiny |> snd) None
