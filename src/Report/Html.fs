namespace Peft.Reports

open System.Text
open Peft

/// A node of a page. Text and attributes are escaped when written: what comes from files cannot become markup.
type Html =
    | Element of name: string * attributes: (string * string) list * children: Html list
    | Text of string
    /// The content of `script` and `style`, which is this project's own or JSON without `<`.
    | Raw of string

[<RequireQualifiedAccess>]
module Html =
    let private isVoid (name: string) =
        List.contains name [ "meta"; "input"; "br"; "hr"; "link" ]

    /// Text that is safe between tags and within quotes; characters that HTML has no place for become U+FFFD.
    let escape (text: string) : string =
        let builder = StringBuilder(text.Length + 16)

        for letter in text do
            match letter with
            | '&' -> builder.Append "&amp;"
            | '<' -> builder.Append "&lt;"
            | '>' -> builder.Append "&gt;"
            | '"' -> builder.Append "&quot;"
            | '\'' -> builder.Append "&#39;"
            | '\n'
            | '\t' -> builder.Append letter
            | '\r' -> builder.Append "&#13;"
            | control when control < ' ' || control = '\127' -> builder.Append '\uFFFD'
            | other -> builder.Append other
            |> ignore

        builder.ToString()

    let rec private write (builder: StringBuilder) (node: Html) : unit =
        match node with
        | Text text -> builder.Append(escape text) |> ignore
        | Raw text -> builder.Append text |> ignore
        | Element(name, attributes, children) ->
            builder.Append('<').Append(name) |> ignore

            for key, value in attributes do
                builder.Append(' ').Append(key).Append("=\"").Append(escape value).Append('"')
                |> ignore

            builder.Append '>' |> ignore

            if not (isVoid name) then
                children |> List.iter (write builder)
                builder.Append("</").Append(name).Append('>') |> ignore

    /// The nodes as markup.
    let toString (nodes: Html list) : string =
        let builder = StringBuilder()
        nodes |> List.iter (write builder)
        builder.ToString()

    /// An element without attributes.
    let tag (name: string) (children: Html list) : Html = Element(name, [], children)

    /// A paragraph of text.
    let paragraph (text: string) : Html = tag "p" [ Text text ]
