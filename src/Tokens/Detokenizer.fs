namespace Peft

open System
open System.Globalization
open System.Text

/// One step from tokens back to text (Hugging Face's `decoder`).
[<NoComparison>]
type internal Detokenizer =
    /// `ByteLevel`.
    | OfBytes
    /// `Metaspace`: marks become spaces; those of the first token vanish where encoding may have put one there.
    | OfMarks of mark: char * dropsFirst: bool
    | Rewritten of Pattern * string
    /// `ByteFallback`: runs of `<0x00>` to `<0xFF>` become the characters whose UTF-8 they are.
    | OfByteTokens
    | Fused
    /// `Strip`: so many of this character from both ends of each token.
    | Trimmed of character: char * left: int * right: int

[<RequireQualifiedAccess>]
module internal Detokenizer =
    let private strict = UTF8Encoding(false, true)

    let private byteOf (token: string) : int =
        let mutable value = 0

        if
            token.Length = 6
            && token.StartsWith("<0x", StringComparison.Ordinal)
            && token[5] = '>'
            && Int32.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, &value)
        then
            value
        else
            -1

    /// Bytes that are no UTF-8 become one U+FFFD each.
    let private ofByteTokens (tokens: ResizeArray<string>) : ResizeArray<string> =
        let result = ResizeArray<string> tokens.Count
        let run = ResizeArray<byte>()

        let close () =
            if run.Count > 0 then
                try
                    result.Add(strict.GetString(run.ToArray()))
                with :? DecoderFallbackException ->
                    result.Add(String('\uFFFD', run.Count))

                run.Clear()

        for token in tokens do
            match byteOf token with
            | -1 ->
                close ()
                result.Add token
            | value -> run.Add(byte value)

        close ()
        result

    let private trimmed (character: char) (left: int) (right: int) (token: string) : string =
        let mutable from = 0
        let mutable until = token.Length

        while from < until && from < left && token[from] = character do
            from <- from + 1

        while until > from && token.Length - until < right && token[until - 1] = character do
            until <- until - 1

        token.Substring(from, until - from)

    let private mapped (change: int -> string -> string) (tokens: ResizeArray<string>) : ResizeArray<string> =
        ResizeArray(Seq.mapi change tokens)

    let private step (tokens: ResizeArray<string>) (detokenizer: Detokenizer) : ResizeArray<string> =
        match detokenizer with
        | OfBytes -> ResizeArray [ ByteLevel.decode tokens ]
        | OfMarks(mark, dropsFirst) ->
            tokens
            |> mapped (fun place token ->
                if place = 0 && dropsFirst then
                    token.Replace(string mark, "")
                else
                    token.Replace(mark, ' '))
        | Rewritten(pattern, replacement) -> tokens |> mapped (fun _ token -> pattern.Replace(token, replacement))
        | OfByteTokens -> ofByteTokens tokens
        | Fused -> ResizeArray [ String.Concat tokens ]
        | Trimmed(character, left, right) -> tokens |> mapped (fun _ -> trimmed character left right)

    /// The text of tokens. Without any step they are words, as in Hugging Face.
    let apply (detokenizers: Detokenizer list) (tokens: ResizeArray<string>) : string =
        match detokenizers with
        | [] -> String.Join(' ', tokens)
        | steps -> steps |> List.fold step tokens |> String.Concat
