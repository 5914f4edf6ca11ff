/// The operations that the benchmark counts.
module Peft.Tests.BenchWorkTests

open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support
open Peft.Tests.BenchSupport

/// The operations of a forward pass from the shapes of the live model's matrices: no closed form takes part.
let private forwardOf (config: Config) (batch: int) (input: int) (target: int) : float =
    use _ = torch.NewDisposeScope()
    let model = randomT5 config 1

    let maps =
        Model.projections model
        |> List.sumBy (fun (site, projection) ->
            let tokens =
                match site.Stack, site.Layer, site.Part with
                | Encoder, _, _
                | Decoder, LayerKind.CrossAttention, (K | V) -> input
                | Decoder, _, _ -> target

            2.0
            * float (batch * tokens)
            * float ((Projection.weight projection).Value.numel()))

    // q by keys, and probabilities by values, in every head of every attention.
    let attention layers queries keys =
        float (layers * batch * config.Heads * queries * keys * config.KeyWidth) * 4.0

    let head = model.Embedding.Value.numel ()

    maps
    + attention config.EncoderLayers input input
    + attention config.DecoderLayers target target
    + attention config.DecoderLayers target input
    + 2.0 * float (batch * target) * float head

let private work =
    testList
        "operations"
        [
            testCase "a full step is three times a forward pass over the live model's matrices"
            <| fun () ->
                for seed in 1..3 do
                    let config = Tiny.config seed

                    let row =
                        { stepOf Full.technique "all" with
                            Model = T5Family.architecture config
                        }

                    Expect.floatClose
                        Accuracy.high
                        (BenchWork.step row)
                        (3.0 * forwardOf config 2 10 6)
                        $"seed {seed}: forward, and the gradients of inputs and weights"

            testCase "micro-batches add up"
            <| fun () ->
                let once = stepOf (PaperLora.ofRank 2) "all"

                Expect.floatClose
                    Accuracy.high
                    (BenchWork.step { once with Accumulation = 5 })
                    (5.0 * BenchWork.step once)
                    "five times the work of one"

            testCase "frozen weights leave a third of the maps' work undone"
            <| fun () ->
                let large =
                    { stepOf BitFit.technique "all" with
                        Model = Checkpoint.named "xl"
                        InputLength = 128
                        TargetLength = 32
                    }

                let full =
                    BenchWork.step
                        { large with
                            Technique = Full.technique
                        }

                Expect.isLessThan (abs (BenchWork.step large / full - 2.0 / 3.0)) 0.01 "where attention is a trifle"

            testCase "the later what is trained stands, the less there is to do"
            <| fun () ->
                let operations place =
                    BenchWork.step
                        { stepOf (PaperLora.ofRank 2) place with
                            Model = Checkpoint.named "small"
                        }

                let all, late, decoder = operations "all", operations "late", operations "decoder"
                let last = operations "decoder & late"
                Expect.isLessThan late all "late"
                Expect.isLessThan decoder late "the decoder alone: the encoder owes nothing"
                Expect.isLessThan last decoder "its late half"

            testCase
                "decoding with a cache attends to half of what teacher forcing attends to, and nothing else differs"
            <| fun () ->
                let config = Tiny.config 1
                let batch, input, tokens = 3, 10, 6

                let spared =
                    float (config.DecoderLayers * batch * config.InnerWidth)
                    * 4.0
                    * float (tokens * tokens - tokens * (tokens + 1) / 2)

                Expect.floatClose
                    Accuracy.high
                    (BenchWork.decoding (Shapes.ofConfig config) batch 1 input tokens)
                    (forwardOf config batch input tokens - spared)
                    "greedy"

            testCase "beams share the encoder and the keys and values of the input"
            <| fun () ->
                let config = Tiny.config 1

                let one, four =
                    BenchWork.decoding (Shapes.ofConfig config) 3 1 10 6,
                    BenchWork.decoding (Shapes.ofConfig config) 3 4 10 6

                let width, inner = float config.ModelWidth, float config.InnerWidth
                let source = float config.DecoderLayers * 2.0 * 2.0 * 30.0 * width * inner
                let shared = BenchWork.encoder (Shapes.ofConfig config) 3 10 + source
                Expect.floatClose Accuracy.high (four - shared) (4.0 * (one - shared)) "the rest is four times as much"

            testCase "the encoder and the decoder make up the forward pass"
            <| fun () ->
                let config =
                    { Tiny.config 1 with
                        DecoderLayers = 1
                        VocabularySize = 2
                    }

                let whole = forwardOf config 2 10 1
                Expect.isLessThan (BenchWork.encoder (Shapes.ofConfig config) 2 10) whole "the encoder is a part"

                let doubled =
                    BenchWork.encoder (Shapes.ofConfig { config with EncoderLayers = 4 }) 2 10

                Expect.floatClose
                    Accuracy.high
                    doubled
                    (2.0 * BenchWork.encoder (Shapes.ofConfig config) 2 10)
                    "twice the layers"
        ]

[<Tests>]
let tests = testList "Benchmark" [ work ]
