// Writes the four generated data sets and prints their statistics.
//
//     dotnet build -c Release
//     dotnet fsi scripts/make-data.fsx                          the embedded sets: data/, seed 17, 1250 + 500 + 500 rows
//     dotnet fsi scripts/make-data.fsx big 23 10000 2500 2500   a folder, a seed and three sizes of your own
#load "prelude.fsx"

open System.IO
open Peft.Synthetic

let folder, seed, sizes =
    match List.ofArray fsi.CommandLineArgs |> List.tail with
    | [] -> Path.Combine(__SOURCE_DIRECTORY__, "..", "data"), DataSets.seed, DataSets.sizes
    | [ folder; seed; train; validation; test ] ->
        folder,
        int seed,
        {
            Train = int train
            Validation = int validation
            Test = int test
        }
    | _ -> failwith "Give a folder, a seed and the numbers of training, validation and test rows, or nothing."

DataSets.write folder seed sizes
printf "%s" (DataSets.report seed sizes)
