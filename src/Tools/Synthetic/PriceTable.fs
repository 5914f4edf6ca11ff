namespace Peft.Synthetic

open System
open Peft

/// A small table of a shop and what it says: each row in words, and what is cheapest or dearest.
[<RequireQualifiedAccess>]
module PriceTable =
    type private Line =
        {
            Item: string
            Price: int
            /// How many there are.
            Stock: int
        }

    let private prices = [| 2..60 |]

    let private drawn (chance: Chance) : Line[] =
        let count = chance.Between(2, 3)
        let items = chance.Sample(count, Lexicon.things)
        // Different prices: one is the lowest, one the highest.
        let prices = chance.Sample(count, prices)

        Array.map2
            (fun item price ->
                {
                    Item = item
                    Price = price
                    Stock = chance.Below 6
                })
            items
            prices

    let private header = "item | price | stock"

    let private shown (lines: Line[]) =
        lines
        |> Array.map (fun line -> $"{line.Item} | £{line.Price} | {line.Stock}")
        |> Array.append [| header |]
        |> String.concat "\n"

    let private stock (line: Line) =
        match line.Stock with
        | 0 -> "is sold out"
        | 1 -> "is the last one"
        | count -> $"is there {Inflect.number count} times"

    let private told (line: Line) =
        $"The {line.Item} costs £{line.Price} and {stock line}."

    /// Sentences in the table's order. The last names the cheapest item where something is sold out, else the dearest: a text
    /// has one right form, and it must be worked out.
    let private text (lines: Line[]) : string =
        let cheapest = lines |> Array.minBy _.Price
        let dearest = lines |> Array.maxBy _.Price

        let last =
            if lines |> Array.exists (fun line -> line.Stock = 0) then
                $"The cheapest is the {cheapest.Item}."
            else
                $"The dearest is the {dearest.Item}."

        String.Join(" ", Array.append (lines |> Array.map told) [| last |])

    let private row (seed: int) (index: int) : Example =
        let lines = drawn (Chance.ofRow "table" seed index)

        {
            Input = shown lines
            Target = text lines
        }

    let task: SyntheticTask =
        {
            Name = "table"
            Columns = "table", "text"
            Labels = [||]
            Row = row
        }
