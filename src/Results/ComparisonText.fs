namespace Peft

open System

/// Comparisons as text.
[<RequireQualifiedAccess>]
module ComparisonText =
    /// What the intervals and tests of a comparison hold for.
    let scope (comparison: Comparison) : string =
        match comparison.Seeds with
        | [ seed ] ->
            $"Intervals and P hold for the models trained with seed {seed} and other test rows; what another seed would change is not in them: run more seeds."
        | seeds -> $"Intervals and P are over other test rows and other seeds, of which {seeds.Length} were trained."

    /// Table 1 of runs of one setting, with a mark for what is tied with the best technique of its level and task.
    let table1 (comparisons: Comparison list) (runs: Run list) : string =
        let table =
            Tables.table1 runs
            |> Render.marked (Comparison.marks comparisons) (Fixed 4)
            |> Render.aligned 2

        $"{table}\n\n* tied with the best of its level and task: P of the paired test on the same test rows, after Holm's correction, is 0.05 or more. Cells of other seeds than those compared have no mark."

    /// A comparison as text: each technique with its interval, its distance to the best, the mark of a tie, its costs and
    /// the front; then the disagreement and what it holds for. What was left out, `Comparison.all` names.
    let describe (comparison: Comparison) : string =
        let number decimals value = NumberStyle.text (Fixed decimals) value

        let line place (standing: BesideBest) =
            let cost = comparison.Costs[place]

            [
                standing.Name
                number 4 standing.Mean
                $"{number 4 standing.Interval.Low} … {number 4 standing.Interval.High}"
                number 4 standing.ToBest
                number 3 standing.P
                if standing.IsTied then "tied" else ""
                NumberStyle.text Grouped cost[0]
                number 1 cost[1]
                NumberStyle.text Grouped cost[2]
                if comparison.OnFront[place] then "front" else ""
                number 2 comparison.FrontProbability[place]
            ]

        let header =
            [
                "technique"
                "score"
                "95 % interval"
                "to best"
                "P (Holm)"
                "with best"
                "parameters"
                "seconds"
                "MiB"
                "front"
                "P(front)"
            ]

        let table =
            header :: (comparison.BesideBest |> Array.mapi line |> List.ofArray)
            |> Render.aligned 1

        let disagreement =
            ("answers differ" :: List.ofArray comparison.Methods)
            :: [
                for left in 0 .. comparison.Methods.Length - 1 ->
                    comparison.Methods[left]
                    :: [
                        for right in 0 .. comparison.Methods.Length - 1 -> number 3 comparison.Disagreement[left, right]
                    ]
            ]
            |> Render.aligned 1

        let place = Comparison.place comparison.Task comparison.Level
        let seeds = String.Join(", ", comparison.Seeds)

        [
            $"{place}: {comparison.Scores[0].Length} test rows over all seeds, seeds {seeds}"
            table
            disagreement
            scope comparison
            yield! Comparison.rowNote comparison |> Option.toList
            if not comparison.LeftOut.IsEmpty then
                let left = String.Join(", ", comparison.LeftOut)
                $"Note: seeds {left} are left out, since not every technique has them."
        ]
        |> String.concat "\n\n"
