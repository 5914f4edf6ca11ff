/// What `peft doctor` says of a machine, and what it ends with.
module Peft.Tests.DoctorTests

open System
open System.IO
open Expecto
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

let private judged =
    testList
        "judged"
        [
            for what, finding, health in
                [
                    "no libstdc++", Checkup.libstdcxx None, Broken
                    "an old libstdc++", Checkup.libstdcxx (Some(System.Version(3, 4, 30))), Fine
                    "a new libstdc++", Checkup.libstdcxx (Some(System.Version(3, 4, 33))), Fine
                    "libtorch", Checkup.libtorch (Ok(AsShipped, "2.10.0")), Fine
                    "no libtorch", Checkup.libtorch (Error "it is not there"), Broken
                    "a processor without AVX2", Checkup.processor "old" [ "AVX2", false; "FMA", false ] [], Poor
                    "a kernel off", Checkup.processor "new" [ "AVX2", true ] [ "attention" ], Poor
                    "a processor", Checkup.processor "new" [ "AVX2", true ] [], Fine
                    "much memory", Checkup.memory 8000.0 false, Fine
                    "little memory", Checkup.memory 300.0 false, Poor
                    "a bounded address space", Checkup.memory 8000.0 true, Poor
                    "as many threads as processors", Checkup.threads 2 2 0.1 None, Fine
                    "more threads than processors", Checkup.threads 2 8 0.1 None, Poor
                    "threads that spin beside other work", Checkup.threads 2 2 3.0 None, Poor
                    "threads that sleep beside other work", Checkup.threads 2 2 3.0 (Some "passive"), Fine
                    "a load that nobody knows", Checkup.threads 2 2 nan None, Fine
                    "no graphics processor", Checkup.cuda 0 false, Fine
                    "a driver without a build for it", Checkup.cuda 0 true, Poor
                    "a graphics processor", Checkup.cuda 1 true, Fine
                    "a folder", Checkup.folder "x" "/x" None 5_000_000_000L "HF_HOME", Fine
                    "a full disk", Checkup.folder "x" "/x" None 5_000_000L "HF_HOME", Poor
                    "a folder that cannot be written", Checkup.folder "x" "/x" (Some "no") 5L "HF_HOME", Broken
                    "a tokenizer", Checkup.tokenizer "m" (Ok "8000 tokens"), Fine
                    "no tokenizer", Checkup.tokenizer "m" (Error "damaged"), Broken
                ] do
                testCase what
                <| fun () ->
                    Expect.equal finding.Health health finding.Text
                    Expect.equal (finding.Fix <> "") (health <> Fine) "what is not fine has a fix, and nothing else"

            testCase "the exit code is that of the worst, and every fix is a line"
            <| fun () ->
                let fine, poor, broken =
                    Checkup.cuda 0 false, Checkup.cuda 0 true, Checkup.libstdcxx None

                Expect.equal (Checkup.exitCode [ fine; poor ]) 0 "notes"
                Expect.equal (Checkup.exitCode [ fine; broken; poor ]) 1 "a fault"
                let lines = Checkup.lines [ fine; poor; broken ]
                Expect.equal (lines |> List.filter _.Contains("fix: ")).Length 2 "two fixes"
                Expect.stringStarts (List.last lines |> _.Trim()) "fix: " "after its line"
        ]

let private asked =
    testList
        "asked"
        [
            testCase "a machine on which this runs is sound; a damaged tokenizer is told with its fix"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let model = Path.Combine(folder, "model")
                    let code, output, error = OptionsTests.peft [ "doctor"; "--model"; model ]
                    Expect.equal (code, error) (0, "") output

                    for name in
                        [
                            "libtorch"
                            "processor"
                            "memory"
                            "threads"
                            "CUDA"
                            "hub cache"
                            "tokenizer"
                        ] do
                        Expect.stringContains output name "it looks at everything"

                    File.WriteAllText(Path.Combine(model, "spiece.model"), "no vocabulary")
                    let code, output, _ = OptionsTests.peft [ "doctor"; "--model"; model ]
                    Expect.equal code 1 "broken"
                    Expect.stringContains output "fault tokenizer" "which"
                    Expect.stringContains output "fix: fetch the model again" "what to do")

            testCase "a cache that cannot be written is told with the variable that names another"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let file = Path.Combine(folder, "file")
                    File.WriteAllText(file, "")
                    let model = Path.Combine(folder, "model")

                    let code, output, _ =
                        CommandLine.run
                            folder
                            [ "HF_HOME", Path.Combine(file, "below") ]
                            [ "doctor"; "--model"; model ]

                    Expect.equal code 1 output
                    Expect.stringContains output "fault hub cache" "which"
                    Expect.stringContains output "let HF_HOME name a folder" "what to do")
        ]

[<Tests>]
let tests = testSequenced (testList "Doctor" [ judged; asked ])
