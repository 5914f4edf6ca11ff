/// What decoding does without copies, against the plain tensors that define it.
module Peft.Tests.StepMemoryTests

open System
open Expecto
open TorchSharp
open Peft
open Peft.Kernels
open Peft.T5
open Peft.Tests.Support
open Peft.Tests.KernelSupport

let private config = Config.gated 64 48 40 3 64 2

/// A start with masked inputs and, where asked, a prefix.
let private start dtype (prefix: int) : MemoryStart =
    let rows, beams, limit, source = 5, 3, prefix + 9, 11
    let inner = int64 (config.Heads * config.KeyWidth)

    let cross seed =
        Array.init config.DecoderLayers (fun layer -> random (seed + layer) dtype [ int64 rows; int64 source; inner ])

    let mask =
        torch.zeros ([| int64 rows; 1L; 1L; int64 source |], dtype = torch.float32)

    mask.narrow(0L, 1L, 2L).narrow(3L, 7L, 4L).fill_(Single.MinValue.ToScalar())
    |> ignore

    let prefixed seed =
        random seed dtype [ 1L; int64 config.Heads; int64 prefix; int64 config.KeyWidth ]

    {
        Config = config
        Precision = dtype
        Rows = rows
        Beams = beams
        Limit = limit
        CrossKeys = cross 10
        CrossValues = cross 20
        MaskBias = Some mask
        PositionBias = random 3 torch.float32 [ 1L; int64 config.Heads; int64 limit; int64 limit ]
        Prefix =
            List.init config.DecoderLayers (fun layer ->
                if prefix = 0 then
                    None
                else
                    Some(prefixed (30 + layer), prefixed (40 + layer)))
    }

/// Steps with changes of parents and with rows that leave, in both memories.
let private follow (start: MemoryStart) (prefix: int) (tolerance: float) =
    let memories: IStepMemory list = [ LineMemory start; TensorMemory start ]
    let chance = Random 4
    let mutable rows = [| 0 .. start.Rows - 1 |]
    let inner = int64 (config.Heads * config.KeyWidth)

    for step in prefix .. start.Limit - 1 do
        let lines = int64 (rows.Length * start.Beams)

        for layer in 0 .. config.DecoderLayers - 1 do
            let fresh part =
                random (100 * step + 10 * layer + part) start.Precision [ lines; 1L; inner ]

            let q, k, v = fresh 1, fresh 2, fresh 3

            let found =
                memories
                |> List.map (fun memory ->
                    // A step's tensors go with its scope, but what the memory keeps must not.
                    use _ = torch.NewDisposeScope()
                    let mixed = memory.SelfAttention(layer, step, q, k.clone (), v.clone ())
                    mixed.MoveToOuterDisposeScope(), memory.CrossAttention(layer, q).MoveToOuterDisposeScope())

            close tolerance (fst found[0]) (fst found[1]) $"self-attention, step {step}, layer {layer}"
            close tolerance (snd found[0]) (snd found[1]) $"cross-attention, step {step}, layer {layer}"

        let kept =
            if step % 4 = 2 then
                [| 0 .. rows.Length - 1 |]
                |> Array.filter (fun place -> place <> chance.Next rows.Length)
            else
                [| 0 .. rows.Length - 1 |]

        let parents =
            kept
            |> Array.collect (fun row -> Array.init start.Beams (fun _ -> row * start.Beams + chance.Next start.Beams))

        for memory in memories do
            memory.Select(parents, step + 1)

        rows <- kept |> Array.map (fun place -> rows[place])

    Expect.isLessThan rows.Length start.Rows "rows left on the way"

let private highest =
    testCase "the highest of each line are topk's, of equals the first, and log Σ exp is torch's"
    <| fun () ->
        for _, dtype, _ in dtypes do
            use _ = torch.NewDisposeScope()
            let scores = random 5 dtype [ 7L; 232L ]
            scores[1].fill_(Single.NegativeInfinity.ToScalar()) |> ignore
            scores[2].narrow(0L, 3L, 200L).fill_(2.5.ToScalar()) |> ignore
            let wide = scores.``to`` torch.float32

            for count in [ 1; 3; 8; 13; 232 ] do
                let struct (values, _) = wide.topk count
                let expected = values.data<float32>().ToArray() |> Array.chunkBySize count

                for line, found in Array.indexed (Scores.highest count scores) do
                    Expect.equal found.Values expected[line] $"line {line}, the highest {count}"

                    let own = wide[line].data<float32>().ToArray()
                    Expect.equal (found.Ids |> Array.map (fun id -> own[int id])) found.Values "ids point at the values"

                    Expect.equal (Array.distinct found.Ids).Length count "each id once"

            let tops = Scores.highest 4 scores
            let tied = tops[2]

            for earlier, later in Seq.pairwise (Array.zip tied.Values tied.Ids) do
                Expect.isTrue (fst earlier > fst later || snd earlier < snd later) "of equals the first comes first"

            Expect.equal tops[1].Ids [| 0L; 1L; 2L; 3L |] "of forbidden ones the first, too"

            let expected, found =
                wide.logsumexp(1L).data<float32>().ToArray(), Scores.logSumExp scores

            for line in [ 0; 2; 3; 4; 5; 6 ] do
                Expect.floatClose
                    { absolute = 1e-5; relative = 1e-6 }
                    (float found[line])
                    (float expected[line])
                    $"line {line}"

let private packed =
    testCase "a packed weight gives the product of the plain one"
    <| fun () ->
        for name, dtype, tolerance in dtypes do
            for rows in [ 1L; 32L; 200L ] do
                use _ = torch.NewDisposeScope()
                let x, weight = random 1 dtype [ rows; 1L; 320L ], random 2 dtype [ 288L; 320L ]

                // Where this machine has no use for it there is nothing to compare.
                Product.pack weight
                |> Option.iter (fun copy ->
                    close
                        tolerance
                        (Product.packed copy x)
                        (torch.nn.functional.linear (x, weight))
                        $"{rows} rows, {name}")

let private packedDecoder =
    testCase "a model generates the same with its decoder packed, adapters' biases included"
    <| fun () ->
        use _ = torch.NewDisposeScope()

        let config = Config.gated 512 256 64 4 512 2

        let model =
            Weights.randomIn torch.float32 config 3
            |> T5.rewrite (fun _ projection ->
                let bias = random 9 torch.float32 [ (Projection.weight projection).Value.size 0 ]

                Shifted(projection, Frozen(bias.mul (0.1.ToScalar()))))

        let packed = Packed.decoder model

        let isPacked =
            function
            | _, Shifted(Packed _, _) -> true
            | _ -> false

        // Keys and values of the cross-attention are computed once: they stay as they are.
        if Libtorch.canPack torch.float32 then
            Expect.equal
                (Model.projections (T5Family.model packed) |> List.filter isPacked).Length
                (config.DecoderLayers * 9)
                "what a step multiplies by"

        let batch =
            Array.init 2 (fun row ->
                {
                    Ids = Array.init 12 (fun place -> 2 + (row * 7 + place * 17) % 500)
                    Labels = [| 5; 9; 300; 1 |]
                })
            |> Batch.ofRows config.PadId torch.CPU

        close
            1e-5
            (Forward.logits Pass.Evaluation packed batch)
            (Forward.logits Pass.Evaluation model batch)
            "the logits"

[<Tests>]
let tests =
    testList
        "StepMemory"
        [
            for name, dtype, tolerance in dtypes do
                for prefix in [ 0; 4 ] do
                    testCase $"lines that stay where they are see what copied ones see, {name}, prefix {prefix}"
                    <| fun () ->
                        use _ = torch.NewDisposeScope()
                        follow (start dtype prefix) prefix tolerance
            highest
            packed
            packedDecoder
        ]
