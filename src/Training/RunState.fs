namespace Peft

open System.Collections.Generic
open System.IO
open System.Text.Json
open Peft.T5
open TorchSharp

/// Where a run stands after its last finished epoch.
type Standing =
    {
        /// The experiment's id; another experiment's state is not continued.
        Id: string
        Epochs: EpochLog list
        /// Optimiser steps taken.
        Steps: int
        PeakMemoryMiB: float
    }

    /// The epoch with the lowest validation loss, the first of equals; 0 before the first.
    member standing.BestEpoch: int =
        match standing.Epochs with
        | [] -> 0
        | epochs -> (epochs |> List.minBy _.ValidationLoss).Epoch

/// A run's files between its epochs: trained parameters with the optimiser's state, and the best epoch's parameters. They
/// are removed when the run has its result.
[<RequireQualifiedAccess>]
module RunState =
    let private standingKey = "standing"

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

    /// Writes where the run stands, whole or not at all.
    let save
        (results: string)
        (experiment: Experiment)
        (standing: Standing)
        (optimizer: Optimizer)
        (model: Model)
        : unit =
        let parameters =
            parametersOf model
            |> List.map (fun (name, tensor) -> $"parameter {name}", tensor)

        let moments =
            optimizer.State()
            |> List.map (fun (name, tensor) -> $"optimizer {name}", tensor)

        let metadata =
            Map.ofList [ standingKey, JsonSerializer.Serialize(standing, Json.line) ]

        Safetensors.write (statePath results experiment) metadata (parameters @ moments)

    /// Where a state file stands; None where it belongs to another experiment or is damaged.
    let private readStanding path (experiment: Experiment) : Standing option =
        try
            (Safetensors.readMetadata path).TryFind standingKey
            |> Option.bind (fun text -> JsonSerializer.Deserialize<Standing>(text, Json.options) |> Option.ofObj)
            |> Option.filter (fun standing -> standing.Id = Experiment.id experiment && not standing.Epochs.IsEmpty)
        with
        | UserError _
        | :? JsonException -> None

    /// Tensors of both files into optimiser and model. `UserError`, before anything has changed, where they do not fit.
    let private putBack path best (standing: Standing) (optimizer: Optimizer) (model: Model) : Standing =
        use _ = torch.NewDisposeScope()
        let tensors = Safetensors.readAll path
        let moments = Safetensors.withPrefix "optimizer " tensors

        if not (Optimizer.fits optimizer moments) then
            userError $"{path} does not fit this run."

        Safetensors.header best |> ignore
        AdapterFile.restore path (Safetensors.withPrefix "parameter " tensors) model
        Optimizer.restore optimizer standing.Steps moments
        standing

    /// Puts a saved state into optimiser and model and tells where the run stood; None, with both as they were, where there
    /// is no state or a damaged one: the run then starts anew.
    let tryRestore (results: string) (experiment: Experiment) (optimizer: Optimizer) (model: Model) : Standing option =
        let path, best = statePath results experiment, bestPath results experiment

        if not (File.Exists path && File.Exists best) then
            None
        else
            readStanding path experiment
            |> Option.bind (fun standing ->
                try
                    Some(putBack path best standing optimizer model)
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
