namespace Peft

open System
open System.IO
open System.Text
open System.Text.RegularExpressions
open Microsoft.ML.Tokenizers

/// T5's tokenizer: a SentencePiece Unigram model (Kudo 2018) whose ids 0, 1 and 2 are `<pad>`, `</s>` and `<unk>`, and
/// one hundred sentinels above its pieces. Ids and decoded text equal those of Hugging Face's T5Tokenizer. Instances
/// do not change: any number of threads may share one.
[<Sealed>]
type Tokenizer
    private (model: PieceModel, characterMap: CharacterMap, unigram: Unigram, encoder: SentencePieceTokenizer) =
    static let sentinels = 100
    static let padId, eosId, unkId = 0, 1, 2

    /// The strings that are one token wherever they stand in a text.
    static let special =
        Regex("</s>|<pad>|<unk>|<extra_id_([1-9]?[0-9])>", RegexOptions.CultureInvariant ||| RegexOptions.Compiled)

    /// SentencePiece's mark of a space.
    static let spaceMark = '\u2581'

    /// Microsoft.ML.Tokenizers 2.0.1 adds scores in float32, so rounding decides among paths that Hugging Face, in
    /// float64, tells apart: orders of the same pieces ("abababab"). Two pieces have one sum in either order, so three
    /// or more are solved again. It also gives an unknown for each character where SentencePiece gives one for a run.
    let encodeWord (word: string) : seq<int> =
        let ids = encoder.EncodeToIds(word, false, false)

        if ids.Count > 2 then
            unigram.Encode word
        elif ids.Count = 2 && ids[0] = unkId && ids[1] = unkId then
            [ unkId ]
        else
            ids

    /// Ids of a text without special strings: normalised, split at white space and before each space mark, and with
    /// a space mark before each word that has none, as Hugging Face's WhitespaceSplit and Metaspace do.
    let encodePlain (text: string) : seq<int> =
        seq {
            for word in (characterMap.Normalize text).Split(Array.empty<char>, StringSplitOptions.RemoveEmptyEntries) do
                let marked =
                    if word[0] = spaceMark then
                        word
                    else
                        string spaceMark + word

                let mutable from = 0

                while from < marked.Length do
                    let next =
                        match marked.IndexOf(spaceMark, from + 1) with
                        | -1 -> marked.Length
                        | next -> next

                    yield! encodeWord (marked.Substring(from, next - from))
                    from <- next
        }

    let specialId (found: Match) : int =
        match found.Value with
        | "</s>" -> eosId
        | "<pad>" -> padId
        | "<unk>" -> unkId
        | _ -> model.Pieces.Length + sentinels - 1 - int found.Groups[1].Value

    /// All ids but the closing `</s>`.
    let encodeOpen (text: string) : ResizeArray<int> =
        // A lone surrogate is no character: UTF-8 carries it as U+FFFD.
        let text = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text)
        let ids = ResizeArray<int>()
        let mutable from = 0

        for found in special.Matches text do
            ids.AddRange(encodePlain (text.Substring(from, found.Index - from)))
            ids.Add(specialId found)
            from <- found.Index + found.Length

        ids.AddRange(encodePlain (text.Substring from))
        ids

    /// Reads a `spiece.model`, or the one in a folder. `UserError` where it is missing, damaged, or not a Unigram
    /// model in T5's layout.
    static member Load(path: string) : Tokenizer =
        let file =
            if Directory.Exists path then
                Path.Combine(path, "spiece.model")
            else
                path

        let refuse problem =
            userError $"{file} {problem}. Take spiece.model from the folder of a T5 or FLAN-T5 checkpoint."

        let bytes =
            try
                if File.Exists file then
                    Files.checkRegular file

                File.ReadAllBytes file
            with
            | :? FileNotFoundException
            | :? DirectoryNotFoundException -> refuse "does not exist"
            | :? IOException
            | :? UnauthorizedAccessException
            | :? ArgumentException as error -> refuse $"cannot be read ({error.Message.TrimEnd '.'})"

        let model =
            try
                PieceModel.parse bytes
            with
            | PieceModel.Damaged
            | :? DecoderFallbackException -> refuse "is not a SentencePiece model, or it is damaged"

        if model.Pieces.Length = 0 then
            refuse "is not a SentencePiece model: it has no pieces"

        let characterMap =
            match model.CharacterMap |> Option.map CharacterMap with
            | Some map when map.IsWhole -> map
            | Some _ -> refuse "is damaged: its normalizer's table does not fit"
            | None -> refuse "is cut short: its normalizer is missing"

        if not (Array.forall Double.IsFinite model.Scores) then
            refuse "is damaged: a piece has no finite score"

        if model.Kind <> 1 then
            refuse $"is not a Unigram model (its model_type is {model.Kind}, and Unigram is 1)"

        let layout = model.Padding, model.End, model.Unknown, model.Begin

        if layout <> (padId, eosId, unkId, -1) || model.Pieces.Length < 3 then
            refuse
                $"has pad, eos, unk, bos = {model.Padding}, {model.End}, {model.Unknown}, {model.Begin}, and T5's are 0, 1, 2, -1"

        // Microsoft.ML.Tokenizers 2.0.1 looks up piece bos_id without a check, and T5's is -1. These five bytes are
        // `trainer_spec { bos_id: 0 }`, which protobuf merges over the file's; no bos is ever asked for.
        let readable = Array.append bytes [| 0x12uy; 3uy; 0xC8uy; 2uy; 0uy |]

        try
            use stream = new MemoryStream(readable)
            let encoder = SentencePieceTokenizer.Create(stream, false, false)
            Tokenizer(model, characterMap, Unigram model, encoder)
        with error when not (error :? OutOfMemoryException) ->
            refuse "is damaged: its pieces cannot be used"

    /// The ids of a text, `</s>` (1) at the end. Special strings (`<extra_id_0>`, `</s>`, `<pad>`, `<unk>`) in the
    /// text become their ids.
    member _.Encode(text: string) : int[] =
        let ids = encodeOpen text
        ids.Add eosId
        ids.ToArray()

    /// The ids of a text, at most `limit` (1 or more) of them: the rest is cut off, and the last id stays `</s>`.
    member _.Encode(text: string, limit: int) : int[] =
        if limit < 1 then
            invalidArg (nameof limit) $"limit is {limit}, the least is 1"

        let ids = encodeOpen text

        if ids.Count >= limit then
            ids.RemoveRange(limit - 1, ids.Count - limit + 1)

        ids.Add eosId
        ids.ToArray()

    /// The text of ids, without special tokens and without ids that have no piece.
    member _.Decode(ids: seq<int>) : string =
        let text = StringBuilder()
        let mutable isFirst = true

        for id in ids do
            if id > unkId && id < model.Pieces.Length then
                // The first piece loses its space marks; elsewhere they are spaces.
                let mark = if isFirst then "" else " "
                text.Append(model.Pieces[id].Replace(string spaceMark, mark)) |> ignore
                isFirst <- false

        text.ToString()

    /// Pieces and sentinels: 32,100 for T5. A checkpoint's embedding may have more rows, as padding.
    member _.VocabularySize: int = model.Pieces.Length + sentinels

    /// 0, `<pad>`.
    member _.PadId: int = padId

    /// 1, `</s>`.
    member _.EosId: int = eosId

    /// 2, `<unk>`.
    member _.UnkId: int = unkId

    /// The id of `<extra_id_n>`, n from 0 to 99: the sentinels count down from the top of the vocabulary.
    member _.SentinelId(n: int) : int =
        if n < 0 || n >= sentinels then
            invalidArg (nameof n) $"n is {n}, the sentinels are 0 to {sentinels - 1}"

        model.Pieces.Length + sentinels - 1 - n
