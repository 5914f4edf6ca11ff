namespace Peft.Synthetic

open Peft

/// What somebody wants of an assistant that can do twenty things.
[<RequireQualifiedAccess>]
module Intent =
    let private lists = lazy WordLists.rules "intent"

    let private labels =
        lists.Value
        |> List.map fst
        |> List.filter (fun name -> name <> "opening" && name <> "closing")
        |> Array.ofList

    let private rules =
        lazy
            (Lexicon.rules
             |> Rules.extend (lists.Value |> List.map (fun (name, texts) -> $"wants {name}", texts)))

    let private row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "intent" seed index
        let label = SyntheticTask.balanced "intent" labels seed index
        let opening = if chance.Odds 0.3 then "{wants opening} " else ""
        let closing = if chance.Odds 0.3 then "{wants closing}" else ""

        {
            Input = (Template.expand rules.Value [] chance $"{opening}{{wants {label}}}{closing}").Replace(" ,", ",")
            Target = label
        }

    let task: SyntheticTask =
        {
            Name = "intent"
            Columns = "utterance", "label"
            Labels = labels
            Row = row
        }
