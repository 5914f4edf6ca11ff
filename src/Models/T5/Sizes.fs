namespace Peft.T5

open System
open System.IO
open Peft

/// The published models, by name.
[<RequireQualifiedAccess>]
module Sizes =
    let private flan width heads hidden layers : Config =
        Config.gated 32128 width 64 heads hidden layers

    /// FLAN-T5's published sizes (Chung et al. 2022; the dimensions are T5 v1.1's).
    let all: (string * Config) list =
        [
            "small", flan 512 6 1024 8
            "base", flan 768 12 2048 12
            "large", flan 1024 16 2816 24
            "xl", flan 2048 32 5120 24
            "xxl", flan 4096 64 10240 24
        ]

    /// The configuration of a built-in size (`xl`, `flan-t5-xl`, `google/flan-t5-xl`), of a `config.json`, or of a
    /// folder with one.
    let config (text: string) : Config =
        let lower = text.Trim().ToLowerInvariant()

        let short =
            if lower.StartsWith("google/", StringComparison.Ordinal) then
                lower.Substring 7
            else
                lower

        let short =
            if short.StartsWith("flan-t5-", StringComparison.Ordinal) then
                short.Substring 8
            else
                short

        match all |> List.tryFind (fun (name, _) -> name = short) with
        | Some(_, config) -> config
        | None when Directory.Exists text -> Config.load (Path.Combine(text, "config.json"))
        | None when File.Exists text -> Config.load text
        | None ->
            userError
                $"'{text}' is neither a built-in size nor a config.json nor a folder with one: {Nearest.question (List.map fst all) short}"
