namespace Peft

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.Text
open System.Text.RegularExpressions

/// What becomes of the matches when a text is split at them (Hugging Face's SplitDelimiterBehavior).
type internal SplitBehavior =
    | Removed
    | Isolated
    | MergedWithPrevious
    | MergedWithNext
    | Contiguous

/// Rewrites a pattern of Hugging Face's files (Oniguruma's syntax) for .NET.
[<RequireQualifiedAccess>]
module internal Oniguruma =
    /// What .NET cannot be told.
    exception Unsupported of what: string

    /// The end (exclusive) of the escape that starts at a backslash.
    let private escapeEnd (pattern: string) (from: int) : int =
        if from + 1 >= pattern.Length then
            raise (Unsupported "a backslash at the end")
        elif
            (pattern[from + 1] = 'p' || pattern[from + 1] = 'P')
            && from + 2 < pattern.Length
            && pattern[from + 2] = '{'
        then
            match pattern.IndexOf('}', from) with
            | -1 -> raise (Unsupported "a property without an end")
            | close -> close + 1
        else
            from + 2

    let private escape (text: string) : string =
        match text[1] with
        | 'h'
        | 'H'
        | 'R'
        | 'X'
        | 'K'
        | 'g'
        | 'k'
        | 'y'
        | 'Y' -> raise (Unsupported text)
        | 'p' when text.StartsWith(@"\p{^", StringComparison.Ordinal) -> @"\P{" + text.Substring 4
        | _ -> text

    /// Classes inside classes are their union in Oniguruma, and a bracket in .NET; `(?i:s)` takes the long s too.
    let translate (pattern: string) : string =
        let result = StringBuilder()
        // Whether each open group ignores case, the innermost first.
        let groups = Stack<bool>([ false ])
        let mutable depth = 0
        let mutable at = 0

        let copy (length: int) =
            result.Append(pattern, at, length) |> ignore
            at <- at + length

        let startsWith (text: string) =
            String.CompareOrdinal(pattern, at, text, 0, text.Length) = 0

        while at < pattern.Length do
            match pattern[at] with
            | '\\' ->
                let until = escapeEnd pattern at
                result.Append(escape (pattern.Substring(at, until - at))) |> ignore
                at <- until
            | '[' when depth > 0 && (startsWith "[^" || startsWith "[:") -> raise (Unsupported "a class inside a class")
            | '[' when depth > 0 ->
                depth <- depth + 1
                at <- at + 1
            | '[' ->
                depth <- 1
                copy (if startsWith "[^" then 2 else 1)

                if at < pattern.Length && pattern[at] = ']' then
                    result.Append '\\' |> ignore
                    copy 1
            | ']' when depth > 1 ->
                depth <- depth - 1
                at <- at + 1
            | ']' ->
                depth <- 0
                copy 1
            | '&' when depth > 0 && startsWith "&&" -> raise (Unsupported "an intersection of classes")
            | '(' when depth = 0 ->
                groups.Push(groups.Peek() || startsWith "(?i:")
                copy 1
            | ')' when depth = 0 ->
                if groups.Count > 1 then
                    groups.Pop() |> ignore

                copy 1
            | 's'
            | 'S' when depth = 0 && groups.Peek() ->
                result.Append "[sS\u017F]" |> ignore
                at <- at + 1
            | character when Char.IsSurrogate character -> raise (Unsupported "characters beyond U+FFFF")
            | _ -> copy 1

        result.ToString()

/// Joins or drops the parts of a text: (start, end, whether it is a delimiter).
[<RequireQualifiedAccess>]
module internal SplitParts =
    let arrange
        (behavior: SplitBehavior)
        (text: string)
        (parts: ResizeArray<struct (int * int * bool)>)
        : ResizeArray<string> =
        let joined = ResizeArray<struct (int * int * bool)> parts.Count

        for struct (_, until, isDelimiter) as part in parts do
            let joins =
                joined.Count > 0
                && (let struct (_, _, before) = joined[joined.Count - 1]

                    match behavior with
                    | Removed
                    | Isolated -> false
                    // A second delimiter in a row stands alone.
                    | MergedWithPrevious -> isDelimiter && not before
                    | MergedWithNext -> before && not isDelimiter
                    | Contiguous -> isDelimiter = before)

            if joins then
                let struct (start, _, _) = joined[joined.Count - 1]
                joined[joined.Count - 1] <- struct (start, until, isDelimiter)
            elif not (behavior = Removed && isDelimiter) then
                joined.Add part

        let result = ResizeArray<string> joined.Count

        for struct (from, until, _) in joined do
            result.Add(text.Substring(from, until - from))

        result

/// A regular expression, or a plain string, that a tokenizer's file looks for. It sees whole characters: those beyond
/// U+FFFF are matched as their category. A search that takes too long is a `UserError`.
[<Sealed>]
type internal Pattern private (regex: Regex) =
    static let limit = 2_000

    /// One search may take a second, all of one text ten and one for each million characters.
    static let each = TimeSpan.FromSeconds 1.0

    static let all (text: string) =
        TimeSpan.FromSeconds(10.0 + float text.Length / 1e6)

    /// A character of the basic plane for each category: .NET matches UTF-16 units, and has no category for half a pair.
    static let standIn (category: UnicodeCategory) : char =
        match category with
        | UnicodeCategory.UppercaseLetter -> '\u0531'
        | UnicodeCategory.LowercaseLetter -> '\u0561'
        | UnicodeCategory.TitlecaseLetter -> '\u1F88'
        | UnicodeCategory.ModifierLetter -> '\u02B0'
        | UnicodeCategory.OtherLetter -> '\u0E01'
        | UnicodeCategory.NonSpacingMark -> '\u0300'
        | UnicodeCategory.SpacingCombiningMark -> '\u0903'
        | UnicodeCategory.EnclosingMark -> '\u0488'
        | UnicodeCategory.DecimalDigitNumber -> '\u0660'
        | UnicodeCategory.LetterNumber -> '\u2160'
        | UnicodeCategory.OtherNumber -> '\u2460'
        | UnicodeCategory.ConnectorPunctuation -> '\u203F'
        | UnicodeCategory.DashPunctuation -> '\u2010'
        | UnicodeCategory.OpenPunctuation -> '\u2045'
        | UnicodeCategory.ClosePunctuation -> '\u2046'
        | UnicodeCategory.OtherPunctuation -> '\u2020'
        | UnicodeCategory.MathSymbol -> '\u2200'
        | UnicodeCategory.CurrencySymbol -> '\u20A0'
        | UnicodeCategory.ModifierSymbol -> '\u02C2'
        | UnicodeCategory.OtherSymbol -> '\u2300'
        | UnicodeCategory.Format -> '\u2061'
        | UnicodeCategory.PrivateUse -> '\uE000'
        | _ -> '\u0378'

    /// The text with a stand-in for each pair, and where each of its characters is in the text (and the text's end).
    static let flat (text: string) : string * int[] =
        let flat = StringBuilder text.Length
        let places = ResizeArray<int> text.Length
        let mutable at = 0

        for rune in text.EnumerateRunes() do
            places.Add at
            at <- at + rune.Utf16SequenceLength

            flat.Append(
                if rune.IsBmp then
                    char rune.Value
                else
                    standIn (Rune.GetUnicodeCategory rune)
            )
            |> ignore

        places.Add at
        flat.ToString(), places.ToArray()

    /// Adds the start and length of each match that is not empty; false where the time is over.
    let collect (text: string) (found: ResizeArray<struct (int * int)>) : bool =
        let started = Stopwatch.GetTimestamp()
        let mutable matches = regex.EnumerateMatches(text.AsSpan())
        let mutable isInTime = true

        try
            while isInTime && matches.MoveNext() do
                let place = matches.Current

                if place.Length > 0 then
                    found.Add(struct (place.Index, place.Length))

                isInTime <- Stopwatch.GetElapsedTime started < all text

            isInTime
        with :? RegexMatchTimeoutException ->
            false

    /// The limits are by the clock, which runs on while a machine is busy or the process is stopped: a search is given up
    /// only where it worked for half a second itself.
    let search (text: string) : ResizeArray<struct (int * int)> =
        let found = ResizeArray<struct (int * int)>()

        let rec again () =
            found.Clear()
            let before = Environment.CpuUsage.TotalTime

            if not (collect text found) then
                if Environment.CpuUsage.TotalTime - before < TimeSpan.FromSeconds 0.5 then
                    again ()
                else
                    userError
                        $"the tokenizer's pattern takes too long on a text of {text.Length} characters: cut the text, or use another tokenizer's files."

        if not (collect text found) then
            again ()

        found

    /// A regular expression in Hugging Face's syntax; the error says why .NET has no such pattern.
    static member OfRegex(pattern: string) : Result<Pattern, string> =
        let options =
            RegexOptions.CultureInvariant
            ||| RegexOptions.Compiled
            ||| RegexOptions.Multiline

        if pattern.Length > limit then
            Error $"it is longer than {limit} characters"
        else
            try
                Ok(Pattern(Regex(Oniguruma.translate pattern, options, each)))
            with
            | Oniguruma.Unsupported what -> Error what
            | :? ArgumentException as error -> Error error.Message

    /// Matches a string as it stands.
    static member OfText(text: string) : Pattern =
        Pattern(Regex(Regex.Escape text, RegexOptions.CultureInvariant, each))

    /// Two spaces and more.
    static member OfSpaceRuns: Pattern =
        Pattern(Regex(" {2,}", RegexOptions.CultureInvariant, each))

    /// Calls `found` with the start and length of each match that is not empty.
    member _.Search(text: string, found: int -> int -> unit) : unit =
        if text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0 then
            for struct (start, length) in search text do
                found start length
        else
            let flat, places = flat text

            for struct (start, length) in search flat do
                found places[start] (places[start + length] - places[start])

    /// The text with `replacement` in the place of each match.
    member pattern.Replace(text: string, replacement: string) : string =
        let result = StringBuilder()
        let mutable from = 0

        pattern.Search(
            text,
            fun start length ->
                result.Append(text, from, start - from).Append(replacement) |> ignore
                from <- start + length
        )

        if from = 0 then
            text
        else
            result.Append(text, from, text.Length - from).ToString()

    /// The parts of a text, split at the matches or, inverted, at what lies between them.
    member pattern.Split(behavior: SplitBehavior, isInverted: bool, text: string) : ResizeArray<string> =
        let parts = ResizeArray<struct (int * int * bool)>()

        let part from until isMatch =
            if until > from then
                parts.Add(struct (from, until, isMatch <> isInverted))

        let mutable from = 0

        pattern.Search(
            text,
            fun start length ->
                part from start false
                part start (start + length) true
                from <- start + length
        )

        part from text.Length false
        SplitParts.arrange behavior text parts
