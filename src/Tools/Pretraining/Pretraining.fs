namespace Peft

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text.Json
open System.Threading
open System.Threading.Tasks
open TorchSharp

/// A part of the training: how many steps, on which sources in which proportion.
[<ReferenceEquality>]
type Phase =
    {
        Steps: int
        /// Sources with their weights.
        Mixture: (RowSource * float) list
    }

/// How a T5 is pretrained.
[<ReferenceEquality>]
type Pretraining =
    {
        /// Which weights are trained: a checkpoint's fingerprint, or empty for random ones.
        Start: string
        Phases: Phase list
        /// Rows of an optimiser step.
        BatchSize: int
        Seed: int
        /// The rate climbs linearly to `PeakRate`, then falls with the inverse square root of the step, and in the last
        /// `CooldownShare` of all steps linearly to zero.
        PeakRate: float
        WarmupSteps: int
        CooldownShare: float
        WeightDecay: float
        ClipNorm: float
        /// A checkpoint, and validation, after so many steps.
        Every: int
    }

    /// The steps of all phases.
    member plan.Steps: int = plan.Phases |> List.sumBy _.Steps

/// What pretraining tells as it goes.
type PretrainingReport =
    | PretrainingStep of step: int * steps: int * loss: float * tokensPerSecond: float * secondsLeft: float
    | PretrainingValidation of step: int * losses: (string * float) list * samples: (string * string * string) list

/// Pretraining: the loss curve is a function of plan, first weights, configuration and vocabulary, whenever it was
/// interrupted and continued.
[<RequireQualifiedAccess>]
module Pretraining =
    /// Rows for this many steps are drawn together and sorted by length, so that a batch's rows are alike.
    let private bucketSteps = 16

    /// T5's schedule with a cool-down, at `step` from 0.
    let rate (plan: Pretraining) (step: int) : float =
        let cooldown = int (plan.CooldownShare * float plan.Steps)
        let climb = min 1.0 (float (step + 1) / float plan.WarmupSteps)
        let fall = sqrt (float plan.WarmupSteps / float (max plan.WarmupSteps (step + 1)))

        let ending =
            if cooldown = 0 then
                1.0
            else
                min 1.0 (float (plan.Steps - step) / float cooldown)

        plan.PeakRate * climb * fall * ending

    let private sourceOf (phase: Phase) (draw: uint64) : RowSource =
        let total = phase.Mixture |> List.sumBy snd
        let point = float draw / float UInt64.MaxValue * total

        let rec pick left (sources: (RowSource * float) list) =
            match sources with
            | [ source, _ ] -> source
            | (source, weight) :: _ when left < weight -> source
            | (_, weight) :: rest -> pick (left - weight) rest
            | [] -> invalidOp "a phase has no source"

        pick point phase.Mixture

    /// The batches of one bucket of a phase, each as rows; drawn on as many threads as libtorch may use.
    let private bucket (plan: Pretraining) (phase: Phase) (number: int) : EncodedRow[][] =
        let next = Shuffle.splitMix64 (uint64 plan.Seed * 1_000_003UL + uint64 number)
        let count = bucketSteps * plan.BatchSize
        let sources = Array.init count (fun _ -> sourceOf phase (next ()))
        let rows = Array.zeroCreate count
        let threads = ParallelOptions(MaxDegreeOfParallelism = torch.get_num_threads ())

        Parallel.For(0, count, threads, (fun place -> rows[place] <- sources[place].Row(number * count + place)))
        |> ignore

        let batches =
            rows
            |> Array.indexed
            |> Array.sortBy (fun (place, row) -> row.Ids.Length, row.Labels.Length, place)
            |> Array.map snd
            |> Array.chunkBySize plan.BatchSize

        Shuffle.order $"bucket/{plan.Seed}/{number}" batches.Length
        |> Array.map (fun place -> batches[place])

    /// Phase, bucket and batch of a step.
    let private locate (plan: Pretraining) (step: int) : Phase * int * int =
        let rec find left (phases: Phase list) =
            match phases with
            | [ last ] -> last
            | phase :: _ when left < phase.Steps -> phase
            | phase :: rest -> find (left - phase.Steps) rest
            | [] -> invalidOp "a plan has no phase"

        find step plan.Phases, step / bucketSteps, step % bucketSteps

    /// The batches of each step in turn. A bucket may straddle two phases: what its batches are is decided by the step's own
    /// phase. With `ahead`, the next bucket is drawn while this one is learnt: a graphics processor does not wait for text.
    let private batchesOf (plan: Pretraining) (ahead: bool) : int -> EncodedRow[] =
        let keyOf step =
            let phase, number, _ = locate plan step

            number, plan.Phases |> List.findIndex (fun other -> obj.ReferenceEquals(other, phase))

        let draw (number, phase) =
            Task.Run(fun () -> bucket plan plan.Phases[phase] number)

        let mutable current = None
        let mutable coming = None

        let drawn key (found: ((int * int) * Task<EncodedRow[][]>) option) =
            match found with
            | Some(known, task) when known = key -> Some(key, task)
            | _ -> None

        fun step ->
            let key = keyOf step

            let task =
                drawn key current
                |> Option.orElse (drawn key coming)
                |> Option.defaultWith (fun () -> key, draw key)

            let _, _, place = locate plan step
            let batch = (snd task).GetAwaiter().GetResult()[place]
            let following = min (plan.Steps - 1) (step - place + bucketSteps) |> keyOf
            current <- Some task

            if ahead && following <> key && (drawn following coming).IsNone then
                coming <- Some(following, draw following)

            batch

    let private statePath folder =
        Path.Combine(folder, "pretraining.safetensors")

    let private curvePath folder = Path.Combine(folder, "losses.csv")

    let private identity (plan: Pretraining) (config: string) =
        let phases =
            plan.Phases
            |> List.map (fun phase ->
                phase.Steps,
                phase.Mixture
                |> List.map (fun (source, weight) -> source.Name, source.Content, weight))

        $"{plan.Start} %A{phases} {plan.BatchSize} {plan.Seed} {plan.PeakRate} {plan.WarmupSteps} {plan.CooldownShare} {plan.WeightDecay} {plan.ClipNorm} {config}"

    let private save folder (plan: Pretraining) (model: Model) (optimizer: Optimizer) (losses: ResizeArray<float>) =
        let parameters =
            Model.trained model
            |> List.map (fun (name, value) -> $"parameter {name}", (value: torch.Tensor))

        let moments =
            optimizer.State() |> List.map (fun (name, value) -> $"optimizer {name}", value)

        let metadata =
            Map.ofList
                [
                    "plan", identity plan model.Config
                    "losses", JsonSerializer.Serialize(losses, Json.line)
                ]

        Safetensors.write (statePath folder) metadata (parameters @ moments)

        let row index (loss: float) =
            $"{index + 1},{loss.ToString(CultureInfo.InvariantCulture)}"

        let rows = losses |> Seq.mapi row |> String.concat "\n"
        Files.writeAtomically (curvePath folder) ("step,loss\n" + rows + "\n")

    /// Puts the last checkpoint back; gives the losses so far.
    let private restore folder (plan: Pretraining) (model: Model) (optimizer: Optimizer) : ResizeArray<float> =
        let path = statePath folder

        if not (File.Exists path) then
            ResizeArray()
        else
            use _ = torch.NewDisposeScope()
            let metadata = Safetensors.readMetadata path

            if metadata.TryFind "plan" <> Some(identity plan model.Config) then
                userError
                    $"{path} belongs to another plan or configuration. Name another --output folder, or move it away."

            let losses =
                try
                    metadata.TryFind "losses"
                    |> Option.bind (JsonSerializer.Deserialize<ResizeArray<float>> >> Option.ofObj)
                with :? JsonException ->
                    None

            let tensors = Safetensors.readAll path
            let moments = Safetensors.withPrefix "optimizer " tensors

            match losses with
            | Some losses when Optimizer.fits optimizer moments ->
                AdapterFile.restore path (Safetensors.withPrefix "parameter " tensors) model
                Optimizer.restore optimizer losses.Count moments
                losses
            | _ -> userError $"{path} is damaged. Move it away and start again."

    let private sources (plan: Pretraining) =
        plan.Phases
        |> List.collect (_.Mixture >> List.map fst)
        |> List.distinctBy _.Name

    /// Rows far from those that training reaches.
    let private heldOut = 1_000_000_000

    let private validate (plan: Pretraining) (model: Model) (tokenizer: Tokenizer) (device: torch.Device) =
        use _ = torch.NewDisposeScope()
        let fixed' = Model.merge model

        let losses =
            sources plan
            |> List.map (fun source ->
                let rows = Array.init 256 (fun place -> source.Row(heldOut + place))

                let batches =
                    Batch.byLength 64 rows
                    |> Seq.map (Array.map snd >> Batch.ofRows model.Shape.PadId device)

                source.Name, Trainer.validationLoss fixed' batches)

        let shown = (List.last (sources plan)).Row
        let rows = Array.init 4 (fun place -> shown (heldOut + place))

        let answers =
            Evaluation.generate (Decoding.Greedy 32) fixed' tokenizer device 4 ignore rows

        let sample index (row: EncodedRow) =
            tokenizer.Decode row.Ids, tokenizer.Decode row.Labels, answers[index]

        losses, rows |> Array.mapi sample |> List.ofArray

    /// Trains every tensor of `start` by the plan and gives the trained model; `folder` holds checkpoints, from which an
    /// interrupted training goes on. Adam's steps; no dropout.
    let run
        (plan: Pretraining)
        (start: Model)
        (tokenizer: Tokenizer)
        (device: torch.Device)
        (folder: string)
        (report: PretrainingReport -> unit)
        (stop: CancellationToken)
        : Model * float list =
        Files.createFolder folder
        let model = Adapter.full start
        let parameters = Model.trained model
        let onDevice = device.``type`` <> DeviceType.CPU

        let optimizer =
            // The losses recorded beside the embedded model are of the single operations' order, to the bit.
            if onDevice then
                Optimizer.adamW 0.9 0.98 1e-8 plan.WeightDecay parameters
            else
                Optimizer.unfusedAdamW 0.9 0.98 1e-8 plan.WeightDecay parameters

        let losses = restore folder plan model optimizer
        let watch = Stopwatch.StartNew()
        let first = losses.Count
        let mutable tokens = 0L
        let batchOf = batchesOf plan onDevice

        for step in first .. plan.Steps - 1 do
            stop.ThrowIfCancellationRequested()
            use _ = torch.NewDisposeScope()
            let rows = batchOf step
            let batch = Batch.ofRows model.Shape.PadId device rows

            let log =
                Trainer.step Pass.Evaluation plan.ClipNorm (rate plan step) optimizer parameters model [ batch ]

            losses.Add log.Losses.Head

            tokens <-
                tokens
                + (rows |> Array.sumBy (fun row -> int64 (row.Ids.Length + row.Labels.Length)))

            let elapsed = watch.Elapsed.TotalSeconds
            let left = elapsed / float (step + 1 - first) * float (plan.Steps - step - 1)
            report (PretrainingStep(step + 1, plan.Steps, log.Losses.Head, float tokens / elapsed, left))

            if (step + 1) % plan.Every = 0 || step + 1 = plan.Steps then
                save folder plan model optimizer losses
                let losses, samples = validate plan model tokenizer device
                report (PretrainingValidation(step + 1, losses, samples))

        model, List.ofSeq losses
