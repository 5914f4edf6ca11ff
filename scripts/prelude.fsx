// What every script starts from: the Release build of the library and the packages that its signatures name.
// Build it first: dotnet fsi build.fsx build
#I "../src/Cli/bin/Release/net10.0"
#r "Peft.dll"
#r "Peft.Report.dll"
#r "Peft.Tools.dll"
#r "Peft.Cli.dll"
#r "TorchSharp.dll"
#r "Argu.dll"
#r "Deedle.dll"

Peft.Native.ensure () |> ignore
