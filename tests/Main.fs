module Peft.Tests.Main

[<EntryPoint>]
let main _ = Peft.Native.ensure () |> ignore; 0
