namespace Peft.Synthetic

open Peft

/// Requests, polite or rude. The words of courtesy stand on both sides, and half of the rows tell of somebody else's
/// manners beside it: how it is asked decides.
[<RequireQualifiedAccess>]
module Politeness =
    let private labels = [| "polite"; "rude" |]

    let private rules =
        lazy (Lexicon.rules |> Rules.extend (WordLists.rules "politeness"))

    let private row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "politeness" seed index
        let label = SyntheticTask.balanced "politeness" labels seed index
        let other = labels |> Array.find ((<>) label)

        let beside =
            match chance.Below 4 with
            | 0 -> "{plain}"
            | 1 -> $"{{{label} aside}}"
            | _ -> $"{{{other} aside}}"

        let request = $"{{{label} frame}}"

        let text =
            match chance.Below 3 with
            | 0 -> request
            | 1 -> $"{request} {beside}"
            | _ -> $"{beside} {request}"

        {
            Input = Template.expand rules.Value [] chance text
            Target = label
        }

    let task: SyntheticTask =
        {
            Name = "politeness"
            Columns = "request", "label"
            Labels = labels
            Row = row
        }
