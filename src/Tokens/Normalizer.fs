namespace Peft

open System
open System.Globalization
open System.Text

/// One step that a text goes through before it is split (Hugging Face's `normalizer`).
[<NoComparison>]
type internal Normalizer =
    | Form of NormalForm
    /// SentencePiece's table, as SentencePiece reads it.
    | Mapped of CharacterMap
    /// SentencePiece's table, as Hugging Face reads it (`Precompiled`).
    | Precompiled of CharacterMap
    | Replaced of Pattern * string
    /// `Prepend`: not before an empty text.
    | Prefixed of string
    | Lowercase
    | Stripped of left: bool * right: bool
    | WithoutAccents

[<RequireQualifiedAccess>]
module internal Normalizer =
    let private lower (text: string) : string =
        // The one capital whose small form has two code points.
        text.Replace("\u0130", "i\u0307").ToLowerInvariant()

    let private withoutAccents (text: string) : string =
        let result = StringBuilder text.Length

        for rune in text.EnumerateRunes() do
            match Rune.GetUnicodeCategory rune with
            | UnicodeCategory.NonSpacingMark
            | UnicodeCategory.SpacingCombiningMark
            | UnicodeCategory.EnclosingMark -> ()
            | _ -> result.Append(rune.ToString()) |> ignore

        result.ToString()

    let private step (text: string) (normalizer: Normalizer) : string =
        match normalizer with
        | Form form -> NormalForm.apply form text
        | Mapped map -> map.Normalize text
        | Precompiled map -> map.NormalizeGraphemes text
        | Replaced(pattern, replacement) -> pattern.Replace(text, replacement)
        | Prefixed prefix -> if text = "" then "" else prefix + text
        | Lowercase -> lower text
        | Stripped(true, true) -> text.Trim()
        | Stripped(true, false) -> text.TrimStart()
        | Stripped(false, true) -> text.TrimEnd()
        | Stripped(false, false) -> text
        | WithoutAccents -> withoutAccents text

    /// The text after all steps. `UserError` where they make it a hundred times as long.
    let apply (normalizers: Normalizer list) (text: string) : string =
        (text, normalizers)
        ||> List.fold (fun text normalizer ->
            let result = step text normalizer

            if result.Length > 1_000_000 && result.Length / 100 > text.Length then
                userError "the tokenizer's normalizer makes a text a hundred times as long: its files are damaged."

            result)
