namespace Peft.Synthetic

open Peft

/// Reviews with two remarks: both praise, both blame, or one of each. The remarks name what happened, not how it was found.
[<RequireQualifiedAccess>]
module Rating =
    let private labels = [| "good"; "mixed"; "bad" |]

    let private rules = lazy (Lexicon.rules |> Rules.extend (WordLists.rules "rating"))

    let private alike =
        [|
            "{1}, and {2}."
            "{1:cap}. {2:cap}."
            "Not only that {1}: {2}."
            "{1:cap}; {2}, too."
        |]

    let private unlike =
        [|
            "{1}, but {2}."
            "{1:cap}. {2:cap}."
            "Although {1}, {2}."
            "{1:cap}; yet {2}."
        |]

    let private row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "rating" seed index
        let label = SyntheticTask.balanced "rating" labels seed index
        let subject = chance.Pick [| "hotel"; "meal"; "thing"; "trip" |]

        let first, second, joints =
            match label with
            | "mixed" when chance.Odds 0.5 -> "good", "bad", unlike
            | "mixed" -> "bad", "good", unlike
            | same -> same, same, alike

        let joint = chance.Pick joints
        // After "…, and" the sentence before it begins the line, or follows an opening.
        let opened = chance.Odds 0.6

        let joint =
            if joint.StartsWith "{1}" && not opened then
                joint.Replace("{1}", "{1:cap}")
            else
                joint

        let remarks =
            Template.expand
                rules.Value
                []
                chance
                ((if opened then $"{{{subject} opening}}\t" else "\t")
                 + $"{{{subject} {first}}}\t{{{subject} {second}}}")

        let parts = remarks.Split '\t'

        let remark =
            joint
                .Replace("{1:cap}", Inflect.capital parts[1])
                .Replace("{2:cap}", Inflect.capital parts[2])
                .Replace("{1}", Inflect.small parts[1])
                .Replace("{2}", Inflect.small parts[2])

        let between = if joint.StartsWith "{1}" then ": " else ". "

        {
            Input = (if opened then parts[0] + between else "") + remark
            Target = label
        }

    let task: SyntheticTask =
        {
            Name = "rating"
            Columns = "review", "label"
            Labels = labels
            Row = row
        }
