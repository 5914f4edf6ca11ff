// Strikes sweeps with kills, signals, full disks and lost folders, and compares what they leave with an undisturbed sweep:
// docs/reliability.md. Linux; as root the disks are filled, too.
//
//   dotnet build -c Release
//   dotnet fsi scripts/kill.fsx --kills 300 --seed 1
//   dotnet fsi scripts/kill.fsx --kills 10 --seed 2 --folder kill/again
#I "../src/Campaigns/bin/Release/net10.0"
#r "Peft.dll"
#r "Peft.Campaigns.dll"

open System.IO
open Peft.Campaigns

let rec given (name: string) (fallback: string) (words: string list) =
    match words with
    | word :: value :: _ when word = name -> value
    | _ :: rest -> given name fallback rest
    | [] -> fallback

let words = List.ofArray fsi.CommandLineArgs |> List.tail
let seed = int (given "--seed" "1" words)

let settings =
    {
        Folder = Path.GetFullPath(given "--folder" $"kill/{seed}" words)
        Kills = int (given "--kills" "300" words)
        Seed = seed
        Sweep = [ 1; 2 ]
        Jobs = [ 1; 2 ]
    }

let tally = Kill.run settings (printfn "%s")
printfn $"\n{Kill.table tally}"
exit (if tally.Findings.IsEmpty then 0 else 1)
