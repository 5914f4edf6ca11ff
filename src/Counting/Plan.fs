namespace Peft

open System
open System.Globalization
open System.Text
open TorchSharp

/// A linear map that is going to be adapted.
type PlannedSite =
    {
        Site: Site
        In: int64
        Out: int64
        /// Elements trained there.
        Trained: int64
    }

/// Bytes in memory while training.
type MemoryEstimate =
    {
        /// The base model; it stays in memory beside full fine-tuning's copy, too.
        Base: int64
        /// Trained tensors, float32.
        Trained: int64
        /// One float32 gradient for each trained element.
        Gradients: int64
        /// AdamW's two float32 moments for each trained element.
        Optimizer: int64
        /// Intermediate results of one micro-batch.
        Activations: int64
    }

    /// The sum.
    member memory.Total: int64 =
        memory.Base
        + memory.Trained
        + memory.Gradients
        + memory.Optimizer
        + memory.Activations

/// What an experiment is going to train and what that takes, known before anything is loaded.
[<NoComparison>]
type Plan =
    {
        Shape: Shape
        Technique: Technique
        Placement: Placement
        Workload: Workload
        Sites: PlannedSite list
        Count: Count
        /// The exact size of `adapter.safetensors`.
        AdapterBytes: int64
        Memory: MemoryEstimate
        /// Of one optimiser step.
        Operations: Operations
    }

/// Plans, and plans as text. How operations and activations are estimated is told in `Estimate`.
[<RequireQualifiedAccess>]
module Plan =
    /// The exact length of a safetensors file of float32 tensors, as `AdapterFile.save` writes it.
    let private fileBytes (outlines: Outline list) : int64 =
        let entry (offset: int64) (outline: Outline) =
            let next = offset + 4L * outline.Elements
            let shape = String.Join(",", Leaf.storedShape outline.Name outline.Shape)

            let json =
                $"\"{outline.Name}\":{{\"data_offsets\":[{offset},{next}],\"dtype\":\"F32\",\"shape\":[{shape}]}}"

            Encoding.UTF8.GetByteCount json, next

        let sorted =
            outlines |> List.sortWith (fun a b -> String.CompareOrdinal(a.Name, b.Name))

        let lengths, data = List.mapFold entry 0L sorted
        // Braces and commas, and the metadata that every adapter file carries.
        let header =
            2
            + "\"__metadata__\":{\"format\":\"pt\"}".Length
            + List.sum lengths
            + lengths.Length

        8L + int64 ((header + 7) / 8 * 8) + data

    /// The plan of a technique under a placement. `UserError` where the placement does not fit the technique or the
    /// model, or the workload is empty.
    let create (shape: Shape) (technique: Technique) (placement: Placement) (workload: Workload) : Plan =
        Workload.check workload
        let convention = Convention.Paper
        let form = technique.Form
        let sites = Accounting.sites shape convention technique placement
        let trained = Accounting.trained shape convention technique placement
        let elements = Outline.elements trained
        let size = snd (Workload.precision workload)

        let operations, activations = Estimate.microBatch shape technique placement workload

        let steps = float workload.Accumulation
        // In bfloat16 every pass makes a bfloat16 copy of what is trained.
        let casts = if size < 4L then size * elements else 0L

        {
            Shape = shape
            Technique = technique
            Placement = placement
            Workload = workload
            Sites =
                sites
                |> List.map (fun site ->
                    let fanIn, fanOut = site.In, site.Out

                    {
                        Site = site
                        In = fanIn
                        Out = fanOut
                        Trained = Outline.elements (Form.tensorsAt form site)
                    })
            Count = Accounting.count shape convention technique placement
            AdapterBytes = fileBytes trained
            Memory =
                {
                    Base =
                        shape.Tensors
                        |> List.sumBy (fun outline -> outline.Elements * (if outline.IsFloat32 then 4L else size))
                    Trained = 4L * elements
                    Gradients = 4L * elements
                    Optimizer = 8L * elements
                    Activations = activations + casts
                }
            Operations =
                {
                    Forward = steps * operations.Forward
                    Through = steps * operations.Through
                    Trained = steps * operations.Trained
                }
        }

    /// The seconds of an optimiser step on a machine that does so many 10⁹ operations a second in matrix products.
    let seconds (gigaflops: float) (plan: Plan) : float =
        if not (gigaflops > 0.0) then
            userError $"the speed is {gigaflops} GFLOP/s, and should be above 0."

        plan.Operations.Total / (gigaflops * 1e9)

    // For the terminal.

    let private layerWords (kind: LayerKind) =
        match kind with
        | LayerKind.SelfAttention -> "self-attention"
        | LayerKind.CrossAttention -> "encoder-decoder attention"
        | LayerKind.FeedForward -> "feed-forward"

    let private blockWords (blocks: int list) =
        Target.Blocks(set blocks)
        |> Placement.Within
        |> Placement.text
        |> _.Replace("blocks(", "").TrimEnd(')')

    /// The sites, those of several blocks that are alike on one line.
    let siteTable (plan: Plan) : string =
        let rows =
            plan.Sites
            |> List.groupBy (fun planned -> planned.Site.Stack, planned.Site.Layer, planned.Site.Matrix)
            |> List.map (fun ((stack, layer, matrix), planned) ->
                let first = planned.Head

                [
                    Site.stackName stack
                    layerWords layer
                    matrix
                    "blocks " + blockWords (planned |> List.map _.Site.Block)
                    string first.In
                    string first.Out
                    Columns.number first.Trained
                    Columns.number (planned |> List.sumBy _.Trained)
                ])

        Columns.table [ "stack"; "layer"; "matrix"; "where"; "in"; "out"; "a site"; "all" ] rows

    let private real (format: string) (value: float) =
        value.ToString(format, CultureInfo.InvariantCulture)

    let private giga (value: float) = real "#,##0.0" (value / 1e9) + " GFLOP"

    /// The whole plan as text, with the time of a step at a speed in GFLOP/s where one is given.
    let text (gigaflops: float option) (plan: Plan) : string =
        let percent = real "0.####" plan.Count.Percent
        let work, memory, operations = plan.Workload, plan.Memory, plan.Operations

        let lines =
            [
                "technique", $"{Technique.text plan.Technique} at {Placement.text plan.Placement}"
                if plan.Sites.IsEmpty then
                    "where", "at no linear map"
                else
                    "where", $"{Placement.describe plan.Placement}: {plan.Sites.Length} sites"
                "trained",
                $"{Columns.number plan.Count.Trainable} of {Columns.number plan.Count.Total} elements ({percent} %%)"
                "adapter file", $"{Columns.bytes plan.AdapterBytes} ({Columns.number plan.AdapterBytes} bytes)"
                "a step",
                $"{work.Accumulation} x {work.Batch} rows of {work.InputLength} + {work.TargetLength} tokens, {fst (Workload.precision work)}"
                if work.Recomputes then
                    "computed again", "the inside of every block"
                "memory", $"{Columns.bytes memory.Total} (estimate)"
                "  base model", Columns.bytes memory.Base
                "  trained", Columns.bytes memory.Trained
                "  gradients", Columns.bytes memory.Gradients
                "  optimiser", Columns.bytes memory.Optimizer
                "  activations", Columns.bytes memory.Activations
                "operations", $"{giga operations.Total} a step (estimate)"
                "  forward", giga operations.Forward
                "  passed through", giga operations.Through
                "  of what is trained", giga operations.Trained
                match gigaflops with
                | Some speed ->
                    "time", $"""{real "0.###" (seconds speed plan)} s a step at {real "0.#" speed} GFLOP/s"""
                | None -> ()
            ]

        let width = lines |> List.map (fst >> String.length) |> List.max

        let told =
            lines |> List.map (fun (what, value) -> what.PadRight width + "  " + value)

        String.concat "\n" told
