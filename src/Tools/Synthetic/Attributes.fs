namespace Peft.Synthetic

open Peft
open System

/// Meaning representations of museums and the sentences that say them.
[<RequireQualifiedAccess>]
module Attributes =
    let private isAmount (price: string) = price.Contains '£'

    let private article (phrase: string) = $"{Inflect.article phrase} {phrase}"

    // Phrases for the place after a form of `be` or after a noun: "near X in the old town".
    let private whereabouts (chance: Chance) (museum: Museum) : string option =
        let near =
            museum.Near
            |> Option.map (fun place ->
                chance.Pick [| "near"; "close to"; "not far from"; "next to"; "opposite" |]
                + " "
                + place)

        let area =
            museum.Area
            |> Option.map (fun area ->
                match area with
                | "riverside" -> chance.Pick [| "by the river"; "in the riverside area"; "at the riverside" |]
                | "city centre" -> chance.Pick [| "in the city centre"; "in the centre of the city" |]
                | "harbour" -> chance.Pick [| "at the harbour"; "in the harbour area"; "down by the harbour" |]
                | "old town" -> chance.Pick [| "in the old town"; "in the old part of town" |]
                | _ -> chance.Pick [| "in the suburbs"; "on the edge of the city" |])

        match near, area with
        | Some near, Some area ->
            Some(
                if chance.Odds 0.5 then
                    $"{near} {area}"
                else
                    $"{area} {near}"
            )
        | Some only, None
        | None, Some only -> Some only
        | None, None -> None

    let private priceAdjective (chance: Chance) (price: string) : string option =
        match price with
        | "free" -> Some "free"
        | "cheap" -> Some(chance.Pick [| "cheap"; "low-priced"; "inexpensive" |])
        | "moderate" -> Some(chance.Pick [| "moderately priced"; "mid-priced" |])
        | "expensive" -> Some(chance.Pick [| "expensive"; "high-priced"; "costly" |])
        | _ -> None

    // Clauses whose subject is "the museum" or "it".
    let private priceClause (chance: Chance) (price: string) : string =
        let amount =
            match price with
            | "under £5" -> chance.Pick [| "less than £5"; "under £5" |]
            | "£10-15" -> chance.Pick [| "£10-15"; "between £10 and £15" |]
            | _ -> chance.Pick [| "more than £20"; "over £20" |]

        if isAmount price then
            chance.Pick
                [|
                    $"charges {amount} for a ticket"
                    $"costs {amount}"
                    $"asks {amount} for admission"
                |]
        else
            match price with
            | "free" -> chance.Pick [| "is free of charge"; "is free to visit"; "costs nothing to visit" |]
            | "cheap" -> chance.Pick [| "is cheap to visit"; "is inexpensive"; "has low-priced tickets" |]
            | "moderate" ->
                chance.Pick
                    [|
                        "is moderately priced"
                        "has moderately priced tickets"
                        "has mid-priced tickets"
                    |]
            | _ -> chance.Pick [| "is expensive to visit"; "is costly"; "has high-priced tickets" |]

    let private ratingWords (chance: Chance) (rating: string) : string =
        match rating with
        | "low" -> chance.Pick [| "low"; "poor" |]
        | "average" -> chance.Pick [| "average"; "middling" |]
        | "high" -> chance.Pick [| "high"; "excellent" |]
        | stars ->
            let words =
                stars.Split ' '
                |> Array.map (fun word ->
                    match Int32.TryParse word with
                    | true, number -> Inflect.number number
                    | _ -> word)

            chance.Pick [| stars; stars; String.Join(" ", words) |]

    let private ratingClause (chance: Chance) (rating: string) : string =
        let words = ratingWords chance rating

        if rating.Contains "out of" then
            chance.Pick
                [|
                    $"is rated {words} by visitors"
                    $"has a customer rating of {words}"
                    $"gets {words} from visitors"
                    $"scores {words}"
                |]
        else
            let phrase = article words

            chance.Pick
                [|
                    $"has {phrase} customer rating"
                    $"gets {phrase} rating from visitors"
                    $"enjoys {phrase} rating"
                |]
            |> fun clause ->
                if rating = "high" then
                    clause
                else
                    clause.Replace("enjoys", "has")

    let private childrenClause (chance: Chance) (value: string) : string =
        if value = "welcome" then
            chance.Pick
                [|
                    "is child-friendly"
                    "welcomes children"
                    "is good for families with children"
                    "is family-friendly"
                |]
        else
            chance.Pick
                [|
                    "is not child-friendly"
                    "is for adults only"
                    "is not family-friendly"
                    "does not admit children"
                |]

    let private extra (adjectives: string list) =
        adjectives |> List.map (fun adjective -> "is " + adjective)

    let private joined (clauses: string list) = Inflect.series clauses

    let private also (clause: string) =
        if clause.StartsWith "is " then
            "is also " + clause.Substring 3
        else
            "also " + clause

    let private placed (place: string option) =
        match place with
        | Some place -> $" and is {place}"
        | None -> ""

    /// One of the ways to say a museum in one to three sentences.
    let private say (chance: Chance) (museum: Museum) : string =
        // A price that is an adjective can stand before the kind: "a cheap toy museum".
        let before, clausePrice =
            match museum.Price with
            | Some price when not (isAmount price) && chance.Odds 0.4 -> priceAdjective chance price, None
            | price -> None, price

        let beforeChildren, clauseChildren =
            match museum.Children with
            | Some "welcome" when chance.Odds 0.3 -> Some(chance.Pick [| "child-friendly"; "family-friendly" |]), None
            | value -> None, value

        let adjectives = [ before; beforeChildren ] |> List.choose id

        let kind =
            String.Join(", ", adjectives)
            + (if adjectives.IsEmpty then "" else " ")
            + museum.Kind

        let place = whereabouts chance museum

        let atPlace =
            place |> Option.map (fun place -> " " + place) |> Option.defaultValue ""

        let clauses =
            [
                clausePrice |> Option.map (priceClause chance)
                museum.Rating |> Option.map (ratingClause chance)
                clauseChildren |> Option.map (childrenClause chance)
            ]
            |> List.choose id
            |> Array.ofList
            |> chance.Shuffle
            |> List.ofArray

        let it = chance.Pick [| "it"; "it"; "the museum"; "the place" |]
        let called = chance.Pick [| "called"; "named" |]
        let stands = chance.Pick [| "located"; "situated"; "found" |]
        let isA = $"{museum.Name} is {article kind}"

        match clauses with
        | [] ->
            match place with
            | Some place ->
                chance.Pick
                    [|
                        $"{isA} {place}."
                        $"There is {article kind} called {museum.Name} {place}."
                        $"{place}, you will find {museum.Name}, {article kind}."
                        $"{isA}, and it can be found {place}."
                        $"You can find {article kind} {place}: {museum.Name}."
                        $"{article kind} {called} {museum.Name} is {stands} {place}."
                    |]
            | None ->
                chance.Pick
                    [|
                        $"{isA}."
                        $"There is {article kind} {called} {museum.Name}."
                        $"You can visit {article kind} {called} {museum.Name}."
                    |]
        | first :: rest ->
            let all = joined clauses

            let options =
                [|
                    yield $"{isA}{atPlace}. {it} {all}."
                    yield $"{isA}{atPlace} that {all}."
                    yield $"There is {article kind} {called} {museum.Name}{atPlace}. {it} {all}."
                    yield $"{museum.Name}, {article kind}{atPlace}, {all}."
                    if place.IsSome then
                        yield $"{place.Value}, there is {article kind} {called} {museum.Name}. {it} {all}."
                        yield $"{isA} that {all}. It is {stands}{atPlace}."

                        yield
                            $"{museum.Name} is {stands}{atPlace}. This {museum.Kind} {joined (clauses @ extra adjectives)}."
                    if not rest.IsEmpty then
                        yield $"{isA}{atPlace} that {first}. {it} {also (joined rest)}."

                        yield
                            $"{isA} that {joined (List.truncate (clauses.Length - 1) clauses)}. {it} {List.last clauses}{placed place}."
                |]

            chance.Pick options

    /// The museum behind row `index`.
    let museum (seed: int) (index: int) : Museum =
        Museums.draw (Chance.ofRow "attributes" seed index)

    /// Row `index` of the endless stream of a seed.
    let row (seed: int) (index: int) : Example =
        let subject = museum seed index
        let text = say (Chance.ofRow "attributes wording" seed index) subject

        {
            Input = Museums.represent subject
            Target = Inflect.finish text
        }

    let task: SyntheticTask =
        {
            Name = "attributes"
            Columns = "attributes", "text"
            Labels = [||]
            Row = row
        }
