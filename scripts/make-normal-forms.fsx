// Makes src/Tokens/normal-forms.txt from the Unicode Character Database (Debian: package unicode-data).
// usage: dotnet fsi scripts/make-normal-forms.fsx /usr/share/unicode

open System
open System.IO

let database = fsi.CommandLineArgs[1]

let data (name: string) : string[] list =
    File.ReadAllLines(Path.Combine(database, name))
    |> Array.map (fun line -> (line.Split '#')[0])
    |> Array.filter (String.IsNullOrWhiteSpace >> not)
    |> Array.map (fun line -> line.Split ';' |> Array.map _.Trim())
    |> List.ofArray

let excluded = data "CompositionExclusions.txt" |> List.map Array.head |> Set.ofList

let characters = data "UnicodeData.txt"

let classes =
    characters |> List.map (fun fields -> fields[0], int fields[3]) |> Map.ofList

let lines =
    [
        for fields in characters do
            let code, rank, mapping = fields[0], int fields[3], fields[5]
            let targets = mapping.Split(' ', StringSplitOptions.RemoveEmptyEntries)

            // What begins with a mark that is reordered is never composed (UAX 15, D114), nor what the list excludes.
            let mark =
                if mapping.StartsWith '<' then
                    "~"
                elif mapping = "" then
                    ""
                elif
                    excluded.Contains code
                    || rank > 0
                    || (Map.tryFind targets[0] classes |> Option.defaultValue 0) > 0
                then
                    "!"
                else
                    ""

            let targets = targets |> Array.filter (fun target -> not (target.StartsWith '<'))

            if rank > 0 || mapping <> "" then
                let shown = String.Join(' ', targets)
                $"{code};{rank};{mark}{shown}"
    ]

let heading =
    [
        "# code point; canonical combining class; decomposition. ~ is for the compatibility forms only, ! is never composed."
        "# From the Unicode Character Database 15.0 by scripts/make-normal-forms.fsx; (c) Unicode, Inc., www.unicode.org/license.txt"
    ]

let target =
    Path.Combine(__SOURCE_DIRECTORY__, "..", "src", "Tokens", "normal-forms.txt")

File.WriteAllText(target, String.Join('\n', heading @ lines) + "\n")
printfn $"{lines.Length} lines in {target}"
