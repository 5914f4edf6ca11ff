namespace Peft

open System

/// Which texts a space mark is put before.
type internal Prepending =
    | Always
    /// Only what begins the whole text.
    | First
    /// SentencePiece's own: what begins the whole text, though it begins with a space.
    | Doubled
    | Never

/// One step that splits a normalised text into pieces (Hugging Face's `pre_tokenizer`).
[<NoComparison>]
type internal PreTokenizer =
    /// `WhitespaceSplit`: the white space is gone.
    | AtSpaces
    /// `Metaspace`: spaces become marks, and each mark begins a piece.
    | Marked of mark: char * prepending: Prepending * splits: bool
    /// A space is put before a text that begins with none (`add_prefix_space`).
    | SpacePrefixed
    /// `ByteLevel` without its pattern, which is an `At` before it.
    | InBytes
    | At of Pattern * SplitBehavior * isInverted: bool

[<RequireQualifiedAccess>]
module internal PreTokenizer =
    let private splitAtMarks (mark: char) (text: string) (pieces: ResizeArray<string>) : unit =
        let mutable from = 0

        while from < text.Length do
            let next =
                match text.IndexOf(mark, from + 1) with
                | -1 -> text.Length
                | next -> next

            pieces.Add(text.Substring(from, next - from))
            from <- next

    let private marked (mark: char) (prepending: Prepending) (isFirst: bool) (text: string) : string =
        let text = text.Replace(' ', mark)

        let prepends =
            match prepending with
            | Always -> not (text.StartsWith mark)
            | First -> isFirst && not (text.StartsWith mark)
            | Doubled -> isFirst
            | Never -> false

        if prepends then string mark + text else text

    let private step (isFirst: bool) (preTokenizer: PreTokenizer) (text: string) (pieces: ResizeArray<string>) : unit =
        match preTokenizer with
        | AtSpaces -> pieces.AddRange(text.Split(Array.empty<char>, StringSplitOptions.RemoveEmptyEntries))
        | Marked(mark, prepending, splits) ->
            let text = marked mark prepending isFirst text

            if splits then
                splitAtMarks mark text pieces
            else
                pieces.Add text
        | SpacePrefixed -> pieces.Add(if text.StartsWith ' ' then text else " " + text)
        | InBytes -> pieces.Add(ByteLevel.encode text)
        | At(pattern, behavior, isInverted) -> pieces.AddRange(pattern.Split(behavior, isInverted, text))

    /// The pieces of a text; `isFirst` where nothing of the whole text is before it.
    let apply (preTokenizers: PreTokenizer list) (isFirst: bool) (text: string) : ResizeArray<string> =
        (ResizeArray [ text ], preTokenizers)
        ||> List.fold (fun pieces preTokenizer ->
            let result = ResizeArray<string>()

            for place in 0 .. pieces.Count - 1 do
                if pieces[place] <> "" then
                    step (isFirst && place = 0) preTokenizer pieces[place] result

            result)
