namespace Peft

open System

/// Recommendations as text.
[<RequireQualifiedAccess>]
module RecommendationText =
    let private table (candidates: Candidate list) : string =
        let number style value = NumberStyle.text style value

        let line place (candidate: Candidate) =
            [
                (if candidate.Breaks.IsEmpty then
                     string (place + 1)
                 else
                     Render.missing)
                Method.name candidate.Method
                number (Fixed 4) candidate.Score
                $"{number (Fixed 4) candidate.Interval.Low} … {number (Fixed 4) candidate.Interval.High}"
                $"{number (Fixed 4) candidate.Tasks.Low} … {number (Fixed 4) candidate.Tasks.High}"
                number Grouped candidate.Seconds
                number Grouped candidate.Parameters
                number Grouped candidate.MemoryMiB
                number (Significant 3) candidate.PerMinute
                number (Significant 3) candidate.PerParameters
                (if candidate.IsBelowFloor then
                     "score below the floor"
                 else
                     String.Join("; ", candidate.Breaks))
            ]

        [
            ""
            "technique"
            "score"
            "95 % interval"
            "over tasks"
            "seconds"
            "parameters"
            "MiB"
            "per minute"
            "per 100,000"
            ""
        ]
        :: List.mapi line candidates
        |> Render.aligned 2

    let private evidenceText (candidate: Candidate) : string =
        let item ((task, rows), group: Evidence list) =
            let cell = group |> List.map _.Score |> Cell.ofValues |> Cell.text (Fixed 4)
            let sources = group |> List.map _.Source |> List.distinct |> String.concat ", "
            $"{Tables.title task} {cell} at {rows:N0} rows ({sources})"

        let items =
            candidate.Evidence
            |> List.groupBy (fun evidence -> evidence.Task, evidence.Rows)
            |> List.map item
            |> String.concat "; "

        $"  {Method.name candidate.Method}: {items}"

    let private ruleText (applied: AppliedRule) : string =
        let agreement =
            match applied.Agrees with
            | Some true -> "the ranking agrees; "
            | Some false -> "the ranking does not agree; "
            | None -> ""

        $"  {applied.Rule.Source}: {applied.Rule.Statement} — {agreement}{Claim.verdict applied.Claim}"

    /// A recommendation as text: the ranking, the evidence, the rules, what would change it, and how far to trust it.
    let describe (recommendation: Recommendation) : string =
        let question = recommendation.Question

        let kind =
            match question.Kind with
            | TaskKind.Classification -> "classification"
            | TaskKind.Generation -> "generation"

        let priority = Question.priorityName question.Priority

        let listed heading lines =
            if List.isEmpty lines then
                []
            else
                [ String.concat "\n" (heading :: lines) ]

        let choice =
            match recommendation.Ranking |> List.tryFind _.Breaks.IsEmpty with
            | Some top -> $"Take {Method.name top.Method}: {kind}, {question.Rows:N0} training rows, {priority} first."
            | None -> $"No technique meets the limits: {kind}, {question.Rows:N0} training rows, {priority} first."

        [
            yield choice
            yield $"By {recommendation.Basis}:\n\n{table recommendation.Ranking}"
            yield! listed "Evidence:" (recommendation.Ranking |> List.map evidenceText)
            if not recommendation.Elsewhere.IsEmpty then
                yield $"Measured elsewhere, under other conditions:\n\n{table recommendation.Elsewhere}"
                yield! listed "Evidence:" (recommendation.Elsewhere |> List.map evidenceText)
            yield! listed "The paper's rules:" (recommendation.Rules |> List.map ruleText)
            yield! listed "What would change this:" (recommendation.WouldChange |> List.map (fun line -> $"  {line}"))
            yield! listed "Read with care:" (recommendation.Warnings |> List.map (fun line -> $"  {line}"))
        ]
        |> String.concat "\n\n"
