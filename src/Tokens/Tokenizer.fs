namespace Peft

open System
open System.Collections.Generic
open System.Text

/// Text to ids and back, as Hugging Face's tokenizer of the same files has it, whatever their algorithm. Instances do not
/// change: any number of threads may share one.
[<Sealed>]
type Tokenizer internal (recipe: TokenizerRecipe) =
    /// Tokens that are looked for in the text itself, and those that are looked for in what is normalised.
    let raw, normalized =
        let normalized, raw = recipe.Added |> List.partition _.IsNormalized

        AddedTokenFinder(raw |> List.map (fun token -> token.Content, token)),
        AddedTokenFinder(
            normalized
            |> List.map (fun token -> Normalizer.apply recipe.Normalizers token.Content, token)
        )

    let specials = recipe.Added |> List.filter _.IsSpecial |> List.map _.Id |> HashSet

    let ids =
        let ids = Dictionary<string, int>(StringComparer.Ordinal)
        recipe.Tokens |> Array.iteri (fun id token -> ids.TryAdd(token, id) |> ignore)

        // An added token may be written like a piece.
        for token in recipe.Added do
            ids[token.Content] <- token.Id

        ids

    let idOf (token: string) : int option =
        match ids.TryGetValue token with
        | true, id when token <> "" -> Some id
        | _ -> None

    let eosId =
        match
            recipe.Names.End
            |> Option.bind idOf
            |> Option.orElse (List.tryPick idOf [ "</s>"; "<|endoftext|>"; "<|end_of_text|>"; "<|im_end|>"; "<eos>" ])
        with
        | Some id -> id
        | None ->
            userError
                $"{recipe.File} has no token for the end of a text: name it in a tokenizer_config.json beside it (\"eos_token\")."

    let padId =
        recipe.Names.Padding
        |> Option.orElse (Some "<pad>")
        |> Option.bind idOf
        |> Option.defaultValue eosId

    /// The ids of a stretch without tokens that are looked for in the text itself.
    let encodePlain (isFirst: bool) (text: string) (into: ResizeArray<int>) : unit =
        let text = Normalizer.apply recipe.Normalizers text

        normalized.Split(
            text,
            (fun from until ->
                for piece in
                    PreTokenizer.apply recipe.PreTokenizers (isFirst && from = 0) (text.Substring(from, until - from)) do
                    if piece <> "" then
                        recipe.Encode piece into),
            fun token -> into.Add token.Id
        )

    /// All ids but those before and behind every text.
    let encodeOpen (text: string) : ResizeArray<int> =
        // A lone surrogate is no character: UTF-8 carries it as U+FFFD.
        let text = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text)
        let into = ResizeArray<int>()

        raw.Split(
            text,
            (fun from until -> encodePlain (from = 0) (text.Substring(from, until - from)) into),
            fun token -> into.Add token.Id
        )

        into

    let enclosed (inner: ResizeArray<int>) : int[] =
        [| yield! recipe.Before; yield! inner; yield! recipe.After |]

    /// Reads the tokenizer of a checkpoint's folder, or one file of it: `tokenizer.json`, `spiece.model` (T5),
    /// `tokenizer.model` (Llama), or `vocab.json` with `merges.txt` (GPT-2, Qwen), and the small files beside it.
    /// `UserError` where none is there, or it is damaged or of a kind that is not known.
    static member Load(path: string) : Tokenizer = Tokenizer(TokenizerFolder.read path)

    /// The names of all files that a tokenizer may consist of: who copies a checkpoint copies those that are there.
    static member Files: string list = TokenizerFolder.files

    /// The ids of a text, with those that the tokenizer puts before and behind every text (`</s>` at T5's end, Llama's
    /// `<s>` at the start). Special strings (`<extra_id_0>`, `</s>`) in the text become their ids.
    member _.Encode(text: string) : int[] = enclosed (encodeOpen text)

    /// The ids of a text, at most `limit` (1 or more) of them: the rest of the text is cut off, and what the tokenizer puts
    /// before and behind stays.
    member _.Encode(text: string, limit: int) : int[] =
        if limit < 1 then
            invalidArg (nameof limit) $"limit is {limit}, the least is 1"

        let inner = encodeOpen text
        let room = max 0 (limit - recipe.Before.Length - recipe.After.Length)

        if inner.Count > room then
            inner.RemoveRange(room, inner.Count - room)

        match enclosed inner with
        | ids when ids.Length > limit -> Array.truncate limit ids
        | ids -> ids

    /// The ids of a text alone, without those that the tokenizer puts before and behind.
    member _.EncodeInner(text: string) : int[] = (encodeOpen text).ToArray()

    /// The text of ids, without special tokens and without ids that have no token.
    member _.Decode(ids: seq<int>) : string =
        let tokens = ResizeArray<string>()

        for id in ids do
            if
                id >= 0
                && id < recipe.Tokens.Length
                && recipe.Tokens[id] <> ""
                && not (specials.Contains id)
            then
                tokens.Add recipe.Tokens[id]

        if tokens.Count = 0 then
            ""
        else
            Detokenizer.apply recipe.Detokenizers tokens

    /// One more than the highest id: 32,100 for T5. A checkpoint's embedding may have more rows, as padding.
    member _.VocabularySize: int = recipe.Tokens.Length

    /// The file that the tokenizer was read from.
    member _.File: string = recipe.File

    /// The id that fills up rows; the end's where the files name none.
    member _.PadId: int = padId

    /// The id that ends a text.
    member _.EosId: int = eosId

    /// The id before every text of models that have one.
    member _.BosId: int option = recipe.Names.Begin |> Option.bind idOf

    /// The id of what has no token; none where every text has its tokens.
    member _.UnkId: int option = recipe.Names.Unknown |> Option.bind idOf

    /// Whether an id is left out of decoded text.
    member _.IsSpecial(id: int) : bool = specials.Contains id

    /// The id of `<extra_id_n>`, the sentinels of T5. `UserError` where the tokenizer has no such token.
    member _.SentinelId(n: int) : int =
        if n < 0 then
            invalidArg (nameof n) $"n is {n}, the sentinels are counted from 0"

        match [ $"<extra_id_{n}>"; $"\u2581<extra_id_{n}>" ] |> List.tryPick idOf with
        | Some id -> id
        | None -> userError $"{recipe.File} has no token <extra_id_{n}>: only T5's tokenizers have sentinels."
