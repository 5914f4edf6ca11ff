// Counts the rows of the embedded tasks that pretraining could know: those all of whose sentences (of four words at least) occur
// among the inputs and targets of its instructions.
//
//     dotnet build -c Release
//     dotnet fsi scripts/overlap.fsx          the first million instructions of seed 1
//     dotnet fsi scripts/overlap.fsx 100000   so many
#load "prelude.fsx"

open System
open System.Collections.Generic
open Peft.Synthetic

let count =
    match List.ofArray fsi.CommandLineArgs |> List.tail with
    | [] -> 1_000_000
    | [ count ] -> int count
    | _ -> failwith "Give a number of instructions, or nothing."

let sentences (text: string) : string[] =
    text.Split([| '.'; '?'; '!'; '\n'; ':'; ';' |], StringSplitOptions.RemoveEmptyEntries)
    |> Array.map _.Trim()
    |> Array.filter (fun sentence -> sentence.Split(' ').Length >= 4)

let known = HashSet<string>()

for index in 0 .. count - 1 do
    let instruction = Instructions.example 1 index

    for text in [ instruction.Input; instruction.Target ] do
        for sentence in sentences text do
            known.Add sentence |> ignore

printfn $"{known.Count} different sentences in {count} instructions"

for task in SyntheticTasks.suite do
    let splits = DataSets.splits task DataSets.seed DataSets.sizes

    let found (rows: Peft.Example[]) =
        rows
        |> Array.filter (fun row ->
            let own = sentences row.Input
            own.Length > 0 && own |> Array.forall known.Contains)
        |> _.Length

    printfn
        $"{task.Name}: {found splits.Train} of {splits.Train.Length} training, {found splits.Validation} of {splits.Validation.Length} validation, {found splits.Test} of {splits.Test.Length} test rows"
