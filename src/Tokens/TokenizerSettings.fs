namespace Peft

open System
open System.Collections.Generic
open System.Text.Json

/// What the small files beside a vocabulary say: tokenizer_config.json, special_tokens_map.json, added_tokens.json.
type internal TokenizerSettings =
    {
        /// `tokenizer_class`.
        Class: string option
        Names: SpecialNames
        /// Further special tokens.
        Specials: string list
        Added: AddedToken list
        AddsBegin: bool option
        AddsEnd: bool option
        AddsSpace: bool
        /// How many sentinels T5's class appends to the pieces.
        Sentinels: int option
    }

[<RequireQualifiedAccess>]
module internal TokenizerSettings =
    let none: TokenizerSettings =
        {
            Class = None
            Names =
                {
                    Begin = None
                    End = None
                    Unknown = None
                    Padding = None
                }
            Specials = []
            Added = []
            AddsBegin = None
            AddsEnd = None
            AddsSpace = false
            Sentinels = None
        }

    let private isKind (kind: JsonValueKind) (value: JsonElement) = value.ValueKind = kind

    /// A token's text: files hold it as a string or as an object with its `content`.
    let private content (value: JsonElement) : string option =
        match value.ValueKind with
        | JsonValueKind.String -> Some(Json.text value)
        | JsonValueKind.Object ->
            TokenizerFile.optional "content" value
            |> Option.filter (isKind JsonValueKind.String)
            |> Option.map Json.text
        | _ -> None

    let private text (name: string) (root: JsonElement) : string option =
        TokenizerFile.optional name root |> Option.bind content

    let private boolean (name: string) (root: JsonElement) : bool option =
        TokenizerFile.optional name root
        |> Option.filter (fun value -> isKind JsonValueKind.True value || isKind JsonValueKind.False value)
        |> Option.map _.GetBoolean()

    /// An entry of `added_tokens` or `added_tokens_decoder`.
    let addedToken (file: string) (id: int) (entry: JsonElement) : AddedToken =
        let isSpecial = TokenizerFile.flag "special" false entry

        {
            Id = TokenizerFile.checkId file id
            Content = entry.GetProperty "content" |> Json.text |> TokenizerFile.checkPiece file
            IsSpecial = isSpecial
            IsNormalized = TokenizerFile.flag "normalized" (not isSpecial) entry
            TakesLeft = TokenizerFile.flag "lstrip" false entry
            TakesRight = TokenizerFile.flag "rstrip" false entry
            IsWord = TokenizerFile.flag "single_word" false entry
        }

    let private specials (root: JsonElement) : string list =
        [
            for name in [ "additional_special_tokens"; "extra_special_tokens" ] do
                match TokenizerFile.optional name root with
                | Some list when isKind JsonValueKind.Array list -> yield! list.EnumerateArray() |> Seq.choose content
                | Some named when isKind JsonValueKind.Object named ->
                    yield! named.EnumerateObject() |> Seq.choose (fun entry -> content entry.Value)
                | _ -> ()
        ]

    /// tokenizer_config.json, or special_tokens_map.json, which has some of the same keys.
    let readConfig (file: string) (bytes: byte[]) : TokenizerSettings =
        TokenizerFile.ofJson file bytes (fun root ->
            {
                Class = text "tokenizer_class" root
                Names =
                    {
                        Begin = text "bos_token" root
                        End = text "eos_token" root
                        Unknown = text "unk_token" root
                        Padding = text "pad_token" root
                    }
                Specials = specials root
                Added =
                    [
                        match TokenizerFile.optional "added_tokens_decoder" root with
                        | Some entries ->
                            for entry in entries.EnumerateObject() do
                                addedToken file (Int32.Parse entry.Name) entry.Value
                        | None -> ()
                    ]
                AddsBegin = boolean "add_bos_token" root
                AddsEnd = boolean "add_eos_token" root
                AddsSpace = boolean "add_prefix_space" root |> Option.defaultValue false
                Sentinels =
                    TokenizerFile.optional "extra_ids" root
                    |> Option.map (fun value ->
                        match value.GetInt32() with
                        | count when count < 0 || count > 10_000 ->
                            TokenizerFile.refuse file $"has extra_ids {count}: the most allowed is 10,000"
                        | count -> count)
            })

    /// added_tokens.json: the id of each token.
    let readAdded (file: string) (bytes: byte[]) : TokenizerSettings =
        TokenizerFile.ofJson file bytes (fun root ->
            { none with
                Added =
                    [
                        for entry in root.EnumerateObject() do
                            AddedToken.plain
                                (TokenizerFile.checkId file (entry.Value.GetInt32()))
                                (TokenizerFile.checkPiece file entry.Name)
                    ]
            })

    /// Both: where the two differ the first counts.
    let combine (first: TokenizerSettings) (second: TokenizerSettings) : TokenizerSettings =
        let known = first.Added |> List.map _.Content |> HashSet

        {
            Class = first.Class |> Option.orElse second.Class
            Names =
                {
                    Begin = first.Names.Begin |> Option.orElse second.Names.Begin
                    End = first.Names.End |> Option.orElse second.Names.End
                    Unknown = first.Names.Unknown |> Option.orElse second.Names.Unknown
                    Padding = first.Names.Padding |> Option.orElse second.Names.Padding
                }
            Specials = first.Specials @ second.Specials |> List.distinct
            Added =
                first.Added
                @ (second.Added |> List.filter (fun token -> not (known.Contains token.Content)))
            AddsBegin = first.AddsBegin |> Option.orElse second.AddsBegin
            AddsEnd = first.AddsEnd |> Option.orElse second.AddsEnd
            AddsSpace = first.AddsSpace || second.AddsSpace
            Sentinels = first.Sentinels |> Option.orElse second.Sentinels
        }

    /// The names of all special tokens, in the order in which missing ones are added.
    let private specialNames (names: SpecialNames) (specials: string list) : string list =
        List.choose id [ names.Begin; names.End; names.Unknown; names.Padding ]
        @ specials
        |> List.filter ((<>) "")
        |> List.distinct

    /// The recipe with the added and special tokens of the settings, and their beginning and end.
    let apply (settings: TokenizerSettings) (recipe: TokenizerRecipe) : TokenizerRecipe =
        let names =
            {
                Begin = settings.Names.Begin |> Option.orElse recipe.Names.Begin
                End = settings.Names.End |> Option.orElse recipe.Names.End
                Unknown = settings.Names.Unknown |> Option.orElse recipe.Names.Unknown
                Padding = settings.Names.Padding |> Option.orElse recipe.Names.Padding
            }

        let special = specialNames names settings.Specials
        let isSpecial = HashSet special
        let own = recipe.Added |> List.map _.Content |> HashSet

        let added =
            recipe.Added
            @ (settings.Added |> List.filter (fun token -> own.Add token.Content))
            |> List.map (fun token ->
                if isSpecial.Contains token.Content && not token.IsSpecial then
                    { token with
                        IsSpecial = true
                        IsNormalized = false
                    }
                else
                    token)

        let tokens = TokenizerFile.table recipe.File (Seq.indexed recipe.Tokens) added
        let ids = Dictionary<string, int>(StringComparer.Ordinal)
        tokens |> Array.iteri (fun id token -> ids.TryAdd(token, id) |> ignore)
        let mutable size = tokens.Length

        // What the files name without an id is among the pieces, or behind all of them.
        let named =
            [
                for name in special do
                    if not (own.Contains name) then
                        match ids.TryGetValue name with
                        | true, id -> AddedToken.special id name
                        | _ ->
                            AddedToken.special size (TokenizerFile.checkPiece recipe.File name)
                            size <- size + 1
            ]

        let idOf (name: string option) : int list =
            added @ named
            |> List.tryFind (fun token -> Some token.Content = name)
            |> Option.map _.Id
            |> Option.toList

        let asked (wish: bool option) (name: string option) (now: int list) : int list =
            match wish with
            | Some true when now.IsEmpty -> idOf name
            | Some false -> now |> List.filter (fun id -> not (List.contains id (idOf name)))
            | _ -> now

        { recipe with
            Names = names
            Added = added @ named
            Tokens = TokenizerFile.table recipe.File (Seq.indexed tokens) named
            Before = asked settings.AddsBegin names.Begin recipe.Before
            After = asked settings.AddsEnd names.End recipe.After
        }
