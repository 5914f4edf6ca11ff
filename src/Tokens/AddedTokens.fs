namespace Peft

open System
open System.Buffers
open System.Collections.Generic
open System.Globalization
open System.Text

/// A string that is one token wherever it stands in a text (Hugging Face's AddedToken).
type internal AddedToken =
    {
        Id: int
        Content: string
        /// Left out of decoded text.
        IsSpecial: bool
        /// Looked for in the normalised text, not in the text itself.
        IsNormalized: bool
        /// Takes the white space before it along.
        TakesLeft: bool
        TakesRight: bool
        /// Only where no letter, digit or mark touches it.
        IsWord: bool
    }

[<RequireQualifiedAccess>]
module internal AddedToken =
    /// A special token without conditions.
    let special (id: int) (content: string) : AddedToken =
        {
            Id = id
            Content = content
            IsSpecial = true
            IsNormalized = false
            TakesLeft = false
            TakesRight = false
            IsWord = false
        }

    /// A token that a user added, as Hugging Face adds it where nothing else is said.
    let plain (id: int) (content: string) : AddedToken =
        { special id content with
            IsSpecial = false
            IsNormalized = true
        }

/// Finds added tokens in a text: at each place the longest.
[<Sealed>]
type internal AddedTokenFinder(tokens: (string * AddedToken) list) =
    let byText = Dictionary<string, AddedToken>(StringComparer.Ordinal)

    do
        for text, token in tokens do
            if text <> "" then
                byText[text] <- token

    let bySpan = byText.GetAlternateLookup<ReadOnlySpan<char>>()

    /// The lengths of the tokens that begin with a character, the longest first.
    let lengths =
        byText.Keys
        |> Seq.groupBy (fun text -> text[0])
        |> Seq.map (fun (first, texts) ->
            first,
            texts
            |> Seq.map String.length
            |> Seq.distinct
            |> Seq.sortDescending
            |> Array.ofSeq)
        |> dict

    let firsts = SearchValues.Create(ReadOnlySpan(Array.ofSeq lengths.Keys))

    /// The longest token at a place, and the length of what it matched there.
    let longestAt (text: string) (from: int) : struct (AddedToken * int) voption =
        let mutable found = ValueNone
        let mutable candidate = Unchecked.defaultof<AddedToken>
        let candidates = lengths[text[from]]
        let mutable place = 0

        while found.IsNone && place < candidates.Length do
            let length = candidates[place]
            place <- place + 1

            if
                length <= text.Length - from
                && bySpan.TryGetValue(text.AsSpan(from, length), &candidate)
            then
                found <- ValueSome(struct (candidate, length))

        found

    let isWordPart (character: Rune) : bool =
        match Rune.GetUnicodeCategory character with
        | UnicodeCategory.NonSpacingMark
        | UnicodeCategory.SpacingCombiningMark
        | UnicodeCategory.EnclosingMark
        | UnicodeCategory.LetterNumber
        | UnicodeCategory.ConnectorPunctuation -> true
        | _ -> Rune.IsLetter character || Rune.IsDigit character

    let standsAlone (text: string) (from: int) (until: int) : bool =
        let mutable before = Rune()
        let mutable behind = Rune()
        let mutable length = 0
        Rune.DecodeLastFromUtf16(text.AsSpan(0, from), &before, &length) |> ignore
        Rune.DecodeFromUtf16(text.AsSpan until, &behind, &length) |> ignore

        (from = 0 || not (isWordPart before))
        && (until = text.Length || not (isWordPart behind))

    /// Calls `plain` with the start and end of each stretch of text between tokens, and `added` with each token, in order.
    member _.Split(text: string, plain: int -> int -> unit, added: AddedToken -> unit) : unit =
        let mutable from = 0
        let mutable at = 0

        let next () =
            match text.AsSpan(at).IndexOfAny firsts with
            | -1 -> text.Length
            | distance -> at + distance

        at <- next ()

        while at < text.Length do
            match longestAt text at with
            | ValueNone -> at <- at + 1
            | ValueSome(struct (token, length)) ->
                let until = at + length

                if not token.IsWord || standsAlone text at until then
                    let mutable start = at
                    let mutable stop = until

                    while token.TakesLeft && start > from && Char.IsWhiteSpace text[start - 1] do
                        start <- start - 1

                    while token.TakesRight && stop < text.Length && Char.IsWhiteSpace text[stop] do
                        stop <- stop + 1

                    if start > from then
                        plain from start

                    added token
                    from <- stop

                at <- until

            if at < text.Length then
                at <- next ()

        if from < text.Length then
            plain from text.Length
