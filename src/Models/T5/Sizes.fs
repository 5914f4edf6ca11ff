namespace Peft.T5

open System

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

    /// A name without what may stand before it: `xl` of `xl`, `flan-t5-xl` and `google/flan-t5-xl`.
    let short (text: string) : string =
        let without (start: string) (name: string) =
            if name.StartsWith(start, StringComparison.Ordinal) then
                name.Substring start.Length
            else
                name

        text.Trim().ToLowerInvariant() |> without "google/" |> without "flan-t5-"

    /// The configuration of a built-in size.
    let tryFind (text: string) : Config option =
        all |> List.tryFind (fst >> (=) (short text)) |> Option.map snd
