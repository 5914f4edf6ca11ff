module Peft.Tests.AccountingTests

open System.Diagnostics
open System.IO
open System.Text.Json
open Expecto
open TorchSharp
open Peft
open Peft.T5
open Peft.Tests.Support
open Peft.Tests.PlacementTests

let private paper = Convention.Paper
let private hf = Convention.HuggingFace

/// The key of each row of Table 3 and A.4 in the reference files: in param-counts.json and in extended's.
let private keys =
    [
        "total", "total_parameters"
        "ia3", "ia3"
        "lora", "lora"
        "ia3_early", "ia3_early_layers"
        "lora_early", "lora_early_layers"
        "ia3_late", "ia3_late_layers"
        "lora_late", "lora_late_layers"
        "", "ia3_random_half_layers"
        "", "lora_random_half_layers"
        "lora_no_self_attention", "lora_no_self_attention"
        "lora_no_encdec_attention", "lora_no_encdec_attention"
        "lora_no_query_output", "lora_no_query_output"
        "ia3_no_attention", "ia3_no_attention"
        "ia3_no_dense", "ia3_no_dense_activation"
        "prompt_tuning", "prompt_tuning_100"
        "bitfit", "bitfit"
    ]

let private rows = List.zip keys Accounting.paperRows

/// V·d (twice with a head of its own) + blocks · (4·d·inner an attention + 2 or, gated, 3·d·d_ff a feed-forward +
/// d a norm) + 2·d final norms + 2 · buckets·heads, where the decoder's blocks have two attentions and three norms.
let private closedForm (config: Config) : int64 =
    let width, inner, hidden =
        int64 config.ModelWidth, int64 config.InnerWidth, int64 config.FeedForwardWidth

    let attention = 4L * width * inner
    let feedForward = (if config.IsGated then 3L else 2L) * width * hidden
    let encoder = int64 config.EncoderLayers * (attention + feedForward + 2L * width)

    let decoder =
        int64 config.DecoderLayers * (2L * attention + feedForward + 3L * width)

    let vocabulary =
        (if config.IsTied then 1L else 2L) * int64 config.VocabularySize * width

    vocabulary
    + encoder
    + decoder
    + 2L * width
    + 2L * int64 config.Buckets * int64 config.Heads

let private number (element: JsonElement) (path: string list) : int64 =
    (List.fold (fun (element: JsonElement) (key: string) -> element.GetProperty key) element path).GetInt64()

let private huggingFace: (string * Technique * string) list =
    [
        "hf_lora_r2_qv", PaperLora.ofRank 2, "all"
        "hf_lora_r2_qkvo", PaperLora.ofRank 2, "only(q,k,v,o)"
        "hf_ia3_default", Ia3.paper, "all"
        "hf_ia3_k_v_wi_1", Ia3.paper, "only(k,v,wi_1)"
        "hf_prompt_tuning_100_default", Prompt.ofTokens 100, "all"
    ]

let private references =
    testList
        "the references"
        [
            testCase "Table 3 and A.4 are equal in every row"
            <| fun () ->
                let xl = Checkpoint.shape "xl"
                Expect.hasLength (Accounting.paperRows |> List.filter (fun row -> row.Source = "Table 3")) 14 "Table 3"

                for row in Accounting.paperRows do
                    Expect.equal (Accounting.ofRow xl row) row.Printed row.Label

                Expect.stringContains (Accounting.paperTable ()) "16 of 16 rows are equal" "the table says so"
                Expect.isFalse ((Accounting.paperTable ()).Contains "DIFFERENT") "no row differs"

            testCase "every size equals param-counts.json"
            <| fun () ->
                let expected = json (golden [ "param-counts.json" ])
                let mutable compared = 0

                for size, config in Checkpoint.sizes do
                    for (key, _), row in rows do
                        if key <> "" then
                            Expect.equal (Accounting.ofRow config row) (number expected [ size; key ]) $"{size} {key}"
                            compared <- compared + 1

                let there =
                    expected.EnumerateObject()
                    |> Seq.sumBy (fun size -> size.Value.EnumerateObject() |> Seq.length)

                Expect.equal compared there "nothing in the file was left out"

            testCase "every size and every convention equals extended/param-counts.json, sites included"
            <| fun () ->
                let expected =
                    (json (golden [ "extended"; "param-counts.json" ])).GetProperty "counts"

                let mutable compared = 0

                let fixture = "fixture", Checkpoint.shape (golden [ "t5-gated"; "config.json" ])

                for size, config in fixture :: Checkpoint.sizes do
                    let counts = expected.GetProperty size

                    for (_, key), row in rows do
                        match counts.TryGetProperty key, row.Technique with
                        | (false, _), _ -> ()
                        | (true, found), None ->
                            Expect.equal config.Elements (number found [ "count" ]) $"{size} {key}"
                            compared <- compared + 1
                        | (true, found), Some technique ->
                            let count = Accounting.count config paper technique row.Placement
                            Expect.equal count.Trainable (number found [ "count" ]) $"{size} {key}"
                            compared <- compared + 1

                            match found.TryGetProperty "modules" with
                            | true, modules -> Expect.equal count.Sites (modules.GetInt32()) $"{size} {key} sites"
                            | false, _ -> ()

                    for key, technique, placement in huggingFace do
                        let count = Accounting.count config hf technique (Placement.parse placement)
                        Expect.equal count.Trainable (number counts [ key; "count" ]) $"{size} {key}"
                        compared <- compared + 1

                let there =
                    expected.EnumerateObject()
                    |> Seq.sumBy (fun size -> size.Value.EnumerateObject() |> Seq.length)

                Expect.equal compared there "nothing in the file was left out"

            testCase "(IA)3 of FLAN-T5-XL: 933,888 in the paper, 540,672 in T-Few and peft"
            <| fun () ->
                let count convention =
                    (Accounting.count (Checkpoint.shape "xl") convention Ia3.paper Placement.everywhere).Trainable

                Expect.equal (List.map count Convention.all) [ 933888L; 540672L; 540672L ] "paper, tfew, hf"

            testCase "T-Few's published configurations: what their patterns match, by hand"
            <| fun () ->
                let count technique =
                    Accounting.count (Checkpoint.shape "xl") Convention.TFew technique Placement.everywhere
                // 24 · 2 + 1 norms and 24 · 3 + 1 norms of width 2048.
                let norms = (49L + 73L) * 2048L
                // 24 blocks: an attention and a feed-forward of 3 maps, with another attention in the decoder.
                let attention, hidden = 2L * (2048L + 2048L) * 4L, 2L * (2048L + 5120L) * 3L

                Expect.equal
                    (count (PaperLora.ofRank 2)).Trainable
                    (24L * (3L * attention + 2L * hidden) + norms)
                    "paper-lora and norms"

                Expect.equal
                    (count BitFit.technique).Trainable
                    (24L * (12L * 2048L + 4L * 5120L) + norms)
                    "no bias on wo"

                Expect.equal (count BitFit.technique).Sites (24 * (12 + 4)) "sites"
                Expect.equal (count (Prompt.ofTokens 100)).Trainable 409600L "rows for both stacks"
        ]

/// Placements that a technique of the paper may be given, and some that replace its sites.
let private placements (technique: Technique) : string list =
    let common =
        [
            "all"
            "early"
            "late"
            "random(seed=1)"
            "encoder"
            "decoder"
            "blocks(1)"
            "not(cross)"
            "late & self"
            "only(ffn)"
            "only(wo)"
            "only(q,v & decoder)"
            "only(standard | name(decoder.block.0.*.q))"
        ]

    match technique.Name with
    | "paper-lora" -> common @ [ "not(self)"; "not(q,o)"; "cross & k,v" ]
    | "paper-ia3" -> common @ [ "not(ffn)"; "not(attention)"; "k" ]
    | "bitfit" -> common @ [ "not(self)"; "not(ffn)"; "o"; "blocks(0) | blocks(2) & ffn" ]
    // The wider family's forms are compared in FamilyTests.
    | _ -> [ "all" ]

let private optimiserElements (model: Model) : int64 =
    // AdamW keeps two moments for each element that it moves.
    let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.0 (Model.trained model)

    optimizer.State()
    |> List.filter (fun (name, _) -> name.EndsWith ".m")
    |> List.sumBy (fun (_, moment) -> moment.numel ())

let private agreesWithLive (base': Model) (technique: Technique) (text: string) : unit =
    use _ = torch.NewDisposeScope()
    let placement = Placement.parse text
    let live = Placement.adapter technique placement 3 base'
    let count = Accounting.count (Model.shape base') paper technique placement
    let name = $"{Technique.text technique} {text}"
    Expect.equal (Model.countTrained live) count.Trainable $"{name}: trained"
    Expect.equal (Model.count live) count.Total $"{name}: total"
    Expect.equal (optimiserElements live) count.Trainable $"{name}: the optimiser's"

    let found =
        Model.trained live
        |> List.map (fun (name, p) -> name, List.ofArray p.shape)
        |> set

    let outlined =
        Accounting.trained (Model.shape base') paper technique placement
        |> List.map (fun outline -> outline.Name, outline.Shape)

    Expect.equal (set outlined) found $"{name}: names and shapes"

let private live =
    testList
        "closed form, live model and optimiser agree"
        [
            for technique in
                [
                    Full.technique
                    PaperLora.ofRank 1
                    PaperLora.ofRank 3
                    Ia3.paper
                    BitFit.technique
                    Prompt.ofTokens 7
                ] do
                testCase $"for {Technique.text technique} under every placement, gated and not"
                <| fun () ->
                    use _ = torch.NewDisposeScope()

                    let models =
                        [
                            randomT5 (shaped 3 3 true) 1
                            randomT5 (shaped 2 5 true) 2
                            randomT5 (shaped 3 3 false) 3
                        ]

                    for model in models do
                        for text in placements technique do
                            if not (Shape.blocks model.Shape Encoder = 2 && text.Contains "blocks(2)") then
                                agreesWithLive model technique text

            testCase "on the reference model"
            <| fun () ->
                use _ = torch.NewDisposeScope()
                let model = Checkpoint.load torch.CPU torch.float32 (golden [ "t5-gated" ])
                Expect.equal (Model.shape model).Elements (Model.count model) "total"

                for row in Accounting.paperRows do
                    match row.Technique with
                    | Some technique -> agreesWithLive model technique (Placement.text row.Placement)
                    | None -> ()

            testCase "complementary placements add up"
            <| fun () ->
                let config = Shapes.ofConfig (shaped 3 5 true)

                for technique in [ PaperLora.ofRank 2; Ia3.paper; BitFit.technique ] do
                    let count text =
                        (Accounting.count config paper technique (Placement.parse text)).Trainable

                    for text in [ "early"; "random(seed=4)"; "encoder"; "cross"; "k"; "blocks(0,2)" ] do
                        Expect.equal
                            (count text + count $"not({text})")
                            (count "all")
                            $"{Technique.text technique} {text}"

                    Expect.equal (count "early" + count "late") (count "all") "early and late"

            testCase "the outline of a model is its tensors, and adds up to the closed form"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                for config in [ shaped 2 3 true; shaped 3 1 false; { shaped 1 1 true with IsTied = true } ] do
                    let model = randomT5 config 1
                    let outline = (Shapes.ofConfig config).Tensors
                    Expect.equal (outline |> List.map _.Name |> set) (Model.leaves model |> List.map fst |> set) "names"
                    Expect.equal (Outline.elements outline) (Model.count model) "outline"
                    Expect.equal (closedForm config) (Model.count model) "closed form"
        ]

let private rest =
    testList
        "conventions, sizes and tables"
        [
            testCase "a size is named in several ways, or is a file"
            <| fun () ->
                for text in [ "xl"; "XL"; "flan-t5-xl"; "google/flan-t5-xl" ] do
                    Expect.equal (Checkpoint.shape text).Width 2048 text

                let folder = golden [ "t5-gated" ]
                Expect.equal (Checkpoint.shape folder).Width 32 "a folder"
                Expect.equal (Checkpoint.shape (Path.Combine(folder, "config.json"))).Width 32 "a file"
                let message = userErrorOf (fun () -> Checkpoint.shape "flan-t5-smal" |> ignore)
                Expect.stringContains message "did you mean small?" "a slip"

            testCase "names of conventions read back; others are refused"
            <| fun () ->
                Expect.equal (List.map (Convention.name >> Convention.parse) Convention.all) Convention.all "all"
                Expect.stringContains (userErrorOf (fun () -> Convention.parse "papr" |> ignore)) "paper" "a slip"

                let message =
                    userErrorOf (fun () ->
                        Accounting.count (Shapes.ofConfig (shaped 2 2 true)) hf BitFit.technique Placement.everywhere
                        |> ignore)

                Expect.stringContains message "did you mean paper or tfew?" "peft has no BitFit.technique"

            testCase "every table is lines of equal columns"
            <| fun () ->
                let config = Checkpoint.shape "base"

                let tables =
                    [
                        Accounting.table
                            config
                            paper
                            [ PaperLora.ofRank 2, Placement.everywhere; Ia3.paper, Placement.late ]
                        Accounting.conventionTable config Technique.paper
                        Accounting.sizeTable ()
                        Accounting.paperTable ()
                    ]

                for table in tables do
                    for line in table.Split '\n' do
                        Expect.isLessThanOrEqual line.Length 120 line

                Expect.stringContains
                    tables[0]
                    "paper-lora(rank=2)  all          144    663,552  248,241,408  0.2673"
                    "a line"

                Expect.stringContains tables[2] "11,135,332,352" "xxl"

            testCase "all counts for all sizes take under two seconds"
            <| fun () ->
                let watch = Stopwatch.StartNew()
                Accounting.sizeTable () |> ignore
                Accounting.paperTable () |> ignore

                for _, config in Checkpoint.sizes do
                    Accounting.conventionTable config Technique.paper |> ignore

                Expect.isLessThan watch.Elapsed.TotalSeconds 2.0 "seconds"

            testCase "parameters without gradient after a step are told"
            <| fun () ->
                use _ = torch.NewDisposeScope()

                let model =
                    Placement.adapter (PaperLora.ofRank 2) Placement.late 1 (randomT5 (shaped 2 2 true) 1)

                let names = Model.trained model |> List.map fst
                Expect.equal (Accounting.withoutGradient model) (names, []) "before: none has one"

                let rows =
                    [|
                        {
                            Ids = [| 5; 9; 17; 1 |]
                            Labels = [| 8; 3; 1 |]
                        }
                    |]

                (Model.loss Pass.Evaluation model (Batch.ofRows 0 torch.CPU rows)).backward()
                let unreached, zero = Accounting.withoutGradient model
                Expect.isEmpty unreached "all are reached"
                Expect.equal zero (names |> List.filter _.EndsWith(".lora_a")) "A waits for B"

                // A soft prompt beside a frozen rest: everything it trains is reached.
                let prompted =
                    Placement.adapter (Prompt.ofTokens 3) Placement.everywhere 1 (Model.freeze model)

                (Model.loss Pass.Evaluation prompted (Batch.ofRows 0 torch.CPU rows)).backward()
                Expect.equal (Accounting.withoutGradient prompted) ([], []) "prompt"
        ]

[<Tests>]
let tests = testList "Accounting" [ references; live; rest ]
