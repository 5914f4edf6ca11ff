// Whether races choose right: on generated tasks, each against the whole grid of the same contenders with three seeds. A
// verdict a task is kept in the folder; interrupted, the same command goes on.
//
//   dotnet build -c Release
//   dotnet fsi scripts/choose-check.fsx 60 check                      60 tasks, full, lora and ia3
//   dotnet fsi scripts/choose-check.fsx 5 check2 full bitfit          five tasks, other techniques
#load "prelude.fsx"

open Peft

let count, folder, techniques =
    Script.guarded (fun () ->
        match List.ofArray fsi.CommandLineArgs |> List.tail with
        | [ count ] -> int count, "check", [ "full"; "lora"; "ia3" ]
        | [ count; folder ] -> int count, folder, [ "full"; "lora"; "ia3" ]
        | count :: folder :: techniques -> int count, folder, techniques
        | [] -> 3, "check", [ "full"; "lora"; "ia3" ])

TorchSharp.torch.set_num_threads 1

let check (number: int) =
    let verdict =
        CheckTask.ofNumber number
        |> GridVerdict.ofTask folder (List.map Technique.parse techniques)

    printfn $"{GridSummary.line verdict}"
    verdict

Script.guarded (fun () -> [ 1..count ] |> List.map check |> GridSummary.describe)
|> printfn "\n%s"
