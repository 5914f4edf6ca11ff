namespace Peft

open System.Globalization
open System.Text.Json
open System.Text.Json.Serialization

/// Settings that replace those of the preset, for every technique alike.
type Overrides =
    {
        /// The most epochs.
        Epochs: int option
        /// Rows of a micro-batch.
        BatchSize: int option
        /// Micro-batches of an optimiser step.
        Accumulation: int option
        /// Initial, peak and final learning rate.
        Rates: (float * float * float) option
        /// The share of the optimiser steps in which the rate climbs.
        WarmupShare: float option
        /// AdamW's.
        WeightDecay: float option
        /// The largest norm of a step's gradient; 0 for none.
        ClipNorm: float option
        /// The rate in training.
        Dropout: float option
        /// Epochs without a lower validation loss after which a run stops.
        Patience: int option
        /// How much each micro-batch of a step counts.
        WeightBy: MicroBatchWeight option
        /// What is computed again instead of kept.
        Recompute: Recomputed option
    }

    /// The preset as it is.
    static member None: Overrides =
        {
            Epochs = None
            BatchSize = None
            Accumulation = None
            Rates = None
            WarmupShare = None
            WeightDecay = None
            ClipNorm = None
            Dropout = None
            Patience = None
            WeightBy = None
            Recompute = None
        }

/// Where the values of trainings come from. Epochs and rates differ from technique to technique and from level to level;
/// their recipe does not.
type Recipe =
    {
        /// A name of `Training.presets`.
        Preset: string
        /// What replaces values of the preset.
        Overrides: Overrides
    }

/// One replaceable setting, for reading, writing and wording it.
[<NoComparison; NoEquality>]
type private OverrideField =
    {
        /// In result files.
        Key: string
        /// In words; "" where the training's own value is told anyway.
        Word: string
        Get: Overrides -> float list
        /// `FormatException` for another number of values than the setting has.
        Set: float list -> Overrides -> Overrides
    }

[<RequireQualifiedAccess>]
module Overrides =
    let private one (value: float option) = Option.toList value

    let private only (values: float list) : float =
        match values with
        | [ value ] -> value
        | _ -> raise (System.FormatException $"a setting has {values.Length} numbers and takes 1")

    let private whole (values: float list) : int =
        let value = only values

        if value <> floor value || abs value > 1e9 then
            raise (System.FormatException $"a setting is {value} and takes a whole number")

        int value

    let private field key word get set : OverrideField =
        {
            Key = key
            Word = word
            Get = get
            Set = set
        }

    let private count key word (get: Overrides -> int option) set : OverrideField =
        field key word (get >> Option.map float >> one) (fun values -> set (Some(whole values)))

    let private number key word (get: Overrides -> float option) set : OverrideField =
        field key word (get >> one) (fun values -> set (Some(only values)))

    let private rates: OverrideField =
        field
            "Rates"
            "rates"
            (fun overrides ->
                match overrides.Rates with
                | Some(initial, peak, final) -> [ initial; peak; final ]
                | None -> [])
            (fun values overrides ->
                match values with
                | [ initial; peak; final ] ->
                    { overrides with
                        Rates = Some(initial, peak, final)
                    }
                | _ -> raise (System.FormatException $"rates are {values.Length} numbers, not 3"))

    // All settings are numbers: this one is 1 where it is given.
    let private weight: OverrideField =
        field
            "WeightByTokens"
            ""
            (fun overrides -> if overrides.WeightBy.IsSome then [ 1.0 ] else [])
            (fun values overrides ->
                match values with
                | [ 1.0 ] ->
                    { overrides with
                        WeightBy = Some MicroBatchWeight.Tokens
                    }
                | _ -> raise (System.FormatException "WeightByTokens is 1 where it is given"))

    let private recompute: OverrideField =
        field
            "Recompute"
            ""
            (fun overrides -> if overrides.Recompute.IsSome then [ 1.0 ] else [])
            (fun values overrides ->
                match values with
                | [ 1.0 ] ->
                    { overrides with
                        Recompute = Some Recomputed.Blocks
                    }
                | _ -> raise (System.FormatException "Recompute is 1 where it is given"))

    /// Every setting, in the order of its words.
    let private fields: OverrideField list =
        [
            count "Epochs" "epochs" _.Epochs (fun value overrides -> { overrides with Epochs = value })
            count "BatchSize" "batches of" _.BatchSize (fun value overrides -> { overrides with BatchSize = value })
            count "Accumulation" "accumulation" _.Accumulation (fun value overrides ->
                { overrides with Accumulation = value })
            rates
            number "WarmupShare" "warm-up" _.WarmupShare (fun value overrides -> { overrides with WarmupShare = value })
            number "WeightDecay" "weight decay" _.WeightDecay (fun value overrides ->
                { overrides with WeightDecay = value })
            number "ClipNorm" "clip" _.ClipNorm (fun value overrides -> { overrides with ClipNorm = value })
            number "Dropout" "" _.Dropout (fun value overrides -> { overrides with Dropout = value })
            count "Patience" "patience" _.Patience (fun value overrides -> { overrides with Patience = value })
            weight
            recompute
        ]

    /// All values of a training as replacements.
    let ofTraining (training: Training) : Overrides =
        {
            Epochs = Some training.Epochs
            BatchSize = Some training.BatchSize
            Accumulation = Some training.Accumulation
            Rates = Some(training.InitialRate, training.PeakRate, training.FinalRate)
            WarmupShare = Some training.WarmupShare
            WeightDecay = Some training.WeightDecay
            ClipNorm = Some training.ClipNorm
            Dropout = Some training.Dropout
            Patience = Some training.Patience
            WeightBy = training.WeightBy
            Recompute = training.Recompute
        }

    /// A training with its values replaced.
    let apply (overrides: Overrides) (training: Training) : Training =
        let initial, peak, final =
            overrides.Rates
            |> Option.defaultValue (training.InitialRate, training.PeakRate, training.FinalRate)

        {
            Epochs = overrides.Epochs |> Option.defaultValue training.Epochs
            BatchSize = overrides.BatchSize |> Option.defaultValue training.BatchSize
            Accumulation = overrides.Accumulation |> Option.defaultValue training.Accumulation
            InitialRate = initial
            PeakRate = peak
            FinalRate = final
            WarmupShare = overrides.WarmupShare |> Option.defaultValue training.WarmupShare
            WeightDecay = overrides.WeightDecay |> Option.defaultValue training.WeightDecay
            ClipNorm = overrides.ClipNorm |> Option.defaultValue training.ClipNorm
            Dropout = overrides.Dropout |> Option.defaultValue training.Dropout
            Patience = overrides.Patience |> Option.defaultValue training.Patience
            WeightBy = overrides.WeightBy |> Option.orElse training.WeightBy
            Recompute = overrides.Recompute |> Option.orElse training.Recompute
        }

    /// What a training has that another one does not.
    let between (preset: Training) (training: Training) : Overrides =
        let before, after = ofTraining preset, ofTraining training

        (Overrides.None, fields)
        ||> List.fold (fun found field ->
            match field.Get after with
            | values when values <> field.Get before -> field.Set values found
            | _ -> found)

    /// How many settings are replaced.
    let replaced (overrides: Overrides) : int =
        fields
        |> List.filter (fun field -> not (field.Get overrides).IsEmpty)
        |> List.length

    /// `epochs 2`, `rates 0.001 0.01 0.001`, …: what is replaced, dropout aside.
    let words (overrides: Overrides) : string list =
        [
            for field in fields do
                match field.Get overrides with
                | [] -> ()
                | _ when field.Word = "" -> ()
                | values ->
                    let numbers =
                        values
                        |> List.map (fun value -> value.ToString("G6", CultureInfo.InvariantCulture).ToLowerInvariant())
                        |> String.concat " "

                    $"{field.Word} {numbers}"

            match overrides.WeightBy with
            | Some weight -> $"micro-batches weighted by {MicroBatchWeight.text weight}"
            | None -> ()

            match overrides.Recompute with
            | Some Recomputed.Blocks -> "activations computed again"
            | None -> ()
        ]

    /// Writes the given settings by their keys.
    let internal toJson (writer: Utf8JsonWriter) (overrides: Overrides) : unit =
        writer.WriteStartObject()

        for field in fields do
            match field.Get overrides with
            | [] -> ()
            | [ value ] -> writer.WriteNumber(field.Key, value)
            | values ->
                writer.WriteStartArray field.Key
                values |> List.iter writer.WriteNumberValue
                writer.WriteEndArray()

        writer.WriteEndObject()

    /// Reads what `toJson` writes; `JsonException` for anything else.
    let internal ofJson (element: JsonElement) : Overrides =
        let numbers (value: JsonElement) =
            if value.ValueKind = JsonValueKind.Array then
                [ for item in value.EnumerateArray() -> item.GetDouble() ]
            else
                [ value.GetDouble() ]

        try
            (Overrides.None, List.ofSeq (element.EnumerateObject()))
            ||> List.fold (fun overrides property ->
                match fields |> List.tryFind (fun field -> field.Key = property.Name) with
                | Some field -> field.Set (numbers property.Value) overrides
                | None -> raise (JsonException $"there is no setting {property.Name}"))
        with
        | :? System.InvalidOperationException
        | :? System.FormatException as error -> raise (JsonException error.Message)

/// `Overrides` as an object of what is given.
type internal OverridesConverter() =
    inherit JsonConverter<Overrides>()

    override _.Read(reader, _, _) =
        use document = JsonDocument.ParseValue(&reader)
        Overrides.ofJson document.RootElement

    override _.Write(writer, value, _) = Overrides.toJson writer value

[<RequireQualifiedAccess>]
module Recipe =
    /// A preset as it is.
    let preset (name: string) : Recipe =
        {
            Preset = name
            Overrides = Overrides.None
        }

    /// Whether it gives the training that an experiment has: presets may change from version to version.
    let explains (experiment: Experiment) (recipe: Recipe) : bool =
        match experiment.Method, experiment.Level with
        | Tuned technique, Some level ->
            Training.presets
            |> List.tryFind (fst >> (=) recipe.Preset)
            |> Option.exists (fun (_, preset) ->
                let training = preset experiment.Task experiment.Training.Dropout technique level
                Overrides.apply recipe.Overrides training = experiment.Training)
        | _ -> false

    /// The recipe of an experiment's training in words; all values where there is none that explains it. The preset's
    /// dropout is the model's, so that it is told in any case.
    let describe (recipe: Recipe option) (experiment: Experiment) : string =
        let training = experiment.Training
        let dropout = training.Dropout.ToString("G6", CultureInfo.InvariantCulture)

        [
            match recipe |> Option.filter (explains experiment) with
            | Some recipe ->
                $"{recipe.Preset} preset"
                yield! Overrides.words recipe.Overrides
            | None -> yield! training |> Overrides.ofTraining |> Overrides.words
            $"dropout {dropout}"
        ]
        |> String.concat ", "
