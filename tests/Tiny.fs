/// Tiny random models and batches for laws. Everything follows from a seed, which a failing property prints.
module Peft.Tests.Tiny

open System
open TorchSharp
open Peft
open Peft.T5

/// Width 16, two encoder and three decoder blocks; the seed also decides between T5 v1.0 and v1.1 and the inner width.
let config (seed: int) : Config =
    let isOld = seed % 3 = 0

    {
        VocabularySize = 40
        ModelWidth = 16
        KeyWidth = if seed % 2 = 0 then 8 else 6
        FeedForwardWidth = 24
        EncoderLayers = 2
        DecoderLayers = 3
        Heads = 2
        Buckets = 8
        MaxDistance = 20
        DropoutRate = 0.1
        Epsilon = 1e-6
        Activation = if isOld then Relu else GeluNew
        IsGated = not isOld
        IsTied = isOld
        ScalesOutput = isOld
        PadId = 0
        EosId = 1
        StartId = 0
    }

/// A base model with random float32 weights.
let model (seed: int) : Model = Support.randomT5 (config seed) seed

let private ids (random: Random) (length: int) =
    Array.append (Array.init length (fun _ -> random.Next(2, 40))) [| 1 |]

/// Rows of different lengths.
let rows (seed: int) (count: int) : EncodedRow[] =
    let random = Random seed

    Array.init count (fun _ ->
        {
            Ids = ids random (random.Next(2, 9))
            Labels = ids random (random.Next(1, 5))
        })

/// A padded batch of such rows.
let batch (seed: int) (count: int) : Batch =
    Batch.ofRows 0 torch.CPU (rows seed count)

let private drawn (seed: int) (name: string) (shape: int64[]) =
    let own = name |> Seq.fold (fun total letter -> total * 31 + int letter) seed
    use generator = new torch.Generator(uint64 (uint32 own), torch.CPU)
    torch.randn (shape, generator = generator)

let private change (model: Model) (how: string -> Modules.Parameter -> torch.Tensor) : Model =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()

    for name, parameter in Model.trained model do
        parameter.copy_ (how name parameter) |> ignore

    model

/// Moves every trained number by N(0, deviation²), by draws that follow from the seed and the tensor's name: the same
/// name moves alike in two models.
let shake (seed: int) (deviation: float) (model: Model) : Model =
    change model (fun name parameter -> parameter.add (drawn seed name parameter.shape, deviation.ToScalar()))

/// Replaces every trained number by such a draw.
let refill (seed: int) (deviation: float) (model: Model) : Model =
    change model (fun name parameter -> (drawn seed name parameter.shape).mul(deviation.ToScalar()))

/// Logits without dropout.
let logits (model: Model) (batch: Batch) : torch.Tensor =
    Model.logits Pass.Evaluation model batch

/// Every technique that there is, with settings that fit the tiny model, and chains of them.
let techniques: Technique list =
    [
        yield! Technique.specs |> List.collect _.Examples
        "lora(rank=3,alpha=6) >> layernorm >> prompt(tokens=2)"
        "lora(rank=3,alpha=6) >> modules(names=final_layer_norm)"
        "bitfit >> lora(rank=3,alpha=6) >> adapter(width=3)"
    ]
    |> List.map Technique.parse

/// One of each technique beyond the paper's, with usual settings.
let wider: Technique list =
    [
        "lora(rank=8,alpha=16)"
        "lora(rank=8,alpha=16,rs)"
        "lora(rank=8,alpha=16,dora)"
        "lora(rank=8,alpha=16,pissa)"
        "lora(rank=8,alpha=16,plus=16)"
        "lora(rank=8,alpha=16,bias)"
        "lora(rank=8,alpha=16,fa)"
        "ia3"
        "ia3(published)"
        "prompt(tokens=20,init=vocabulary)"
        "prefix(tokens=20)"
        "adapter(width=64)"
        "adapter(width=64,parallel)"
        "layernorm"
        "vera(rank=4)"
        "beft"
        "road(group=4)"
        "adalora(rank=8,start=12,alpha=8)"
        "tokens(ids=0+9)"
    ]
    |> List.map Technique.parse

/// Saves the adapter of a tiny model, whose base is `abc`.
let save (folder: string) (technique: Technique) (model: Model) =
    let description =
        {
            Format = AdapterFile.format
            Technique = Technique.text technique
            Placement = Placement.text Placement.everywhere
            Base = "abc"
            BaseFolder = "tiny"
            TrainableParameters = Model.countTrained model
        }

    AdapterFile.save folder description model
