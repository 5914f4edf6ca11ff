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

    let private kind (question: Question) =
        match question.Kind with
        | TaskKind.Classification -> "classification"
        | TaskKind.Generation -> "generation"

    /// What to take, or that nothing needs to be trained.
    let private choice (recommendation: Recommendation) : string =
        let question, take = recommendation.Question, recommendation.Take

        let asked =
            $"{kind question}, {question.Rows:N0} training rows, {Question.priorityName question.Priority} first."

        match take.Technique, take.Untrained with
        | None, _ -> $"No technique meets the limits: {asked}"
        | Some technique, Some(method, score) ->
            let answer =
                match method with
                | Majority -> "the majority answer"
                | _ -> "the base model as it is"

            $"Take none: {answer} scores {NumberStyle.text (Fixed 3) score}, {Method.name technique.Method} {NumberStyle.text (Fixed 3) technique.Score}: {asked}"
        | Some technique, None -> $"Take {Method.name technique.Method}: {asked}"

    let private expected (candidate: Candidate) : string =
        let number style value = NumberStyle.text style value

        let costs =
            [
                if not (Double.IsNaN candidate.Parameters) then
                    $"{number Grouped candidate.Parameters} parameters"
                if not (Double.IsNaN candidate.Seconds) then
                    $"{number Grouped candidate.Seconds} s a run"
                if not (Double.IsNaN candidate.MemoryMiB) then
                    $"{number Grouped candidate.MemoryMiB} MiB"
            ]
            |> String.concat ", "

        $"{Method.name candidate.Method} {number (Fixed 3) candidate.Score} ({number (Fixed 3) candidate.Interval.Low} … {number (Fixed 3) candidate.Interval.High}; {costs})"

    let private checked' (recommendation: Recommendation) : string =
        match recommendation.Check with
        | None -> "How right that is: not tested, since the evidence has fewer than three tasks."
        | Some check ->
            let told =
                check.Rules
                |> List.map (fun rule -> $"{rule.Rule} {NumberStyle.text (Fixed 1) (100.0 * rule.Mean)} %%")
                |> String.concat ", "

            $"How right that is: with each of {check.Tasks} tasks left out in turn, of the best score there is lost by {told}."

    /// The answer in five lines: what to take, why not the first where it is not, what to expect beside the next ones, what it
    /// rests on, and how right such answers are.
    let brief (recommendation: Recommendation) : string =
        let take = recommendation.Take

        [
            choice recommendation
            match take.First, take.Technique with
            | Some first, Some _ -> $"Not {Method.name first.Method}, the first by score: {take.Because}."
            | _ -> ()
            match take.Technique with
            | None -> ()
            | Some technique ->
                let next =
                    recommendation.Ranking
                    |> List.filter (fun candidate -> candidate.Method <> technique.Method && candidate.Breaks.IsEmpty)
                    |> List.truncate 2
                    |> List.map expected

                let told = expected technique :: next |> String.concat "; "
                $"Expected scores: {told}."
            $"By {recommendation.Basis}."
            checked' recommendation
        ]
        |> String.concat "\n"

    /// A recommendation as text: the ranking, the evidence, the rules, what would change it, and how far to trust it.
    let describe (recommendation: Recommendation) : string =
        let listed heading lines =
            if List.isEmpty lines then
                []
            else
                [ String.concat "\n" (heading :: lines) ]

        let choice = choice recommendation

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
