namespace Peft

open Peft.Kernels
open TorchSharp

/// Where a bottleneck adapter sits.
[<RequireQualifiedAccess>]
type BottleneckPlace =
    /// Behind the output map of every attention and feed-forward layer (Houlsby et al. 2019).
    | Behind
    /// Beside every feed-forward layer (He et al. 2022).
    | Beside

/// A small net behind or beside layers.
[<RequireQualifiedAccess>]
module BottleneckAdapter =
    let private bottleneck
        generator
        (activation: Activation)
        (width: int)
        (fanIn: int64)
        (device: torch.Device)
        : Bottleneck =
        if width < 1 then
            invalidArg (nameof width) $"width is {width}, the least is 1"

        let zero extents =
            Leaf.trained (Start.zeros extents device)

        {
            Down = Leaf.trained (Start.normal generator 0.01 [| int64 width; fanIn |] device)
            DownBias = zero [ int64 width ]
            Up = zero [ fanIn; int64 width ]
            UpBias = zero [ fanIn ]
            Activation = activation
            Scale = 1.0
        }

    /// The serial bottleneck adapter (Houlsby et al. 2019, §2.1): h + Up gelu(Down h + b) + c, h the output of each
    /// attention and feed-forward layer before the residual sum (and before T5's dropout). Down starts at N(0, 0.01²); Up
    /// at zero, where Houlsby's is nearly zero, so training starts exactly at the model given. Houlsby's places are the
    /// maps o and wo.
    let behind (width: int) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)

            model
            |> Start.wrap where (fun _ inner ->
                let _, fanOut, device = Start.shape inner
                Serial(inner, bottleneck generator GeluNew width fanOut device))

    /// The parallel adapter (He et al. 2022, table 1): Up relu(Down x + b) + c joins the output of each feed-forward layer,
    /// x its normed input. Started like `behind`. A layer is selected by the map out of it.
    let beside (width: int) (seed: int) (where: Selector) : Adapter =
        fun model ->
            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let device = Model.device model

            if
                Model.projections model
                |> List.forall (fun (site, _) ->
                    not (site.Layer = LayerKind.FeedForward && site.Part = Down && where site))
            then
                userError "a parallel adapter stands beside a feed-forward layer, and no map out of one is selected."

            model
            |> Model.withBeside (fun site ->
                if where site then
                    Some(bottleneck generator Relu width site.Out device)
                else
                    None)

    let private down = Selector.feedForward [ Down ]

    let private steps (suffix: string) (width: int) (d: int64) =
        [
            Step.Matrix($"{suffix}_down", int64 width, d)
            Step.Shift($"{suffix}_down_bias", [ int64 width ])
            Step.Activation
            Step.Matrix($"{suffix}_up", d, int64 width)
            Step.Shift($"{suffix}_up_bias", [ d ])
        ]

    /// `adapter(width=64)` and `adapter(width=64,parallel)`.
    let technique (width: int, place: BottleneckPlace) : Technique =
        let sites, formula, path, apply, words =
            match place with
            | BottleneckPlace.Behind ->
                Selector.either (Selector.attention [ O ]) down,
                "on o, wo",
                (fun (site: Site) -> [ Branch.Behind(steps "adapter" width site.Out) ]),
                behind,
                []
            | BottleneckPlace.Beside ->
                down,
                "beside every feed-forward layer",
                (fun site ->
                    if down site then
                        [ Branch.BesideLayer(steps "parallel" width site.Out) ]
                    else
                        []),
                beside,
                [ "parallel" ]

        let form = Form.atSites sites $"2·width·d_model + width + d_model {formula}" path

        { Make.technique "adapter" ($"width={width}" :: words) form (fun where seed -> apply width seed where) with
            Merges = false
        }

    /// What the name means.
    let spec: Spec =
        {
            Name = "adapter"
            Usage = "adapter(width=64,parallel)"
            Source = "Houlsby et al. 2019, He et al. 2022"
            Summary = "A small net behind every layer, or beside the feed-forward layers."
            First = "width"
            Read =
                fun words ->
                    let place =
                        if words.Flag "parallel" then
                            BottleneckPlace.Beside
                        else
                            BottleneckPlace.Behind

                    technique (words.Count("width", Some 64), place)
            Examples = [ "adapter(width=4)"; "adapter(width=4,parallel)" ]
            HuggingFace = None
        }
