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
        /// The recipe of training; "" for a baseline.
        Training: string
        Device: string
        /// Which version of its task's rows, from 1: other files, other rows in them or another number of test rows.
        DataVersion: int
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
            "rows", (fun setting -> $"version {setting.DataVersion}")
        ]

[<RequireQualifiedAccess>]
module Settings =
    /// What tells versions of a task's rows apart: the files with their digests, and the number of test rows.
    let private rowsOf (run: Run) =
        run.Source
        |> Option.map (fun source -> source.Train, source.Validation, source.Test),
        run.TestRows

    /// The version of the rows of each run of one task, from 1, in the order of their first runs.
    let private versions (runs: Run list) : (Run * int) list =
        let finished = runs |> List.filter _.IsFinished

        let known =
            finished
            |> List.groupBy rowsOf
            |> List.sortBy (fun (rows, runs) -> runs |> List.map _.FinishedAt |> List.min, rows)
            |> List.map fst

        let version (run: Run) =
            // A failed run may not say what its rows were; a finished one of the same split does.
            let telling =
                if run.IsFinished then
                    Some run
                else
                    finished
                    |> List.tryFind (fun other -> other.Experiment.Data = run.Experiment.Data)

            telling
            |> Option.bind (fun run -> known |> List.tryFindIndex ((=) (rowsOf run)))
            |> Option.map ((+) 1)
            |> Option.defaultValue 1

        runs |> List.map (fun run -> run, version run)

    let private wordsIf (isTrue: bool) (words: string) = if isTrue then words else ""

    let private decoding (experiment: Experiment) =
        [
            if experiment.Beams = 1 then
                "greedy"
            else
                $"{experiment.Beams} beams"

            match experiment.Constrain with
            | Some limit -> $"{AnswerLimit.text limit} only"
            | None -> ()
        ]
        |> String.concat ", "

    /// Each run with its own setting; a baseline's has no training.
    let private own (runs: Run list) : (Run * Setting) list =
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
                Decoding = decoding experiment |> wordsIf (experiment.Beams > 0)
                Training =
                    if Method.isBaseline experiment.Method then
                        ""
                    else
                        Recipe.describe run.Recipe experiment
                Device = run.Device
                DataVersion = rows
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
