module Peft.Tests.PretrainingTests

open System
open System.IO
open System.Threading
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support

/// Sentinels of the laws: n is 1,000 + n, `</s>` is 1, text is above 2,000.
let private corrupt (seed: int) (ids: int[]) : EncodedRow =
    SpanCorruption.corrupt 100 ((+) 1000) 1 (Shuffle.splitMix64 (uint64 seed)) ids

let private texts: Arbitrary<int * int[]> =
    gen {
        let! seed = Gen.choose (0, 1_000_000)
        let! length = Gen.choose (2, 600)
        return seed, Array.init length ((+) 2000)
    }
    |> Arb.fromGen

/// The text that input and target stand for together.
let private joined (row: EncodedRow) : int[] =
    let spans =
        row.Labels
        |> Array.fold
            (fun spans id ->
                match spans with
                | _ when id >= 1000 && id < 1100 -> (id, []) :: spans
                | (sentinel, ids) :: rest -> (sentinel, id :: ids) :: rest
                | [] -> spans)
            []
        |> List.map (fun (sentinel, ids) -> sentinel, ids |> List.filter ((<>) 1) |> List.rev)
        |> Map.ofList

    row.Ids
    |> Array.filter ((<>) 1)
    |> Array.collect (fun id ->
        match spans.TryFind id with
        | Some hidden -> Array.ofList hidden
        | None -> [| id |])

let private isSentinel id = id >= 1000 && id < 1100

let private spanLaws =
    testList
        "span corruption"
        [
            testProperty "input and target joined give back the text"
            <| Prop.forAll texts (fun (seed, ids) -> joined (corrupt seed ids) = ids)

            testProperty "fifteen of a hundred tokens are hidden, at least one, in spans of three on average"
            <| Prop.forAll texts (fun (seed, ids) ->
                let row = corrupt seed ids
                let spans = row.Labels |> Array.filter isSentinel |> Array.length
                let hidden = row.Labels.Length - spans - 1

                abs (float hidden - 0.15 * float ids.Length) <= 1.0
                && abs (float spans - float hidden / 3.0) <= 1.0)

            testProperty "sentinels ascend from the first in input and target alike, and both end with </s>"
            <| Prop.forAll texts (fun (seed, ids) ->
                let row = corrupt seed ids

                let input, target =
                    row.Ids |> Array.filter isSentinel, row.Labels |> Array.filter isSentinel

                input = target
                && input = Array.init input.Length ((+) 1000)
                && Array.last row.Ids = 1
                && Array.last row.Labels = 1)

            testProperty "no span is empty, and the first token is never hidden"
            <| Prop.forAll texts (fun (seed, ids) ->
                let row = corrupt seed ids

                let touch =
                    Array.pairwise
                    >> Array.exists (fun (left, right) -> isSentinel left && (isSentinel right || right = 1))

                row.Ids[0] = ids[0] && not (touch row.Labels))

            testProperty "one seed, one row"
            <| Prop.forAll texts (fun (seed, ids) -> corrupt seed ids = corrupt seed ids)

            testCase "no more spans than sentinels"
            <| fun () ->
                let row =
                    SpanCorruption.corrupt 3 ((+) 1000) 1 (Shuffle.splitMix64 5UL) (Array.init 500 ((+) 2000))

                Expect.equal (row.Labels |> Array.filter isSentinel).Length 3 "three"
                Expect.equal (joined row) (Array.init 500 ((+) 2000)) "whole"

            testCase "fewer than two tokens are refused"
            <| fun () -> Expect.throwsT<ArgumentException> (fun () -> corrupt 1 [| 7 |] |> ignore) "too few"
        ]

let private tokenizer = lazy Tokenizer.Load TinySweep.vocabulary

let private textFile (folder: string) (bytes: byte[]) =
    let path = Path.Combine(folder, "book.txt")
    File.WriteAllBytes(path, bytes)
    path

let private book =
    String.Join(
        "\n\n",
        [
            for chapter in 1..30 ->
                $"Chapter {chapter}. The old house stood by the river for {chapter} years, and nobody ever\nasked who had built it."
        ]
    )

let private sources =
    testList
        "text"
        [
            testCase "row n of a source is the same whenever and in whatever order it is drawn"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = textFile folder (Text.Encoding.UTF8.GetBytes book)

                    let make () =
                        [
                            PretrainingText.corpus tokenizer.Value 1 40
                            PretrainingText.instructions tokenizer.Value 1 40
                            PretrainingText.copying tokenizer.Value 1 40
                            PretrainingText.files tokenizer.Value 1 (PretrainingText.read tokenizer.Value 40 [ path ])
                            PretrainingText.copyingFiles
                                tokenizer.Value
                                1
                                40
                                (PretrainingText.read tokenizer.Value 40 [ path ])
                        ]

                    for one, other in List.zip (make ()) (make ()) do
                        let forth = [ for index in 0..60 -> one.Row index ]
                        let back = [ for index in 60..-1..0 -> other.Row index ] |> List.rev
                        Expect.equal forth back one.Name
                        Expect.isTrue (forth |> List.forall (fun row -> row.Ids.Length <= 42)) "limited")

            for name, bytes, word in
                [
                    "an empty file", [||], "no text"
                    "a file of blanks", "  \n\n \t\n"B, "no text"
                    "a binary file", [| 1uy; 0uy; 2uy |], "zero bytes"
                    "a file that is no UTF-8", Array.concat [ "text "B; [| 0xFFuy; 0xFEuy |] ], "UTF-8"
                ] do
                testCase $"{name}: one line"
                <| fun () ->
                    inTemporaryFolder (fun folder ->
                        let path = textFile folder bytes

                        let message =
                            userErrorOf (fun () -> PretrainingText.read tokenizer.Value 40 [ path ] |> ignore)

                        Expect.stringContains message path "the file"
                        Expect.stringContains message word "why")
        ]

let private plan steps : Pretraining =
    let corpus = PretrainingText.corpus tokenizer.Value 1 24
    let instructions = PretrainingText.instructions tokenizer.Value 1 24

    {
        Start = ""
        Phases =
            [
                { Steps = 5; Mixture = [ corpus, 1.0 ] }
                {
                    Steps = steps - 5
                    Mixture = [ corpus, 0.3; instructions, 0.7 ]
                }
            ]
        BatchSize = 4
        Seed = 1
        PeakRate = 1e-2
        WarmupSteps = 3
        CooldownShare = 0.2
        WeightDecay = 0.01
        ClipNorm = 1.0
        Every = 9
    }

let private pretrain
    (folder: string)
    (plan: Pretraining)
    (report: PretrainingReport -> unit)
    (stop: CancellationToken)
    =
    let model = Path.Combine(folder, "start")

    if not (Directory.Exists model) then
        TinySweep.writeModel model None

    let start = Checkpoint.load torch.CPU torch.float32 model

    let trained, losses =
        Pretraining.run plan start tokenizer.Value torch.CPU (Path.Combine(folder, "out")) report stop

    Model.trained trained |> List.map snd, losses, File.ReadAllText(Path.Combine(folder, "out", "losses.csv"))

let private continuing =
    testList
        "training"
        [
            testCase "stopped anywhere and continued, it gives the same losses to the digit and the same weights"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                inTemporaryFolder (fun folder ->
                    let weights, losses, curve = pretrain folder (plan 18) ignore CancellationToken.None

                    for last in [ 4; 13 ] do
                        inTemporaryFolder (fun folder ->
                            use source = new CancellationTokenSource()

                            let stop event =
                                match event with
                                | PretrainingStep(step, _, _, _, _) when step = last -> source.Cancel()
                                | _ -> ()

                            Expect.throwsT<OperationCanceledException>
                                (fun () -> pretrain folder (plan 18) stop source.Token |> ignore)
                                "stopped"

                            let weights', losses', curve' =
                                pretrain folder (plan 18) ignore CancellationToken.None

                            Expect.equal losses' losses $"losses, stopped after {last}"
                            Expect.equal curve' curve "the file of losses"

                            for left, right in List.zip weights' weights do
                                identical left right "weights"))

            testCase "another plan's checkpoint, and a damaged one: one line"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                inTemporaryFolder (fun folder ->
                    pretrain folder (plan 8) ignore CancellationToken.None |> ignore

                    let again plan =
                        userErrorOf (fun () -> pretrain folder plan ignore CancellationToken.None |> ignore)

                    Expect.stringContains (again { plan 8 with Seed = 2 }) "another plan" "plan"
                    Expect.stringContains (again { plan 8 with Start = "other weights" }) "another plan" "start"
                    let state = Path.Combine(folder, "out", "pretraining.safetensors")
                    File.WriteAllBytes(state, Array.truncate 3000 (File.ReadAllBytes state))
                    Expect.stringContains (again (plan 8)) state "damaged")

            testCase "--start goes on from a checkpoint: a rate of next to nothing gives its weights back"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                inTemporaryFolder (fun folder ->
                    let first, out = Path.Combine(folder, "first"), Path.Combine(folder, "out")
                    TinySweep.writeModel first None

                    let code =
                        Cli.main
                            [|
                                yield! [| "pretrain"; "--start"; first; "--output"; out; "--threads"; "1" |]
                                yield! [| "--steps"; "0"; "--instruction-steps"; "1"; "--batch-size"; "2" |]
                                yield! [| "--rate"; "1e-30" |]
                            |]

                    Expect.equal code 0 "it ends well"

                    let shape (folder: string) =
                        Config.load (Path.Combine(folder, "config.json"))

                    Expect.equal (shape out) (shape first) "the checkpoint's own shape"

                    let weights folder =
                        Checkpoint.load torch.CPU torch.float32 folder |> Adapter.full |> Model.trained

                    for (name, before), (_, after) in List.zip (weights first) (weights out) do
                        // It is written in bfloat16.
                        identical (before.``to``(torch.bfloat16).``to`` torch.float32) after name)

            testCase "the rate climbs, falls and ends near zero"
            <| fun () ->
                let rates = List.init 18 (Pretraining.rate (plan 18))
                Expect.isLessThan rates[0] rates[2] "climbs"
                Expect.floatClose Accuracy.high (List.max rates) 1e-2 "peak"
                Expect.isLessThan (List.last rates) (0.5 * rates[10]) "cools down"
        ]

/// Three steps of a small model of this family.
let private begun (family: string) (output: string) : int =
    Cli.main
        [|
            yield!
                [|
                    "pretrain"
                    "--family"
                    family
                    "--output"
                    output
                    "--threads"
                    "1"
                    "--seed"
                    "3"
                |]
            yield! [| "--width"; "32"; "--feed-forward"; "32"; "--layers"; "1"; "--length"; "32" |]
            yield! [| "--steps"; "1"; "--instruction-steps"; "2"; "--batch-size"; "2" |]
        |]

let private families =
    testList
        "families"
        [
            for family in [ "llama"; "qwen2"; "qwen3" ] do
                testCase $"a {family} learns from the same rows, and is written as transformers writes one"
                <| fun () ->
                    use _ = torch.NewDisposeScope()

                    inTemporaryFolder (fun folder ->
                        let one, other = Path.Combine(folder, "one"), Path.Combine(folder, "other")
                        Expect.equal (begun family one) 0 "it ends well"
                        Expect.equal (begun family other) 0 "once more"
                        let model = Checkpoint.load torch.CPU torch.float32 one
                        Expect.equal model.Shape.Family family "the family"
                        Expect.isNone model.Encoder "a decoder alone"

                        Expect.equal
                            (json(Path.Combine(one, "config.json")).GetProperty("model_type").GetString())
                            family
                            "model_type"

                        Expect.equal (Checkpoint.fingerprint other) (Checkpoint.fingerprint one) "it repeats"

                        let losses =
                            File.ReadAllLines(Path.Combine(one, "losses.csv"))
                            |> Array.skip 1
                            |> Array.map (fun line -> float (line.Split ',' |> Array.last))

                        Expect.equal losses.Length 3 "a loss a step"
                        // At random weights every piece is as likely as any other.
                        Expect.isLessThan (abs (losses[0] - log (float model.Shape.Vocabulary))) 0.5 "the first loss")

            testCase "a family that cannot be begun is told with those that can"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let dimensions: Dimensions =
                        {
                            Vocabulary = 100
                            Width = 32
                            HeadWidth = 8
                            FeedForward = 32
                            Layers = 1
                            PadId = 0
                            EosId = 1
                        }

                    Expect.stringContains
                        (userErrorOf (fun () -> Checkpoint.fresh "gpt_neo" dimensions 1 |> ignore))
                        "t5, llama, qwen2 and qwen3 can"
                        folder)
        ]

[<Tests>]
let tests = testList "Pretraining" [ spanLaws; sources; continuing; families ]
