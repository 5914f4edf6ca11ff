namespace Peft

open System
open System.Globalization

/// The end of a race: what to take, and what that rests on.
[<NoComparison>]
type Choice =
    {
        Question: ChooseQuestion
        /// How the rows were used.
        Rows: string
        /// None where no finalist has ended: stopped before, or out of time.
        Verdict: FinalVerdict option
        /// The last rung's, the best first.
        Standings: Standing list
        /// Of the task's metric.
        Metric: string
        /// Whether Ctrl-C ended it.
        IsStopped: bool
        /// Wall-clock seconds of all calls.
        Seconds: float
        /// Runs that were made.
        Runs: int
        /// The trained adapter; none where there is none.
        Adapter: string option
        /// What was left out, cut or tested again.
        Notes: string list
    }

/// A choice in words.
[<RequireQualifiedAccess>]
module Choice =
    let private fixed3 (value: float) =
        value.ToString("F3", CultureInfo.InvariantCulture)

    let private grouped (value: float) =
        value.ToString("N0", CultureInfo.InvariantCulture)

    let private name (finalist: Finalist) = Contender.name finalist.Contender

    /// Seconds in words: `8 s`, `3 min`, `2.1 h`.
    let duration (seconds: float) : string =
        if seconds < 100.0 then
            $"{grouped (max 1.0 (round seconds))} s"
        elif seconds < 6000.0 then
            $"{grouped (round (seconds / 60.0))} min"
        else
            (seconds / 3600.0).ToString("F1", CultureInfo.InvariantCulture) + " h"

    let private interval (interval: Interval) =
        $"{fixed3 interval.Low} … {fixed3 interval.High}"

    let private costs (finalist: Finalist) =
        $"{grouped (float finalist.Parameters)} parameters, {duration finalist.Seconds} a training, {grouped finalist.MemoryMiB} MiB"

    let private seedsText (verdict: FinalVerdict) =
        if verdict.Seeds = 1 then
            "1 seed"
        else
            $"{verdict.Seeds} seeds"

    let private first (choice: Choice) (verdict: FinalVerdict) : string =
        let chosen = verdict.Chosen
        let rate = chosen.Contender.Peak.ToString("G3", CultureInfo.InvariantCulture)

        let score =
            $"{choice.Metric} {fixed3 chosen.Score} on {verdict.TestRows} test rows (95 %% {interval chosen.Interval}, {seedsText verdict}); {costs chosen}."

        if verdict.DecidesNothing then
            $"Too few rows to decide anything: {name chosen} at rate {rate} is as good a guess as the others, {score}"
        else
            $"Use {name chosen} at rate {rate}: {score}"

    let private others (verdict: FinalVerdict) (isTied: bool) : Finalist list =
        verdict.Finalists
        |> List.filter (fun finalist -> finalist.IsTied = isTied && finalist.Contender <> verdict.Chosen.Contender)

    let private second (verdict: FinalVerdict) : string =
        match others verdict true with
        | [] -> "Tied with it: none of the finalists."
        | tied ->
            let told =
                tied
                |> List.map (fun finalist -> $"{name finalist} {fixed3 finalist.Score} ({costs finalist})")
                |> String.concat "; "

            $"Tied with it: {told}."

    let private third (choice: Choice) (verdict: FinalVerdict) : string =
        let finals = verdict.Finalists |> List.map _.Contender

        let early =
            choice.Standings
            |> Standing.leaders
            |> List.filter (fun standing -> not (List.contains standing.Contender finals))
            |> List.map (fun standing -> Contender.name standing.Contender)

        let worse =
            others verdict false
            |> List.map (fun finalist -> $"{name finalist} {fixed3 finalist.Score} (P {fixed3 finalist.P})")

        match worse, early with
        | [], [] -> "Clearly worse: nothing that was tried to the end."
        | [], early ->
            let names = String.Join(", ", early)
            $"Clearly worse: none of the finalists; behind on validation rows after a short training: {names}."
        | worse, early ->
            let behind =
                if early.IsEmpty then
                    ""
                else
                    let names = String.Join(", ", early)
                    $"; behind on validation rows after a short training: {names}"

            let told = String.Join(", ", worse)
            $"Clearly worse: {told}{behind}."

    let private fourth (verdict: FinalVerdict) : string =
        match others verdict true with
        | [] -> "To decide: nothing is open between the finalists."
        | tied ->
            let nearest = tied |> List.maxBy _.Score

            match FinalVerdict.rowsToDecide verdict.Chosen nearest with
            | None ->
                $"To decide: {name verdict.Chosen} and {name nearest} score the same here; only many more test rows could part them, and it may not matter."
            | Some rows when Double.IsInfinity rows || rows > 1e6 ->
                $"To decide between {name verdict.Chosen} and {name nearest}: more seeds than {verdict.Seeds}, since their trainings vary more than the two differ."
            | Some rows ->
                $"To decide between {name verdict.Chosen} and {name nearest}: about {grouped rows} test rows instead of {verdict.TestRows}, if they differ as they seem to."

    let private fifth (verdict: FinalVerdict) : string =
        match verdict.Gain, verdict.Untrained with
        | None, _
        | _, [] -> "Worth tuning: not known, since the base model's own answers are missing."
        | Some gain, untrained ->
            let best = untrained |> List.maxBy _.Score

            let against =
                match best.Method with
                | Majority -> $"always answering the most frequent label ({fixed3 best.Score})"
                | _ -> $"the base model untuned ({fixed3 best.Score})"

            if gain.P < 0.05 && gain.Difference > 0.0 then
                $"Worth tuning: yes, +{fixed3 gain.Difference} (95 %% {interval gain.Interval}) over {against}."
            elif gain.P < 0.05 then
                $"Worth tuning: no, it is behind {against} by {fixed3 -gain.Difference}."
            else
                $"Worth tuning: not shown; {against} is not told apart from it (difference {fixed3 gain.Difference}, 95 %% {interval gain.Interval})."

    let private unfinished (choice: Choice) : string list =
        let why = if choice.IsStopped then "Stopped" else "Out of time"

        match Standing.leaders choice.Standings with
        | [] -> [ $"{why} before the first rung had a result: nothing to go by yet." ]
        | best :: others ->
            [
                $"{why} before the finals: best so far is {Contender.name best.Contender}, validation loss {fixed3 best.Loss}, {choice.Metric} {fixed3 best.Score} on the validation rows after a short training."
                if not others.IsEmpty then
                    let told =
                        others
                        |> List.map (fun standing -> $"{Contender.name standing.Contender} {fixed3 standing.Loss}")
                        |> String.concat ", "

                    $"Behind it: {told}."
                "No test row has been scored."
            ]

    /// The answer in five lines at most: what to use and its score; what is tied with it, and at what cost; what is clearly
    /// worse; what it would take to decide a tie; whether tuning is worth it.
    let lines (choice: Choice) : string list =
        match choice.Verdict with
        | None -> unfinished choice
        | Some verdict ->
            [
                first choice verdict
                second verdict
                third choice verdict
                fourth verdict
                fifth verdict
            ]
