/// Tokenizers from every file people have, against Hugging Face: `golden/wider/tokenizers`, `golden/field/tokenizers` and
/// `golden/tokens`.
module Peft.Tests.TokenizerFileTests

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open Expecto
open Peft
open Peft.Tests.Support

let private wider (parts: string list) =
    Support.golden ("wider" :: "tokenizers" :: parts)

let private field (parts: string list) =
    Support.golden ("field" :: "tokenizers" :: parts)

let private ids (element: JsonElement) : int list =
    [ for id in element.EnumerateArray() -> id.GetInt32() ]

let private get (name: string) (element: JsonElement) : JsonElement = element.GetProperty name

let private optional (name: string) (element: JsonElement) : JsonElement option =
    match element.TryGetProperty name with
    | true, value when value.ValueKind <> JsonValueKind.Null -> Some value
    | _ -> None

let private textOf (row: JsonElement) : string = Json.text (get "text" row)

let private list (element: JsonElement) : JsonElement list = List.ofSeq (element.EnumerateArray())

let private encode (tokenizer: Tokenizer) (text: string) : int list = List.ofArray (tokenizer.Encode text)

/// A folder and the cases that it is held to; `idsOf` reads a row's ids.
let private agrees (name: string) (cases: string) (idsOf: JsonElement -> int list) : Test =
    testCase $"{name} agrees with Hugging Face on ids, text, truncation and special ids"
    <| fun () ->
        let tokenizer = Tokenizer.Load(wider [ name ])
        let cases = Support.json (wider [ cases; "cases.json" ])
        let rows = list (get "rows" cases)
        allEqual rows (textOf >> encode tokenizer) idsOf

        allEqual
            (rows @ list (get "decode_only" cases))
            (get "ids" >> ids >> tokenizer.Decode)
            (get "decoded" >> Json.text)

        allEqual
            (list (get "truncation" cases))
            (fun row -> tokenizer.Encode(textOf row, (get "max_length" row).GetInt32()) |> List.ofArray)
            (get "ids" >> ids)

        let special name =
            get "special" cases |> optional name |> Option.map _.GetInt32()

        Expect.equal tokenizer.VocabularySize ((get "vocabulary_size" cases).GetInt32()) "size"
        Expect.equal tokenizer.BosId (special "bos") "bos"
        Expect.equal (Some tokenizer.EosId) (special "eos") "eos"
        Expect.equal (Some tokenizer.PadId) (special "pad") "pad"
        Expect.equal tokenizer.UnkId (special "unk") "unk"

let private inner (name: string) : Test =
    testCase $"{name} encodes without what is put around a text"
    <| fun () ->
        let tokenizer = Tokenizer.Load(wider [ name ])

        let rows =
            list (get "rows" (Support.json (wider [ name; "cases.json" ])))
            |> List.filter (optional "ids_without_special" >> Option.isSome)

        allEqual rows (textOf >> tokenizer.EncodeInner >> List.ofArray) (get "ids_without_special" >> ids)

/// The files of a folder, changed, in a folder of their own.
let private withFolder (files: (string * string) list) (work: Tokenizer -> unit) : unit =
    Support.inTemporaryFolder (fun folder ->
        for name, text in files do
            File.WriteAllText(Path.Combine(folder, name), text)

        work (Tokenizer.Load folder))

let private qwenAsTwoFiles () : (string * string) list =
    let model = get "model" (Support.json (wider [ "qwen"; "tokenizer.json" ]))

    let merge (pair: JsonElement) =
        match pair.ValueKind with
        | JsonValueKind.Array -> $"{Json.text pair[0]} {Json.text pair[1]}"
        | _ -> Json.text pair

    [
        "vocab.json", (get "vocab" model).GetRawText()
        "merges.txt", String.Join('\n', "#version: 0.2" :: (list (get "merges" model) |> List.map merge))
        "tokenizer_config.json", File.ReadAllText(wider [ "qwen"; "tokenizer_config.json" ])
    ]

[<Tests>]
let families =
    testList
        "Tokenizer files of every family"
        [
            for name, cases in
                [
                    "gpt2", "gpt2"
                    "gpt2-transformers5", "gpt2"
                    "qwen", "qwen"
                    "llama3", "llama3"
                    "llama-json", "llama-json"
                    "llama-transformers5", "llama"
                    "t5", "t5"
                ] do
                agrees name cases (get "ids" >> ids)

            // tokenizer.model: SentencePiece's ids, where transformers 5 puts no space mark before a space.
            agrees "llama" "llama" (fun row ->
                match optional "own_ids" row with
                | Some own -> 1 :: ids own
                | None -> ids (get "ids" row))

            for name in [ "llama-json"; "llama3"; "t5" ] do
                inner name

            testCase "a chat's special strings are its tokens"
            <| fun () ->
                let tokenizer = Tokenizer.Load(wider [ "qwen" ])
                let rows = list (Support.json (wider [ "qwen"; "chat.json" ]))
                allEqual rows (textOf >> encode tokenizer) (get "ids" >> ids)

            testCase "add_prefix_space puts a space before each stretch of text"
            <| fun () ->
                [
                    "vocab.json", File.ReadAllText(wider [ "gpt2"; "vocab.json" ])
                    "merges.txt", File.ReadAllText(wider [ "gpt2"; "merges.txt" ])
                    "tokenizer_config.json", """{"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true}"""
                ]
                |> fun files ->
                    withFolder files (fun tokenizer ->
                        let rows = list (Support.json (wider [ "gpt2"; "add_prefix_space.json" ]))
                        allEqual rows (textOf >> encode tokenizer) (get "ids" >> ids))

            testCase "Qwen from vocab.json and merges.txt gives the ids of its tokenizer.json"
            <| fun () ->
                withFolder (qwenAsTwoFiles ()) (fun tokenizer ->
                    let rows = list (get "rows" (Support.json (wider [ "qwen"; "cases.json" ])))
                    allEqual rows (textOf >> encode tokenizer) (get "ids" >> ids))

            testCase "GPT-2's ids are those of Microsoft.ML.Tokenizers"
            <| fun () ->
                let options =
                    Microsoft.ML.Tokenizers.BpeOptions(wider [ "gpt2"; "vocab.json" ], wider [ "gpt2"; "merges.txt" ])

                options.ByteLevel <- true

                options.PreTokenizer <- Microsoft.ML.Tokenizers.RegexPreTokenizer(Regex ByteLevel.gpt2Words, null)

                let other = Microsoft.ML.Tokenizers.BpeTokenizer.Create options
                let tokenizer = Tokenizer.Load(wider [ "gpt2" ])

                // .NET's patterns see half a character where a pair is.
                let rows =
                    list (get "rows" (Support.json (wider [ "gpt2"; "cases.json" ])))
                    |> List.filter (fun row ->
                        let text = textOf row
                        text <> "" && not (Seq.exists Char.IsSurrogate text || text.Contains "<|"))

                allEqual rows (textOf >> encode tokenizer) (fun row -> List.ofSeq (other.EncodeToIds(textOf row)))
        ]

/// Variants of the tokenizers above: other normalizers, pre-tokenizers and added tokens.
[<Tests>]
let variants =
    let variant (case: JsonElement) =
        let parsed (text: string) : JsonNode =
            match JsonNode.Parse text with
            | null -> failtest "no JSON"
            | node -> node

        let name = Json.text (get "base" case)
        let root = parsed (File.ReadAllText(wider [ name; "tokenizer.json" ]))
        let own = root["normalizer"]

        for change in (get "change" case).EnumerateObject() do
            if change.Name = "model" then
                match root["model"] with
                | null -> failtest "no model"
                | model ->
                    for setting in change.Value.EnumerateObject() do
                        model[setting.Name] <- JsonNode.Parse(setting.Value.GetRawText())
            else
                // "own" stands for the base's normalizer, whose table is large.
                let text =
                    match own with
                    | null -> change.Value.GetRawText()
                    | own -> change.Value.GetRawText().Replace("\"own\"", own.ToJsonString())

                root[change.Name] <- JsonNode.Parse text

        root.ToJsonString()

    testList
        "Tokenizer variants agree with Hugging Face"
        [
            for case in list (Support.json (Support.golden [ "tokens"; "variants.json" ])) do
                let name = Json.text (get "name" case)

                testCase name
                <| fun () ->
                    withFolder [ "tokenizer.json", variant case ] (fun tokenizer ->
                        let rows = list (get "rows" case)
                        allEqual rows (textOf >> encode tokenizer) (get "ids" >> ids)
                        allEqual rows (get "ids" >> ids >> tokenizer.Decode) (get "decoded" >> Json.text))
        ]

/// The rows of shared/field: a folder, its key in expected.json, and whose ids are right.
let private reported (folder: unit -> string) (key: string) (whose: string) : Test =
    testCase $"{key} gives the right ids and text"
    <| fun () ->
        let tokenizer = Tokenizer.Load(folder ())
        let expected = Support.json (field [ "expected.json" ])
        let strings = list (get "strings" expected) |> List.map Json.text
        let right = get key expected
        let wanted = list (get whose right) |> List.map ids

        for text, wanted in List.zip strings wanted do
            Expect.equal (encode tokenizer text) wanted text

        match optional $"{whose}_decoded" right with
        | Some texts ->
            for wanted, text in List.zip wanted (list texts |> List.map Json.text) do
                Expect.equal (tokenizer.Decode wanted) text "decoded"
        | None -> ()

        Expect.equal tokenizer.VocabularySize ((get "len" right).GetInt32()) "size"

[<Tests>]
let fieldCases =
    testList
        "Tokenizer faults that were reported"
        [
            reported (fun () -> field [ "hf-bytes" ]) "bytes" "sp"
            reported (fun () -> field [ "hf-plain" ]) "plain" "hf"
            reported (fun () -> field [ "hf-sentinels" ]) "sentinels" "hf"
            reported (fun () -> field [ "tiny-json-only" ]) "tiny-json-only" "hf"
            reported (fun () -> Support.sharedOrSkip [ "field"; "tokenizers"; "t5-added" ]) "t5-added" "hf"

            testCase "tokenizer.json alone gives the ids of spiece.model"
            <| fun () ->
                let json = Tokenizer.Load(field [ "tiny-json-only" ])
                let pieces = Tokenizer.Load(golden [ "field"; "base" ])
                Expect.equal json.VocabularySize pieces.VocabularySize "size"
                Expect.equal (json.SentinelId 7) (pieces.SentinelId 7) "sentinel"

                for text in Seq.truncate 300 (File.ReadLines(Path.Combine(Support.root, "README.md"))) do
                    Expect.equal (json.Encode text) (pieces.Encode text) text

            testCase "mT5's sentinels are found among its pieces"
            <| fun () -> Expect.equal ((Tokenizer.Load(field [ "hf-sentinels" ])).SentinelId 0) 999 "the last piece"

            for name, text in
                [
                    "added_tokens.json", """{"<name>": 8093, "}": 8094}"""
                    "tokenizer_config.json",
                    """{"added_tokens_decoder": {"8093": {"content": "<name>", "normalized": false, "special": true},
                        "8094": {"content": "}", "special": false}}}"""
                ] do
                testCase $"tokens that {name} adds to a spiece.model are found"
                <| fun () ->
                    Support.inTemporaryFolder (fun folder ->
                        let model = Support.golden [ "tokenizer"; "english8k.model" ]
                        let plain = Tokenizer.Load model
                        File.Copy(model, Path.Combine(folder, "spiece.model"))
                        let id = plain.VocabularySize

                        File.WriteAllText(
                            Path.Combine(folder, name),
                            text.Replace("8093", $"{id}").Replace("8094", $"{id + 1}")
                        )

                        let tokenizer = Tokenizer.Load folder
                        Expect.equal tokenizer.VocabularySize (id + 2) "size"

                        let expected =
                            [|
                                yield! plain.EncodeInner "Dear"
                                id
                                yield! plain.EncodeInner "x"
                                id + 1
                                tokenizer.EosId
                            |]

                        Expect.equal (tokenizer.Encode "Dear <name>x }") expected "ids")
        ]
