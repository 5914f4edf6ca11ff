namespace Peft.Reports

open Peft

/// What a report calls base models: people know a folder or a hub's name, files know a digest.
[<RequireQualifiedAccess>]
module ModelNames =
    let private unnamed = "unnamed model"

    let private namesOf (runs: Run list) (digest: string) : string =
        runs
        |> List.filter (fun run -> run.Experiment.Model = digest && run.Base <> "" && run.Base <> digest)
        |> List.map _.Base
        |> List.distinct
        |> List.sort
        |> function
            | [] -> unnamed
            | names -> String.concat " or " names

    /// The digests of the models of runs, sorted.
    let private digests (runs: Run list) : string list =
        runs |> List.map _.Experiment.Model |> List.distinct |> List.sort

    /// The name of the model with a digest: its folder's or hub's as its runs say it; where several models have one name, with
    /// the digest's beginning.
    let ofDigest (runs: Run list) (digest: string) : string =
        let name = namesOf runs digest

        if
            digests runs
            |> List.exists (fun other -> other <> digest && namesOf runs other = name)
        then
            $"{name} {Printable.short 8 digest}"
        else
            name

    /// Each model's name and digest.
    let all (runs: Run list) : (string * string) list =
        digests runs
        |> List.filter ((<>) "")
        |> List.map (fun digest -> ofDigest runs digest, digest)
