/// Faults of the machine, tried on the program as it is started: full disks, closed folders, few handles.
module Peft.Tests.FaultTests

open System.Diagnostics
open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support
open Peft.Tests.TinySweep

/// Runs a shell line; `$PEFT` stands for the command line. Gives the exit code and standard error.
let private shell (line: string) : int * string =
    if not (File.Exists "/bin/bash") then
        skiptest "there is no bash here"

    let program, first = BenchProcess.self ()
    let peft = program :: first |> String.concat " "

    let start =
        ProcessStartInfo("/bin/bash", [ "-c"; line.Replace("$PEFT", peft) ], RedirectStandardError = true)

    start.Environment["OMP_NUM_THREADS"] <- "1"

    match Process.Start start with
    | null -> failtest "bash does not start"
    | started ->
        use child = started
        let error = child.StandardError.ReadToEnd()
        child.WaitForExit()
        child.ExitCode, error.Trim()

let private sweepLine folder results =
    $"$PEFT sweep --model {folder}/model --data {folder}/data --results {results} --tasks topic --techniques lora --epochs 2 --batch-size 4 --test-limit 7 --validation-limit 8 --input-limit 32 --jobs 2"

let private isOneLine (error: string) =
    Expect.isFalse (error.Contains '\n') $"one line: {error}"
    Expect.isFalse (error.Contains "   at " || error.Contains "frame #") "no frames"

[<Tests>]
let tests =
    testList
        "Faults"
        [
            testCase "a log on a full disk stops no run; the code tells that something was lost"
            <| fun () ->
                if not (File.Exists "/dev/full") then
                    skiptest "there is no /dev/full here"

                inTinyFolder (fun folder _ ->
                    let results = Path.Combine(folder, "results")
                    let code, _ = shell $"{sweepLine folder results} > /dev/full 2> /dev/full"
                    Expect.equal code 1 "not all is well"
                    let runs = resultsIn results
                    Expect.equal (runs |> List.map _.Status) [ "finished"; "finished"; "finished" ] "every run is"

                    let code, error = shell "$PEFT paper > /dev/full"
                    Expect.equal code 1 "the answer is lost"
                    isOneLine error
                    Expect.stringContains error "standard output" "what is lost")

            testCase "the command line starts where no home folder can be written"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let line =
                        $"env -u XDG_DATA_HOME HOME=/proc/none TMPDIR={folder} DOTNET_CLI_HOME={folder} $PEFT plan --model small > /dev/null"

                    let code, error = shell line
                    Expect.equal (code, error) (0, "") "it plans")

            testCase "few file handles end in one line"
            <| fun () ->
                inTinyFolder (fun folder _ ->
                    let results = Path.Combine(folder, "results")

                    // From what .NET itself needs to more than enough.
                    for handles in [ 26; 40; 60; 80; 90; 100; 110; 130; 150 ] do
                        let code, error =
                            shell $"ulimit -n {handles}; {sweepLine folder results} > /dev/null"

                        // Where they are enough, all is well.
                        if code <> 0 then
                            Expect.equal code 1 $"with {handles} an exit code of its own: {error}"

                            for line in error.Split '\n' do
                                Expect.isFalse (line.StartsWith "   at ") $"with {handles} no frames: {error}"

                            Expect.stringContains error "ulimit -n" $"with {handles} what to do")

            testCase "what a user gives is not repeated at any length"
            <| fun () ->
                let long = String.replicate 20_000 "x"

                for words in
                    [
                        [ "params"; "--technique"; $"lora(rank={long})" ]
                        [ "params"; "--technique"; long ]
                        [ "sweep"; "--seeds"; long ]
                        [ "sweep"; "--tasks"; long ]
                        [ "generate"; "--model"; long; "a text" ]
                        [ long ]
                    ] do
                    let code, output, error = OptionsTests.peft words
                    Expect.notEqual code 0 "refused"
                    Expect.equal output "" "nothing else is said"
                    Expect.isLessThan error.Length 2000 $"{words.Head}: {error.Substring(0, min 80 error.Length)}"

            testCase "a fault inside libtorch is told in one line, without its frames"
            <| fun () ->
                let fault =
                    System.Runtime.InteropServices.ExternalException(
                        "index 99999 is out of bounds\nException raised from check at File.cpp:1\nframe #0: x\nframe #1: y"
                    )

                let text = Guard.describe fault
                Expect.stringContains text "index 99999" "the cause"
                Expect.isFalse (text.Contains "frame #" || text.Contains "File.cpp") "no frames"

                Expect.stringContains
                    (Guard.describe (IOException "Too many open files : '/x'"))
                    "ulimit"
                    "few handles have their own advice"

                Expect.stringContains
                    (Guard.describe (
                        FileNotFoundException "Could not load file or assembly 'System.Console, Version=10.0.0.0'"
                    ))
                    "ulimit -n"
                    "a part that is there and cannot be opened"

                Expect.stringContains
                    (Guard.describe (FileNotFoundException "Could not load file or assembly 'Nowhere, Version=1.0.0.0'"))
                    "Nowhere"
                    "a part that is not there is named"

            testCase "an input too long for any attention is refused before it is read"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let rows =
                    [|
                        {
                            Ids = Array.create 60_000 2
                            Labels = [| 1 |]
                        }
                    |]

                let message =
                    userErrorOf (fun () ->
                        Evaluation.generate
                            (Decoding.Greedy 1)
                            (Tiny.model 1)
                            (Tokenizer.Load vocabulary)
                            torch.CPU
                            1
                            ignore
                            rows
                        |> ignore)

                Expect.stringContains message "60,000 tokens" "how long it is"
                Expect.stringContains message "--input-limit" "what to do"
                let shape = (Tiny.model 1).Shape

                Expect.equal
                    (Evaluation.leastBytes shape 3 10)
                    (100.0 * (4.0 * 2.0 * 4.0 + 16.0))
                    "three rows and the bias"

            testCase "merging needs no tokenizer, and one of more pieces than the model embeds is one line"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                inTinyFolder (fun folder _ ->
                    let at name = Path.Combine(folder, name)
                    let bare, adapter, merged = at "bare", at "adapter", at "merged"
                    let pieces = Path.Combine(bare, "spiece.model")
                    writeModel bare (Some 50)
                    File.Delete pieces
                    let model = Checkpoint.load torch.CPU torch.float32 bare
                    let adapted = Adapter.ofTechnique (PaperLora.ofRank 2) 1 model

                    AdapterFile.save
                        adapter
                        {
                            Format = AdapterFile.format
                            Technique = Technique.text (PaperLora.ofRank 2)
                            Placement = Placement.text Placement.everywhere
                            Base = Checkpoint.fingerprint bare
                            BaseFolder = "bare"
                            TrainableParameters = Model.countTrained adapted
                        }
                        adapted

                    let line =
                        $"$PEFT merge --model {bare} --adapter {adapter} --output {merged} > /dev/null"

                    Expect.equal (shell line) (0, "") "it merges"
                    Expect.isTrue (File.Exists(Path.Combine(merged, "model.safetensors"))) "weights"
                    File.Copy(vocabulary, pieces)
                    let code, error = shell $"$PEFT generate --model {bare} hello > /dev/null"
                    Expect.equal code 1 "refused"
                    isOneLine error
                    Expect.stringContains error "they do not belong together" "why")
        ]
