// Reads spoiled files with every reader, and prints what became of them: docs/reliability.md.
//
//   dotnet build -c Release
//   dotnet fsi scripts/fuzz.fsx --inputs 1000000 --seed 1     all readers; interrupted, the same command goes on
//   dotnet fsi scripts/fuzz.fsx --inputs 5000 --seed 2 --reader parquet
//   dotnet fsi scripts/fuzz.fsx --inputs 5000 --seed 2 --folder fuzz
#I "../src/Campaigns/bin/Release/net10.0"
#r "Peft.dll"
#r "Peft.Campaigns.dll"
#r "TorchSharp.dll"

open System.IO
open Peft.Campaigns

let rec given (name: string) (fallback: string) (words: string list) =
    match words with
    | word :: value :: _ when word = name -> value
    | _ :: rest -> given name fallback rest
    | [] -> fallback

let words = List.ofArray fsi.CommandLineArgs |> List.tail

let settings =
    {
        Folder = Path.GetFullPath(given "--folder" "fuzz" words)
        Inputs = int (given "--inputs" "100000" words)
        Seed = int (given "--seed" "1" words)
        Readers =
            match given "--reader" "" words with
            | "" -> []
            | name -> [ name ]
    }

let tallies = Fuzz.run settings (printfn "%s")
printfn $"\n{Fuzz.table tallies}"
exit (if tallies |> List.forall _.Findings.IsEmpty then 0 else 1)
