namespace Peft

open System
open System.Globalization
open System.Text.RegularExpressions

/// Words that are no technique, and why; `Technique.parse` adds the techniques that there are.
exception internal Refused of problem: string

/// Refusing words that name no technique.
[<AutoOpen>]
module Refusal =
    /// Says that given words are no technique.
    let refuse (problem: string) : 'a = raise (Refused problem)

/// A technique's words, `name(key=value,flag)`, taken apart: the settings are read one after the other, and none may be
/// left over.
type Words(technique: string, given: (string * string) list) =
    let mutable left = given

    let take key =
        let found = left |> List.tryFind (fst >> (=) key)
        left <- left |> List.filter (fst >> (<>) key)
        found |> Option.map snd

    /// A flag without value.
    member _.Flag(key: string) : bool =
        match take key with
        | None -> false
        | Some "" -> true
        | Some value -> refuse $"{technique} takes '{key}' without the value '{value}'"

    /// The value as it is written.
    member _.Text(key: string) : string option = take key

    /// A whole number of at least 1; the first setting may go without its name.
    member words.Count(key: string, fallback: int option) : int =
        match words.Whole(key, fallback) with
        | 0 -> refuse $"a {key} of 0 trains nothing"
        | count -> count

    /// A whole number from 0.
    member _.Whole(key: string, fallback: int option) : int =
        match take key, fallback with
        | None, Some value -> value
        | None, None -> refuse $"{technique} needs a {key}"
        | Some text, _ when Regex.IsMatch(text, @"^\d{1,6}$") -> int text
        | Some text, _ -> refuse $"{technique} has the {key} '{text}', which is no whole number"

    /// A number that is not negative.
    member _.Number(key: string, fallback: float) : float =
        match take key with
        | None -> fallback
        | Some text ->
            match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
            | true, value when value >= 0.0 && value <= 1e30 -> value
            | _ -> refuse $"{technique} has the {key} '{text}', which is no number between 0 and 1e30"

    /// A share in [0, 1).
    member words.Share(key: string) : float =
        match words.Number(key, 0.0) with
        | share when share < 1.0 -> share
        | share -> refuse $"{technique} has the {key} {share}, which is not below 1"

    /// Names joined by `+`.
    member _.Names(key: string) : string list option =
        take key |> Option.map (fun text -> List.ofArray (text.Split '+'))

    /// The technique, if every setting was read.
    member _.Finish(result: 'a) : 'a =
        match left with
        | [] -> result
        | (key, _) :: _ -> refuse $"{technique} has no setting '{key}'"


[<RequireQualifiedAccess>]
module internal WordsReader =
    /// A number as words say it: the shortest text that reads back.
    let number (value: float) : string =
        value.ToString("R", CultureInfo.InvariantCulture)

    let private pattern =
        Regex(@"^\s*([a-z0-9-]+)\s*(?:\(([^()]*)\))?\s*$", RegexOptions.IgnoreCase)

    /// `key=value`, a flag, or a number alone, which is the technique's first setting.
    let private setting (first: string) (words: string) : string * string =
        match words.Split('=', 2) |> Array.map _.Trim() with
        | [| value |] when value <> "" && Char.IsDigit value[0] -> first, value
        | [| key |] -> key.ToLowerInvariant(), ""
        // Module names keep their capitals.
        | [| key; value |] when value <> "" -> key.ToLowerInvariant(), value
        | _ -> refuse $"'{words}' is no setting"

    /// Takes `text` apart; `first` gives the key of a number without one, by the technique's name.
    let split (first: string -> string) (text: string) : string * (string * string) list =
        let found = pattern.Match text

        if not found.Success then
            refuse $"'{text}' is no technique"

        let technique = found.Groups[1].Value.ToLowerInvariant()

        let settings =
            if found.Groups[2].Success then
                found.Groups[2].Value.Split ','
                |> Array.map (setting (first technique))
                |> List.ofArray
            else
                []

        match settings |> List.countBy fst |> List.tryFind (fun (_, count) -> count > 1) with
        | Some(key, _) -> refuse $"{technique} is given '{key}' twice"
        | None -> technique, settings
