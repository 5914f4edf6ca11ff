// Chooses a technique for your rows within a time budget, trains it, and says what the choice rests on: docs/choose.md.
//
//   dotnet build -c Release
//   dotnet fsi scripts/choose.fsx --custom my.csv                          the embedded model, ten minutes
//   dotnet fsi scripts/choose.fsx --custom my.csv --model FOLDER --budget 2h --memory 8GiB --parameters 1M
//   dotnet fsi scripts/choose.fsx --help                                   every option
//
// From a program it is: ChooseQuestion.create "my.csv" modelFolder (TimeSpan.FromMinutes 10.0) "choose/my" |> Choose.run
#load "prelude.fsx"

open Peft

Script.choose fsi.CommandLineArgs
