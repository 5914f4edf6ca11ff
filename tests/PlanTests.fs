module Peft.Tests.PlanTests

open System.Diagnostics
open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support
open Peft.Tests.PlacementTests

let private workload =
    {
        Batch = 2
        Accumulation = 3
        InputLength = 10
        TargetLength = 6
        Precision = torch.ScalarType.Float32
        Recomputes = false
    }

let private plan config technique placement =
    Plan.create config technique (Placement.parse placement) workload

/// One block a stack: d_model 16, inner 12, d_ff 24, 40 words.
let private tiny = Shapes.ofConfig (shaped 1 1 true)

// Operations of a micro-batch of `workload` on `tiny`, by hand: 20 input tokens, 12 target tokens.
let private map (tokens: float) (fanIn: float) (fanOut: float) = 2.0 * tokens * fanIn * fanOut
let private hidden tokens = 3.0 * map tokens 16.0 24.0

let private attentionMaps queries keys =
    2.0 * map queries 16.0 12.0 + 2.0 * map keys 16.0 12.0

/// Scores or their mixture: rows · queries · keys · inner.
let private pairs queries keys = 2.0 * 2.0 * queries * keys * 12.0
let private head = map 12.0 16.0 40.0

let private linearMaps =
    attentionMaps 20.0 20.0
    + hidden 20.0
    + attentionMaps 12.0 12.0
    + attentionMaps 12.0 20.0
    + hidden 12.0
    + head

let private allPairs = 2.0 * (pairs 10.0 10.0 + pairs 6.0 6.0 + pairs 6.0 10.0)

let private near (actual: float) (byHand: float) (what: string) =
    Expect.floatClose Accuracy.high actual (3.0 * byHand) $"{what}: three micro-batches"

let private operations =
    testList
        "operations"
        [
            testCase "forward is every map, scores, mixtures and the head"
            <| fun () ->
                let found = (plan tiny BitFit.technique "all").Operations
                near found.Forward (linearMaps + allPairs) "bitfit computes nothing but element-wise"

            testCase "full fine-tuning owes the gradients of every input and every weight"
            <| fun () ->
                let found = (plan tiny Full.technique "all").Operations
                near found.Trained linearMaps "weights"
                near found.Through (linearMaps + 2.0 * allPairs) "inputs, and both operands of scores and mixtures"

            testCase "nothing below the lowest trained tensor is differentiated"
            <| fun () ->
                let last = (plan tiny BitFit.technique "only(wo & decoder)").Operations
                near last.Through head "a bias on the last map: only the head passes a gradient"
                near last.Trained 0.0 "a bias costs a sum"

                let vector = (plan tiny Ia3.paper "only(wo & decoder)").Operations
                near vector.Through (head + map 12.0 24.0 16.0) "the vector before wo needs the gradient through wo"

                let lora = (plan tiny (PaperLora.ofRank 2) "only(o & cross)").Operations
                let own = map 12.0 1.0 (2.0 * 28.0)
                near lora.Forward (linearMaps + allPairs + own) "A and B"
                near lora.Trained own "their gradients"
                // What A reads owes no gradient: nothing below it is trained.
                near
                    lora.Through
                    (head + hidden 12.0 + map 12.0 12.0 16.0 + map 12.0 2.0 16.0)
                    "the last layer, o itself, B"

            testCase "with the decoder trained alone the encoder is not differentiated"
            <| fun () ->
                let found = (plan tiny BitFit.technique "decoder & cross & q").Operations
                // The query owes the scores' gradient to itself; keys and values owe none.
                near found.Through (head + hidden 12.0 + map 12.0 12.0 16.0 + 2.0 * pairs 6.0 10.0) "from the query up"

            testCase "a soft prompt lengthens the input and lies below everything but the decoder's first layer"
            <| fun () ->
                let prompted = (plan tiny (Prompt.ofTokens 5) "all").Operations

                let longer =
                    Plan.create tiny BitFit.technique Placement.everywhere { workload with InputLength = 15 }

                Expect.floatClose Accuracy.high prompted.Forward longer.Operations.Forward "forward of 15 tokens"

                near
                    prompted.Through
                    (attentionMaps 30.0 30.0
                     + hidden 30.0
                     + 4.0 * pairs 15.0 15.0
                     // Cross-attention: k, v and o; the query is not differentiated.
                     + 2.0 * map 30.0 16.0 12.0
                     + map 12.0 12.0 16.0
                     + 3.0 * pairs 6.0 15.0
                     + hidden 12.0
                     + head)
                    "backward"

            testCase "later placements pass less through, and time follows speed"
            <| fun () ->
                let base' = Checkpoint.shape "base"

                let through text =
                    (plan base' (PaperLora.ofRank 2) text).Operations.Through

                Expect.isLessThan (through "late") (through "all") "late"
                Expect.isLessThan (through "decoder & late") (through "late") "decoder & late"
                let all = plan base' (PaperLora.ofRank 2) "all"
                Expect.floatClose Accuracy.high (Plan.seconds 50.0 all) (all.Operations.Total / 5e10) "seconds"
                Expect.stringContains (userErrorOf (fun () -> Plan.seconds 0.0 all |> ignore)) "above 0" "no speed"
        ]

let private bytes =
    testList
        "bytes"
        [
            testCase "the adapter file has exactly the planned length"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for config in [ shaped 2 3 true; shaped 2 2 false ] do
                    let model = randomT5 config 1

                    for technique, text in
                        [
                            Full.technique, "all"
                            PaperLora.ofRank 3, "all"
                            PaperLora.ofRank 1, "late"
                            Ia3.paper, "not(ffn)"
                            BitFit.technique, "only(wo)"
                            Prompt.ofTokens 11, "all"
                        ] do
                        inTemporaryFolder (fun folder ->
                            let live = Placement.adapter technique (Placement.parse text) 1 model

                            AdapterFile.save
                                folder
                                {
                                    Format = AdapterFile.format
                                    Technique = Technique.text technique
                                    Placement = Placement.text Placement.everywhere
                                    Base = ""
                                    BaseFolder = ""
                                    TrainableParameters = Model.countTrained live
                                }
                                live

                            let file = FileInfo(Path.Combine(folder, "adapter.safetensors"))

                            Expect.equal
                                (plan (Shapes.ofConfig config) technique text).AdapterBytes
                                file.Length
                                $"{Technique.text technique} {text}")

            testCase "the base model takes what its tensors take, in both precisions"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let config = shaped 2 3 true
                let model = randomT5 config 1

                let live (precision: torch.ScalarType) =
                    Model.leaves model
                    |> List.sumBy (fun (name, leaf) ->
                        let kept =
                            if Shape.isFloat32 model.Shape name then
                                torch.float32
                            else
                                precision

                        (leaf.Value.``to`` kept).numel() * (leaf.Value.``to`` kept).element_size())

                let planned precision =
                    (Plan.create
                        (Shapes.ofConfig config)
                        Ia3.paper
                        Placement.everywhere
                        { workload with Precision = precision })
                        .Memory.Base

                Expect.equal (planned torch.float32) (live torch.float32) "float32"
                Expect.equal (planned torch.bfloat16) (live torch.bfloat16) "bfloat16"

            testCase "what is trained takes 16 bytes an element, and the parts add up"
            <| fun () ->
                let found = (plan (Checkpoint.shape "xl") (PaperLora.ofRank 2) "all").Memory

                Expect.equal
                    (found.Trained + found.Gradients + found.Optimizer)
                    (16L * 3538944L)
                    "weights, gradients, moments"

                Expect.equal found.Total (found.Base + 16L * 3538944L + found.Activations) "total"

            testCase "what is computed again costs a second forward pass where a gradient goes through, and is not kept"
            <| fun () ->
                let shape = Checkpoint.shape "small"

                let few =
                    { workload with
                        Accumulation = 1
                        InputLength = 100
                    }

                let both (words: string) place =
                    let plan recomputes =
                        Plan.create
                            shape
                            (Technique.parse words)
                            (Placement.parse place)
                            { few with Recomputes = recomputes }

                    plan false, plan true

                let head =
                    2.0
                    * float (few.Batch * few.TargetLength)
                    * float (shape.Width * shape.Vocabulary)

                for words in [ "full"; "paper-lora"; "bitfit"; "prompt(tokens=5)" ] do
                    let kept, again = both words "all"
                    let once = kept.Operations.Forward

                    Expect.floatClose
                        Accuracy.high
                        again.Operations.Forward
                        (2.0 * once - head)
                        $"{words}: all but the head"

                    Expect.equal again.Operations.Trained kept.Operations.Trained $"{words}: gradients are the same"
                    Expect.equal again.Operations.Through kept.Operations.Through $"{words}: and those passed through"

                    // Full fine-tuning's activations hold the gradient of the embedding, which stays.
                    let share = if words = "full" then 1.0 else 0.6

                    Expect.isLessThanOrEqual
                        (float again.Memory.Activations)
                        (share * float kept.Memory.Activations)
                        $"{words}: memory"

                let kept, again = both "paper-lora" "decoder"

                Expect.isLessThan
                    (again.Operations.Forward / kept.Operations.Forward)
                    1.6
                    "the encoder is computed once where nothing in it is trained"

            testCase "activations grow with rows and tokens, and shrink in bfloat16"
            <| fun () ->
                let activations workload =
                    (Plan.create (Checkpoint.shape "base") (PaperLora.ofRank 2) Placement.everywhere workload)
                        .Memory.Activations

                let one = activations workload
                // But for the positions' bias, which serves all rows.
                Expect.floatClose
                    { absolute = 0.0; relative = 0.02 }
                    (float (activations { workload with Batch = 4 }))
                    (2.0 * float one)
                    "twice the rows"

                Expect.equal (activations { workload with Accumulation = 8 }) one "micro-batches come one by one"
                Expect.isGreaterThan (activations { workload with InputLength = 20 }) one "longer"

                Expect.isLessThan
                    (activations
                        { workload with
                            Precision = torch.bfloat16
                        })
                    one
                    "bfloat16"
        ]

let private texts =
    testList
        "texts"
        [
            testCase "the sites are listed with shapes and counts, alike ones together"
            <| fun () ->
                let found = plan (Checkpoint.shape "small") (PaperLora.ofRank 2) "q,v"
                Expect.hasLength found.Sites 48 "LoRA on q and v"
                Expect.equal (found.Sites |> List.sumBy _.Trained) found.Count.Trainable "they add up"
                let lines = (Plan.siteTable found).Split '\n'
                Expect.hasLength lines (2 + 6) "q and v of three attentions"

                Expect.equal
                    lines[2]
                    "encoder  self-attention             q       blocks 0-7  512  384   2,688  21,504"
                    "a line"

            testCase "the plan says what, where, how much"
            <| fun () ->
                let text =
                    plan (Checkpoint.shape "base") (PaperLora.ofRank 2) "late"
                    |> Plan.text (Some 100.0)

                for part in
                    [
                        "paper-lora(rank=2) at late"
                        "the later half of each stack's blocks: 72 sites"
                        "331,776 of 247,909,632 elements"
                        "3 x 2 rows of 10 + 6 tokens, float32"
                        "at 100 GFLOP/s"
                    ] do
                    Expect.stringContains text part part

                let prompt =
                    plan (Checkpoint.shape "base") (Prompt.ofTokens 100) "all" |> Plan.text None

                Expect.stringContains prompt "at no linear map" "prompt"
                Expect.isFalse (prompt.Contains "GFLOP/s") "no speed, no time"

            testCase "an empty workload is refused"
            <| fun () ->
                for workload, part in
                    [
                        { workload with Batch = 0 }, "batch is 0"
                        { workload with InputLength = -1 }, "input length is -1"
                        { workload with
                            Precision = torch.float16
                        },
                        "float32 or bfloat16"
                    ] do
                    let message =
                        userErrorOf (fun () -> Plan.create tiny Ia3.paper Placement.everywhere workload |> ignore)

                    Expect.stringContains message part part

            testCase "plans for the largest model take under two seconds"
            <| fun () ->
                let watch = Stopwatch.StartNew()

                for technique in Technique.paper do
                    plan (Checkpoint.shape "xxl") technique "all"
                    |> Plan.text (Some 1000.0)
                    |> ignore

                Expect.isLessThan watch.Elapsed.TotalSeconds 2.0 "seconds"
        ]

[<Tests>]
let tests = testList "Plan" [ operations; bytes; texts ]
