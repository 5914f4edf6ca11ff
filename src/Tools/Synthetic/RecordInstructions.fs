namespace Peft.Synthetic

open System
open Peft
open Peft.Synthetic.Wordings

/// Instructions about records of people, animals, houses, journeys and books: to put them into words, and to find the
/// record in the words. Museums, which the attributes task describes, are not among them.
module internal RecordInstructions =
    /// One property: its key, its possible values, and clauses that say it, with `@` for the value.
    type private Property = string * string[] * string[]

    type private Domain =
        {
            /// The name, as a template; the kinds of thing it can be.
            Name: string
            Kinds: string[]
            Pronoun: string
            Properties: Property[]
        }

    let private numbers low high = [| low..high |] |> Array.map string

    let private domains: Domain[] =
        [|
            {
                Name = "{name}"
                Kinds = Lexicon.jobs
                Pronoun = "This person"
                Properties =
                    [|
                        "town", Lexicon.towns, [| "lives in @"; "comes from @"; "has a home in @" |]
                        "age", numbers 18 90, [| "is @ years old"; "is aged @" |]
                        "likes", Lexicon.fruits, [| "likes to eat a(n) @"; "is fond of a(n) @" |]
                        "pet", Lexicon.animals, [| "has a(n) @"; "keeps a(n) @"; "owns a(n) @" |]
                        "mood", Lexicon.moods, [| "is often @"; "looks @" |]
                        "married", [| "yes"; "no" |], [| "is married"; "is not married" |]
                    |]
            }
            {
                Name = "{name}"
                Kinds = Array.append Lexicon.animals Lexicon.birds
                Pronoun = "The animal"
                Properties =
                    [|
                        "colour", Lexicon.colours, [| "is @"; "is @ in colour" |]
                        "size", Lexicon.sizes, [| "is @"; "is rather @" |]
                        "weight", numbers 2 70, [| "weighs @ pounds"; "has a weight of @ pounds" |]
                        "owner", Lexicon.girls, [| "belongs to @"; "lives with @" |]
                        "tame", [| "yes"; "no" |], [| "is tame"; "is not tame" |]
                    |]
            }
            {
                Name = "{surname} House"
                Kinds = [| "cottage"; "villa"; "farmhouse"; "flat"; "tower"; "hut"; "palace" |]
                Pronoun = "The house"
                Properties =
                    [|
                        "rooms", numbers 3 30, [| "has @ rooms"; "offers @ rooms" |]
                        "near",
                        Lexicon.venues,
                        [| "stands near the @"; "is close to the @"; "lies not far from the @" |]
                        "garden", [| "yes"; "no" |], [| "has a garden"; "has no garden" |]
                        "rent", [| "low"; "fair"; "high" |], [| "has a(n) @ rent"; "can be had for a(n) @ rent" |]
                        "walls", Lexicon.colours, [| "has @ walls"; "is painted @" |]
                    |]
            }
            {
                Name = "The {quality:cap} {thing:cap}"
                Kinds =
                    [|
                        "novel"
                        "play"
                        "comic"
                        "cookbook"
                        "thriller"
                        "fairy tale"
                        "travel guide"
                    |]
                Pronoun = "The book"
                Properties =
                    [|
                        "author", Lexicon.boys, [| "was written by @"; "is by @" |]
                        "pages", numbers 80 900, [| "has @ pages"; "is @ pages long" |]
                        "price", numbers 2 40, [| "costs @ pounds"; "can be bought for @ pounds" |]
                        "stars", numbers 1 5, [| "got @ stars"; "was given @ stars" |]
                        "pictures", [| "yes"; "no" |], [| "has pictures"; "has no pictures" |]
                    |]
            }
            {
                Name = "Tour {number}"
                Kinds = [| "walk"; "cruise"; "bus tour"; "bicycle tour"; "boat trip"; "flight" |]
                Pronoun = "The tour"
                Properties =
                    [|
                        "from", Lexicon.towns, [| "starts in @"; "begins in @" |]
                        "to", Lexicon.towns, [| "goes to @"; "ends in @" |]
                        "day", Lexicon.days, [| "takes place on @"; "is on @" |]
                        "hours", numbers 2 12, [| "lasts @ hours"; "takes @ hours" |]
                        "guide", Lexicon.girls, [| "is led by @"; "has @ as its guide" |]
                        "lunch", [| "yes"; "no" |], [| "includes lunch"; "does not include lunch" |]
                    |]
            }
        |]

    let private clause (chance: Chance) ((_, values, clauses): Property) (value: string) : string =
        if values = [| "yes"; "no" |] then
            clauses[if value = "yes" then 0 else 1]
        else
            (chance.Pick clauses).Replace("@", value)

    let private formats: ((string * string)[] -> string)[] =
        let by (separator: string) (each: string * string -> string) pairs =
            pairs |> Array.map each |> String.concat separator

        [|
            by ", " (fun (key, value) -> $"{key}[{value}]")
            by ", " (fun (key, value) -> $"{key}[{value}]")
            by "; " (fun (key, value) -> $"{key}: {value}")
            by ", " (fun (key, value) -> $"{key} = {value}")
            by " | " (fun (key, value) -> $"{key} | {value}")
            by ", " (fun (key, value) -> $"{key}({value})")
        |]

    /// A record and a text that says it.
    let private draw (chance: Chance) : (string * string)[] * string =
        let domain = chance.Pick domains
        let kind = chance.Pick domain.Kinds

        let name =
            (write chance (domain.Name.Replace("{number}", string (chance.Between(1, 60))))).TrimEnd '.'

        let chosen =
            chance.Sample(chance.Between(1, 4), domain.Properties)
            |> Array.map (fun property ->
                let _, values, _ = property
                property, chance.Pick values)

        let clauses =
            chosen
            |> Array.map (fun (property, value) -> clause chance property value)
            |> chance.Shuffle
            |> List.ofArray

        let all = Inflect.series clauses
        let first = clauses.Head

        let said =
            chance.Pick
                [|
                    yield $"{name} is a(n) {kind} that {all}."
                    yield $"{name} is a(n) {kind}. {domain.Pronoun} {all}."
                    yield $"{name}, a(n) {kind}, {all}."
                    yield $"The {kind} {name} {all}."
                    if clauses.Length > 1 then
                        yield $"{name} is a(n) {kind} that {first}. {domain.Pronoun} {Inflect.series clauses.Tail}."
                |]

        let pairs =
            chosen |> Array.map (fun ((key, _, _), value) -> key, value) |> chance.Shuffle

        Array.append [| "name", name; "kind", kind |] pairs, Inflect.finish said

    /// A record in words.
    let describe (chance: Chance) =
        let pairs, said = draw chance

        ask
            chance
            [|
                "Write a text from the facts: {}"
                "Put the data into words. {}"
                "Describe it: {}"
                "Turn this record into sentences. {}"
                "Say it in full sentences: {}"
                "Make a short text of it. {}"
            |]
            ((chance.Pick formats) pairs),
        said

    /// One value, from the words.
    let find (chance: Chance) =
        let pairs, said = draw chance
        let key, value = chance.Pick pairs

        ask
            chance
            [|
                $"Give the {key}. {{}}"
                $"{{}} What stands under {key}?"
                $"Fill in the form. {{}} {key}:"
            |]
            said,
        value

    /// The record of a text.
    let record (chance: Chance) =
        let pairs, said = draw chance
        let format = chance.Pick formats
        let keys = pairs |> Array.map fst |> String.concat ", "

        ask chance [| $"Make a record with {keys}: {{}}"; $"Write down {keys}. {{}}" |] said, format pairs
