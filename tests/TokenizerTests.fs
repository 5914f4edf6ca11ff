module Peft.Tests.TokenizerTests

open System
open System.IO
open System.Text
open System.Text.Json
open Expecto
open Peft
open Peft.Tests.Support

let private english =
    lazy Tokenizer.Load(Support.golden [ "tokenizer"; "english8k.model" ])

let private ids (element: JsonElement) : int list =
    [ for id in element.EnumerateArray() -> id.GetInt32() ]

let private property (name: string) (element: JsonElement) : JsonElement = element.GetProperty name

let private rows (name: string) (file: JsonElement) : JsonElement list =
    List.ofSeq ((property name file).EnumerateArray())

let private encodes (tokenizer: Tokenizer) (file: JsonElement) : unit =
    allEqual
        (rows "rows" file)
        (property "text" >> Json.text >> tokenizer.Encode >> List.ofArray)
        (property "ids" >> ids)

let private decodes (tokenizer: Tokenizer) (name: string) (file: JsonElement) : unit =
    allEqual (rows name file) (property "ids" >> ids >> tokenizer.Decode) (property "decoded" >> Json.text)

/// Two tests of a model and the file of its Hugging Face ids.
let private agreement (name: string) (model: unit -> string) (cases: unit -> string) : Test =
    testList
        name
        [
            testCase "ids equal Hugging Face's on every string"
            <| fun () -> encodes (Tokenizer.Load(model ())) (Support.json (cases ()))

            testCase "decoded text equals Hugging Face's on every string"
            <| fun () -> decodes (Tokenizer.Load(model ())) "rows" (Support.json (cases ()))
        ]

let private t5Folder () =
    Support.sharedOrSkip [ "golden"; "extended"; "tokenizer" ]

let private t5Cases () =
    Support.json (Path.Combine(t5Folder (), "cases.json"))

[<Tests>]
let references =
    testList
        "Tokenizer against Hugging Face"
        [
            agreement "english8k, free text" (fun () -> Support.golden [ "tokenizer"; "english8k.model" ]) (fun () ->
                Support.golden [ "free"; "tokenizer-english8k.hf.json" ])

            for model in [ "english8k"; "t5-ja-32k" ] do
                agreement model (fun () -> Support.sharedOrSkip [ "golden"; "tokenizer"; $"{model}.model" ]) (fun () ->
                    Support.sharedOrSkip [ "golden"; "tokenizer"; $"{model}.hf.json" ])

            agreement "T5's own model" t5Folder (fun () -> Path.Combine(t5Folder (), "cases.json"))

            testCase "lists of ids decode as in Hugging Face"
            <| fun () -> decodes (Tokenizer.Load(t5Folder ())) "decode_only" (t5Cases ())

            testCase "truncation equals Hugging Face's"
            <| fun () ->
                let tokenizer = Tokenizer.Load(t5Folder ())

                allEqual
                    (rows "truncation" (t5Cases ()))
                    (fun case ->
                        let text = Json.text (property "text" case)
                        tokenizer.Encode(text, (property "max_length" case).GetInt32()) |> List.ofArray)
                    (property "ids" >> ids)

            testCase "a padded batch holds the truncated ids"
            <| fun () ->
                let tokenizer = Tokenizer.Load(t5Folder ())
                let batch = property "batch" (t5Cases ())
                let limit = (property "max_length" batch).GetInt32()

                for text, expected in List.zip (rows "texts" batch) (rows "input_ids" batch) do
                    let encoded = tokenizer.Encode(Json.text text, limit)

                    let padded =
                        Array.append encoded (Array.create (limit - encoded.Length) tokenizer.PadId)

                    Expect.equal (List.ofArray padded) (ids expected) "padded on the right"

            testCase "the special ids and the size are those of the published tokenizer"
            <| fun () ->
                let tokenizer = Tokenizer.Load(t5Folder ())
                let number name = (property name (t5Cases ())).GetInt32()
                Expect.equal tokenizer.VocabularySize (number "vocabulary_size_hf") "size"
                Expect.equal tokenizer.PadId (number "pad") "pad"
                Expect.equal tokenizer.EosId (number "eos") "eos"
                Expect.equal tokenizer.UnkId (Some(number "unk")) "unk"
                Expect.equal (tokenizer.SentinelId 0) (number "extra_id_0") "first sentinel"
                Expect.equal (tokenizer.SentinelId 99) (number "extra_id_99") "last sentinel"
        ]

[<Tests>]
let laws =
    testList
        "Tokenizer"
        [
            testCase "special strings are tokens wherever they stand, and the text after one starts a word"
            <| fun () ->
                let tokenizer = english.Value

                let word text =
                    tokenizer.Encode(text: string) |> Array.filter ((<>) tokenizer.EosId)

                let expected =
                    [|
                        yield! word "The"
                        tokenizer.SentinelId 12
                        yield! word "walks"
                        0
                        2
                        1
                        1
                    |]

                Expect.equal (tokenizer.Encode "The<extra_id_12>walks<pad> <unk></s>") expected "ids"

            testCase "a sentinel that does not exist is text"
            <| fun () ->
                for text in [ "<extra_id_100>"; "<extra_id_07>"; "<extra_id_>"; "< /s>" ] do
                    Expect.isGreaterThan (english.Value.Encode text).Length 3 text

            testCase "a run of unknown characters is one unknown"
            <| fun () ->
                let unknowns =
                    english.Value.Encode "𓀀𓀁𓀂" |> Array.filter (Some >> (=) english.Value.UnkId)

                Expect.equal unknowns.Length 1 "one"

            testCase "control characters vanish as in SentencePiece"
            <| fun () -> Expect.equal (english.Value.Encode "\u0001\u0002") [| english.Value.EosId |] "only the end"

            testCase "a lone surrogate encodes as the replacement character"
            <| fun () ->
                for text in [ "\ud800"; "a\udc00b"; "\udc00\ud800"; "end \ud83d" ] do
                    let replaced =
                        text |> String.map (fun c -> if Char.IsSurrogate c then '\ufffd' else c)

                    Expect.equal (english.Value.Encode text) (english.Value.Encode replaced) "same ids"

            testCase "ids without a piece decode to nothing"
            <| fun () ->
                let beyond = english.Value.VocabularySize
                Expect.equal (english.Value.Decode [ -1; beyond; beyond + 27; Int32.MaxValue; 0; 1; 2 ]) "" "empty"

            testCase "threads may share a tokenizer"
            <| fun () ->
                let texts =
                    [|
                        for n in 0..199 -> $"Restaurant number {n} serves cheap abababab food near the river."
                    |]

                let alone = texts |> Array.map english.Value.Encode
                Expect.equal (texts |> Array.Parallel.map english.Value.Encode) alone "same ids"

            testCase "sentinels outside 0 to 99 and limits below 1 are refused"
            <| fun () ->
                Expect.throwsT<ArgumentException> (fun () -> english.Value.SentinelId -1 |> ignore) "sentinel"

                Expect.stringContains
                    (Support.userErrorOf (fun () -> english.Value.SentinelId 100 |> ignore))
                    "has no token <extra_id_100>"
                    "sentinel"

                Expect.throwsT<ArgumentException> (fun () -> english.Value.Encode("a", 0) |> ignore) "limit"

            testProperty "encode accepts every string and ends in </s>"
            <| fun (text: string | null) ->
                match text with
                | null -> true
                | text -> Array.last (english.Value.Encode text) = english.Value.EosId

            testProperty "encode accepts every sequence of UTF-16 units, and gives ids of the vocabulary"
            <| fun (units: uint16[]) ->
                let text = String(units |> Array.map char)

                english.Value.Encode text
                |> Array.forall (fun id -> id >= 0 && id < english.Value.VocabularySize)

            testProperty "truncation keeps a prefix and ends in </s>"
            <| fun (words: int list) (size: FsCheck.PositiveInt) ->
                let text = String.Join(" and ", words)
                let limit = size.Get
                let whole = english.Value.Encode text
                let cut = english.Value.Encode(text, limit)
                let kept = min limit whole.Length

                cut.Length = kept
                && cut[.. kept - 2] = whole[.. kept - 2]
                && cut[kept - 1] = english.Value.EosId

            testProperty "words are encoded each for itself, whatever surrounds them"
            <| fun (words: (byte * FsCheck.PositiveInt) list) ->
                // Repeated syllables, where orders of the same pieces tie.
                let words =
                    words
                    |> List.map (fun (kind, count) ->
                        String.replicate count.Get [| "ab"; "ha"; "o"; "XD"; "{"; "wa " |].[int kind % 6])

                let openIds (text: string) =
                    english.Value.Encode text |> Array.filter ((<>) english.Value.EosId)

                openIds (String.Join(" ", words)) = Array.collect openIds (Array.ofList words)

            testProperty "plain words survive encoding and decoding"
            <| fun (numbers: FsCheck.NonNegativeInt list) ->
                let text = String.Join(" or ", numbers |> List.map _.Get)
                english.Value.Decode(english.Value.Encode text) = text
        ]

/// The message that `bytes` as a model file are refused with.
let private refusal (bytes: byte[]) : string =
    let mutable message = ""

    Support.inTemporaryFolder (fun folder ->
        let file = Path.Combine(folder, "spiece.model")
        File.WriteAllBytes(file, bytes)
        message <- Support.userErrorOf (fun () -> Tokenizer.Load folder |> ignore)
        Expect.stringStarts message file "the message begins with the file")

    message

[<Tests>]
let badModels =
    let model =
        lazy File.ReadAllBytes(Support.golden [ "tokenizer"; "english8k.model" ])

    testList
        "Tokenizer refuses"
        [
            testCase "a file or folder that does not exist"
            <| fun () ->
                let message =
                    Support.userErrorOf (fun () -> Tokenizer.Load "no/such/place" |> ignore)

                Expect.stringContains message "no/such/place does not exist" "what"
                Expect.stringContains message "spiece.model" "what to do"

            testCase "a folder without a model"
            <| fun () ->
                Support.inTemporaryFolder (fun folder ->
                    let message = Support.userErrorOf (fun () -> Tokenizer.Load folder |> ignore)
                    Expect.stringContains message "holds no tokenizer" "what")

            testCase "files that are no model"
            <| fun () ->
                for bytes in
                    [
                        [||]
                        "{ \"model\": {} }"B
                        Array.create 100 0xFFuy
                        [| 0uy |]
                        "PK\003\004"B
                    ] do
                    Expect.stringContains (refusal bytes) "is not a SentencePiece model" "what"

            testCase "a file cut short anywhere in its pieces, settings or normalizer"
            <| fun () ->
                for share in [ 1; 10; 30; 33; 34; 35; 36; 40; 60; 99 ] do
                    refusal model.Value[.. model.Value.Length * share / 100] |> ignore

            // Appended messages are merged over the file's by protobuf: trainer_spec { model_type: WORD }, { pad_id: 3 }.
            testCase "a model of words"
            <| fun () ->
                let words = Array.append model.Value [| 0x12uy; 2uy; 0x18uy; 3uy |]
                Expect.stringContains (refusal words) "is neither a Unigram nor a BPE model" "what"

            // normalizer_spec { precompiled_charsmap: … } of one trie that is larger than the file.
            testCase "a normalizer whose table does not fit"
            <| fun () ->
                for size in
                    [
                        [| 0xFFuy; 0xFFuy; 0xFFuy; 0xFFuy |]
                        [| 8uy; 0uy; 0uy; 0uy |]
                        [| 0uy; 0uy; 0uy; 0uy |]
                    ] do
                    let table = Array.concat [ [| 0x1Auy; 7uy; 0x12uy; 5uy |]; size; [| 0uy |] ]
                    Expect.stringContains (refusal (Array.append model.Value table)) "table does not fit" "what"

            testCase "another layout of special pieces"
            <| fun () ->
                let other = Array.append model.Value [| 0x12uy; 3uy; 0xD8uy; 2uy; 3uy |]
                Expect.stringContains (refusal other) "pad, eos, unk, bos = 3, 1, 2, -1" "what"

            testCase "damage by one line, if it shows at all"
            <| fun () ->
                let random = Random 7

                Support.inTemporaryFolder (fun folder ->
                    let file = Path.Combine(folder, "spiece.model")

                    for _ in 1..60 do
                        let bytes = Array.copy model.Value
                        let at = random.Next bytes.Length
                        bytes[at] <- byte (random.Next 256)
                        File.WriteAllBytes(file, bytes)

                        try
                            (Tokenizer.Load file).Encode "The ﬁrst damaged — tables, № 5." |> ignore
                        with UserError message ->
                            Expect.isFalse (message.Contains '\n') "one line")
        ]
