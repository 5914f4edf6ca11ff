module Peft.Tests.BenchmarkTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support
open Peft.Tests.BenchSupport

let private listed (measured: Measurement) =
    measured.Seconds, measured.PeakMiB, [ for pair in measured.Values -> pair.Key, pair.Value ]

let private answers (line: BenchLine) =
    line.Row, Result.map listed line.Own, line.Peer |> Option.map (Result.map listed)

let private line row own peer : BenchLine =
    {
        Row = row
        Own = Ok(measurement own [])
        Peer = peer |> Option.map (fun seconds -> Ok(measurement seconds []))
    }

let private protocol =
    testList
        "rows and measurements"
        [
            testCase "every row's JSON reads back, and names are unique"
            <| fun () ->
                for row in rows do
                    let json = (BenchRow.toJson row).ToJsonString Json.line
                    Expect.isFalse (json.Contains '\n') "one line"
                    Expect.equal (BenchRow.ofJson json) row (BenchRow.name row)

                let names = rows |> List.map BenchRow.name
                Expect.equal (List.distinct names) names "names"

            testCase "a measurement reads back, and a peer may leave out what it does not know"
            <| fun () ->
                let measured = measurement [ 0.25; 0.5; 0.125 ] [ "loss", 9.5 ]
                let read = Measurement.ofJson (Measurement.toJson measured)
                Expect.equal (listed read) (listed measured) "all of it"
                let bare = Measurement.ofJson "{\"seconds\": [2, 4]}"
                Expect.equal (listed bare) ([ 2.0; 4.0 ], 0.0, []) "seconds alone"

            testCase "what is no measurement and no row is refused in one line"
            <| fun () ->
                for text in [ ""; "ready"; "{}"; "[1]"; "{\"seconds\": 3}" ] do
                    Expect.stringContains
                        (userErrorOf (fun () -> Measurement.ofJson text |> ignore))
                        "no measurement"
                        text

                for text in [ "{"; "{}"; "3"; "{\"kind\": 3}" ] do
                    Expect.stringContains (userErrorOf (fun () -> BenchRow.ofJson text |> ignore)) "no row" text

            testCase "a report reads back"
            <| fun () ->
                let report =
                    {
                        Machine = machine
                        Lines =
                            [
                                line rows[0] [ 1.0; 2.0 ] (Some [ 3.0 ])
                                { line rows[1] [ 1.0 ] None with
                                    Own = Error "no memory"
                                }
                                { line rows[2] [ 1.0 ] None with
                                    Peer = Some(Error "no such row")
                                }
                            ]
                    }

                let read = BenchReport.ofJson "report.json" (BenchReport.toJson report)
                Expect.equal (List.map answers read.Lines) (List.map answers report.Lines) "lines"
                Expect.equal { read.Machine with Load = 0.0 } { machine with Load = 0.0 } "machine"
                Expect.isTrue (Double.IsNaN read.Machine.Load) "an unknown load stays unknown"

            testCase "median and spread are those of the repetitions"
            <| fun () ->
                Expect.equal (measurement [ 5.0; 1.0; 2.0 ] []).Median 2.0 "odd"
                Expect.equal (measurement [ 4.0; 1.0; 2.0; 9.0 ] []).Median 3.0 "even"
                Expect.equal (measurement [ 5.0; 1.0; 2.0 ] []).Spread 2.0 "from 1 to 5 around 2"

            testCase "rows are chosen by kind or by words of their name"
            <| fun () ->
                let chosen words = BenchPlan.select words rows
                Expect.isTrue (chosen [ "step" ] |> List.forall (fun row -> row.Kind = BenchKind.Step)) "a kind"
                Expect.equal (chosen [ "paper-lora(rank=2), xl" ]).Length 1 "words"
                Expect.equal (chosen []) rows "no words: all"
                Expect.stringContains (userErrorOf (fun () -> chosen [ "nothing" ] |> ignore)) "nothing" "none"
        ]

let private lines =
    let step technique dtype dropout seconds peer =
        let row =
            { stepOf technique "all" with
                Dtype = dtype
                Dropout = dropout
            }

        line row [ seconds ] peer

    let product dtype speed =
        { line { rows[0] with Dtype = dtype } [] None with
            Own = Ok(measurement [] [ "small", speed / 2.0; "large", speed ])
        }

    let lora = PaperLora.standard
    let operations = BenchWork.step (stepOf Full.technique "all")

    [
        // A full step of one second without dropout is exactly at the peak.
        product "float32" (operations / 1e9)
        step Full.technique "float32" 0.1 1.25 (Some [ 2.5 ])
        step Full.technique "float32" 0.0 1.0 None
        step lora "float32" 0.1 0.75 (Some [ 0.75 ])
        step lora "bfloat16" 0.1 0.5 (Some [ 1.5 ])
    ]

let private reports =
    testList
        "ratios and targets"
        [
            testCase "the peak is the fastest product, and utilisation the share of it"
            <| fun () ->
                let full = lines[2]
                Expect.floatClose Accuracy.high (BenchReport.utilisation lines full).Value 1.0 "at the peak"
                Expect.isNone (BenchReport.utilisation lines lines[4]) "no product in bfloat16 was measured"
                Expect.floatClose Accuracy.high (BenchReport.speedUp lines[4]).Value 3.0 "1.5 s over 0.5 s"

            testCase "targets are met, missed or not measured"
            <| fun () ->
                let targets = BenchTargets.all lines

                let found (name: string) =
                    let target = targets |> List.find (fun target -> target.Name.StartsWith name)
                    target.Found |> Option.map (fun value -> Math.Round(value, 6)), target.IsMet

                Expect.equal (found "full step, float32: times") (Some 2.0, Some true) "2.5 s over 1.25 s"
                Expect.equal (found "LoRA step, float32: times") (Some 1.0, Some false) "as fast"
                Expect.equal (found "full step, float32, no dropout: share") (Some 1.0, Some true) "at the peak"

                Expect.equal
                    (found "full step, float32: share of it that dropout")
                    (Some 0.2, Some false)
                    "0.25 of 1.25"

                Expect.equal (found "LoRA step, bfloat16: times") (Some 3.0, Some true) "beside the peer"
                Expect.equal (found "LoRA step, bfloat16, over") (Some 0.4, Some true) "0.5 s over 1.25 s"

                Expect.equal
                    (found "paper-lora(rank=2) step over the full step, float32")
                    (Some 0.6, Some true)
                    "0.75 over 1.25"

                Expect.equal (found "the embedded default sweep") (None, None) "not measured"

            testCase "Markdown tables have as many cells in every line"
            <| fun () ->
                let text = BenchTables.markdown { Machine = machine; Lines = lines }

                let counts =
                    text.Split '\n'
                    |> Array.filter (fun line -> line.StartsWith '|')
                    |> Array.map (fun line -> line.Split('|').Length)
                    |> Array.distinct

                Expect.equal counts.Length 1 text
        ]

let private samples =
    testList
        "where a sweep's time goes"
        [
            testCase "a sample belongs to the library and function it was in"
            <| fun () ->
                let found =
                    ShareBench.parse
                        [
                            " 7  7f21 mkl_blas_avx512_sgemm_kernel_0 (/x/libtorch_cpu.so)"
                            " 7  7f22 at::_ops::add_Tensor::call(at::Tensor const&, double) (/x/libtorch_cpu.so)"
                            " 7  7f23 [unknown] (/memfd:doublemapper (deleted))"
                            " 7  7f26 [unknown] (/tmp/perf-7.map)"
                            " 7  7f27 void [Peft] Peft.Kernels.GateLoops::Forward(bool,int32)[Optimized] (/tmp/perf-7.map)"
                            " 7  7f28 instance class Unit [Peft] Peft.Kernels.Gating+apply@94::Invoke(int32)[Optimized] (/tmp/perf-7.map)"
                            " 7  7f2a instance class Unit [Peft] Peft.Kernels.Node+Live::Apply(int32)[Optimized] (/tmp/perf-7.map)"
                            " 7  7f29 instance void [Peft] Peft.Trainer::step(int32)[Optimized] (/tmp/perf-7.map)"
                            " 8  7f24 [unknown] (/x/libgomp-98b21ff3.so.1)"
                            " 7  7f25 [unknown] ([unknown])"
                            " 7  ff81 clear_page ([kernel.kallsyms])"
                            "nothing"
                        ]

                Expect.equal
                    found
                    [
                        7, "kernels"
                        7, "libtorch"
                        7, "dotnet"
                        7, "kernels"
                        7, "own kernels"
                        7, "own kernels"
                        7, "dotnet"
                        7, "dotnet"
                        8, "kernels"
                        7, "unknown"
                        7, "system"
                    ]
                    "threads and kinds"

            testCase "shares are those of the thread that works outside of kernels, and add up to one"
            <| fun () ->
                let own = [ 1, "kernels"; 1, "kernels"; 1, "dotnet"; 1, "kernels" ]
                let worker = List.replicate 9 (2, "kernels")
                let shares = ShareBench.shares (own @ worker)
                Expect.equal (List.head shares) ("kernels", 0.75) "three of four"
                Expect.floatClose Accuracy.high (List.sumBy snd shares) 1.0 "all of it"
        ]

let private measured =
    testList
        "measuring"
        [
            testCase "decoding rows give exactly the tokens they count"
            <| fun () ->
                for beams in [ 1; 3 ] do
                    let row =
                        { rows[0] with
                            Kind = BenchKind.Decoding
                            Batch = 3
                            TargetLength = 7
                            Beams = beams
                            WarmUp = 0
                            Repeat = 2
                        }

                    // An answer of another length raises.
                    Expect.equal (BenchRun.measure row).Seconds.Length 2 $"{beams} beams"
                    Expect.equal (BenchWork.tokens row) (Some 21.0) "three rows of seven"

            testCase "both dtypes of a loss row start from the same numbers"
            <| fun () ->
                let first dtype vocabulary =
                    let row =
                        { rows[0] with
                            Kind = BenchKind.Loss
                            Model =
                                T5Family.architecture
                                    { Tiny.config 1 with
                                        VocabularySize = vocabulary
                                    }
                            Dtype = dtype
                            Dropout = 0.0
                            Steps = 2
                        }

                    (BenchRun.measure row).Value "first loss"

                let loss dtype = first dtype 8192
                Expect.floatClose Accuracy.low (loss "bfloat16") (loss "float32") "losses of the first batch"

                Expect.stringContains
                    (userErrorOf (fun () -> first "float32" 100 |> ignore))
                    "vocabulary has 100"
                    "a text of more pieces than the model knows"

            testCase "random weights in bfloat16 are the float32 ones, rounded"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let wide, narrow =
                    randomT5 (Tiny.config 1) 5, (T5Family.architecture (Tiny.config 1)).Random torch.bfloat16 5

                for (name, expected), (_, found) in List.zip (Model.leaves wide) (Model.leaves narrow) do
                    let dtype =
                        if Shape.isFloat32 wide.Shape name then
                            torch.float32
                        else
                            torch.bfloat16

                    Expect.equal found.Value.dtype dtype name

                    identical
                        (found.Value.``to`` torch.float32)
                        (expected.Value.``to``(dtype).``to`` torch.float32)
                        name

            testCase "a command that answers with JSON is measured, one that fails says why"
            <| fun () ->
                let ask script =
                    BenchRun.ask "sh" [ "-c"; script ] rows[0]

                match ask "echo busy; echo '{\"seconds\": [1.5]}'" with
                | Ok measured -> Expect.equal measured.Seconds [ 1.5 ] "the last line"
                | Error problem -> failtest problem

                match ask "echo 'no such row' >&2; exit 3" with
                | Error problem -> Expect.equal problem "no such row" "its last word"
                | Ok _ -> failtest "it failed"

                match ask "case \"$0\" in *'\"kind\":\"product\"'*) echo '{\"seconds\": []}';; esac" with
                | Ok measured -> Expect.isEmpty measured.Seconds "the row is the last argument"
                | Error problem -> failtest problem

            testCase "a checkpoint row leaves no folder behind"
            <| fun () ->
                let left () =
                    Directory.GetDirectories(Path.GetTempPath(), "peft-bench-*").Length

                let before = left ()

                let row =
                    { rows[0] with
                        Kind = BenchKind.Checkpoint
                        Repeat = 1
                    }

                Expect.isGreaterThan ((BenchRun.measure row).Value "bytes") 0.0 "bytes"
                Expect.isLessThanOrEqual (left ()) before "folders"
        ]

[<Tests>]
let tests = testList "Benchmark" [ protocol; reports; samples; measured ]
