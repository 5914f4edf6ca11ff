/// The readers of tokenizer files under damage, and Unicode's normal forms.
module Peft.Tests.TokenizerReaderTests

open System
open System.Diagnostics
open System.IO
open System.Text
open Expecto
open Peft

let private wider (parts: string list) =
    Support.golden ("wider" :: "tokenizers" :: parts)

let private seeds: (string * (unit -> byte[])) list =
    [
        "tokenizer.json", (fun () -> File.ReadAllBytes(wider [ "qwen"; "tokenizer.json" ]))
        "tokenizer.json", (fun () -> File.ReadAllBytes(wider [ "llama-json"; "tokenizer.json" ]))
        "spiece.model", (fun () -> File.ReadAllBytes(wider [ "llama"; "tokenizer.model" ]))
        "tokenizer_config.json", (fun () -> File.ReadAllBytes(wider [ "qwen"; "tokenizer_config.json" ]))
        "added_tokens.json", (fun () -> Encoding.UTF8.GetBytes """{"<name>": 4, "<place>": 5}""")
        "vocab.json", (fun () -> File.ReadAllBytes(wider [ "gpt2"; "vocab.json" ]))
        "merges.txt", (fun () -> Encoding.UTF8.GetBytes "#version: 0.2\na b\n")
    ]

/// One to four bytes changed, or a stretch cut out, doubled or filled.
let private mutate (random: Random) (bytes: byte[]) : byte[] =
    let at = random.Next bytes.Length
    let length = min (bytes.Length - at) (1 + random.Next 40)

    match random.Next 5 with
    | 0 -> Array.append bytes[.. at - 1] bytes[at + length ..]
    | 1 -> Array.concat [ bytes[.. at + length - 1]; bytes[at..] ]
    | 2 -> bytes[.. at - 1]
    | _ ->
        let copy = Array.copy bytes

        for _ in 0 .. random.Next 4 do
            copy[random.Next copy.Length] <- byte (random.Next 256)

        copy

let private reader (name: string) : byte[] -> unit =
    TokenizerReaders.all |> List.find (fst >> (=) name) |> snd

let private refusal (name: string) (text: string) : string =
    Support.userErrorOf (fun () -> reader name (Encoding.UTF8.GetBytes text))

/// A small tokenizer.json with these parts.
let private small (parts: string) : string =
    """{"added_tokens": [{"id": 3, "content": "</s>", "special": true}], PARTS
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}"""
        .Replace("PARTS", parts)

[<Tests>]
let damage =
    testList
        "Tokenizer readers"
        [
            for name, seed in seeds do
                testCase $"damage to {name} ends in one line, if it shows at all ({(seed ()).Length} bytes)"
                <| fun () ->
                    let random = Random 11
                    let read = reader name
                    let seed = seed ()

                    for round in 1..150 do
                        let bytes = mutate random seed
                        let started = Stopwatch.GetTimestamp()

                        try
                            read bytes
                        with UserError message ->
                            Expect.isFalse (message.Contains '\n') $"one line: {message}"
                            Expect.isLessThan message.Length 400 "a short one"

                        Expect.isLessThan (Stopwatch.GetElapsedTime started).TotalSeconds 60.0 $"round {round}"

            testCase "parts that are not supported are named"
            <| fun () ->
                for parts, what in
                    [
                        """ "normalizer": {"type": "BertNormalizer"},""", "the normalizer \"BertNormalizer\""
                        """ "pre_tokenizer": {"type": "UnicodeScripts"},""", "the pre_tokenizer \"UnicodeScripts\""
                        """ "decoder": {"type": "CTC"},""", "the decoder \"CTC\""
                        """ "post_processor": {"type": "Odd"},""", "the post_processor \"Odd\""
                        """ "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Isolated"},""",
                        "an intersection of classes"
                        """ "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated"},""",
                        "has the pattern (a"
                    ] do
                    Expect.stringContains (refusal "tokenizer.json" (small parts)) what what

                Expect.stringContains
                    (refusal "tokenizer.json" """{"model": {"type": "WordPiece", "vocab": {}}}""")
                    "the model \"WordPiece\""
                    "model"

            testCase "numbers beyond any vocabulary, broken strings and deep nesting are refused"
            <| fun () ->
                for text, what in
                    [
                        small "" |> _.Replace("\"ab\": 2", "\"ab\": 2000000000"), "has the id 2000000000"
                        small "" |> _.Replace("\"ab\": 2", "\"ab\": -1"), "has the id -1"
                        small "" |> _.Replace("\"a b\"", "\"a c\""), "a merge names a piece"
                        small "" |> _.Replace("\"a b\"", "\"ab\""), "a merge is not two pieces"
                        small "" |> _.Replace("</s>", @"\ud800"), "is damaged"
                        String.replicate 200 """{"type": """, "is no JSON"
                        "[]", "is not a tokenizer's file"
                        small "" |> _.Replace("</s>", String('x', 2000)), "has a piece of 2000 characters"
                    ] do
                    Expect.stringContains (refusal "tokenizer.json" text) what what

            testCase "a pattern that takes for ever is stopped"
            <| fun () ->
                Support.inTemporaryFolder (fun folder ->
                    let pattern =
                        """ "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+c"}, "behavior": "Isolated"},"""

                    File.WriteAllText(Path.Combine(folder, "tokenizer.json"), small pattern)
                    let tokenizer = Tokenizer.Load folder
                    let started = Stopwatch.GetTimestamp()

                    let message =
                        Support.userErrorOf (fun () -> tokenizer.Encode(String('a', 60)) |> ignore)

                    Expect.stringContains message "takes too long" "what"
                    Expect.isLessThan (Stopwatch.GetElapsedTime started).TotalSeconds 120.0 "soon")

            testCase "ByT5's tokenizer and a folder without one are told in one line"
            <| fun () ->
                Support.inTemporaryFolder (fun folder ->
                    let message () =
                        Support.userErrorOf (fun () -> Tokenizer.Load folder |> ignore)

                    Expect.stringContains (message ()) "holds no tokenizer" "none"

                    File.WriteAllText(
                        Path.Combine(folder, "tokenizer_config.json"),
                        """{"tokenizer_class": "ByT5Tokenizer"}"""
                    )

                    Expect.stringContains (message ()) "ByT5" "bytes")

            testCase "a text of a million characters without spaces is encoded in time"
            <| fun () ->
                let text = String.replicate 250_000 "abra"

                for name in [ "llama"; "qwen"; "t5" ] do
                    let tokenizer = Tokenizer.Load(wider [ name ])
                    let started = Stopwatch.GetTimestamp()
                    Expect.isGreaterThan (tokenizer.Encode text).Length 1000 name
                    Expect.isLessThan (Stopwatch.GetElapsedTime started).TotalSeconds 300.0 name
        ]

[<Tests>]
let normalForms =
    testList
        "Normal forms"
        [
            testCase "agree with Unicode's own test"
            <| fun () ->
                let parse (column: string) =
                    column.Split ' '
                    |> Array.map (fun code -> Rune(Convert.ToInt32(code, 16)).ToString())
                    |> String.Concat

                for line in File.ReadLines(Support.golden [ "tokens"; "normalization.txt" ]) do
                    if not (line.StartsWith '#') then
                        let columns = line.Split ';' |> Array.truncate 5 |> Array.map parse

                        for place, text in Array.indexed columns do
                            let check form from expected =
                                if place < from then
                                    Expect.equal (NormalForm.apply form text) columns[expected] $"{form} of {line}"

                            check NFC 3 1
                            check NFD 3 2
                            check NFKC 5 3
                            check NFKD 5 4

            testProperty "are idempotent, and NFC undoes NFD"
            <| fun (units: uint16[]) ->
                let text = String(units |> Array.map char)
                let nfc = NormalForm.apply NFC text

                NormalForm.apply NFC (NormalForm.apply NFD text) = NormalForm.apply NFC nfc
                && NormalForm.apply NFKC (NormalForm.apply NFKD text) = NormalForm.apply NFKC text
        ]
