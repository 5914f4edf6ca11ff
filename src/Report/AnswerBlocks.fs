namespace Peft.Reports

open System
open System.Globalization
open Peft

/// The answers of tasks as the first part of a page: words, and a small chart of techniques with intervals that needs no
/// script.
[<RequireQualifiedAccess>]
module AnswerBlocks =
    /// The ends of a chart's axis: what all intervals reach, and a little room.
    let private ends (entries: AnswerEntry list) : float * float =
        let reached =
            entries
            |> List.collect (fun entry ->
                match entry.Interval with
                | Some interval -> [ interval.Low; interval.High; entry.Score ]
                | None -> [ entry.Score ])

        let low, high = List.min reached, List.max reached
        let room = max 1e-6 (0.04 * (high - low))
        low - room, high + room

    let private percent (value: float) =
        value.ToString("0.##", CultureInfo.InvariantCulture) + "%"

    /// A line from one end of the interval to the other and a dot at the score.
    let private strip (low: float, high: float) (entry: AnswerEntry) : Html =
        let at value = 100.0 * (value - low) / (high - low)

        let span name style =
            Element("span", [ "class", name; "style", style ], [])

        Element(
            "div",
            [ "class", "strip"; "aria-hidden", "true" ],
            [
                match entry.Interval with
                | Some interval ->
                    span
                        "reach"
                        $"left:{percent (at interval.Low)};width:{percent (at interval.High - at interval.Low)}"
                | None -> ()
                span "dot" $"left:{percent (at entry.Score)}"
            ]
        )

    let private row (answer: TaskAnswer) (axis: float * float) (entry: AnswerEntry) : Html =
        let place = TaskAnswer.placeText answer entry

        let evidence =
            Element(
                "button",
                [ "type", "button"; "class", "cell"; "data-runs", String.Join(" ", entry.Runs) ],
                [ Text(TaskAnswer.scoreText entry) ]
            )

        Element(
            "tr",
            [ "class", (if place = "" then "untested" else place.Split(' ')[0]) ],
            [
                Element("th", [ "scope", "row" ], [ Text entry.Name ])
                Html.tag "td" [ strip axis entry ]
                Element("td", [ "class", "number" ], [ evidence ])
                Html.tag "td" [ Text place ]
            ]
        )

    /// Techniques with their intervals on one task and level; ablation variants have charts of their own further down.
    let chart (answer: TaskAnswer) : Html =
        let shown =
            answer.Entries
            |> List.filter (fun entry -> not entry.IsVariant || entry.Place = Place.Best)

        let head (words: string) =
            Element("th", [ "scope", "col" ], [ Element("span", [ "class", "unseen" ], [ Text words ]) ])

        Element(
            "table",
            [ "class", "standing" ],
            [
                Element("caption", [ "class", "unseen" ], [ Text(TaskAnswer.heading answer) ])
                Html.tag
                    "thead"
                    [
                        Html.tag "tr" ([ "technique"; "interval"; "score"; "place" ] |> List.map head)
                    ]
                Html.tag "tbody" (shown |> List.map (row answer (ends shown)))
            ]
        )

    let private level (answer: TaskAnswer) : Html list =
        [
            Html.tag "h4" [ Text(TaskAnswer.heading answer) ]
            yield! TaskAnswer.sentences answer |> List.map Html.paragraph
            chart answer
        ]

    /// A task: its level with most rows at once, the others at a press.
    let private task (answers: TaskAnswer list) : Html =
        let last = List.last answers
        let others = answers |> List.take (answers.Length - 1) |> List.rev

        Element(
            "div",
            [ "class", "task-answer" ],
            [
                yield! level last
                for other in others do
                    Html.tag
                        "details"
                        [
                            Html.tag
                                "summary"
                                [ Text $"{TaskAnswer.heading other}: {(TaskAnswer.sentences other).Head}" ]
                            yield! level other |> List.tail
                        ]
            ]
        )

    /// The answers of a setting, a block a task.
    let tasks (answers: TaskAnswer list) : Html list =
        match answers with
        | [] -> []
        | answers ->
            [
                Element("div", [ "class", "task-answers" ], answers |> List.groupBy _.Task |> List.map (snd >> task))
            ]
