module Peft.Cli

open TorchSharp

[<EntryPoint>]
let main _ =
    let s = Native.ensure ()
    printfn "%A %A" s (torch.ones(2L, 2L).sum().item<float32>())
    0
