/// Trainings of decoders that follow Hugging Face's trajectories step by step: `golden/wider/training`.
module Peft.Tests.CausalTrainingTests

open System.Collections.Generic
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

let private file (parts: string list) =
    golden ([ "wider"; "training" ] @ parts)

let private settings = json (file [ "settings.json" ])

/// The two micro-batches of a step.
let private batches (all: IReadOnlyDictionary<string, torch.Tensor>) (step: int) : Batch list =
    [
        for micro in 0..1 ->
            [ "input_ids"; "attention_mask"; "labels" ]
            |> List.map (fun name -> KeyValuePair(name, all[$"step{step:d2}.micro{micro}.{name}"]))
            |> Dictionary
            |> CausalSupport.batchOf
    ]

/// LoRA+ learns B at a multiple of the rate.
let private multiplier (ratio: float) (name: string) : float =
    if name.EndsWith("lora_b", System.StringComparison.Ordinal) then
        ratio
    else
        1.0

/// `freeze`: what stays of the adapter that was read, and the optimiser of what is trained.
let private followWith
    (name: string)
    (weight: MicroBatchWeight option)
    (freeze: Adapter)
    (optimizerOf: float -> Model -> (string * Modules.Parameter) list -> Optimizer)
    =
    testCase $"twelve steps follow {name}"
    <| fun () ->
        use _ = torch.NewDisposeScope()
        let run = settings.GetProperty("runs").GetProperty name
        let architecture = nonNull (run.GetProperty("arch").GetString())

        let config, read =
            HuggingFace.load (file [ name; "initial" ]) "" (CausalSupport.model architecture)

        let model = freeze read
        let parameters = Model.trained model

        let optimizer =
            optimizerOf (run.GetProperty("weight_decay").GetDouble()) model parameters

        let rows = tensors (file [ $"batches-{architecture}.safetensors" ])

        for entry in (json (file [ name; "log.json" ])).GetProperty("log").EnumerateArray() do
            let step = entry.GetProperty("step").GetInt32()
            let rate = entry.GetProperty("lr").GetDouble()
            Expect.floatClose Accuracy.high (Schedule.linear 0.0005 0.005 0.0005 3 12 step) rate $"rate of step {step}"

            let log =
                Trainer.stepWeighted weight Pass.Evaluation 1.0 rate optimizer parameters model (batches rows step)

            for own, theirs in Seq.zip log.Losses (entry.GetProperty("losses").EnumerateArray()) do
                Expect.isLessThan (abs (own - theirs.GetDouble())) 1e-4 $"loss in step {step}"

            let norm = entry.GetProperty("grad_norm_before_clip").GetDouble()
            Expect.isLessThan (abs (log.GradientNorm / norm - 1.0)) 1e-4 $"norm in step {step}"

        let final = tensors (file [ name; "final"; "adapter_model.safetensors" ])

        for name, parameter in parameters do
            let reference = final[(HuggingFace.tensorName config name).Value]
            Expect.isLessThan (distance (parameter.detach ()) reference) 1e-5 name

let private follow (name: string) (weight: MicroBatchWeight option) (ratio: float) =
    followWith name weight id (fun decay _ parameters ->
        Optimizer.grouped (multiplier ratio) (Optimizer.adamW 0.9 0.999 1e-8 decay) parameters)

/// LoRA-FA: A stays, and peft's optimiser corrects B's gradients.
let private followFixedA (name: string) =
    let technique = Technique.parse "lora(rank=4,alpha=8,fa)"

    followWith name None (LoraFa.freezeA (fun _ -> true)) (fun decay model parameters ->
        Optimizer.ofTechnique technique decay parameters
        |> technique.AroundOptimizer 12 model)

[<Tests>]
let tests =
    testList
        "Causal training"
        [
            follow "llama-lora" None 1.0
            follow "gpt_neo-lora" None 1.0
            follow
                "llama-lora-plus"
                None
                (settings.GetProperty("runs").GetProperty("llama-lora-plus").GetProperty("ratio").GetDouble())
            followFixedA "llama-lora-fa"
            follow "llama-lora-token-mean" (Some MicroBatchWeight.Tokens) 1.0

            testCase "weighted by tokens, accumulation changes nothing, whatever the lengths"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let rows =
                    [|
                        for index in 1..6 ->
                            {
                                Ids = Array.init (2 + index) (fun place -> 5 + index * place)
                                Labels = Array.init (2 * index) (fun place -> 7 + index + place)
                            }
                    |]

                let gradients weight (parts: EncodedRow[] list) =
                    let model = Adapter.full (gated ())
                    let parameters = Model.trained model
                    let still = Optimizer.adamW 0.9 0.999 1e-8 0.0 parameters

                    Trainer.stepWeighted
                        weight
                        Pass.Evaluation
                        0.0
                        0.0
                        still
                        parameters
                        model
                        (parts |> List.map (Batch.ofRows 0 torch.CPU))
                    |> ignore

                    parameters |> List.map (fun (name, parameter) -> name, nonNull parameter.grad)

                let whole = gradients None [ rows ]
                let weighted = gradients (Some MicroBatchWeight.Tokens) [ rows[..1]; rows[2..] ]
                let equal = gradients None [ rows[..1]; rows[2..] ]

                for (name, expected), (_, found) in List.zip whole weighted do
                    close 1e-4 found expected name

                let gap =
                    List.zip whole equal
                    |> List.map (fun ((_, one), (_, other)) -> distance one other / magnitude one)
                    |> List.max

                Expect.isGreaterThan gap 1e-2 "counting the same, they make another step"
        ]
