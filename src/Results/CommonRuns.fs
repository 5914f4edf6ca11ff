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

    let private seedOf (run: Run, _: Prediction[]) : int = run.Experiment.Seed

    /// Techniques with their runs by `key`, in the order of tables. A key has the number of the setting where there are
    /// several, so that a technique has one run a seed.
    let private byTechnique (settings: Settings) (key: Run -> string) (runs: Run list) : (string * Run list) list =
        let techniques = runs |> List.groupBy key

        for technique, runs in techniques do
            if (runs |> List.distinctBy _.Experiment.Seed).Length < runs.Length then
                invalidOp $"{technique} has several runs of one seed"

        techniques
        |> List.sortBy (fun (_, runs) ->
            Tables.methodOrder runs.Head.Experiment.Method, Tables.nameOf runs.Head, settings.Numbers runs.Head)

    /// The runs whose predictions can be read and are of the same rows as the others' of their seed, and the causes for the
    /// rest.
    let private readable (results: string) (runs: Run list) : (Run * Prediction[]) list * string list =
        let read, unread =
            runs
            |> List.map (fun run ->
                Predictions.tryOf results run
                |> Result.map (fun predictions -> run, predictions)
                |> Result.mapError (fun cause -> $"{Predictions.name run} is left out: {cause}"))
            |> partitionResults

        let same, other =
            read
            |> List.groupBy seedOf
            |> List.sortBy fst
            |> List.collect (snd >> ofSameRows)
            |> partitionResults

        same, unread @ other

    /// The techniques that have all of these seeds, and the causes for the others.
    let private having
        (seeds: Set<int>)
        (techniques: (string * (Run * Prediction[]) list) list)
        : (string * (Run * Prediction[]) list) list * string list =
        let complete, incomplete =
            techniques
            |> List.partition (fun (_, runs) -> Set.isSubset seeds (runs |> List.map seedOf |> set))

        let lacking (technique, runs) =
            let lacks =
                seeds - (runs |> List.map seedOf |> set) |> Seq.map string |> String.concat ", "

            $"{technique} is left out: it has no run to compare with seed {lacks}, which the others have."

        complete, incomplete |> List.map lacking

    /// What can be compared of runs of one task, one level (baselines may join) and one model; `UserError` where nothing
    /// can. A technique with several settings among the runs `shown` is several techniques.
    let choose (settings: Settings) (shown: Run list) (results: string) (runs: Run list) : CommonRuns =
        let runs = runs |> List.filter _.IsFinished |> List.distinctBy _.Id
        refuseWhereMixed runs
        let key = Tables.nameIn settings shown
        let techniques = byTechnique settings key runs
        let read, causes = techniques |> List.collect snd |> readable results

        let found =
            techniques
            |> List.map (fun (technique, _) -> technique, read |> List.filter (fst >> key >> (=) technique))
            |> List.filter (fun (_, runs) -> not runs.IsEmpty)

        if found.IsEmpty then
            userError (sentence ("There is nothing to compare." :: causes))

        let seeds = found |> List.map (snd >> List.map seedOf >> set) |> seedsOf

        if seeds.IsEmpty then
            "The techniques have no seed in common: there are no rows that all of them answered."
            :: causes
            |> sentence
            |> userError

        let compared, incomplete = found |> having seeds
        let dropped = causes @ incomplete

        if compared.Length < 2 && not dropped.IsEmpty then
            userError (sentence ("There are no two techniques to compare." :: dropped))

        let compares run = seeds.Contains(seedOf run)

        {
            Techniques =
                compared
                |> List.map (fun (technique, runs) -> technique, runs |> List.filter compares |> List.sortBy seedOf)
            Seeds = Set.toList seeds
            LeftOut = (compared |> List.collect (snd >> List.map seedOf) |> set) - seeds |> Set.toList
            Dropped = dropped
        }
