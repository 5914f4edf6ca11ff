/// Labels ranked by likelihood, and answers limited to labels, against the definition: one teacher-forced pass a label.
module Peft.Tests.LikelihoodTests

open Expecto
open TorchSharp
open Peft
open Peft.Tests.Support

/// Labels with shared beginnings, of one to four pieces; `</s>` is 1.
let private labels: int[][] =
    [|
        [| 7; 1 |]
        [| 9; 12; 1 |]
        [| 9; 13; 5; 30; 1 |]
        [| 9; 13; 6; 1 |]
        [| 22; 3; 1 |]
    |]

let private singles: int[][] =
    [| [| 7; 1 |]; [| 31; 1 |]; [| 12; 1 |]; [| 5; 1 |] |]

/// Of each kind one: both memories of keys and values, both T5s, what stands before the encoder's input or the decoder's keys,
/// and a decoder alone.
let private models: (string * (unit -> Model)) list =
    let adapted text model =
        Adapter.ofTechnique (Technique.parse text) 3 model |> Tiny.shake 5 0.3

    [
        for seed in 0..3 do
            $"T5, seed {seed}", (fun () -> Tiny.model seed)
        "a prompt", (fun () -> adapted "prompt(tokens=3)" (Tiny.model 1))
        "a prefix", (fun () -> adapted "prefix(tokens=2)" (Tiny.model 2))
        "a decoder alone", (fun () -> ToyFamily.model 40 1)
        "a decoder alone with a prefix", (fun () -> adapted "prefix(tokens=2)" (ToyFamily.model 40 1))
    ]

let private rows = Tiny.rows 4 5

/// Log-probabilities of every token at each position of a sequence, [length, vocabulary], for one row alone.
let private spoken (model: Model) (row: EncodedRow) (sequence: int64[]) : torch.Tensor =
    use batch =
        Batch.ofRows
            0
            torch.CPU
            [|
                { row with
                    Labels = Array.map int sequence
                }
            |]

    (Model.logits Pass.Evaluation model batch).squeeze(0L).log_softmax -1L

/// The mean log-probability of a sequence's tokens, by definition.
let private mean (model: Model) (row: EncodedRow) (sequence: int64[]) : float =
    let told = spoken model row sequence

    sequence
    |> Seq.mapi (fun place token -> float (told[int64 place, token].item<float32>()))
    |> Seq.average

let private eachModel name (body: Model -> Batch -> unit) =
    testList
        name
        [
            for title, model in models do
                testCase title
                <| fun () ->
                    use _ = torch.NewDisposeScope()
                    use _ = torch.no_grad ()
                    body (model ()) (Batch.ofRows 0 torch.CPU rows)
        ]

/// Sums of a few float32 logarithms, in another order of rows.
let private near (expected: float) (actual: float) (what: string) =
    Expect.floatClose { absolute = 2e-5; relative = 1e-5 } actual expected what

let private ranking =
    [
        eachModel
            "likelihoods equal one pass for each row and label, and leave what is generated as it is"
            (fun model batch ->
                for sequences in [ Array.map (Array.map int64) labels; Likelihood.sequences labels ] do
                    for decoding in [ Decoding.Greedy 4; Decoding.Beam(3, 4) ] do
                        let found, likelihoods =
                            Generate.runRanking sequences decoding model batch.InputIds batch.Mask

                        let alone = Generate.run decoding model batch.InputIds batch.Mask
                        Expect.equal found alone "what is generated"

                        for row, likelihoods in Array.zip rows likelihoods do
                            for sequence, likelihood in Array.zip sequences likelihoods do
                                near (mean model row sequence) likelihood $"{sequence} with {decoding.Beams} beams")

        eachModel "labels of one piece are ranked as their pieces are at the first step" (fun model batch ->
            let sequences = Likelihood.sequences singles

            let _, likelihoods =
                Generate.runRanking sequences (Decoding.Greedy 2) model batch.InputIds batch.Mask

            for row, likelihoods in Array.zip rows likelihoods do
                let first = (spoken model row [| 1L |])[0]
                let score (sequence: int64[]) = first[sequence[0]].item<float32>()
                let best = sequences |> Array.maxBy score
                let place = likelihoods |> Array.indexed |> Array.maxBy snd |> fst
                Expect.equal sequences[place] best "the label")

        testCase "the end counts only where a label begins another"
        <| fun () ->
            Expect.equal (Likelihood.sequences singles) [| [| 7L |]; [| 31L |]; [| 12L |]; [| 5L |] |] "single pieces"
            let begun = [| [| 9; 1 |]; [| 9; 12; 1 |]; [| 7; 1 |] |]
            Expect.equal (Likelihood.sequences begun) (Array.map (Array.map int64) begun) "all of them count it"
            Expect.equal (Likelihood.sequences [||]) [||] "none"
    ]

/// Greedy search over the tree by definition.
let rec private walked (model: Model) (row: EncodedRow) (sequences: int64[] list) (path: int64 list) : int64 list =
    let place = path.Length

    match sequences |> List.filter (fun sequence -> sequence.Length > place) with
    | [] -> path
    | longer ->
        let told =
            (spoken model row (Array.append (Array.ofList path) [| 1L |]))[int64 place]

        let next =
            longer
            |> List.map (fun sequence -> sequence[place])
            |> List.maxBy (fun token -> told[token].item<float32>())

        walked model row (longer |> List.filter (fun sequence -> sequence[place] = next)) (path @ [ next ])

let private limiting =
    let sequences = labels |> Array.map (Array.map int64)

    [
        eachModel "greedy decoding among labels takes the likeliest token that leads on to one" (fun model batch ->
            let found =
                Generate.run ((Decoding.Greedy 8).Within labels) model batch.InputIds batch.Mask

            for row, hypotheses in Array.zip rows found do
                let expected = walked model row (List.ofArray sequences) []
                Expect.equal (hypotheses.Head.Ids |> Array.map int64 |> List.ofArray) expected "the label")

        eachModel "as many beams as labels find them all, best first by mean log-probability" (fun model batch ->
            for early in [ WhenHopeless; AtFullBeams; Exhaustive ] do
                let beams =
                    { Decoding.Beam(labels.Length, 8) with
                        Returned = labels.Length
                        EarlyStopping = early
                    }

                let found = Generate.run (beams.Within labels) model batch.InputIds batch.Mask

                for row, hypotheses in Array.zip rows found do
                    let expected = sequences |> Array.sortByDescending (mean model row)

                    Expect.equal
                        (hypotheses |> List.map (_.Ids >> Array.map int64))
                        (List.ofArray expected)
                        "the order"

                    for hypothesis in hypotheses do
                        near (mean model row (Array.map int64 hypothesis.Ids)) hypothesis.Score "the score")

        eachModel "fewer or more beams than labels answer with labels only" (fun model batch ->
            for beams in [ 2; 9 ] do
                let decoding = (Decoding.Beam(beams, 8)).Within labels

                for hypotheses in Generate.run decoding model batch.InputIds batch.Mask do
                    for hypothesis in hypotheses do
                        Expect.contains labels hypothesis.Ids $"{beams} beams")

        testCase "no answer at all, and what may take every answer away, are refused"
        <| fun () ->
            use _ = torch.NewDisposeScope()
            let model, batch = Tiny.model 1, Tiny.batch 1 2
            let among = (Decoding.Greedy 8).Within labels

            for decoding in
                [
                    (Decoding.Greedy 8).Within [||]
                    { among with MinNewTokens = 2 }
                    { among with NoRepeatNgram = 2 }
                ] do
                Expect.throwsT<System.ArgumentException>
                    (fun () -> Generate.run decoding model batch.InputIds batch.Mask |> ignore)
                    "refused"
    ]

let private tree =
    testProperty "a tree leads on to what its sequences hold, and to nothing else"
    <| fun (sequences: (byte list) list) (path: byte list) ->
        let sequences = sequences |> List.map (List.map (fun token -> int64 (token % 3uy)))

        let path = path |> List.map (fun token -> int64 (token % 3uy))
        let trie = sequences |> Seq.map Array.ofList |> Trie.ofSequences

        let next =
            sequences
            |> List.filter (fun sequence -> sequence.Length > path.Length && List.take path.Length sequence = path)
            |> List.map (fun sequence -> sequence[path.Length])
            |> List.distinct
            |> List.sort

        let found =
            Trie.tryAfter path trie
            |> Option.map (_.Next >> List.ofArray)
            |> Option.defaultValue []

        found = next

[<Tests>]
let tests = testList "Likelihood" (tree :: ranking @ limiting)
