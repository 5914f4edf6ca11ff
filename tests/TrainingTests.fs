/// Trainings that follow reference trajectories step by step.
module Peft.Tests.TrainingTests

open System.Collections.Generic
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// One reference trajectory: twenty optimiser steps of four micro-batches each, without dropout.
[<ReferenceEquality>]
type private Trajectory =
    {
        Name: string
        /// The adapted model at its starting point.
        Start: unit -> Model
        Optimizer: (string * Modules.Parameter) list -> Optimizer
        Rate: int -> float
        Batches: int -> Batch list
        /// Learning rate, losses and gradient norm of each step.
        Log: (float * float list * float) list
        /// Final tensors by our names, where the reference has them whole.
        Final: unit -> Dictionary<string, torch.Tensor>
        LossTolerance: float
    }

let private floats (element: JsonElement) =
    [ for item in element.EnumerateArray() -> item.GetDouble() ]

let private logOf (normKey: string) (steps: JsonElement) =
    [
        for step in steps.EnumerateArray() ->
            step.GetProperty("lr").GetDouble(),
            floats (step.GetProperty "losses"),
            step.GetProperty(normKey).GetDouble()
    ]

let private batchesFrom (file: string list) (prefix: int -> int -> string) =
    fun step ->
        let all = tensors (golden file)

        List.init 4 (fun micro ->
            let tensor key = all[$"{prefix step micro}.{key}"]

            {
                InputIds = tensor "input_ids"
                Mask = Some(tensor "attention_mask")
                Labels = tensor "labels"
            })

/// Hugging Face's names of LoRA tensors in ours.
let private renamed (values: IReadOnlyDictionary<string, torch.Tensor>) =
    let ours (name: string) =
        name
            .Replace("base_model.model.", "")
            .Replace(".lora_A.weight", ".lora_a")
            .Replace(".lora_B.weight", ".lora_b")
            .Replace("prompt_encoder.embedding.weight", "prompt_embeddings")

    values
    |> Seq.map (fun pair -> KeyValuePair(ours pair.Key, pair.Value))
    |> Dictionary

let private starting (adapter: Adapter) (file: string list) () =
    let model = adapter (gated ())
    AdapterFile.restore "the reference" (renamed (tensors (golden file))) model
    model

let private huggingFaceLora (config: string list) : Adapter =
    let settings = json (golden config)
    let rank = settings.GetProperty("r").GetInt32()
    let alpha = settings.GetProperty("lora_alpha").GetDouble()
    PaperLora.lowRank rank (alpha / float rank) 0 (Selector.attention [ Q; V ])

let private firstSet =
    let batches =
        batchesFrom [ "training"; "batches.safetensors" ] (fun step micro -> $"{step * 4 + micro:d3}")

    let case name start optimizer final =
        let file = json (golden [ "training"; $"{name}.json" ])
        let log = logOf "grad_norm" file

        {
            Name = $"training/{name}"
            Start = start
            Optimizer = optimizer
            Rate = fun step -> (let rate, _, _ = log[step] in rate)
            Batches = batches
            Log = log
            Final = fun () -> renamed (tensors (golden final))
            LossTolerance = 1e-3
        }

    let adamW = Optimizer.adamW 0.9 0.999 1e-8 0.01

    [
        case "full" (gated >> Adapter.full) adamW [ "training"; "full-final.safetensors" ]
        case
            "lora-qv"
            (starting
                (huggingFaceLora [ "training"; "lora-init"; "adapter_config.json" ])
                [ "training"; "lora-init"; "adapter_model.safetensors" ])
            adamW
            [ "training"; "lora-final"; "adapter_model.safetensors" ]
        case
            "adafactor"
            (gated >> Adapter.full)
            (Optimizer.adafactor 1.0 -0.8 1e-30)
            [ "training"; "adafactor-final.safetensors" ]
    ]

let private secondSet =
    let folder = [ "extended"; "training" ]
    let settings = (json (golden (folder @ [ "settings.json" ]))).GetProperty "runs"

    let batches =
        batchesFrom (folder @ [ "batches.safetensors" ]) (fun step micro -> $"step{step:d2}.micro{micro}")

    let case (name: string) start final =
        let run = settings.GetProperty name
        let number (key: string) = run.GetProperty(key).GetDouble()
        let rate = Schedule.linear (number "initial") (number "peak") (number "final") 5 20

        let optimizer =
            if name = "adafactor" then
                Optimizer.adafactor 1.0 -0.8 1e-30
            else
                Optimizer.adamW 0.9 0.999 1e-8 (number "weight_decay")

        {
            Name = $"extended/training/{name}"
            Start = start
            Optimizer = optimizer
            Rate = rate
            Batches = batches
            Log = logOf "grad_norm_before_clip" ((json (golden (folder @ [ name; "log.json" ]))).GetProperty "log")
            Final = fun () -> renamed (tensors (golden (folder @ [ name; final ])))
            LossTolerance = 1e-4
        }

    let full name =
        case name (gated >> Adapter.full) "final_some.safetensors"

    let adapter name adapter =
        case name (starting adapter (folder @ [ name; "initial.safetensors" ])) "final.safetensors"

    [
        full "full"
        full "full-wd"
        full "adafactor"
        adapter "hf-lora-qv" (huggingFaceLora [ "peft"; "lora-qv"; "adapter_config.json" ])
        adapter "paper-lora" (Adapter.paperLora 2 0 Selector.paperLora)
        adapter "paper-ia3" (Adapter.paperIa3 Selector.paperIa3)
        adapter "bitfit" (Adapter.bitFit Selector.everywhere)
        adapter "prompt" (Adapter.prompt 5 0)
    ]

/// Whole tensors of the reference; of the vocabulary matrices it holds the first rows only.
let private compareFinal (trajectory: Trajectory) (start: Map<string, torch.Tensor>) (model: Model) =
    let final = Model.trained model |> dict

    for pair in trajectory.Final() do
        // Adam turns the rounding noise of the key bias's zero gradient into steps.
        if not (pair.Key.EndsWith "k.bias") then
            let rows = pair.Value.size 0

            let cut (tensor: torch.Tensor) =
                tensor.narrow(0L, 0L, min rows (tensor.size 0)).flatten()

            let expected = pair.Value.flatten ()

            let actual =
                if pair.Value.numel () = final[pair.Key].numel() then
                    final[pair.Key].flatten()
                else
                    cut final[pair.Key]

            let before =
                if pair.Value.numel () = start[pair.Key].numel() then
                    start[pair.Key].flatten()
                else
                    cut start[pair.Key]

            let movement = max 1e-4 (distance expected before)
            Expect.isLessThan (distance actual expected / movement) 1e-2 $"{pair.Key}: relative to its movement"

let private follow (trajectory: Trajectory) =
    testCase $"twenty steps follow {trajectory.Name}"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let model = trajectory.Start()
        let parameters = Model.trained model

        let start =
            parameters |> List.map (fun (name, p) -> name, p.detach().clone()) |> Map.ofList

        let optimizer = trajectory.Optimizer parameters

        trajectory.Log
        |> List.iteri (fun step (rate, losses, norm) ->
            Expect.floatClose Accuracy.high (trajectory.Rate step) rate $"learning rate of step {step}"

            let log =
                Trainer.step Pass.Evaluation 1.0 rate optimizer parameters model (trajectory.Batches step)

            for actual, expected in List.zip log.Losses losses do
                Expect.isLessThan (abs (actual / expected - 1.0)) trajectory.LossTolerance $"loss in step {step}"

            Expect.isLessThan
                (abs (log.GradientNorm / norm - 1.0))
                (10.0 * trajectory.LossTolerance)
                $"norm in step {step}")

        compareFinal trajectory start model

[<Tests>]
let tests = testList "Training" (List.map follow (firstSet @ secondSet))
