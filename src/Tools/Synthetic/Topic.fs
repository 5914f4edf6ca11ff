namespace Peft.Synthetic

open Peft

/// A short news text and its topic. Many texts borrow words of a second topic, so that one keyword does not decide:
/// what happens decides.
[<RequireQualifiedAccess>]
module Topic =
    /// The answers, each as likely as the others.
    let labels: string[] = [| "sports"; "weather"; "cooking"; "music" |]

    /// Clauses of one topic that can hang on a text about another.
    let private asides = WordLists.rules "topic-asides"

    let private headlines = WordLists.rules "topic-headlines"

    let private bodies = WordLists.rules "topic-bodies"

    // One sentence for every topic: who did it and what was done tell the topics apart, and both may be borrowed in a
    // clause that does not count.
    let private frames =
        WordLists.rules "topic-frames"
        @ [
            "sports story", [| "{sports who} {sports deed}" |]
            "weather story", [| "{weather who} {weather deed}" |]
            "cooking story", [| "{cooking who} {cooking deed}" |]
            "music story", [| "{music who} {music deed}" |]
        ]

    let private rules =
        lazy
            (TopicWords.rules
             |> Rules.extend (List.concat [ asides; headlines; bodies; frames ]))

    /// Row `index` of the endless stream of a seed.
    let row (seed: int) (index: int) : Example =
        let chance = Chance.ofRow "topic" seed index
        // Every four rows in a row hold the four labels once, in an order of their own.
        let label =
            (Chance.ofRow "topic labels" seed (index / 4)).Shuffle(labels)[index % 4]

        let other = chance.Pick(labels |> Array.filter ((<>) label))
        let third = chance.Pick(labels |> Array.filter ((<>) label))

        let plainPlaces =
            [|
                "on {day}"
                "in {town}"
                "on {day} evening"
                "last week"
                "in front of a small crowd"
                "near {town}"
            |]

        // Half of the asides and a third of the places are another topic's; the headline seldom gives the topic away.
        let borrowed (kind: string) (topic: string) (odds: float) (plain: string[]) =
            if chance.Odds odds then
                [| $"{{{topic} {kind}}}" |]
            else
                plain

        let season =
            if label = "weather" then
                let skies, changes = if chance.Odds 0.3 then TopicWords.hot else TopicWords.cold
                [ "sky", skies; "change", changes ]
            else
                []

        // A storm is not a person: clauses with "who" can only follow a name.
        let aside = borrowed "aside" other 0.5 [| "" |]

        let rules =
            rules.Value
            |> Rules.extend season
            |> Rules.extend
                [
                    "named aside", aside
                    "aside", (if label = "weather" then [| "" |] else aside)
                    "place", borrowed "place" third 0.35 plainPlaces
                    "who", [| $"{{{label} who}}" |]
                    "deed", [| $"{{{label} deed}}" |]
                    "other story", [| $"{{{other} story}}" |]
                ]

        let headline =
            if chance.Odds 0.3 then
                $"{{{label} headline}}"
            else
                "{dull headline}"

        let body = if chance.Odds 0.75 then "{frame}" else $"{{{label} body}}"

        {
            // An aside brings its own closing comma.
            Input = (Template.expand rules [] chance $"{headline}. {body}").Replace(",,", ",")
            Target = label
        }

    let task: SyntheticTask =
        {
            Name = "topic"
            Columns = "text", "label"
            Labels = labels
            Row = row
        }
