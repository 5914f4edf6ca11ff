namespace Peft

/// What to take, after a ranking: the first, unless something cheaper is as good.
[<NoComparison; NoEquality>]
type Take =
    {
        /// None where no technique meets the limits.
        Technique: Candidate option
        /// The first of the ranking, where something else is taken for it.
        First: Candidate option
        /// Why not the first, in words; "" where it is the first.
        Because: string
        /// A baseline that scores as much as the technique: nothing needs to be trained.
        Untrained: (Method * float) option
    }

[<RequireQualifiedAccess>]
module Take =
    let private cost (candidate: Candidate) =
        let known value =
            if System.Double.IsNaN value then infinity else value

        known candidate.Parameters, known candidate.Seconds, -candidate.Score

    let private name (candidate: Candidate) = Method.name candidate.Method

    /// How many times fewer parameters, in words.
    let private fewer (cheap: Candidate) (dear: Candidate) : string =
        let times = dear.Parameters / cheap.Parameters

        if System.Double.IsFinite times && times >= 1.05 then
            let told = NumberStyle.text (if times < 10.0 then Fixed 1 else Grouped) times
            $" with {told} times fewer parameters"
        else
            ""

    /// Quality first, a technique within `Regret.tie` of the best score is as good: the one with the fewest parameters is
    /// taken. `advised` is the technique of the rule that loses least where tasks are left out, with the rule's name: a
    /// constant of that kind goes before the ranking. `untrained` are the baselines' scores on the ranking's tasks.
    let choose
        (question: Question)
        (ranking: Candidate list)
        (advised: (string * string) option)
        (untrained: (Method * float) list)
        : Take =
        let feasible =
            ranking
            |> List.filter (fun candidate -> candidate.Breaks.IsEmpty && not candidate.IsBelowFloor)

        let taken, because =
            match feasible with
            | [] -> ranking |> List.tryFind _.Breaks.IsEmpty, ""
            | first :: _ when question.Priority <> Priority.Quality -> Some first, ""
            | first :: _ ->
                let constant =
                    advised
                    |> Option.filter (fun (_, rule) -> rule.StartsWith "always")
                    |> Option.bind (fun (technique, rule) ->
                        feasible
                        |> List.tryFind (name >> (=) technique)
                        |> Option.map (fun found -> found, rule))

                match constant with
                | Some(found, rule) when found.Method <> first.Method ->
                    Some found, $"{rule} loses less than the ranking on tasks that were left out"
                | Some(found, _) -> Some found, ""
                | None ->
                    let tied =
                        feasible
                        |> List.filter (fun candidate -> candidate.Score >= (1.0 - Regret.tie) * first.Score)

                    let cheapest = tied |> List.minBy cost

                    if cheapest.Method = first.Method then
                        Some first, ""
                    else
                        Some cheapest,
                        $"it scores within {100.0 * Regret.tie:F0} %% of {name first}{fewer cheapest first}"

        {
            Technique = taken
            First =
                match feasible, taken with
                | first :: _, Some taken when first.Method <> taken.Method -> Some first
                | _ -> None
            Because = because
            Untrained =
                match taken, untrained with
                | Some taken, _ :: _ ->
                    let best = untrained |> List.maxBy snd
                    if snd best >= taken.Score then Some best else None
                | _ -> None
        }
