// Trains and compares the paper's techniques, and prints its Table 1.
//
//   dotnet fsi scripts/sweep.fsx                                     the embedded data and model, low level
//   dotnet fsi scripts/sweep.fsx --levels low,medium --seeds 1 2 3   more data, three seeds
//   dotnet fsi scripts/sweep.fsx --jobs 2                            two runs at once
//   dotnet fsi scripts/sweep.fsx --dry-run                           what would run, and how long about
//   dotnet fsi scripts/sweep.fsx --help                              every option
#load "prelude.fsx"

open Peft

fsi.CommandLineArgs |> Array.skip 1 |> Commands.sweepScript |> exit
