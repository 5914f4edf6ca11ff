namespace Peft.Reports

open Peft

/// Score against one cost: which techniques nothing beats in both.
[<RequireQualifiedAccess>]
module internal FrontCharts =
    open ChartParts

    let private costs =
        [ "trainable parameters", Grouped; "seconds", Fixed 1; "peak MiB", Grouped ]

    /// A technique of a comparison by its score and one cost.
    let private scoreAndCost (comparison: Comparison) (cost: int) (technique: int) : ChartPoint =
        let title, style = costs[cost]

        let standing, spent =
            comparison.BesideBest[technique], comparison.Costs[technique][cost]

        let probability = number (Fixed 2) comparison.FrontProbability[technique]

        {
            X = spent
            Y = standing.Mean
            Low = standing.Interval.Low
            High = standing.Interval.High
            Label = $"{number style spent} {title}; on the front of score and all costs with probability {probability}"
            Runs = comparison.Runs[technique]
        }

    /// The line through the techniques of a comparison that none of the drawn ones beats in score and cost.
    let private frontLine (comparison: Comparison) (cost: int) (drawn: int list) : ChartSeries =
        let isOnFront =
            [|
                for technique in drawn ->
                    [|
                        Metrics.worth comparison.Metric comparison.BesideBest[technique].Mean
                        -comparison.Costs[technique][cost]
                    |]
            |]
            |> Pareto.front

        let line =
            List.zip drawn (List.ofArray isOnFront)
            |> List.filter snd
            |> List.map (fun (technique, _) ->
                { scoreAndCost comparison cost technique with
                    Low = nan
                    High = nan
                })
            |> List.sortBy _.X

        { points "front" -1 line with
            IsJoined = true
            HasMarkers = false
        }

    /// Score against one cost of a comparison, and the front of the two.
    let private front (findings: SettingFindings, placeOf: string -> int) (comparison: Comparison) (cost: int) : Chart =
        let title = fst costs[cost]

        let place =
            $"{Findings.taskOf findings comparison}, {Level.text comparison.Level}".TrimEnd([| ','; ' ' |])

        // A logarithmic axis has no place for a baseline, which trains nothing.
        let drawn =
            [ 0 .. comparison.Methods.Length - 1 ]
            |> List.filter (fun technique ->
                comparison.Costs[technique][0] > 0.0 && comparison.Costs[technique][cost] > 0.0)

        {
            Name =
                $"front-{fileWord (Findings.fileWordOf findings comparison)}-{fileWord (Level.text comparison.Level)}-{fileWord title}"
                + findings.Suffix
            Group = "front" + findings.Suffix
            Choice = $"{place}: {title}"
            Title = $"Score and {title}: {place}" + findings.Heading
            Caption =
                $"Mean score with its 95 %% interval against {title}, the mean over seeds. The line joins what no technique beats in both. Baselines, which train nothing, are left out."
            X =
                drawn
                |> List.map (fun technique -> comparison.Costs[technique].[cost])
                |> Chart.logAxis title
            Y = Chart.axis "score"
            Series =
                frontLine comparison cost drawn
                :: [
                    let families = Variants.families findings

                    let variants, whole =
                        drawn
                        |> List.partition (fun technique -> families.ContainsKey comparison.Methods[technique])

                    for technique in whole do
                        let name = comparison.Methods[technique]
                        points name (placeOf name) [ scoreAndCost comparison cost technique ]

                    // All of them in one colour: there are many.
                    if not variants.IsEmpty then
                        variants
                        |> List.map (fun technique ->
                            let point = scoreAndCost comparison cost technique

                            { point with
                                Label = $"{comparison.Methods[technique]}: {point.Label}"
                            })
                        |> points "ablation variants" -1
                ]
            Reference = nan
        }

    /// Score against one cost, a figure a comparison and cost, and the front of the two: what no technique beats in both.
    let all (findings: SettingFindings, placeOf: string -> int) : Chart list =
        findings.Comparisons
        |> List.collect (fun comparison -> costs |> List.mapi (fun cost _ -> front (findings, placeOf) comparison cost))
        |> List.filter (fun figure -> figure.Series.Length > 1)
