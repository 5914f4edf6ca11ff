namespace Peft

open System
open System.IO

/// The processor that computes: the last digits of a result follow it.
[<RequireQualifiedAccess>]
module Processor =
    let private field (name: string) : string option =
        try
            File.ReadLines "/proc/cpuinfo"
            |> Seq.tryPick (fun line ->
                if (line.Split(':')[0]).Trim() = name then
                    Some(line.Substring(line.IndexOf ':' + 1).Trim())
                else
                    None)
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None

    let private read () =
        match field "model name", field "cpu family", field "model" with
        | Some name, Some family, Some model -> $"{name}, family {family}, model {model}"
        | name, _, _ -> name |> Option.defaultValue "unknown"

    let private kept = lazy read ()

    /// The kind of processor as Linux tells it, `unknown` elsewhere: name, family and model, since generations with other
    /// instructions may share a name.
    let name () : string = kept.Value
