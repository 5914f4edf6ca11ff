namespace Peft

open System
open System.Text.Json

/// Rows of JSON: an array of objects, objects one a line, and the single objects that people and libraries write:
/// columns of cells (pandas, `Dataset.to_dict`), rows under a key, and pandas' other forms.
[<RequireQualifiedAccess>]
module internal JsonRows =
    let private options =
        JsonDocumentOptions(AllowDuplicateProperties = false, MaxDepth = 64)

    /// Text stays, null is empty, a list counts as its first element, everything else is its JSON.
    let rec private text (value: JsonElement) : string =
        match value.ValueKind with
        | JsonValueKind.String -> Json.text value
        | JsonValueKind.Null -> ""
        | JsonValueKind.Array -> if value.GetArrayLength() = 0 then "" else text value[0]
        | _ -> value.GetRawText()

    let private cells (value: JsonElement) : (string * JsonElement) list =
        [ for property in value.EnumerateObject() -> property.Name, property.Value ]

    let private isObject (value: JsonElement) = value.ValueKind = JsonValueKind.Object
    let private isArray (value: JsonElement) = value.ValueKind = JsonValueKind.Array

    let private told (names: string list) =
        let shown = names |> List.truncate 8 |> List.map (fun name -> $"\"{name}\"")
        String.Join(", ", (if names.Length > 8 then shown @ [ "…" ] else shown))

    let private broken (file: string) (place: string) =
        userError $"{file}, {place}, holds a broken Unicode escape. Write the text again."

    let private noRows (file: string) =
        userError $"{file} has no data rows. Fetch or write it again."

    let private row (file: string) (number: int) (value: JsonElement) : Row =
        if not (isObject value) then
            userError $"{file}, row {number}, is not a JSON object. Write every row as {{\"column\": \"text\", …}}."

        try
            let cells = cells value |> Array.ofList
            DataFile.rowOf file (Array.map fst cells) number (cells |> Array.map (snd >> text))
        with :? InvalidOperationException ->
            broken file $"row {number}"

    /// Columns of equal lengths, as rows.
    let private ofColumns (file: string) (columns: (string * JsonElement[]) list) : seq<Row> =
        let name, cells = columns.Head

        match columns |> List.tryFind (fun (_, others) -> others.Length <> cells.Length) with
        | Some(other, others) ->
            userError
                $"{file} holds columns of unequal lengths: \"{name}\" has {cells.Length} cells and \"{other}\" {others.Length}. Write the rows one a line."
        | None -> ()

        if cells.Length = 0 then
            noRows file

        let names = columns |> List.map fst |> Array.ofList
        let columns = columns |> List.map snd |> Array.ofList

        Seq.init cells.Length (fun place ->
            DataFile.rowOf file names (place + 1) (columns |> Array.map (fun column -> text column[place])))

    let private elements (value: JsonElement) = value.EnumerateArray() |> Array.ofSeq

    let private isIndex (name: string) =
        name.Length > 0 && name |> Seq.forall Char.IsAsciiDigit

    /// Objects under keys: pandas' columns, whose cells are under row numbers, or its rows under row numbers.
    let private ofObjects (file: string) (members: (string * JsonElement) list) : seq<Row> =
        let inner = members |> List.map (fun (name, value) -> name, cells value)
        let keys = inner |> List.map (snd >> List.map fst)

        if keys |> List.forall (List.forall isIndex) then
            if keys |> List.exists (fun others -> others <> keys.Head) then
                userError
                    $"{file} holds columns whose cells have different row numbers ({told (members |> List.map fst)}). Write the rows one a line."

            ofColumns
                file
                (inner
                 |> List.map (fun (name, cells) -> name, cells |> List.map snd |> Array.ofList))
        elif members |> List.forall (fst >> isIndex) then
            members |> Seq.mapi (fun place (_, value) -> row file (place + 1) value)
        else
            userError
                $"{file} is one object of objects ({told (members |> List.map fst)}), which may be rows or columns. Write the rows one a line: {{\"column\": \"text\", …}}."

    let private isRows (value: JsonElement) =
        isArray value
        && (value.GetArrayLength() = 0 || value.EnumerateArray() |> Seq.forall isObject)

    /// Names under which rows are put, where several keys hold lists of objects.
    let private usualKeys =
        [ "data"; "rows"; "examples"; "instances"; "records"; "items" ]

    /// A row of a page of Hugging Face's data set viewer stands under "row".
    let private unwrapped (value: JsonElement) =
        match value.TryGetProperty "row_idx", value.TryGetProperty "row" with
        | (true, _), (true, row) when isObject row -> row
        | _ -> value

    let private ofLists (file: string) (isLines: bool) (value: JsonElement) (members: (string * JsonElement) list) =
        let found name =
            members |> List.tryFind (fun (key, _) -> key = name) |> Option.map snd

        let strings (value: JsonElement) =
            value.EnumerateArray()
            |> Seq.forall (fun name -> name.ValueKind = JsonValueKind.String)

        let candidates =
            members
            |> List.filter (fun (_, value) -> isRows value && value.GetArrayLength() > 0)

        let under (rows: JsonElement) =
            rows.EnumerateArray()
            |> Seq.mapi (fun place value -> row file (place + 1) (unwrapped value))

        match found "columns", found "data" with
        // pandas' "split".
        | Some columns, Some data when
            isArray columns
            && strings columns
            && isArray data
            && data.EnumerateArray() |> Seq.forall isArray
            ->
            let names = elements columns |> Array.map text

            if data.GetArrayLength() = 0 then
                noRows file

            data.EnumerateArray()
            |> Seq.mapi (fun place cells -> DataFile.rowOf file names (place + 1) (elements cells |> Array.map text))
        | _ ->
            match candidates, candidates |> List.filter (fun (name, _) -> List.contains name usualKeys) with
            | [ _, rows ], _
            | _, [ _, rows ] -> under rows
            | _ :: _, _ ->
                userError
                    $"{file} holds rows under {told (candidates |> List.map fst)}, and one file is read for one portion. Write each into a file of its own."
            | [], _ ->
                let lists = members |> List.map (fun (name, value) -> name, value)

                if lists |> List.forall (snd >> isArray) then
                    let lengths = lists |> List.map (fun (_, value) -> value.GetArrayLength())

                    // A line of JSON Lines is a row, whose lists count as their first elements.
                    if
                        isLines
                        && (lengths.Head < 2
                            || lengths |> List.exists (fun length -> length <> lengths.Head))
                    then
                        Seq.singleton (row file 1 value)
                    else
                        ofColumns file (lists |> List.map (fun (name, value) -> name, elements value))
                else
                    match members with
                    | _ when
                        members
                        |> List.exists (fun (name, value) ->
                            List.contains name usualKeys && isArray value && value.GetArrayLength() = 0)
                        ->
                        noRows file
                    | _ -> Seq.singleton (row file 1 value)

    /// The rows of the only object of a file.
    let private ofOne (file: string) (isLines: bool) (number: int) (value: JsonElement) : Row list =
        try
            match cells value with
            | [] -> [ row file number value ]
            | members when members |> List.forall (snd >> isObject) -> ofObjects file members |> List.ofSeq
            | members when members |> List.exists (snd >> isArray) -> ofLists file isLines value members |> List.ofSeq
            | _ -> [ row file number value ]
        with :? InvalidOperationException ->
            broken file "its only object,"

    let private parse (file: string) (line: int) (bytes: ReadOnlyMemory<byte>) : JsonDocument =
        try
            JsonDocument.Parse(bytes, options)
        with
        | :? JsonException as error ->
            let line = int (error.LineNumber.GetValueOrDefault()) + line
            let column = error.BytePositionInLine.GetValueOrDefault() + 1L

            userError
                $"{file} is not valid JSON at line {line}, byte {column}. Correct it: one object a line, or one array of objects."
        // Names are compared while the text is parsed.
        | :? InvalidOperationException -> broken file $"line {line}"

    /// The rows of a JSON or JSON Lines file.
    let read (file: string) (isLines: bool) : seq<Row> =
        seq {
            use source = DataFile.openBytes file
            let pieces = JsonPieces(file, source)
            let mutable number = 0
            let mutable isFirst = not pieces.IsArray

            let mutable piece =
                pieces.Next(
                    if isFirst then
                        DataFile.longestWhole
                    else
                        DataFile.longestRow
                )

            while piece.IsSome do
                let struct (line, bytes) = piece.Value
                number <- if pieces.IsArray then number + 1 else line

                if isFirst then
                    isFirst <- false
                    // Looking behind the value moves its bytes.
                    use document = parse file line (ReadOnlyMemory(bytes.ToArray()))
                    let root = document.RootElement

                    if isObject root && pieces.IsAtEnd then
                        yield! ofOne file isLines line root
                    elif bytes.Length > DataFile.longestRow then
                        DataFile.tooLong file $"line {line}" DataFile.longestRow
                    else
                        row file number root
                else
                    use document = parse file line bytes
                    row file number document.RootElement

                pieces.PassSeparator()
                piece <- pieces.Next DataFile.longestRow
        }
