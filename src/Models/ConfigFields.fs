namespace Peft

open System
open System.Text.Json

/// The values of a `config.json` by their names. transformers has several names for some values: the first that is there
/// counts. Null is as if absent. `UserError` where a value is of another kind or out of its bounds.
[<Sealed>]
type ConfigFields(path: string, modelType: string, json: JsonElement) =
    let find (names: string list) =
        names
        |> List.tryPick (fun name ->
            match json.TryGetProperty name with
            | true, value when value.ValueKind <> JsonValueKind.Null -> Some(name, value)
            | _ -> None)

    let wrong (name: string) (value: JsonElement) (kind: string) =
        userError $"{path}: {name} is {value.GetRawText()}, and should be {kind}."

    let missing (names: string list) =
        userError $"{path} has no {names.Head}: it is not a configuration of {modelType}."

    let tryNumber names =
        match find names with
        | Some(name, value) when value.ValueKind = JsonValueKind.Number -> Some(name, value.GetDouble())
        | Some(name, value) -> wrong name value "a number"
        | None -> None

    let whole least (name, value: float) =
        if value < float least || value > float Int32.MaxValue || value <> floor value then
            userError $"{path}: {name} is {value}; it is a whole number from {least}."

        int value

    /// The file, for messages.
    member _.Path: string = path

    /// Raises `UserError` with what is wrong.
    member _.Refuse(what: string) : 'a = userError $"{path}: {what}"

    /// A number.
    member _.TryNumber(names: string list) : float option = tryNumber names |> Option.map snd

    /// A number, or `fallback`.
    member _.Number(names: string list, fallback: float) : float =
        tryNumber names |> Option.map snd |> Option.defaultValue fallback

    /// A number above 0.
    member _.Positive(names: string list, fallback: float option) : float =
        match tryNumber names, fallback with
        | Some(_, value), _ when value > 0.0 && Double.IsFinite value -> value
        | Some(name, value), _ -> userError $"{path}: {name} is {value}; it is above 0."
        | None, Some value -> value
        | None, None -> missing names

    /// A whole number from `least`.
    member _.TryWhole(least: int, names: string list) : int option =
        tryNumber names |> Option.map (whole least)

    /// A whole number from 1, or `fallback`.
    member fields.Whole(names: string list, fallback: int) : int =
        fields.TryWhole(1, names) |> Option.defaultValue fallback

    /// A whole number from 1 that must be there.
    member fields.Need(names: string list) : int =
        match fields.TryWhole(1, names) with
        | Some value -> value
        | None -> missing names

    /// A share, from 0 up to, not including, 1.
    member _.Share(names: string list, fallback: float) : float =
        match tryNumber names with
        | Some(_, value) when value >= 0.0 && value < 1.0 -> value
        | Some(name, value) -> userError $"{path}: {name} is {value}; it is from 0 up to, not including, 1."
        | None -> fallback

    /// True or false.
    member _.Flag(names: string list, fallback: bool) : bool =
        match find names with
        | Some(_, value) when value.ValueKind = JsonValueKind.True -> true
        | Some(_, value) when value.ValueKind = JsonValueKind.False -> false
        | Some(name, value) -> wrong name value "true or false"
        | None -> fallback

    /// A text.
    member _.TryText(names: string list) : string option =
        match find names with
        | Some(_, value) when value.ValueKind = JsonValueKind.String -> Some(Json.text value)
        | Some(name, value) -> wrong name value "a text"
        | None -> None

    /// A list.
    member _.TryItems(names: string list) : JsonElement list option =
        match find names with
        | Some(_, value) when value.ValueKind = JsonValueKind.Array -> Some(List.ofSeq (value.EnumerateArray()))
        | Some(name, value) -> wrong name value "a list"
        | None -> None

    /// Ids of tokens from 0: one, or a list of them; none where nothing is said.
    member _.Ids(names: string list) : int list =
        match find names with
        | None -> []
        | Some(name, value) ->
            let id (item: JsonElement) =
                if item.ValueKind = JsonValueKind.Number then
                    whole 0 (name, item.GetDouble())
                else
                    wrong name value "an id or a list of ids"

            if value.ValueKind = JsonValueKind.Array then
                [ for item in value.EnumerateArray() -> id item ]
            else
                [ id value ]

    /// The values of an object.
    member _.TryInside(name: string) : ConfigFields option =
        match find [ name ] with
        | Some(_, value) when value.ValueKind = JsonValueKind.Object ->
            Some(ConfigFields($"{path}: {name}", modelType, value))
        | Some(name, value) -> wrong name value "an object"
        | None -> None
