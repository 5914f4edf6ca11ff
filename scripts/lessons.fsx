// Runs the lessons of docs/lessons anew and compares what they print with what their text shows.
//
//   dotnet build -c Release
//   dotnet fsi scripts/lessons.fsx                 all of them: six minutes on one core
//   dotnet fsi scripts/lessons.fsx 1 4             some, by their numbers
//   dotnet fsi scripts/lessons.fsx --record        writes what they print into their text
#I "../src/Campaigns/bin/Release/net10.0"
#r "Peft.dll"
#r "Peft.Campaigns.dll"

open System
open System.IO
open Peft.Campaigns

let root = Path.GetDirectoryName __SOURCE_DIRECTORY__

let isRecorded, numbers =
    fsi.CommandLineArgs
    |> List.ofArray
    |> List.tail
    |> List.partition ((=) "--record")
    |> fun (marks, numbers) -> not marks.IsEmpty, numbers

let limit = TimeSpan.FromMinutes 10.0

let wrong =
    [
        for name in Lessons.all root do
            if numbers.IsEmpty || List.contains (string name[0]) numbers then
                if isRecorded then
                    Lessons.record root limit name
                    printfn $"{name}: recorded"
                else
                    let found = Lessons.run root limit name |> Lessons.differences root name
                    printfn $"{name}: {found.Length} differences"
                    yield! found
    ]

wrong |> List.iter (printfn "%s")
exit (if wrong.IsEmpty then 0 else 1)
