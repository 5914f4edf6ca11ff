namespace Peft

open System
open System.Collections.Generic
open System.Text.Json

/// Reads Hugging Face's `tokenizer.json`. A part that is not known here is refused by name.
[<RequireQualifiedAccess>]
module internal TokenizerJson =
    let private kind (part: JsonElement) : string =
        TokenizerFile.optional "type" part
        |> Option.map Json.text
        |> Option.defaultValue ""

    let private unknown (file: string) (role: string) (part: JsonElement) : 'a =
        let name = kind part

        let shown =
            if name.Length > 60 then
                name.Substring(0, 60) + "…"
            else
                name

        TokenizerFile.refuse file $"has the {role} \"{shown}\", which is not supported"

    let private items (name: string) (part: JsonElement) : JsonElement list =
        List.ofSeq ((part.GetProperty name).EnumerateArray())

    /// A role's steps: none, one, or a sequence of them.
    let private steps (role: string) (list: string) (one: JsonElement -> 'a list) (root: JsonElement) : 'a list =
        let rec read (part: JsonElement) =
            if kind part = "Sequence" then
                items list part |> List.collect read
            else
                one part

        TokenizerFile.optional role root |> Option.map read |> Option.defaultValue []

    let private text (name: string) (part: JsonElement) : string = Json.text (part.GetProperty name)

    /// A text of a step, which is put in many places.
    let private short (file: string) (name: string) (part: JsonElement) : string =
        match text name part with
        | long when long.Length > 64 -> TokenizerFile.refuse file $"has a \"{name}\" of {long.Length} characters"
        | short -> short

    let private regex (file: string) (pattern: string) : Pattern =
        match Pattern.OfRegex pattern with
        | Ok pattern -> pattern
        | Error reason ->
            let shown =
                if pattern.Length > 60 then
                    pattern.Substring(0, 60) + "…"
                else
                    pattern

            TokenizerFile.refuse file $"has the pattern {shown}, which is not supported: {reason.TrimEnd '.'}"

    let private pattern (file: string) (part: JsonElement) : Pattern =
        let pattern = part.GetProperty "pattern"

        match TokenizerFile.optional "Regex" pattern with
        | Some expression -> regex file (Json.text expression)
        | None -> Pattern.OfText(short file "String" pattern)

    let private normalizer (file: string) (part: JsonElement) : Normalizer list =
        match kind part with
        | "NFC" -> [ Form NFC ]
        | "NFD" -> [ Form NFD ]
        | "NFKC" -> [ Form NFKC ]
        | "NFKD" -> [ Form NFKD ]
        | "Lowercase" -> [ Lowercase ]
        | "StripAccents" -> [ WithoutAccents ]
        | "Strip" ->
            [
                Stripped(TokenizerFile.flag "strip_left" true part, TokenizerFile.flag "strip_right" true part)
            ]
        | "Prepend" -> [ Prefixed(short file "prepend" part) ]
        | "Replace" -> [ Replaced(pattern file part, short file "content" part) ]
        | "Precompiled" ->
            match CharacterMap((part.GetProperty "precompiled_charsmap").GetBytesFromBase64()) with
            | map when map.IsWhole -> [ Precompiled map ]
            | _ -> TokenizerFile.refuse file "is damaged: its normalizer's table does not fit"
        | _ -> unknown file "normalizer" part

    let private behavior (file: string) (part: JsonElement) : SplitBehavior =
        match
            TokenizerFile.optional "behavior" part
            |> Option.map Json.text
            |> Option.defaultValue "Isolated"
        with
        | "Removed" -> Removed
        | "Isolated" -> Isolated
        | "MergedWithPrevious" -> MergedWithPrevious
        | "MergedWithNext" -> MergedWithNext
        | "Contiguous" -> Contiguous
        | _ -> TokenizerFile.refuse file "splits text in a way that is not known"

    let private mark (file: string) (part: JsonElement) : char =
        match text "replacement" part with
        | mark when mark.Length = 1 -> mark[0]
        | _ -> TokenizerFile.refuse file "has a space mark that is not one character"

    /// Files before version 0.15 of tokenizers have a flag in the place of the scheme.
    let private prepending (file: string) (part: JsonElement) : Prepending =
        match TokenizerFile.optional "prepend_scheme" part |> Option.map Json.text with
        | Some "always" -> Always
        | Some "first" -> First
        | Some "never" -> Never
        | Some _ -> TokenizerFile.refuse file "has a prepend_scheme that is not known"
        | None when TokenizerFile.flag "add_prefix_space" true part -> Always
        | None -> Never

    let private preTokenizer (file: string) (part: JsonElement) : PreTokenizer list =
        match kind part with
        | "WhitespaceSplit" -> [ AtSpaces ]
        | "Whitespace" -> [ At(regex file @"\w+|[^\w\s]+", Removed, true) ]
        | "Metaspace" ->
            [
                Marked(mark file part, prepending file part, TokenizerFile.flag "split" true part)
            ]
        | "ByteLevel" ->
            [
                if TokenizerFile.flag "add_prefix_space" true part then
                    SpacePrefixed

                if TokenizerFile.flag "use_regex" true part then
                    At(regex file ByteLevel.gpt2Words, Isolated, false)

                InBytes
            ]
        | "Split" ->
            [
                At(pattern file part, behavior file part, TokenizerFile.flag "invert" false part)
            ]
        | "Digits" ->
            let behavior =
                if TokenizerFile.flag "individual_digits" false part then
                    Isolated
                else
                    Contiguous

            [ At(regex file @"\p{N}", behavior, false) ]
        | "Punctuation" -> [ At(regex file @"[!-/:-@\[-`{-~\p{P}]", behavior file part, false) ]
        | _ -> unknown file "pre_tokenizer" part

    let private detokenizer (file: string) (part: JsonElement) : Detokenizer list =
        match kind part with
        | "ByteLevel" -> [ OfBytes ]
        | "Metaspace" -> [ OfMarks(mark file part, prepending file part <> Never) ]
        | "Replace" -> [ Rewritten(pattern file part, short file "content" part) ]
        | "ByteFallback" -> [ OfByteTokens ]
        | "Fuse" -> [ Fused ]
        | "Strip" ->
            match text "content" part with
            | content when content.Length = 1 ->
                [
                    Trimmed(content[0], (part.GetProperty "start").GetInt32(), (part.GetProperty "stop").GetInt32())
                ]
            | _ -> unknown file "decoder" part
        | _ -> unknown file "decoder" part

    /// The ids before and behind a text.
    let private template (file: string) (root: JsonElement) : int list * int list =
        let ids (part: JsonElement) (name: string) : int list =
            (part.GetProperty "special_tokens").GetProperty name
            |> items "ids"
            |> List.map (fun id -> TokenizerFile.checkId file (id.GetInt32()))

        let pair (name: string) (part: JsonElement) : int =
            let id: JsonElement = items name part |> List.item 1
            TokenizerFile.checkId file (id.GetInt32())

        let one (part: JsonElement) : (int list * int list) list =
            match kind part with
            | "ByteLevel" -> []
            | "BertProcessing"
            | "RobertaProcessing" -> [ [ pair "cls" part ], [ pair "sep" part ] ]
            | "TemplateProcessing" ->
                let pieces = items "single" part

                let isText (piece: JsonElement) =
                    (TokenizerFile.optional "Sequence" piece).IsSome

                let specials =
                    List.collect (fun (piece: JsonElement) -> ids part (text "id" (piece.GetProperty "SpecialToken")))

                let before = pieces |> List.takeWhile (isText >> not)

                match List.skip before.Length pieces with
                | [] -> TokenizerFile.refuse file "has a template without a text"
                | _ :: after when List.exists isText after ->
                    TokenizerFile.refuse file "has a template that repeats the text"
                | _ :: after -> [ specials before, specials after ]
            | _ -> unknown file "post_processor" part

        // Each template stands around the one before it.
        steps "post_processor" "processors" one root
        |> List.fold (fun (before, after) (left, right) -> left @ before, after @ right) ([], [])

    let private vocabulary (file: string) (model: JsonElement) : Dictionary<string, int> =
        let ids = Dictionary<string, int>(StringComparer.Ordinal)

        for entry in (model.GetProperty "vocab").EnumerateObject() do
            ids[TokenizerFile.checkPiece file entry.Name] <- TokenizerFile.checkId file (entry.Value.GetInt32())

        ids

    let private refuseAffixes (file: string) (model: JsonElement) : unit =
        for name in [ "continuing_subword_prefix"; "end_of_word_suffix" ] do
            match TokenizerFile.optional name model |> Option.map Json.text with
            | None
            | Some "" -> ()
            | Some _ -> TokenizerFile.refuse file $"has a {name}, which is not supported"

        match TokenizerFile.optional "dropout" model with
        | Some rate when rate.GetDouble() > 0.0 ->
            TokenizerFile.refuse file "has a dropout, which makes ids random: set it to null"
        | _ -> ()

    let private bytePairs
        (file: string)
        (model: JsonElement)
        : (string -> ResizeArray<int> -> unit) * seq<int * string> =
        refuseAffixes file model
        let ids = vocabulary file model

        let pairs =
            seq {
                for merge in (model.GetProperty "merges").EnumerateArray() do
                    if merge.ValueKind = JsonValueKind.Array then
                        struct (Json.text merge[0], Json.text merge[1])
                    else
                        MergeList.pair file (Json.text merge)
            }

        let rules =
            {
                Ids = ids
                Merges = MergeList.read file ids pairs
                Unknown =
                    TokenizerFile.optional "unk_token" model
                    |> Option.map Json.text
                    |> Option.bind (fun token ->
                        match ids.TryGetValue token with
                        | true, id -> Some id
                        | _ -> None)
                FusesUnknown = TokenizerFile.flag "fuse_unk" false model
                Bytes =
                    if TokenizerFile.flag "byte_fallback" false model then
                        BytePairs.byteIds ids
                    else
                        None
                TakesWhole = TokenizerFile.flag "ignore_merges" false model
            }

        BytePairs.encoder rules, ids |> Seq.map (fun entry -> entry.Value, entry.Key)

    let private unigram (file: string) (model: JsonElement) : (string -> ResizeArray<int> -> unit) * seq<int * string> =
        let pieces =
            [|
                for entry in (model.GetProperty "vocab").EnumerateArray() do
                    let piece, score = Json.text entry[0], entry[1].GetDouble()

                    if not (Double.IsFinite score) then
                        TokenizerFile.refuse file "is damaged: a piece has no finite score"

                    TokenizerFile.checkPiece file piece, score
            |]

        let unknown =
            match TokenizerFile.optional "unk_id" model |> Option.map _.GetInt32() with
            | Some id when id >= 0 && id < pieces.Length && pieces.Length <= TokenizerFile.idLimit -> id
            | _ -> TokenizerFile.refuse file "has no unknown token (unk_id), or it is none of its pieces"

        let bytes =
            if TokenizerFile.flag "byte_fallback" false model then
                let ids = Dictionary<string, int>(StringComparer.Ordinal)
                pieces |> Array.iteri (fun id (piece, _) -> ids[piece] <- id)
                BytePairs.byteIds ids
            else
                None

        let unigram = Unigram(pieces, (fun _ -> true), unknown, bytes)
        let memory = WordMemory(fun text ids -> unigram.Encode(text, ids))
        (fun text ids -> memory.Encode(text, ids)), pieces |> Seq.mapi (fun id (piece, _) -> id, piece)

    /// Files of before version 0.10 of tokenizers name no type of the model.
    let private model (file: string) (model: JsonElement) =
        match kind model with
        | "BPE" -> bytePairs file model
        | "Unigram" -> unigram file model
        | "" when (TokenizerFile.optional "merges" model).IsSome -> bytePairs file model
        | "" when (TokenizerFile.optional "unk_id" model).IsSome -> unigram file model
        | _ -> unknown file "model" model

    /// What a `tokenizer.json` says; `UserError` where it is damaged or has a part that is not known.
    let read (file: string) (bytes: byte[]) : TokenizerRecipe =
        TokenizerFile.ofJson file bytes (fun root ->
            let added =
                [
                    match TokenizerFile.optional "added_tokens" root with
                    | Some entries ->
                        for entry in entries.EnumerateArray() do
                            TokenizerSettings.addedToken file ((entry.GetProperty "id").GetInt32()) entry
                    | None -> ()
                ]

            let encode, tokens = model file (root.GetProperty "model")
            let before, after = template file root

            {
                File = file
                Normalizers = steps "normalizer" "normalizers" (normalizer file) root
                PreTokenizers = steps "pre_tokenizer" "pretokenizers" (preTokenizer file) root
                Encode = encode
                Tokens = TokenizerFile.table file tokens added
                Added = added
                Before = before
                After = after
                Detokenizers = steps "decoder" "decoders" (detokenizer file) root
                Names =
                    {
                        Begin = None
                        End = None
                        Unknown =
                            TokenizerFile.optional "unk_token" (root.GetProperty "model")
                            |> Option.map Json.text
                        Padding = None
                    }
            })
