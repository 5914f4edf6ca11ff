namespace Peft

open System

/// Texts of others, made fit for a line on the screen.
[<RequireQualifiedAccess>]
module Printable =
    /// One line without control characters.
    let line (text: string) : string =
        text.ReplaceLineEndings " "
        |> String.map (fun letter -> if Char.IsControl letter then '\uFFFD' else letter)

    /// One line of at most `most` letters, with `…` where there were more.
    let short (most: int) (text: string) : string =
        let head =
            if text.Length > most then
                text.Substring(0, most) + "…"
            else
                text

        line head
