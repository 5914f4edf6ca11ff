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

            testCase
                "where the home folder cannot be written, the copy goes to the next folder; where none can, the variables are named"
            <| fun () ->
                Support.inTemporaryFolder (fun folder ->
                    let shim, file = Path.Combine(folder, "shim.so"), Path.Combine(folder, "file")
                    File.WriteAllBytes(shim, Array.zeroCreate 64)
                    File.WriteAllText(file, "")
                    let next = Path.Combine(folder, "next")
                    let copy = Native.relaxedCopy [ Path.Combine(file, "home"); next ] shim
                    Expect.stringStarts copy next "the next folder"
                    Expect.isTrue (File.Exists copy) "it is there"
                    Expect.equal (Native.relaxedCopy [ next ] shim) copy "and is taken again"

                    let message =
                        Support.userErrorOf (fun () ->
                            Native.relaxedCopy [ Path.Combine(file, "home") ] shim |> ignore)

                    for word in [ "HOME"; "TMPDIR"; file ] do
                        Expect.stringContains message word "what to do")

            testCase "an image without version requirements is left as it is"
            <| fun () ->
                let image = Array.zeroCreate<byte> 64
                Expect.equal (Elf.relaxVersion "GLIBCXX_3.4.32" image) 0 "nothing to relax"
                Expect.all image ((=) 0uy) "nothing changed"
        ]
