namespace Peft.Causal

open System.Text.Json
open Peft
open TorchSharp

/// Decoder-only families as the rest of the library sees them.
[<RequireQualifiedAccess>]
module CausalFamily =
    /// The values of `model_type` that are served.
    let modelTypes: string list = Families.all |> List.map _.ModelType

    /// What their linear maps are called.
    let maps: string list =
        Families.all
        |> List.collect _.Names.Maps
        |> List.map (fun (_, name) -> name.Split '.' |> Array.last)
        |> List.distinct

    /// The modules that have a row for each token.
    let tables: string list =
        Families.all
        |> List.map (fun family -> $"{family.Names.Root}.{family.Names.Embedding}")
        |> List.distinct
        |> fun embeddings -> embeddings @ [ Site.headName ]

    let rec private ofValue (shape: Shape) (config: string) (causal: Causal) : Model =
        let again = ofValue shape config

        // Whether the head is the embedding is a matter of configuration and shape.
        let anew (causal: Causal) =
            ofValue (Shapes.ofDescription causal.Description) (Families.toJson causal.Description) causal

        {
            Shape = shape
            Config = config
            Precision = causal.Precision
            Embedding = causal.Embedding
            Table = causal.Table
            WithTable = fun changes -> again { causal with Table = changes }
            Head = causal.Head
            WithHead = fun head -> anew (Causal.withHead head causal)
            Shared =
                if Causal.isTied causal then
                    [ (Outlines.head causal.Description).Name ]
                else
                    []
            Untie = fun _ -> anew (Causal.untie causal)
            Joined = fun () -> Some(again causal)
            Rewrite = fun f -> again (Causal.rewrite f causal)
            MapLeaves = fun f -> again (Causal.mapLeaves f causal)
            MapBeside = fun f -> again (Causal.mapBeside f causal)
            WithPrompt = fun prompt -> again { causal with Prompt = prompt }
            WithPrefix = fun prefix -> again { causal with Prefix = prefix }
            WithPrecision = fun dtype -> again { causal with Precision = dtype }
            Encoder = None
            Logits = fun pass batch -> Forward.logits pass causal batch
            Steps = fun pass request -> StepDecoder.start pass causal request
        }

    /// A decoder as a model.
    let model (causal: Causal) : Model =
        ofValue (Shapes.ofDescription causal.Description) (Families.toJson causal.Description) causal

    /// What a description amounts to.
    let architecture (description: Description) : Architecture =
        {
            Shape = Shapes.ofDescription description
            Config = Families.toJson description
            Load = fun device dtype folder -> Weights.load device dtype folder description |> model
            Random = fun dtype seed -> Weights.randomIn dtype description seed |> model
            Skeleton = fun () -> Weights.skeleton description |> model
        }

    /// Reads a `config.json`; `path` is for messages, and for what lies beside it.
    let ofJson (path: string) (json: JsonElement) : Architecture =
        Families.ofJson path json |> architecture

    /// A model of these dimensions with random weights; none where the family is not among those of `Families.fresh`.
    let fresh (modelType: string) (dimensions: Dimensions) (seed: int) : Model option =
        Families.fresh modelType dimensions
        |> Option.map (fun description -> Weights.randomIn torch.float32 description seed |> model)
