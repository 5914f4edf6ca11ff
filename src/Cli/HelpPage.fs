namespace Peft

open System

/// Pages of help.
[<RequireQualifiedAccess>]
module HelpPage =
    let private width = 100
    let private indent = 28

    /// Words in lines of at most so many letters.
    let private wrapped (most: int) (text: string) : string list =
        let add (lines: string list) (word: string) =
            match lines with
            | line :: earlier when line.Length + 1 + word.Length <= most -> (line + " " + word) :: earlier
            | _ -> word :: lines

        text.Split(' ', StringSplitOptions.RemoveEmptyEntries)
        |> Array.fold add []
        |> List.rev

    /// A name, and beside it a text; a long name has a line for itself.
    let private entry (name: string) (text: string) : string list =
        let margin = String(' ', indent)

        match wrapped (width - indent) text with
        | first :: rest when name.Length + 4 <= indent ->
            ("  " + name).PadRight indent + first :: List.map ((+) margin) rest
        | lines -> "  " + name :: List.map ((+) margin) lines

    let private heading (option: OptionHelp) : string =
        (String.concat ", " option.Names + " " + option.Values).Trim()

    let private examples (given: (string * string) list) : string list =
        [
            "EXAMPLES"
            for command, text in given do
                "  " + command
                yield! wrapped (width - 6) text |> List.map ((+) "      ")
        ]

    /// What `peft train --help` prints: what it does, two examples, and its own options under titles.
    let ofCommand (name: string) (summary: string) (given: (string * string) list) (options: OptionHelp list) : string =
        let unnamed, named = options |> List.partition _.Names.IsEmpty

        let usage =
            [
                $"  {name}"
                if not named.IsEmpty then
                    "[options]"
                for option in unnamed do
                    $"[{option.Values}]"
            ]
            |> String.concat " "

        [
            summary
            ""
            "USAGE"
            usage
            for option in unnamed do
                yield! entry option.Values option.Text
            if not given.IsEmpty then
                ""
                yield! examples given
            if not named.IsEmpty then
                for title, own in OptionHelp.grouped named do
                    ""
                    title

                    for option in own do
                        yield! entry (heading option) option.Text
        ]
        |> String.concat "\n"

    /// What `peft --help` prints: the commands under titles, each with its summary.
    let ofAll (commands: (string * string * string) list) : string =
        [
            "Parameter-efficient fine-tuning: train, compare and use small parts of language models."
            ""
            "USAGE"
            "  peft COMMAND [options]"
            ""
            yield!
                examples
                    [
                        "peft choose --custom reviews.csv", "the best technique for your rows"
                        "peft train --help", "what a command takes"
                    ]
            for title in commands |> List.map (fun (group, _, _) -> group) |> List.distinct do
                ""
                title

                for group, name, summary in commands do
                    if group = title then
                        yield! entry name summary
        ]
        |> String.concat "\n"
