namespace Peft

/// What a reader should know of the runs behind a table: how their learning rates were chosen, and which of them did not get
/// above what needs no training.
[<RequireQualifiedAccess>]
module RunNotes =
    let private tuned (runs: Run list) : (Run * Technique) list =
        runs
        |> List.choose (fun run ->
            match run.Experiment.Method with
            | Tuned technique when run.IsFinished -> Some(run, technique)
            | _ -> None)

    /// `prompt on topic, rating; bitfit on topic` in the order of the runs.
    let private listed (title: string -> string) (pairs: (string * string) list) : string =
        pairs
        |> List.distinct
        |> List.groupBy fst
        |> List.map (fun (name, group) -> $"""{name} on {group |> List.map (snd >> title) |> String.concat ", "}""")
        |> String.concat "; "

    let private isSearched (run: Run) : bool =
        match run.Recipe with
        | Some recipe -> recipe.Preset = "searched" && recipe.Overrides.Rates.IsNone
        | None -> false

    /// How the learning rates of the preset `searched` came about, and where there was none to be had.
    let rates (title: string -> string) (runs: Run list) : string list =
        let found, missing =
            tuned runs
            |> List.filter (fst >> isSearched)
            |> List.map (fun (run, technique) ->
                run,
                run.Experiment.Level
                |> Option.bind (SearchedRate.tryFind run.Experiment.Task technique))
            |> List.partition (snd >> Option.isSome)

        [
            match found |> List.choose (snd >> Option.map _.Trials) |> List.distinct |> List.sort with
            | [] -> ()
            | trials ->
                let words = trials |> List.map string |> String.concat " or "

                $"The peak learning rate of each technique on each task is the best of {words} trials, by the loss on validation rows (peft search)."

            match
                missing
                |> List.map (fun (run, _) -> Method.name run.Experiment.Method, run.Experiment.Task)
            with
            | [] -> ()
            | pairs ->
                $"Untuned, at a rate found for other tasks or settings, or at the technique's one rate for all tasks: {listed title pairs}. Another rate may do better: peft search finds it."
        ]

    let private mean (runs: Run list) : float = runs |> List.averageBy _.Score

    /// What did not get above the better of the baselines on its task, and what would help.
    let baselines (title: string -> string) (runs: Run list) : string list =
        let finished = runs |> List.filter _.IsFinished

        let below =
            finished
            |> List.groupBy (fun run -> run.Experiment.Model, run.Experiment.Task, run.Metric)
            |> List.collect (fun (_, group) ->
                let baselines, others =
                    group |> List.partition (fun run -> Method.isBaseline run.Experiment.Method)

                match baselines |> List.groupBy _.Experiment.Method with
                | [] -> []
                | methods ->
                    let best = methods |> List.map (snd >> mean) |> List.max

                    others
                    |> List.groupBy (fun run -> Experiment.rowName run.Experiment)
                    |> List.filter (fun (_, runs) -> mean runs <= best)
                    |> List.map (fun (name, runs) -> name, runs.Head.Experiment.Task))

        match below with
        | [] -> []
        | pairs ->
            [
                $"Not above zero-shot and the majority answer: {listed title pairs}. More rows help most (--levels medium); then other rates (peft search)."
            ]
