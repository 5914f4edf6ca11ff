module Peft.Tests.NativeTests

open System.IO
open System.Text.RegularExpressions
open Expecto
open Peft

let private sources () =
    Directory.GetFiles(Path.Combine(Support.root, "src"), "*.fs", SearchOption.AllDirectories)
    |> Array.filter (fun path -> not (path.Contains $"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}"))

[<Tests>]
let tests =
    testList
        "Native"
        [
            testCase "loading twice gives the same answer"
            <| fun () -> Expect.equal (Native.ensure ()) (Native.ensure ()) "one status per process"

            testCase "no top-level value touches torch, which would load before main's first line"
            <| fun () ->
                // A value at module level: `let name = torch…` or `let name: Type = torch…` indented by at most one level.
                let pattern =
                    Regex(@"^(    )?let (private )?\w+(: [^=(]+)? =\s*(new )?torch\.", RegexOptions.Multiline)

                let offenders = sources () |> Array.filter (File.ReadAllText >> pattern.IsMatch)
                Expect.isEmpty offenders "no file has one"

            testCase "an image without version requirements is left as it is"
            <| fun () ->
                let image = Array.zeroCreate<byte> 64
                Expect.equal (Elf.relaxVersion "GLIBCXX_3.4.32" image) 0 "nothing to relax"
                Expect.all image ((=) 0uy) "nothing changed"
        ]
