namespace Peft

open System.Collections.Generic
open System.Text

/// GPT-2's alphabet (Radford et al. 2019): each byte of UTF-8 is written as one visible character, so that a vocabulary
/// of strings can hold any bytes.
[<RequireQualifiedAccess>]
module internal ByteLevel =
    /// How GPT-2 splits a text into words.
    let gpt2Words =
        @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

    /// How Qwen splits a text into words: digits stand alone, and a line's end goes with what is before it.
    let qwenWords =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

    let private isVisible (value: int) : bool =
        (value >= int '!' && value <= int '~')
        || (value >= 0xA1 && value <= 0xAC)
        || value >= 0xAE

    /// The character of each byte.
    let private letters: char[] =
        let mutable next = 256

        Array.init 256 (fun value ->
            if isVisible value then
                char value
            else
                next <- next + 1
                char (next - 1))

    let private bytes: Dictionary<char, byte> =
        let bytes = Dictionary<char, byte>()
        letters |> Array.iteri (fun value letter -> bytes[letter] <- byte value)
        bytes

    /// The text in the alphabet.
    let encode (text: string) : string =
        let utf8 = Encoding.UTF8.GetBytes text

        System.String.Create(
            utf8.Length,
            utf8,
            fun span utf8 ->
                for at in 0 .. utf8.Length - 1 do
                    span[at] <- letters[int utf8[at]]
        )

    /// The text of tokens: those that are not in the alphabet (added ones) stand for themselves; bytes that are no UTF-8
    /// become U+FFFD.
    let decode (tokens: seq<string>) : string =
        let utf8 = ResizeArray<byte>()

        for token in tokens do
            if token |> Seq.forall bytes.ContainsKey then
                for letter in token do
                    utf8.Add bytes[letter]
            else
                utf8.AddRange(Encoding.UTF8.GetBytes token)

        Encoding.UTF8.GetString(utf8.ToArray())
