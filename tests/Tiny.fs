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

/// Every technique with settings that fit the tiny model.
let techniques: Technique list =
    let lora =
        { LoraSettings.OfRank 3 with
            Alpha = 6.0
        }

    [
        FullFineTuning
        Lora 2
        Ia3
        BitFit
        PromptTuning 4
        LoraWith lora
        LoraWith
            { lora with
                Targets = [ "q"; "k"; "v"; "o"; "wo" ]
            }
        LoraWith { lora with IsRankStabilised = true }
        LoraWith { lora with IsDora = true }
        LoraWith { lora with IsPissa = true }
        LoraWith
            { lora with
                IsPissa = true
                IsDora = true
                RateRatio = 4.0
                Dropout = 0.25
            }
        Ia3HuggingFace
        Ia3Published
        PromptTuningFrom(5, Vocabulary)
        PromptTuningFrom(5, Ids [ 3; 9 ])
        PrefixTuning 3
        BottleneckAdapter(4, Behind)
        BottleneckAdapter(4, BottleneckPlace.Beside)
        LayerNormTuning
        Vera(3, 0)
        Vera(3, 17)
        AdaLora
            { Technique.adaLora with
                TargetRank = 2
                InitialRank = 4
            }
        ExtraModules [ "final_layer_norm"; "wo" ]
        Chain [ LoraWith lora; LayerNormTuning; PromptTuning 2 ]
        Chain [ LoraWith lora; ExtraModules [ "final_layer_norm" ] ]
        Chain [ BitFit; LoraWith lora; BottleneckAdapter(3, Behind) ]
    ]
