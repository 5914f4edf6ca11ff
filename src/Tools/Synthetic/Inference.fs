namespace Peft.Synthetic

open Peft

/// A text and a claim that must be true, cannot be true, or is left open by it.
[<RequireQualifiedAccess>]
module Inference =
    let private labels = [| "yes"; "no"; "unclear" |]

    let private row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "inference" seed index
        let label = SyntheticTask.balanced "inference" labels seed index
        let parts = (chance.Pick(WordLists.read "inference" "schema")).Split '/'
        let claim = parts[1 + System.Array.IndexOf(labels, label)]

        let text =
            Template.expandKeeping
                Lexicon.rules
                (Character.bindings (Character.cast 3 chance))
                chance
                $"{parts[0]}\t{claim}"

        let both = text.Split '\t' |> Array.map Inflect.capital

        {
            Input = $"{both[0]}\nClaim: {both[1]}"
            Target = label
        }

    let task: SyntheticTask =
        {
            Name = "inference"
            Columns = "text", "label"
            Labels = labels
            Row = row
        }
