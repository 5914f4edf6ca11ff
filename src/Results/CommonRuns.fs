namespace Peft

/// What of some runs can be compared: techniques that all answered the same test rows of the same seeds.
[<NoComparison>]
type CommonRuns =
    {
        /// Each technique, with the number of its setting where there are several, and its runs with their predictions, in
        /// the order of `Seeds`.
        Techniques: (string * (Run * Prediction[]) list) list
        Seeds: int list
        /// Seeds that only some of the techniques have.
        LeftOut: int list
        /// Runs and techniques that cannot be compared, each with the cause.
        Dropped: string list
    }

/// Chooses what to compare. One bad file or unfinished technique is dropped and named; it does not cost the others their
/// comparison.
[<RequireQualifiedAccess>]
module CommonRuns =
    let private sentence (causes: string list) = String.concat " " causes

    let private partitionResults (results: Result<'a, string> list) : 'a list * string list =
        results |> List.choose Result.toOption,
        results
        |> List.choose (function
            | Ok _ -> None
            | Error cause -> Some cause)

    /// A technique with two runs of one seed does not say which of them to compare.
    let private isOneRunASeed (method: string, runs: Run list) : Result<Run list, string> =
        match
            runs
            |> List.countBy _.Experiment.Seed
            |> List.tryFind (fun (_, count) -> count > 1)
        with
        | Some(seed, count) ->
            Error
                $"{method} is left out: it has {count} runs with seed {seed}, of different test rows: compare the runs of one version of the data."
        | None -> Ok runs

    /// Of runs of one seed those that answer the same test rows as most of them; the others with the cause.
    let private ofSameRows (read: (Run * Prediction[]) list) : Result<Run * Prediction[], string> list =
        let isSame (run, predictions) (group: (Run * Prediction[]) list) =
            Predictions.mismatch (fst group.Head) (snd group.Head) run predictions
            |> Option.isNone

        let joinGroup groups item =
            match groups |> List.tryFindIndex (isSame item) with
            | Some place ->
                groups
                |> List.mapi (fun at group -> if at = place then group @ [ item ] else group)
            | None -> groups @ [ [ item ] ]

        // The first of the largest: `maxBy` keeps the first of equals.
        let first, firstRead =
            read |> List.fold joinGroup [] |> List.maxBy List.length |> List.head

        read
        |> List.map (fun (run, predictions) ->
            match Predictions.mismatch first firstRead run predictions with
            | None -> Ok(run, predictions)
            | Some cause -> Error $"{Predictions.name run} is left out: {cause}")

    /// The seeds that make the largest comparison, counted in runs; of equals the one with more seeds, which say more
    /// than another technique. Only what two techniques have in common is a comparison, unless there is but one.
    let private seedsOf (techniques: Set<int> list) : Set<int> =
        let intersections =
            techniques
            |> List.fold
                (fun known seeds -> known |> Set.map (Set.intersect seeds) |> Set.union known |> Set.add seeds)
                Set.empty

        let having seeds =
            techniques |> List.filter (Set.isSubset seeds) |> List.length

        intersections
        |> Seq.filter (fun seeds -> not seeds.IsEmpty && having seeds >= min 2 techniques.Length)
        |> Seq.sortBy (fun seeds -> -(having seeds * seeds.Count), -seeds.Count, seeds)
        |> Seq.tryHead
        |> Option.defaultValue Set.empty

    let private refuseWhereMixed (runs: Run list) =
        if runs.IsEmpty then
            userError "There is no finished run to compare."

        match runs |> List.map _.Experiment.Task |> List.distinct with
        | first :: second :: _ ->
            userError $"{first} and {second} are different tasks: their runs cannot be compared row by row."
        | _ -> ()

        match runs |> List.choose _.Experiment.Level |> List.distinct with
        | first :: second :: _ ->
            userError $"{Level.name first} and {Level.name second} are different levels: compare the runs of one level."
        | _ -> ()

    /// What can be compared of runs of one task, one level (baselines may join) and one model; `UserError` where nothing
    /// can. A technique with several settings among the runs `shown` is several techniques.
    let choose (settings: Settings) (shown: Run list) (results: string) (runs: Run list) : CommonRuns =
        let runs = runs |> List.filter _.IsFinished |> List.distinctBy _.Id
        refuseWhereMixed runs

        let key = Tables.nameIn settings shown

        let single, twofold =
            runs
            |> List.groupBy key
            |> List.sortBy (fun (_, runs) ->
                Tables.methodOrder runs.Head.Experiment.Method, Tables.nameOf runs.Head, settings.Numbers runs.Head)
            |> List.map isOneRunASeed
            |> partitionResults

        let read, unread =
            single
            |> List.concat
            |> List.map (fun run ->
                Predictions.tryOf results run
                |> Result.map (fun predictions -> run, predictions)
                |> Result.mapError (fun cause -> $"{Predictions.name run} is left out: {cause}"))
            |> partitionResults

        let same, other =
            read
            |> List.groupBy (fun (run, _) -> run.Experiment.Seed)
            |> List.sortBy fst
            |> List.collect (snd >> ofSameRows)
            |> partitionResults

        let seedOf (run: Run, _) = run.Experiment.Seed
        let techniques = single |> List.map (fun runs -> key runs.Head)

        let found =
            techniques
            |> List.map (fun technique -> technique, same |> List.filter (fst >> key >> (=) technique))
            |> List.filter (fun (_, runs) -> not runs.IsEmpty)

        let causes = twofold @ unread @ other

        if found.IsEmpty then
            userError (sentence ("There is nothing to compare." :: causes))

        let seedSets = found |> List.map (snd >> List.map seedOf >> set)
        let seeds = seedsOf seedSets

        if seeds.IsEmpty then
            "The techniques have no seed in common: there are no rows that all of them answered."
            :: causes
            |> sentence
            |> userError

        let compared, incomplete =
            List.zip found seedSets |> List.partition (snd >> Set.isSubset seeds)

        let lacking (technique: string, _) (has: Set<int>) =
            let seeds = seeds - has |> Seq.map string |> String.concat ", "
            $"{technique} is left out: it has no run to compare with seed {seeds}, which the others have."

        let dropped =
            causes
            @ (incomplete |> List.map (fun (technique, has) -> lacking technique has))

        if compared.Length < 2 && not dropped.IsEmpty then
            userError (sentence ("There are no two techniques to compare." :: dropped))

        {
            Techniques =
                compared
                |> List.map (fun ((technique, runs), _) ->
                    technique, runs |> List.filter (seedOf >> seeds.Contains) |> List.sortBy seedOf)
            Seeds = Set.toList seeds
            LeftOut = (compared |> List.map snd |> Set.unionMany) - seeds |> Set.toList
            Dropped = dropped
        }
