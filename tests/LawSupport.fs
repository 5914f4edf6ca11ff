/// Laws: what holds for every seed, and for every technique.
module Peft.Tests.LawSupport

open System
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// A law over random models: FsCheck draws the seed, from which model, rows and adapters follow, and a failure prints it.
let law (name: string) (holds: int -> unit) =
    let settings =
        { FsCheckConfig.defaultConfig with
            maxTest = 5
            endSize = 1_000_000
        }

    testPropertyWithConfig settings name (fun (seed: int) ->
        use _ = torch.NewDisposeScope()
        holds (abs (seed % 1_000_000)))

/// Attention in a random T5 is sharp (its scores are not scaled), so that another order of float32 sums shows: the
/// references' own merged logits are up to 3e-4 from the unmerged. A wrong formula is off by 0.1 and more here.
let tolerance = 1e-3

/// A law about chosen tokens: where two tokens are nearly equal, rounding chooses, so these seeds are fixed.
let lawOfTokens (name: string) (holds: int -> unit) =
    testCase name
    <| fun () ->
        for seed in [ 1; 2; 3; 40; 501 ] do
            use _ = torch.NewDisposeScope()

            try
                holds seed
            with error ->
                failtest $"seed {seed}: {error.Message}"

/// A law of every technique.
let each law (name: string) (holds: int -> Technique -> unit) =
    law name (fun seed ->
        for technique in Tiny.techniques do
            use _ = torch.NewDisposeScope()

            try
                holds seed technique
            with error ->
                failtest $"{Technique.text technique}, seed {seed}: {error.Message}")

let lawOfEach = each law

let lawOfEachTokens = each lawOfTokens

let adapted (technique: Technique) (seed: int) (model: Model) : Model =
    Adapter.ofTechnique technique seed model

/// A trained adapter, or as good as: every trained number has moved.
let moved (technique: Technique) (seed: int) (model: Model) : Model =
    adapted technique seed model |> Tiny.shake seed 0.1

let bases (model: Model) =
    Model.leaves (Model.strip model)
    |> List.choose (fun (name, leaf) ->
        match leaf with
        | Frozen tensor -> Some(name, tensor)
        | Trained _ -> None)

let step (optimizer: Optimizer) parameters model batches =
    Trainer.step (Pass.Training 0.1) 1.0 1e-2 optimizer parameters model batches
    |> ignore
