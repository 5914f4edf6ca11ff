namespace Peft

open System.Collections.Generic

/// What a run's numbers depend on beside its task, technique, place, level and seed, in words. Runs that differ in any of
/// it are never averaged.
type Setting =
    {
        /// The base checkpoint's fingerprint.
        Model: string
        Precision: string
        /// Token limits.
        Limits: string
        Decoding: string
        /// The preset of training and what replaces its values; "" for a baseline.
        Training: string
        Device: string
        /// Which version of its task's rows, from 1: other files, other rows in them or another number of test rows.
        Rows: int
    }

/// The settings of some runs, numbered.
[<NoComparison; NoEquality>]
type Settings =
    {
        /// In the order of their numbers, from 1.
        All: Setting list
        /// The number of a run's setting. A baseline has those of all settings it stands for: they differ in training only.
        Numbers: Run -> int list
    }

[<RequireQualifiedAccess>]
module Setting =
    /// What must be equal for runs to stand in one table: model, precision, limits and decoding, in words.
    let table (setting: Setting) : string =
        [
            $"model {setting.Model}"
            setting.Precision
            setting.Limits
            setting.Decoding
        ]
        |> List.filter ((<>) "")
        |> String.concat ", "

    /// The parts of a setting with their headings, as the legend has them.
    let parts: (string * (Setting -> string)) list =
        [
            "model", _.Model
            "precision", _.Precision
            "limits", _.Limits
            "decoding", _.Decoding
            "training", _.Training
            "device", _.Device
            "rows", (fun setting -> $"version {setting.Rows}")
        ]

[<RequireQualifiedAccess>]
module Settings =
    /// The files that a run's rows came from, with the digests of their rows: the same for every seed and level, unlike the
    /// counts after them.
    let private files (run: Run) : string list =
        run.Source.Split "; "
        |> Array.filter (fun words ->
            [ "training"; "validation"; "testing" ]
            |> List.exists (fun use' -> words.EndsWith $" for {use'}"))
        |> List.ofArray

    /// Whether a run says what its files held. Older results name their files only.
    let private hasDigest (run: Run) : bool =
        files run |> List.exists _.Contains(" rows, digest ")

    /// The files' names of a run with digests, each with what it held.
    let private contents (run: Run) : (string * string) list =
        files run
        |> List.map (fun words ->
            match words.LastIndexOf " (" with
            | -1 -> words, ""
            | place -> words.Substring(0, place), words.Substring place)

    // Which version of a task's rows

    /// What tells versions apart: how often the rows had changed before (0 with digests), files, number of test rows.
    type private Version = int * string list * int

    /// When a fingerprint was first seen; the fingerprint itself decides between equal times.
    let private firstSeen (runs: Run list) : Map<string, string * string> =
        runs
        |> List.groupBy _.Experiment.Data
        |> List.map (fun (data, runs) -> data, (runs |> List.map _.FinishedAt |> List.min, data))
        |> Map.ofList

    /// The moments at which a task's rows changed. Every seed and level has rows of its own, so that a fingerprint alone
    /// does not tell its version; two fingerprints of one seed and level do: the rows changed between their first runs. The
    /// fewest moments that explain all such pairs, each as late as it can be.
    let private changes (seen: Map<string, string * string>) (runs: Run list) : (string * string) list =
        let pairs =
            runs
            |> List.groupBy (fun run -> run.Experiment.Level, run.Experiment.Seed)
            |> List.collect (fun (_, runs) ->
                runs
                |> List.map (fun run -> seen[run.Experiment.Data])
                |> List.distinct
                |> List.sort
                |> List.pairwise)

        ([], pairs |> List.sortBy snd)
        ||> List.fold (fun found (before, after) ->
            match found with
            | last :: _ when before < last -> found
            | _ -> after :: found)

    /// The version of each finished run of one task. Digests in the results tell it. For older results without, the moments
    /// of `changes` do, which is a guess: it takes one seed and level that ran on both versions, and finish times in the order
    /// of the runs. Older results are of a version with digests where the fingerprint of their rows is that of a run that
    /// has them; so are those that the guess puts beside such a one.
    let private versionOf (finished: Run list) : Run -> Version =
        let digested, older = finished |> List.partition hasDigest
        let seen = firstSeen finished
        let changes = changes seen finished

        let own (run: Run) : Version =
            let changed =
                if hasDigest run then
                    0
                else
                    changes
                    |> List.filter (fun change -> change <= seen[run.Experiment.Data])
                    |> List.length

            changed, files run, run.TestRows

        /// The keys that lead to one version with digests.
        let unambiguous (versions: ('key * Version) list) : Map<'key, Version> =
            versions
            |> List.distinct
            |> List.groupBy fst
            |> List.choose (function
                | key, [ _, only ] -> Some(key, only)
                | _ -> None)
            |> Map.ofList

        let byRows =
            digested |> List.map (fun run -> run.Experiment.Data, own run) |> unambiguous

        let byGuess =
            older
            |> List.choose (fun run ->
                byRows.TryFind run.Experiment.Data
                |> Option.map (fun version -> own run, version))
            |> unambiguous

        fun run ->
            if hasDigest run then
                own run
            else
                byRows.TryFind run.Experiment.Data
                |> Option.orElse (byGuess.TryFind(own run))
                |> Option.defaultWith (fun () -> own run)

    /// Whether finished runs of one task are of one version. Another level may have other files; where no level has two
    /// versions and no file, by its digest, has held other rows, there is one.
    let private isOneVersion (versionOf: Run -> Version) (finished: Run list) : bool =
        let areSame (values: 'value list) = List.length (List.distinct values) = 1

        (finished
         |> List.groupBy _.Experiment.Level
         |> List.forall (snd >> List.map versionOf >> areSame))
        && (finished
            |> List.filter hasDigest
            |> List.collect contents
            |> List.groupBy fst
            |> List.forall (snd >> areSame))

    /// The version of the rows of each run of one task, from 1, in the order of their first runs.
    let private versions (runs: Run list) : (Run * int) list =
        let finished = runs |> List.filter _.IsFinished
        let versionOf = versionOf finished
        let isOne = isOneVersion versionOf finished

        let known =
            finished
            |> List.groupBy versionOf
            |> List.sortBy (fun (version, runs) -> runs |> List.map _.FinishedAt |> List.min, version)
            |> List.map fst

        let version (run: Run) =
            // A failed run may not say what its rows were; a finished one of the same fingerprint does.
            match
                finished
                |> List.tryFind (fun other -> other.Experiment.Data = run.Experiment.Data)
            with
            | _ when isOne -> 1
            | _ when run.IsFinished -> 1 + List.findIndex ((=) (versionOf run)) known
            | Some other -> 1 + List.findIndex ((=) (versionOf other)) known
            | None -> 1

        runs |> List.map (fun run -> run, version run)

    // Training, in words

    /// What a training has instead of a preset's values.
    let private replaced (training: Training) (preset: Training) : string list =
        let part name (value: Training -> 'a) words =
            if value training = value preset then
                None
            else
                Some $"{name} {words}"

        [
            part "epochs" _.Epochs $"{training.Epochs}"
            part "batches of" _.BatchSize $"{training.BatchSize}"
            part "accumulation" _.Accumulation $"{training.Accumulation}"
            part
                "rates"
                (fun training -> training.InitialRate, training.PeakRate, training.FinalRate)
                $"{training.InitialRate:g} {training.PeakRate:g} {training.FinalRate:g}"
            part "warm-up" _.WarmupShare $"{training.WarmupShare:g}"
            part "weight decay" _.WeightDecay $"{training.WeightDecay:g}"
            part "clip" _.ClipNorm $"{training.ClipNorm:g}"
            part "patience" _.Patience $"{training.Patience}"
        ]
        |> List.choose id

    /// A run's training as each preset has it with what replaces its values, fewest replacements first. Epochs and rates
    /// differ from technique to technique and from level to level; presets and replacements do not.
    let private descriptions (run: Run) : string list =
        match run.Experiment.Method, run.Experiment.Level with
        | Tuned technique, Some level ->
            let training = run.Experiment.Training

            Training.presets
            |> List.map (fun (name, preset) -> name, replaced training (preset training.Dropout technique level))
            |> List.sortBy (fun (_, replaced) -> replaced.Length)
            |> List.map (fun (name, replaced) ->
                // The preset's dropout is the model's, which a run does not state.
                $"{name} preset" :: replaced @ [ $"dropout {training.Dropout:g}" ]
                |> String.concat ", ")
        | _ -> [ "" ]

    /// The words for each run's training: those that fit the most runs, so that one sweep is one setting.
    let private trainings (runs: Run list) : Run -> string =
        let fits = runs |> List.collect descriptions |> List.countBy id |> dict

        fun run -> descriptions run |> List.maxBy (fun words -> fits[words])

    let private wordsIf (isTrue: bool) (words: string) = if isTrue then words else ""

    /// Each run with its own setting; a baseline's has no training.
    let private own (runs: Run list) : (Run * Setting) list =
        let training = trainings runs

        runs
        |> List.groupBy _.Experiment.Task
        |> List.collect (snd >> versions)
        |> List.map (fun (run, rows) ->
            let experiment = run.Experiment

            run,
            {
                Model = experiment.Model
                Precision = experiment.Precision
                Limits =
                    $"inputs of {experiment.InputLimit} and targets of {experiment.TargetLimit} tokens"
                    |> wordsIf (experiment.InputLimit > 0)
                Decoding =
                    (if experiment.Beams = 1 then
                         "greedy"
                     else
                         $"{experiment.Beams} beams")
                    |> wordsIf (experiment.Beams > 0)
                Training = training run
                Device = run.Device
                Rows = rows
            })

    /// The settings that each run stands for: its own, or those that add a training to a baseline's.
    let private stoodFor (own: (Run * Setting) list) : (Run * Setting list) list =
        let trained =
            own
            |> List.map snd
            |> List.distinct
            |> List.filter (fun setting -> setting.Training <> "")

        own
        |> List.map (fun (run, setting) ->
            match trained |> List.filter (fun other -> { other with Training = "" } = setting) with
            | _ :: _ as others when setting.Training = "" -> run, others
            | _ -> run, [ setting ])

    /// The settings of runs, in the order of tables, then of the first run; the order of the list changes nothing.
    let ofRuns (runs: Run list) : Settings =
        let stoodFor = own runs |> stoodFor

        let all =
            stoodFor
            |> List.collect (fun (run, settings) -> settings |> List.map (fun setting -> setting, run.FinishedAt))
            |> List.groupBy fst
            |> List.sortBy (fun (setting, group) ->
                Setting.table setting, group |> List.map snd |> List.min, setting.Training = "", setting)
            |> List.map fst

        let number = all |> List.mapi (fun place setting -> setting, place + 1) |> dict
        // By reference: the same result may be in other words elsewhere.
        let numbers = Dictionary<Run, int list>(HashIdentity.Reference)

        for run, settings in stoodFor do
            numbers[run] <- settings |> List.map (fun setting -> number[setting]) |> List.sort

        {
            All = all
            Numbers =
                fun run ->
                    match numbers.TryGetValue run with
                    | true, found -> found
                    | _ -> invalidArg (nameof run) $"{run.Name} is none of the runs whose settings were numbered"
        }

    /// A run's setting; a baseline's first, which has all but the training in common with its others.
    let first (settings: Settings) (run: Run) : Setting =
        settings.All[List.head (settings.Numbers run) - 1]

    /// Numbers as tables write them: `[2]`, `[1, 2]`.
    let words (numbers: int list) : string =
        let list = numbers |> List.map string |> String.concat ", "
        $"[{list}]"

    /// The numbers of the settings that some of the runs have.
    let numbersOf (settings: Settings) (runs: Run list) : int list =
        runs |> List.collect settings.Numbers |> List.distinct |> List.sort

    /// What a name is followed by where the runs shown have several settings: ` [2]`. Nothing where they have one, and
    /// after a baseline that stands for all of them.
    let mark (settings: Settings) (shown: Run list) : Run -> string =
        let all = numbersOf settings shown

        fun run ->
            let own =
                settings.Numbers run |> List.filter (fun number -> List.contains number all)

            if own.Length = all.Length then "" else $" {words own}"

    /// The parts that settings differ in, and those that all of them share.
    let parts (settings: Settings) : (string * (Setting -> string)) list * (string * (Setting -> string)) list =
        Setting.parts
        |> List.partition (fun (_, part) -> settings.All |> List.distinctBy part |> List.length |> (<) 1)

    /// A line for each setting, where there are several: its number and what it differs in.
    let legend (settings: Settings) : string list =
        let differing, _ = parts settings

        if settings.All.Length < 2 then
            []
        else
            settings.All
            |> List.mapi (fun place setting ->
                let parts =
                    differing
                    |> List.map (fun (heading, part) ->
                        match part setting with
                        | "" -> $"no {heading}"
                        | words -> $"{heading}: {words}")
                    |> String.concat "; "

                $"{words [ place + 1 ]} {parts}")
