namespace Peft.T5

open System.Text.Json
open Peft
open TorchSharp

/// T5 as the rest of the library sees it.
[<RequireQualifiedAccess>]
module T5Family =
    /// The values of `model_type` that it serves.
    let modelTypes: string list = [ "t5"; "mt5" ]

    /// What its linear maps are called.
    let maps: string list = [ "q"; "k"; "v"; "o"; "wi"; "wi_0"; "wi_1"; "wo" ]

    /// The modules that have a row for each token.
    let tables: string list = [ "shared"; "lm_head" ]

    let rec private ofValue (shape: Shape) (config: string) (t5: T5) : Model =
        let again = ofValue shape config

        // Whether the head is the embedding is a matter of configuration and shape.
        let anew (t5: T5) =
            ofValue (Shapes.ofConfig t5.Config) (Config.toJson t5.Config) t5

        {
            Shape = shape
            Config = config
            Precision = t5.Precision
            Embedding = t5.Embedding
            Table = t5.Table
            WithTable = fun changes -> again { t5 with Table = changes }
            Head = T5.head t5
            WithHead = fun head -> anew (T5.withHead head t5)
            Shared = Sharing.shared t5
            Untie = fun name -> anew (Sharing.untie name t5)
            Joined = fun () -> Sharing.joined t5 |> Option.map anew
            Rewrite = fun f -> again (T5.rewrite f t5)
            MapLeaves = fun f -> again (T5.mapLeaves f t5)
            MapBeside = fun f -> again (T5.mapBeside f t5)
            WithPrompt = fun prompt -> again { t5 with Prompt = prompt }
            WithPrefix = fun prefix -> again { t5 with Prefix = prefix }
            WithPrecision = fun dtype -> again { t5 with Precision = dtype }
            Encoder =
                Some
                    {
                        IsTrained = T5.trainsEncoder t5
                        Encode = fun pass ids mask -> Forward.encode pass t5 ids mask
                        LogitsAfter = fun pass source labels -> Forward.logitsAfter pass t5 source labels
                    }
            Logits = fun pass batch -> Forward.logits pass t5 batch
            Steps = fun pass request -> StepDecoder.start pass t5 request
        }

    /// A T5 as a model.
    let model (t5: T5) : Model =
        ofValue (Shapes.ofConfig t5.Config) (Config.toJson t5.Config) t5

    /// What a configuration describes.
    let architecture (config: Config) : Architecture =
        {
            Shape = Shapes.ofConfig config
            Config = Config.toJson config
            Load = fun device dtype folder -> Weights.load device dtype folder config |> model
            Random = fun dtype seed -> Weights.randomIn dtype config seed |> model
            Skeleton = fun () -> Weights.skeleton config |> model
        }

    /// Reads a `config.json`; `path` is for messages.
    let ofJson (path: string) (json: JsonElement) : Architecture = Config.ofJson path json |> architecture

    /// A T5 v1.1 with random weights, and the head begun as the embedding times d_model^-0.5: what attention brings to the
    /// decoder is then written down from the first step on, and copying is learnt many times sooner than from a head of
    /// random rows.
    let fresh (dimensions: Dimensions) (seed: int) : Model =
        let width, headWidth = dimensions.Width, dimensions.HeadWidth

        let config =
            { Config.gated
                  dimensions.Vocabulary
                  width
                  headWidth
                  (width / headWidth)
                  dimensions.FeedForward
                  dimensions.Layers with
                PadId = dimensions.PadId
                EosId = dimensions.EosId
                StartId = dimensions.PadId
            }

        let drawn = Weights.randomIn torch.float32 config seed

        model
            { drawn with
                Head = Some(Dense(Frozen(drawn.Embedding.Value.mul ((float width ** -0.5).ToScalar()))))
            }
