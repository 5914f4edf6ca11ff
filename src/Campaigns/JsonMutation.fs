namespace Peft.Campaigns

open System
open System.Text
open System.Text.Json
open Peft

/// A JSON value whose scalars and names are kept as they are written, so that they may also be written wrongly.
type JsonTree =
    | Raw of string
    | Items of JsonTree list
    | Members of (string * JsonTree) list

/// Ways to spoil a JSON text that leave most of it in order, so that readers get past the parser.
[<RequireQualifiedAccess>]
module JsonMutation =
    let rec private treeOf (value: JsonElement) : JsonTree =
        match value.ValueKind with
        | JsonValueKind.Array -> Items [ for item in value.EnumerateArray() -> treeOf item ]
        | JsonValueKind.Object ->
            Members
                [
                    for item in value.EnumerateObject() -> JsonSerializer.Serialize item.Name, treeOf item.Value
                ]
        | _ -> Raw(value.GetRawText())

    /// The tree of a text; none where it is no JSON.
    let tryParse (text: string) : JsonTree option =
        try
            use document = JsonDocument.Parse text
            Some(treeOf document.RootElement)
        with :? JsonException ->
            None

    let print (tree: JsonTree) : string =
        let text = StringBuilder()

        let listed (opening: char) (closing: char) (items: 'item list) (each: 'item -> unit) =
            text.Append opening |> ignore

            items
            |> List.iteri (fun place item ->
                if place > 0 then
                    text.Append ',' |> ignore

                each item)

            text.Append closing |> ignore

        let rec write tree =
            match tree with
            | Raw written -> text.Append written |> ignore
            | Items items -> listed '[' ']' items write
            | Members members ->
                listed '{' '}' members (fun (name, value) ->
                    text.Append(name).Append(':') |> ignore
                    write value)

        write tree
        text.ToString()

    let rec private count (tree: JsonTree) : int =
        match tree with
        | Raw _ -> 1
        | Items items -> 1 + List.sumBy count items
        | Members members -> 1 + List.sumBy (snd >> count) members

    /// The tree with node `target`, counted from the root, changed.
    let private replace (target: int) (change: JsonTree -> JsonTree) (tree: JsonTree) : JsonTree =
        let mutable seen = -1

        let next () =
            seen <- seen + 1
            seen

        let rec go tree =
            if next () = target then
                change tree
            else
                match tree with
                | Raw _ -> tree
                | Items items -> Items(items |> List.map go)
                | Members members -> Members(members |> List.map (fun (name, value) -> name, go value))

        go tree

    let private node (target: int) (tree: JsonTree) : JsonTree =
        let mutable found = tree

        replace
            target
            (fun it ->
                found <- it
                it)
            tree
        |> ignore

        found

    let private extremes: string[] =
        [|
            yield! Mutation.numerals

            for token in Mutation.tokens do
                JsonSerializer.Serialize token

            yield!
                [
                    "\"\""
                    "[]"
                    "{}"
                    "\"\\ud800\""
                    "\"\\u0000\""
                    "[null]"
                    "{\"\":{}}"
                    "[[[[1]]]]"
                ]
            String('[', 100) + String(']', 100)
            String('[', 100_000) + String(']', 100_000)
            String.replicate 20_000 "{\"a\":" + "1" + String('}', 20_000)
            "[" + String.Join(",", Array.replicate 50_000 "1") + "]"
        |]

    let private names: string[] =
        [|
            yield!
                [
                    "\"\""
                    "\"\\ud800\""
                    "\"\\u0000\""
                    "\"__metadata__\""
                    "\"a\\nb\""
                    "\"../x\""
                ]
            "\"" + String('k', 50_000) + "\""
        |]

    /// Words inside a text, spoiled as bytes are.
    let private text (chance: Chance) (written: string) : string =
        let inside =
            try
                JsonSerializer.Deserialize<string> written |> string
            with
            | :? JsonException
            | :? InvalidOperationException -> written

        Mutation.bytes chance [||] (Encoding.UTF8.GetBytes inside)
        |> Encoding.UTF8.GetString
        |> JsonSerializer.Serialize

    let private change (chance: Chance) (other: JsonTree) (tree: JsonTree) : JsonTree =
        let extreme () = Raw(chance.Pick extremes)

        match tree with
        | Raw written ->
            match chance.Below 8 with
            | 0
            | 1
            | 2 -> extreme ()
            | 3 -> other
            | 4 -> Items [ tree ]
            | _ when written[0] = '"' -> Raw(text chance written)
            | _ -> Raw(chance.Pick Mutation.numerals)
        | Items items ->
            match chance.Below 6 with
            | 0 -> Items []
            | 1 -> Items(items |> List.truncate (chance.Below(items.Length + 1)))
            | 2 -> Items(List.replicate 1000 items |> List.concat |> List.truncate 20_000)
            | 3 -> Items(other :: items)
            | 4 -> Members [ "\"a\"", tree ]
            | _ -> extreme ()
        | Members members ->
            let at = chance.Below(members.Length + 1)
            let before, after = List.splitAt at members

            match chance.Below 8, after with
            | 0, _ -> extreme ()
            | 1, _ :: rest -> Members(before @ rest)
            | 2, (name, _) :: _ -> Members(members @ [ name, other ])
            | 3, (_, value) :: rest -> Members(before @ (chance.Pick names, value) :: rest)
            | 4, (name, value) :: rest -> Members(before @ (name.ToUpperInvariant(), value) :: rest)
            | 5, (name, _) :: rest -> Members(before @ (name, extreme ()) :: rest)
            | 6, (name, _) :: rest -> Members(before @ (name, other) :: rest)
            | _ -> Members((chance.Pick names, other) :: members)

    /// A text spoiled in one to three places; as bytes where it is no JSON.
    let spoil (chance: Chance) (good: string) : byte[] =
        match tryParse good with
        | None -> Mutation.bytes chance [||] (Encoding.UTF8.GetBytes good)
        | Some tree ->
            let once tree _ =
                let nodes = count tree
                let other = node (chance.Below nodes) tree
                replace (chance.Below nodes) (change chance other) tree

            Seq.fold once tree (seq { 1 .. chance.Pick [| 1; 1; 1; 2; 3 |] })
            |> print
            |> Encoding.UTF8.GetBytes
