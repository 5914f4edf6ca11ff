namespace Peft.Campaigns

open System
open Peft

/// The campaigns' own processes. People start them by `scripts/fuzz.fsx` and `scripts/kill.fsx`.
module Program =
    let private partOf (words: string) : FuzzPart =
        match words.Split ':' with
        | [| reader; from; upTo |] ->
            {
                Reader = reader
                From = int from
                To = int upTo
            }
        | _ -> userError $"'{words}' is no part: reader:from:to."

    [<EntryPoint>]
    let main (arguments: string[]) : int =
        match List.ofArray arguments with
        | "fuzz-worker" :: corpus :: seed :: parts ->
            FuzzWorker.run corpus (int seed) (parts |> List.map partOf)
            0
        | _ ->
            eprintfn "Start campaigns by scripts/fuzz.fsx and scripts/kill.fsx."
            2
