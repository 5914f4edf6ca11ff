// Counts the sentences of the acceptability rows that occur, corrected, among the instructions of pretraining: the family
// "correction" draws its sentences from the same constructions, with another seed.
//
//     dotnet build -c Release
//     dotnet fsi scripts/overlap.fsx          the first million instructions of seed 1
//     dotnet fsi scripts/overlap.fsx 100000   so many
#load "prelude.fsx"

open System.IO
open Peft.Synthetic

let count =
    match List.ofArray fsi.CommandLineArgs |> List.tail with
    | [] -> 1_000_000
    | [ count ] -> int count
    | _ -> failwith "Give a number of instructions, or nothing."

let corrected =
    Seq.init count (Instructions.example 1)
    |> Seq.filter (fun instruction -> instruction.Family = "correction")
    |> Seq.map _.Target
    |> Array.ofSeq

let distinct = set corrected
printfn $"{corrected.Length} corrected sentences among {count} instructions, {distinct.Count} different"

for split in [ "train"; "validation"; "test" ] do
    let sentences =
        Path.Combine(__SOURCE_DIRECTORY__, "..", "data", "acceptability", $"{split}.jsonl")
        |> File.ReadAllLines
        |> Array.map (fun line ->
            System.Text.Json.JsonDocument.Parse(line).RootElement.GetProperty("sentence").GetString()
            |> string)

    let found = sentences |> Array.filter distinct.Contains
    printfn $"{split}: {found.Length} of {sentences.Length} sentences"
