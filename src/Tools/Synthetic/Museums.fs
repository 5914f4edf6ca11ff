namespace Peft.Synthetic

open Peft
open System

/// What a museum is like, as the words of its meaning representation; `None` where nothing is said.
type Museum =
    {
        Name: string
        Kind: string
        Price: string option
        Rating: string option
        Near: string option
        Area: string option
        Children: string option
    }

/// The museums of the meaning representations: the values of their slots and the wordings that say them.
[<RequireQualifiedAccess>]
module Museums =
    let private names =
        lazy
            ([|
                for first in WordLists.read "museums" "name beginning" do
                    for second in WordLists.read "museums" "name ending" -> $"The {first} {second}"
            |])

    let private kinds = WordLists.read "museums" "kind"

    /// The value of a slot, and the wordings that count as saying it.
    let prices: (string * string[])[] =
        [|
            "free", [| "free of charge"; "free"; "costs nothing" |]
            "cheap", [| "cheap"; "low-priced"; "inexpensive" |]
            "moderate", [| "moderately priced"; "mid-priced"; "moderate" |]
            "expensive", [| "expensive"; "high-priced"; "costly" |]
            "under £5", [| "less than £5"; "under £5" |]
            "£10-15", [| "£10-15"; "between £10 and £15" |]
            "over £20", [| "more than £20"; "over £20" |]
        |]

    /// The value of a slot, and the wordings that count as saying it.
    let ratings: (string * string[])[] =
        [|
            "low", [| "low"; "poor" |]
            "average", [| "average"; "middling" |]
            "high", [| "high"; "excellent" |]
            "1 out of 5", [| "1 out of 5"; "one out of five" |]
            "3 out of 5", [| "3 out of 5"; "three out of five" |]
            "5 out of 5", [| "5 out of 5"; "five out of five" |]
        |]

    /// The value of a slot, and the wordings that count as saying it.
    let areas: (string * string[])[] =
        [|
            "riverside", [| "riverside"; "by the river" |]
            "city centre", [| "city centre"; "centre of the city" |]
            "harbour", [| "harbour" |]
            "old town", [| "old town"; "old part of town" |]
            "suburbs", [| "suburbs"; "edge of the city" |]
        |]

    /// The value of a slot, and the wordings that count as saying it.
    let children: (string * string[])[] =
        [|
            "welcome",
            [|
                "child-friendly"
                "welcomes children"
                "children are welcome"
                "good for families with children"
                "family-friendly"
            |]
            "not welcome",
            [|
                "not child-friendly"
                "for adults only"
                "children are not welcome"
                "not family-friendly"
                "does not admit children"
            |]
        |]

    let private landmarks =
        lazy
            (Array.concat
                [
                    [|
                        for tree in WordLists.read "museums" "tree" do
                            for place in WordLists.read "museums" "place" -> $"{tree} {place}"
                    |]
                    WordLists.read "museums" "landmark"
                ])

    /// A museum drawn by chance: name, kind and one to five further slots.
    let draw (chance: Chance) : Museum =
        let kept = chance.Sample(chance.Between(1, 5), [| 0..4 |])

        let maybe slot value =
            if Array.contains slot kept then Some value else None

        {
            Name = chance.Pick names.Value
            Kind = chance.Pick kinds
            Price = maybe 0 (fst (chance.Pick prices))
            Rating = maybe 1 (fst (chance.Pick ratings))
            Near = maybe 2 (chance.Pick landmarks.Value)
            Area = maybe 3 (fst (chance.Pick areas))
            Children = maybe 4 (fst (chance.Pick children))
        }

    /// The meaning representation: `name[…], kind[…], price[…], …`, in a fixed order of slots.
    let represent (museum: Museum) : string =
        [
            "name", Some museum.Name
            "kind", Some museum.Kind
            "price", museum.Price
            "rating", museum.Rating
            "area", museum.Area
            "children", museum.Children
            "near", museum.Near
        ]
        |> List.choose (fun (slot, value) -> value |> Option.map (fun value -> $"{slot}[{value}]"))
        |> fun slots -> String.Join(", ", slots)
