namespace Peft.Synthetic

open Peft
open System
open System.Collections.Generic

/// What a slot can become: each key names its alternatives, which may hold slots themselves.
type Rules = IReadOnlyDictionary<string, string[]>

[<RequireQualifiedAccess>]
module Rules =
    /// Words parted by spaces; an underscore stands for a space inside an entry.
    let words (text: string) : string[] =
        text.Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries)
        |> Array.map _.Replace('_', ' ')

    /// Phrases, one a line.
    let lines (text: string) : string[] =
        text.Split '\n' |> Array.map _.Trim() |> Array.filter (fun line -> line <> "")

    /// These rules and further ones; a key that both have takes the further alternatives.
    let extend (further: (string * string[]) list) (rules: Rules) : Rules =
        let result = Dictionary<string, string[]>()

        for pair in rules do
            result[pair.Key] <- pair.Value

        for key, alternatives in further do
            result[key] <- alternatives

        result

/// Text with slots. `{animal}` becomes one of the alternatives of `animal`; `{pet=animal}` also keeps it, so that
/// `{pet}` repeats it; `{animal:s}` is the plural, and `:third`, `:past`, `:part`, `:ing`, `:cap` give the other
/// forms. `a(n)` becomes the fitting article. No alternative is taken twice in one text while others are left.
[<RequireQualifiedAccess>]
module Template =
    let private form (name: string) : string -> string =
        match name with
        | "s" -> Inflect.plural
        | "third" -> Inflect.third
        | "past" -> Inflect.past
        | "part" -> Inflect.participle
        | "ing" -> Inflect.ing
        | "cap" -> Inflect.capital
        | other -> invalidArg (nameof name) $"{other} is no form; they are s, third, past, part, ing and cap"

    let private run
        (keeps: bool)
        (rules: Rules)
        (bindings: (string * string) list)
        (chance: Chance)
        (template: string)
        =
        let bound = Dictionary<string, string>()
        let used = HashSet<string>()

        for key, value in bindings do
            bound[key] <- value
            used.Add value |> ignore

        let choose (key: string) =
            match rules.TryGetValue key with
            | false, _ -> invalidArg (nameof template) $"no rule is called {key}, in: {template}"
            | true, options ->
                let rec attempt left =
                    let option = chance.Pick options

                    if used.Add option || left = 0 then
                        option
                    else
                        attempt (left - 1)

                attempt 12

        let rec fill (isTop: bool) (text: string) : string =
            match text.IndexOf '{' with
            | -1 -> text
            | opening ->
                let closing = text.IndexOf('}', opening)
                let value = slot isTop (text.Substring(opening + 1, closing - opening - 1))
                text.Substring(0, opening) + value + fill isTop (text.Substring(closing + 1))

        and slot isTop (inside: string) : string =
            match inside.IndexOf ':', inside.IndexOf '=' with
            | -1, -1 -> plain isTop inside
            | -1, at ->
                let name = inside.Substring(0, at)

                if not (bound.ContainsKey name) then
                    bound[name] <- fresh (inside.Substring(at + 1))

                bound[name]
            | at, _ -> slot isTop (inside.Substring(0, at)) |> form (inside.Substring(at + 1))

        and plain isTop (key: string) : string =
            match bound.TryGetValue key with
            | true, value -> value
            | _ ->
                let value = fresh key

                if keeps && isTop then
                    bound[key] <- value

                value

        and fresh (key: string) = fill false (choose key)

        Inflect.finish (fill true template)

    /// Expands a template. `bindings` are slots that are settled beforehand.
    let expand (rules: Rules) (bindings: (string * string) list) (chance: Chance) (template: string) : string =
        run false rules bindings chance template

    /// Expands a template in which a slot means the same wherever it stands: `{day} … {day}` names one day. Slots that
    /// come in with an alternative are still drawn anew.
    let expandKeeping (rules: Rules) (bindings: (string * string) list) (chance: Chance) (template: string) : string =
        run true rules bindings chance template
