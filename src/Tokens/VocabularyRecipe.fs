namespace Peft

open System
open System.Collections.Generic
open System.Text

/// Byte-level byte pairs of the two files `vocab.json` and `merges.txt`: GPT-2's and Qwen's.
[<RequireQualifiedAccess>]
module internal VocabularyRecipe =
    let private endOfText = "<|endoftext|>"

    let private vocabulary (file: string) (bytes: byte[]) : Dictionary<string, int> =
        TokenizerFile.ofJson file bytes (fun root ->
            let ids = Dictionary<string, int>(StringComparer.Ordinal)

            for entry in root.EnumerateObject() do
                ids[TokenizerFile.checkPiece file entry.Name] <- TokenizerFile.checkId file (entry.Value.GetInt32())

            ids)

    let private merges (file: string) (ids: Dictionary<string, int>) (bytes: byte[]) : Dictionary<int64, PairMerge> =
        let text = Encoding.UTF8.GetString bytes

        text.Split('\n')
        |> Seq.map _.TrimEnd('\r')
        |> Seq.filter (fun line -> line <> "" && not (line.StartsWith("#version", StringComparison.Ordinal)))
        |> Seq.map (MergeList.pair file)
        |> MergeList.read file ids

    /// The normalizers and the pattern of words of a `tokenizer_class`, which these two files do not hold.
    let private words (file: string) (settings: TokenizerSettings) : Normalizer list * string =
        match settings.Class with
        | None
        | Some "GPT2Tokenizer"
        | Some "GPT2TokenizerFast"
        | Some "CodeGenTokenizer"
        | Some "CodeGenTokenizerFast" -> [], ByteLevel.gpt2Words
        | Some "Qwen2Tokenizer"
        | Some "Qwen2TokenizerFast" -> [ Form NFC ], ByteLevel.qwenWords
        | Some other ->
            TokenizerFile.refuse
                file
                $"belongs to a {other}, which is not known by vocab.json and merges.txt: put the checkpoint's tokenizer.json beside it"

    /// What the two files say, each given by name and bytes.
    let read
        (settings: TokenizerSettings)
        (vocabularyFile: string, vocabularyBytes: byte[])
        (mergesFile: string, mergesBytes: byte[])
        : TokenizerRecipe =
        let ids = vocabulary vocabularyFile vocabularyBytes
        let normalizers, pattern = words vocabularyFile settings

        let rules =
            {
                Ids = ids
                Merges = merges mergesFile ids mergesBytes
                Unknown = None
                FusesUnknown = false
                Bytes = None
                TakesWhole = false
            }

        let words =
            match Pattern.OfRegex pattern with
            | Ok words -> words
            | Error reason -> invalidOp reason

        let hasEnd = ids.ContainsKey endOfText
        let ending = if hasEnd then Some endOfText else None

        {
            File = vocabularyFile
            Normalizers = normalizers
            PreTokenizers =
                [
                    if settings.AddsSpace then
                        SpacePrefixed

                    At(words, Isolated, false)
                    InBytes
                ]
            Encode = BytePairs.encoder rules
            Tokens = TokenizerFile.table vocabularyFile (ids |> Seq.map (fun entry -> entry.Value, entry.Key)) []
            Added =
                [
                    if hasEnd then
                        AddedToken.special ids[endOfText] endOfText
                ]
            Before = []
            After = []
            Detokenizers = [ OfBytes ]
            Names =
                {
                    Begin = ending
                    End = ending
                    Unknown = ending
                    Padding = None
                }
        }
