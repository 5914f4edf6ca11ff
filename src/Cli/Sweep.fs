namespace Peft

open System
open System.IO
open Peft.T5

/// Settings that replace those of the preset, for every technique alike.
type Overrides =
    {
        Epochs: int option
        BatchSize: int option
        Accumulation: int option
        /// Initial, peak and final learning rate.
        Rates: (float * float * float) option
        WarmupShare: float option
        WeightDecay: float option
        ClipNorm: float option
        Dropout: float option
        Patience: int option
    }

    /// The preset as it is.
    static member None: Overrides =
        {
            Epochs = None
            BatchSize = None
            Accumulation = None
            Rates = None
            WarmupShare = None
            WeightDecay = None
            ClipNorm = None
            Dropout = None
            Patience = None
        }

/// A grid of experiments and where to run it.
[<NoComparison>]
type SweepPlan =
    {
        Place: Place
        Tasks: TaskDefinition list
        Methods: Method list
        /// Places for every technique that stands at linear maps; the others are run once, where they belong.
        Placements: Placement list
        /// The paper's Table 2 instead of `Methods` × `Placements`: LoRA and (IA)3 at each of its places.
        IsAblation: bool
        Levels: Level list
        Seeds: int list
        InputLimit: int
        TargetLimit: int
        ValidationLimit: int
        TestLimit: int
        Beams: int
        /// The settings of training, a name of `Training.presets`.
        Preset: string
        Overrides: Overrides
    }

/// From a plan to its experiments.
[<RequireQualifiedAccess>]
module Sweep =
    let private training (plan: SweepPlan) (dropout: float) (technique: Technique) (level: Level) : Training =
        let overrides = plan.Overrides

        let preset =
            match Training.presets |> List.tryFind (fst >> (=) plan.Preset) with
            | Some(_, preset) -> preset dropout technique level
            | None ->
                let names = Training.presets |> List.map fst |> String.concat ", "
                userError $"'{plan.Preset}' is no preset: use {names}."

        let initial, peak, final =
            overrides.Rates
            |> Option.defaultValue (preset.InitialRate, preset.PeakRate, preset.FinalRate)

        {
            Epochs = overrides.Epochs |> Option.defaultValue preset.Epochs
            BatchSize = overrides.BatchSize |> Option.defaultValue preset.BatchSize
            Accumulation = overrides.Accumulation |> Option.defaultValue preset.Accumulation
            InitialRate = initial
            PeakRate = peak
            FinalRate = final
            WarmupShare = overrides.WarmupShare |> Option.defaultValue preset.WarmupShare
            WeightDecay = overrides.WeightDecay |> Option.defaultValue preset.WeightDecay
            ClipNorm = overrides.ClipNorm |> Option.defaultValue preset.ClipNorm
            Dropout = overrides.Dropout |> Option.defaultValue preset.Dropout
            Patience = overrides.Patience |> Option.defaultValue preset.Patience
        }

    let private check (plan: SweepPlan) =
        let positive name value =
            if value < 1 then
                userError $"{name} is {value}; the least is 1."

        [
            "--input-limit", plan.InputLimit
            "--target-limit", plan.TargetLimit
            "--beams", plan.Beams
        ]
        @ [ "--validation-limit", plan.ValidationLimit; "--test-limit", plan.TestLimit ]
        @ ([
            "--epochs", plan.Overrides.Epochs
            "--batch-size", plan.Overrides.BatchSize
            "--accumulation", plan.Overrides.Accumulation
            "--patience", plan.Overrides.Patience
           ]
           |> List.choose (fun (name, value) -> value |> Option.map (fun value -> name, value)))
        |> List.iter (fun (name, value) -> positive name value)

        let inRange name (least: float) (most: float) value =
            if not (value >= least && value <= most) then
                userError $"{name} is {value}; it is a number from {least} to {most}."

        let given name (value: float option) least most =
            value |> Option.iter (inRange name least most)

        given "--dropout" plan.Overrides.Dropout 0.0 0.99
        given "--warmup" plan.Overrides.WarmupShare 0.0 1.0
        given "--weight-decay" plan.Overrides.WeightDecay 0.0 1.0
        given "--clip" plan.Overrides.ClipNorm 0.0 1e6

        match plan.Overrides.Rates with
        | Some(initial, peak, final) -> [ initial; peak; final ] |> List.iter (inRange "--rates" 0.0 1e30)
        | None -> ()

        let some name (values: 'a list) =
            if values.IsEmpty then
                userError $"{name} names nothing: give at least one, or leave it out for the default."

        some "--tasks" plan.Tasks
        some "--techniques" plan.Methods
        some "--levels" plan.Levels
        some "--seeds" plan.Seeds

    let private methodsFor (plan: SweepPlan) (task: TaskDefinition) =
        plan.Methods
        |> List.filter (fun method -> not (method = Majority && (TaskDefinition.labels task).IsEmpty))

    /// The variants of the paper's Table 2: LoRA at seven places, (IA)3 at six.
    let ablations (seed: int) : (Technique * Placement) list =
        let place technique words =
            Placement.presets seed
            |> List.filter (fun (name, _) -> List.contains name words)
            |> List.map (fun (_, placement) -> technique, placement)

        let layers = [ "all layers"; "early layers"; "later layers"; "random layers" ]

        place
            (Lora Technique.paperRank)
            (layers
             @ [ "no self-attention"; "no encoder-decoder attention"; "no query/output" ])
        @ place Ia3 (layers @ [ "no attention"; "no dense activation" ])

    /// Techniques with their places. Full fine-tuning, say, has no linear maps to choose among: it is run where it belongs.
    let private variants (plan: SweepPlan) (seed: int) (methods: Method list) : (Method * Placement) list =
        if plan.IsAblation then
            ablations seed
            |> List.map (fun (technique, placement) -> Tuned technique, placement)
        else
            [
                for method in methods do
                    match method with
                    | Tuned technique when (Placement.standard technique).IsSome ->
                        for placement in plan.Placements do
                            yield method, placement
                    | _ -> yield method, Placement.everywhere
            ]

    let private experiment
        (session: Session)
        (plan: SweepPlan)
        (task: TaskDefinition)
        method
        placement
        level
        seed
        : Experiment =
        let split =
            session.Split(task, level |> Option.defaultValue High, seed, plan.ValidationLimit, plan.TestLimit)

        {
            Task = task.Name
            Method = method
            Placement = placement
            Level = level
            Seed = seed
            Model = session.Fingerprint
            Data = split.Fingerprint
            Precision = plan.Place.Precision.ToLowerInvariant()
            InputLimit = plan.InputLimit
            TargetLimit = plan.TargetLimit
            Beams = plan.Beams
            Training =
                match method, level with
                | Tuned technique, Some level -> training plan session.Model.Config.DropoutRate technique level
                | _ -> Training.none
        }

    /// Every experiment of a plan: task by task, baselines first, then level by level. Reads the data, since an
    /// experiment names its split by content.
    let experiments (session: Session) (plan: SweepPlan) : (TaskDefinition * Experiment) list =
        check plan

        [
            for task in plan.Tasks do
                let methods = methodsFor plan task
                let baselines, tuned = methods |> List.partition Method.isBaseline

                for method in baselines do
                    for seed in plan.Seeds -> task, experiment session plan task method Placement.everywhere None seed

                for level in plan.Levels do
                    for seed in plan.Seeds do
                        for method, placement in variants plan seed tuned ->
                            task, experiment session plan task method placement (Some level) seed
        ]
        // Options may name a thing twice.
        |> List.distinctBy (snd >> Experiment.name)

    /// Rows that a run passes through the model, a training row counted as three (forward and backward), a test row as four
    /// (it is generated token by token): what the time of a run is about proportional to.
    let cost (split: Split) (experiment: Experiment) : float =
        let rows = float split.Train.Length * 3.0 + float split.Validation.Length

        float experiment.Training.Epochs * rows
        + (if experiment.Method = Majority then
               0.0
           else
               4.0 * float split.Test.Length)
