namespace Peft.Synthetic

open Peft

/// Questions by the kind of answer that they ask for. Most name a person, a place or a number beside it; many begin with
/// no question word.
[<RequireQualifiedAccess>]
module QuestionKind =
    let private labels = [| "person"; "place"; "time"; "number"; "reason"; "thing" |]

    // A list may not bear the name of one that the lexicon has.
    let private rules =
        lazy
            (Lexicon.rules
             |> Rules.extend (
                 WordLists.rules "question"
                 |> List.map (fun (kind, questions) -> $"asks {kind}", questions)
             ))

    let private row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "question" seed index
        let label = SyntheticTask.balanced "question" labels seed index
        let before = if chance.Odds 0.35 then "{asks before} " else ""

        {
            Input = Template.expand rules.Value [] chance (before + $"{{asks {label}}}")
            Target = label
        }

    let task: SyntheticTask =
        {
            Name = "question"
            Columns = "question", "label"
            Labels = labels
            Row = row
        }
