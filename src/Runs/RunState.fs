namespace Peft

open System.Collections.Generic
open System.IO
open System.Text.Json
open TorchSharp

/// What a run has behind it after its last finished epoch.
type TrainingLog =
    {
        /// The experiment's id; another experiment's state is not continued.
        Id: string
        Epochs: EpochLog list
        /// Optimiser steps taken.
        Steps: int
        /// The process's largest resident memory up to then.
        PeakMemoryMiB: float
    }

    /// The epoch with the lowest validation loss, the first of equals; 0 before the first.
    member log.BestEpoch: int =
        match log.Epochs with
        | [] -> 0
        | epochs -> (epochs |> List.minBy _.ValidationLoss).Epoch

/// A run's files between its epochs: trained parameters with the optimiser's state, and the best epoch's parameters. They
/// are removed when the run has its result.
[<RequireQualifiedAccess>]
module RunState =
    /// The entry of a state file's metadata, named so since the first version.
    let private logKey = "standing"

    let private statePath results experiment =
        Path.Combine(results, Experiment.name experiment + ".state.safetensors")

    let private bestPath results experiment =
        Path.Combine(results, Experiment.name experiment + ".best.safetensors")

    let private parametersOf (model: Model) =
        Model.trained model
        |> List.map (fun (name, parameter) -> name, (parameter: torch.Tensor))

    /// Keeps the present parameters as the best ones. Call it before `save`: should the process end in between, the epoch
    /// is repeated, and gives the same parameters again.
    let saveBest (results: string) (experiment: Experiment) (model: Model) : unit =
        Safetensors.write (bestPath results experiment) Map.empty (parametersOf model)

    /// Puts the best epoch's parameters into the model.
    let restoreBest (results: string) (experiment: Experiment) (model: Model) : unit =
        use _ = torch.NewDisposeScope()
        let path = bestPath results experiment
        AdapterFile.restore path (Safetensors.readAll path) model

    /// Writes what the run has reached, whole or not at all.
    let save
        (results: string)
        (experiment: Experiment)
        (log: TrainingLog)
        (optimizer: Optimizer)
        (model: Model)
        : unit =
        let parameters =
            parametersOf model
            |> List.map (fun (name, tensor) -> $"parameter {name}", tensor)

        let moments =
            optimizer.State()
            |> List.map (fun (name, tensor) -> $"optimizer {name}", tensor)

        let metadata = Map.ofList [ logKey, JsonSerializer.Serialize(log, Json.line) ]

        Safetensors.write (statePath results experiment) metadata (parameters @ moments)

    /// Where a state file stands; None where it belongs to another experiment or is damaged.
    let private readLog path (experiment: Experiment) : TrainingLog option =
        try
            (Safetensors.readMetadata path).TryFind logKey
            |> Option.bind (fun text -> JsonSerializer.Deserialize<TrainingLog>(text, Json.options) |> Option.ofObj)
            |> Option.filter (fun log -> log.Id = Experiment.id experiment && not log.Epochs.IsEmpty)
        with
        | UserError _
        | :? JsonException -> None

    /// Tensors of both files into optimiser and model. `UserError`, before anything has changed, where they do not fit.
    let private putBack path best (log: TrainingLog) (optimizer: Optimizer) (model: Model) : TrainingLog =
        use _ = torch.NewDisposeScope()
        let tensors = Safetensors.readAll path
        let moments = Safetensors.withPrefix "optimizer " tensors

        if not (Optimizer.fits optimizer moments) then
            userError $"{path} does not fit this run."

        Safetensors.header best |> ignore
        AdapterFile.restore path (Safetensors.withPrefix "parameter " tensors) model
        Optimizer.restore optimizer log.Steps moments
        log

    /// Puts a saved state into optimiser and model and tells where the run stood; None, with both as they were, where there
    /// is no state or a damaged one: the run then starts anew.
    let tryRestore
        (results: string)
        (experiment: Experiment)
        (optimizer: Optimizer)
        (model: Model)
        : TrainingLog option =
        let path, best = statePath results experiment, bestPath results experiment

        if not (File.Exists path && File.Exists best) then
            None
        else
            readLog path experiment
            |> Option.bind (fun log ->
                try
                    Some(putBack path best log optimizer model)
                with UserError _ ->
                    None)

    /// Whether an interrupted run of this experiment can be continued.
    let exists (results: string) (experiment: Experiment) : bool =
        File.Exists(statePath results experiment)

    /// Removes the run's files, and what a process that was killed while writing them left over.
    let remove (results: string) (experiment: Experiment) : unit =
        File.Delete(statePath results experiment)
        File.Delete(bestPath results experiment)

        for left in Directory.GetFiles(results, Experiment.name experiment + ".*.tmp") do
            File.Delete left
