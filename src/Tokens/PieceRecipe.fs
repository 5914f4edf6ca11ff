namespace Peft

open System
open System.Collections.Generic

/// Tokenizers of SentencePiece's model files: T5's Unigram (spiece.model) and Llama's byte pairs (tokenizer.model).
[<RequireQualifiedAccess>]
module internal PieceRecipe =
    let private mark = '\u2581'

    let private names (model: PieceModel) : SpecialNames =
        let name (id: int) =
            if id >= 0 then Some model.Pieces[id] else None

        {
            Begin = name model.Begin
            End = name model.End
            Unknown = name model.Unknown
            Padding = name model.Padding
        }

    let private ids (model: PieceModel) (isPiece: int -> bool) : Dictionary<string, int> =
        let ids = Dictionary<string, int>(StringComparer.Ordinal)

        for id in 0 .. model.Pieces.Length - 1 do
            if isPiece id && model.Pieces[id] <> "" then
                ids.TryAdd(model.Pieces[id], id) |> ignore

        ids

    let private bytes (model: PieceModel) : int[] option =
        if model.FallsBack then
            BytePairs.byteIds (ids model (fun id -> model.Kinds[id] = 6))
        else
            None

    let private normalizers (model: PieceModel) : Normalizer list =
        match model.CharacterMap with
        | Some map when map.Length > 0 -> [ Mapped(CharacterMap map) ]
        | _ -> []

    /// Unknown and control pieces are tokens wherever they stand in a text.
    let private specials (model: PieceModel) : AddedToken list =
        [
            for id in 0 .. model.Pieces.Length - 1 do
                if (model.Kinds[id] = 2 || model.Kinds[id] = 3) && model.Pieces[id] <> "" then
                    AddedToken.special id model.Pieces[id]
        ]

    /// `<extra_id_0>` is the last of the sentinels that T5's class appends; mT5 has them among its pieces.
    let private sentinels (model: PieceModel) (settings: TokenizerSettings) : AddedToken list =
        let areAmongPieces =
            model.Pieces
            |> Array.exists (fun piece -> piece.EndsWith("<extra_id_0>", StringComparison.Ordinal))

        let count =
            settings.Sentinels |> Option.defaultValue (if areAmongPieces then 0 else 100)

        [
            for n in 0 .. count - 1 -> AddedToken.special (model.Pieces.Length + count - 1 - n) $"<extra_id_{n}>"
        ]

    let private unigram (file: string) (settings: TokenizerSettings) (model: PieceModel) : TokenizerRecipe =
        let layout = model.Padding, model.End, model.Unknown, model.Begin

        if layout <> (0, 1, 2, -1) || model.Pieces.Length < 3 then
            TokenizerFile.refuse
                file
                $"has pad, eos, unk, bos = {model.Padding}, {model.End}, {model.Unknown}, {model.Begin}, and T5's are 0, 1, 2, -1"

        let added = specials model @ sentinels model settings

        let unigram =
            Unigram(Array.zip model.Pieces model.Scores, PieceModel.isText model, model.Unknown, bytes model)

        let memory = WordMemory(fun text ids -> unigram.Encode(text, ids))

        {
            File = file
            Normalizers = normalizers model
            // As Hugging Face's T5Tokenizer has it.
            PreTokenizers = [ AtSpaces; Marked(mark, Always, true) ]
            Encode = fun text ids -> memory.Encode(text, ids)
            Tokens = TokenizerFile.table file (Seq.indexed model.Pieces) added
            Added = added
            Before = []
            After = [ model.End ]
            Detokenizers = [ OfByteTokens; OfMarks(mark, true) ]
            Names = names model
        }

    let private bytePairs (file: string) (model: PieceModel) : TokenizerRecipe =
        let ids = ids model (PieceModel.isText model)

        let rules =
            {
                Ids = ids
                Merges = ScoredPairs.merges ids model.Scores
                Unknown = if model.Unknown >= 0 then Some model.Unknown else None
                FusesUnknown = true
                Bytes = bytes model
                TakesWhole = false
            }

        let own =
            [
                for id in 0 .. model.Pieces.Length - 1 do
                    if model.Kinds[id] = 4 then
                        { AddedToken.plain id model.Pieces[id] with
                            IsNormalized = false
                        }
            ]

        let added = specials model @ own

        {
            File = file
            Normalizers =
                [
                    yield! normalizers model

                    if model.RemovesSpaces then
                        Stripped(true, true)
                        Replaced(Pattern.OfSpaceRuns, " ")
                ]
            PreTokenizers = [ Marked(mark, (if model.AddsPrefix then Doubled else Never), false) ]
            Encode = BytePairs.encoder rules
            Tokens = TokenizerFile.table file (Seq.indexed model.Pieces) added
            Added = added
            // As Hugging Face's LlamaTokenizer has it.
            Before = if model.Begin >= 0 then [ model.Begin ] else []
            After = []
            Detokenizers =
                [
                    Rewritten(Pattern.OfText(string mark), " ")
                    OfByteTokens
                    Fused

                    if model.AddsPrefix then
                        Trimmed(' ', 1, 0)
                ]
            Names = names model
        }

    /// What a model file says; `UserError` where it is damaged or of a kind that is not known.
    let read (file: string) (settings: TokenizerSettings) (bytes: byte[]) : TokenizerRecipe =
        let model = PieceModel.read file bytes

        match model.Kind with
        | 1 -> unigram file settings model
        | 2 -> bytePairs file model
        | kind ->
            TokenizerFile.refuse
                file
                $"is neither a Unigram nor a BPE model (its model_type is {kind}, and those are 1 and 2)"
