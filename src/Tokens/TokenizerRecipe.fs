namespace Peft

open System
open System.Text.Json

/// The names of the tokens that have a task.
type internal SpecialNames =
    {
        Begin: string option
        End: string option
        Unknown: string option
        Padding: string option
    }

/// All that a tokenizer's files say, whatever their format.
[<NoComparison; NoEquality>]
type internal TokenizerRecipe =
    {
        /// The file that says it.
        File: string
        Normalizers: Normalizer list
        PreTokenizers: PreTokenizer list
        /// Adds the ids of a piece.
        Encode: string -> ResizeArray<int> -> unit
        /// The token of each id, added ones too; "" where there is none.
        Tokens: string[]
        Added: AddedToken list
        /// The ids before and behind every text.
        Before: int list
        After: int list
        Detokenizers: Detokenizer list
        Names: SpecialNames
    }

/// What the readers of tokenizer files share.
[<RequireQualifiedAccess>]
module internal TokenizerFile =
    /// No tokenizer's file has more bytes.
    let most = 256L <<< 20

    /// No vocabulary has more ids: the largest known have 262,144.
    let idLimit = 4_000_000

    /// No piece or added token is longer.
    let pieceLimit = 1_000

    /// Raises `UserError` with one line of a sane length, whatever of the file's text the problem quotes.
    let refuse (file: string) (problem: string) : 'a =
        let line =
            problem
            |> String.map (fun character -> if Char.IsControl character then ' ' else character)

        let shown =
            if line.Length > 300 then
                line.Substring(0, 300) + "…"
            else
                line

        userError $"{file} {shown}."

    let read (file: string) : byte[] = Files.readBytes most file

    /// What `work` makes of the JSON in `bytes`; every way in which it can be something else is a `UserError`.
    let ofJson (file: string) (bytes: byte[]) (work: JsonElement -> 'a) : 'a =
        try
            use document = JsonDocument.Parse(ReadOnlyMemory bytes)
            work document.RootElement
        with
        | :? JsonException -> refuse file "is not readable: it is no JSON"
        | :? InvalidOperationException
        | :? FormatException
        | :? OverflowException
        | :? IndexOutOfRangeException
        | :? ArgumentException
        | :? System.Collections.Generic.KeyNotFoundException as error ->
            refuse file $"is not a tokenizer's file, or it is damaged ({error.Message.TrimEnd '.'})"

    let checkId (file: string) (id: int) : int =
        if id < 0 || id >= idLimit then
            refuse file $"has the id {id}: ids are from 0 to {idLimit - 1}"
        else
            id

    let checkPiece (file: string) (piece: string) : string =
        if piece.Length > pieceLimit then
            refuse file $"has a piece of {piece.Length} characters, and the longest allowed has {pieceLimit}"
        else
            piece

    /// A property that is there and not null.
    let optional (name: string) (element: JsonElement) : JsonElement option =
        match element.TryGetProperty name with
        | true, value when value.ValueKind <> JsonValueKind.Null -> Some value
        | _ -> None

    let flag (name: string) (fallback: bool) (element: JsonElement) : bool =
        optional name element
        |> Option.map _.GetBoolean()
        |> Option.defaultValue fallback

    /// Tokens by id, with the added ones among them.
    let table (file: string) (tokens: seq<int * string>) (added: AddedToken list) : string[] =
        let all = [| yield! tokens; for token in added -> token.Id, token.Content |]

        let size = all |> Array.fold (fun size (id, _) -> max size (checkId file id + 1)) 0
        let table = Array.create size ""

        for id, token in all do
            table[id] <- token

        table
