namespace Peft

open System
open System.Collections.Generic
open System.Globalization
open System.Security.Cryptography
open System.Text
open System.Text.Json
open System.Text.RegularExpressions

/// The layout of results before schema 2, in which the rows' files and overlaps were sentences.
[<NoComparison>]
type RunOfSchema1 =
    {
        Schema: int
        Id: string
        Experiment: Experiment
        Status: string
        Error: string
        Scores: Dictionary<string, float>
        Metric: string
        Epochs: EpochLog list
        ConvergedEpoch: int
        Timing: Timing
        TrainableParameters: int64
        TotalParameters: int64
        /// The process's largest resident memory during the run.
        PeakMemoryMiB: float
        TrainRows: int
        ValidationRows: int
        TestRows: int
        Source: string
        Overlap: string
        Device: string
        Versions: Dictionary<string, string>
        Command: string
        FinishedAt: string
    }

/// Reads results of schema 1 as today's: the one place where a sentence is read back.
[<RequireQualifiedAccess>]
module internal Legacy =
    let private count (digits: string) : int =
        Int32.Parse(digits, NumberStyles.AllowThousands, CultureInfo.InvariantCulture)

    let private pattern (words: string) =
        Regex(words, RegexOptions.CultureInvariant, TimeSpan.FromSeconds 1.0)

    let private file =
        pattern @"\A(.+) \(([\d,]+) rows(?:, digest ([0-9a-f]+))?\) for (training|validation|testing)\z"

    let private unlabelled =
        pattern @"\Athere is no labelled (?:validation|test) file \((.+) has no labels\), so "

    let private amounts =
        pattern
            @"\A([\d,]+) (?:of ([\d,]+) )?training rows(?:, all there are \(.*\))?, ([\d,]+) validation rows, ([\d,]+) test rows\z"

    let private leftOut =
        pattern @"\A([\d,]+) rows? without input (?:is|are) left out\z"

    let private shared =
        pattern
            @"\A([\d,]+) of ([\d,]+) (validation|test) rows have an input of the (training|validation) rows \(([\d,]+) with the same target\)\z"

    let private tryMatch (pattern: Regex) (words: string[]) : Match option =
        words |> Array.map pattern.Match |> Array.tryFind _.Success

    let private fileRows (words: string[]) (use': string) : FileRows option =
        words
        |> Array.map file.Match
        |> Array.tryFind (fun found -> found.Success && found.Groups[4].Value = use')
        |> Option.map (fun found ->
            {
                Files = found.Groups[1].Value.Split " and " |> List.ofArray
                Rows = count found.Groups[2].Value
                Digest = found.Groups[3].Value
            })

    let private source (run: RunOfSchema1) : SplitSource option =
        let words = run.Source.Split "; "

        let withoutLabels (kind: string) =
            words
            |> Array.filter _.StartsWith($"there is no labelled {kind} file")
            |> tryMatch unlabelled
            |> Option.map (fun found -> found.Groups[1].Value.Split ", " |> List.ofArray)
            |> Option.defaultValue []

        match fileRows words "training", fileRows words "testing" with
        | Some train, Some test ->
            let taken = tryMatch amounts words

            let taken (group: int) (otherwise: int) =
                match taken with
                | Some found when found.Groups[group].Success -> count found.Groups[group].Value
                | _ -> otherwise

            let trainRows = taken 1 run.TrainRows

            Some
                {
                    Train = train
                    Validation = fileRows words "validation"
                    Test = test
                    IsTestedOnValidation = words |> Array.exists _.Contains(" gives the test rows and ")
                    UnlabelledValidation = withoutLabels "validation"
                    UnlabelledTest = withoutLabels "test"
                    Level = run.Experiment.Level |> Option.defaultValue High
                    Available = taken 2 trainRows
                    TrainRows = trainRows
                    ValidationRows = taken 3 run.ValidationRows
                    TestRows = taken 4 run.TestRows
                    ValidationLimit = 0
                    TestLimit = 0
                    LeftOut =
                        tryMatch leftOut words
                        |> Option.map (fun found -> count found.Groups[1].Value)
                        |> Option.defaultValue 0
                }
        | _ -> None

    let private overlap (run: RunOfSchema1) (source: SplitSource option) : Overlap option =
        let found =
            run.Overlap.Split "; " |> Array.map shared.Match |> Array.filter _.Success

        let between rows others all =
            match
                found
                |> Array.tryFind (fun found -> found.Groups[3].Value = rows && found.Groups[4].Value = others)
            with
            | Some found ->
                {
                    Inputs = count found.Groups[1].Value
                    Rows = count found.Groups[5].Value
                    Of = count found.Groups[2].Value
                }
            | None -> { Inputs = 0; Rows = 0; Of = all }

        source
        |> Option.filter (fun _ -> run.Overlap <> "")
        |> Option.map (fun source ->
            {
                TrainValidation = between "validation" "training" source.ValidationRows
                TrainTest = between "test" "training" source.TestRows
                ValidationTest = between "test" "validation" source.TestRows
            })

    /// The preset that explains a training with the fewest replacements, the first of equals: schema 1 does not say it.
    let private recipe (experiment: Experiment) : Recipe option =
        match experiment.Method, experiment.Level with
        | Tuned technique, Some level ->
            let training = experiment.Training

            Training.presets
            |> List.map (fun (name, preset) ->
                {
                    Preset = name
                    Overrides = Overrides.between (preset experiment.Task training.Dropout technique level) training
                })
            |> List.minBy (fun recipe -> Overrides.replaced recipe.Overrides)
            |> Some
        | _ -> None

    /// The id that a result of schema 1 must state: its experiment may have other words today.
    let private idOf (element: JsonElement) : string =
        let json = JsonSerializer.Serialize(element.GetProperty "Experiment", Json.line)
        let hash = SHA256.HashData(Encoding.UTF8.GetBytes json)
        Convert.ToHexString(hash).Substring(0, 12).ToLowerInvariant()

    /// A result of schema 1; `stem` is its file's name without extension, "" where it has no file of its own.
    let read (stem: string) (element: JsonElement) : Run =
        match element.Deserialize<RunOfSchema1> Experiment.legacyJson with
        | null -> userError "is empty"
        | run ->
            let own = idOf element

            if run.Id <> own then
                userError
                    $"states the id {run.Id |> Printable.short 40}, and its experiment has the id {own}: it was changed by hand"

            let source = source run
            let name = Experiment.name run.Experiment
            // The readable part of the name may have had other words too.
            let isOwnName = stem.StartsWith(name.Split('-')[0]) && stem.EndsWith $"-{own}"

            {
                Schema = Run.schema
                Id = Experiment.id run.Experiment
                Name = if isOwnName then stem else name
                Experiment = run.Experiment
                Base = ""
                BaseCommit = None
                DataCommit = None
                Recipe = recipe run.Experiment
                Status = run.Status
                Error = run.Error
                Scores = run.Scores
                Metric = run.Metric
                Epochs = run.Epochs
                ConvergedEpoch = run.ConvergedEpoch
                Timing = run.Timing
                TrainableParameters = run.TrainableParameters
                TotalParameters = run.TotalParameters
                PeakMemoryMiB = run.PeakMemoryMiB
                TrainRows = run.TrainRows
                ValidationRows = run.ValidationRows
                TestRows = run.TestRows
                Source = source
                Overlap = overlap run source
                Device = run.Device
                Processor = None
                Versions = run.Versions
                Command = run.Command
                FinishedAt = run.FinishedAt
            }
