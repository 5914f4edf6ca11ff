namespace Peft

open System

/// What is to be chosen: a technique for these rows and this model within these limits.
[<NoComparison>]
type ChooseQuestion =
    {
        /// The user's rows.
        Data: OwnData
        /// The base model and the device.
        Session: SessionOptions
        /// Wall-clock time of all of it.
        Budget: TimeSpan
        /// What decides between techniques that the test rows do not tell apart.
        Priority: Priority
        /// The most trained elements.
        MaxParameters: int64 option
        /// The most memory of a training, in MiB.
        MaxMemoryMiB: float option
        /// Techniques to race, instead of the usual ones.
        Techniques: Technique list
        /// Training rows to take, instead of all.
        Rows: int option
        /// The most epochs of a finalist, instead of as many as are enough for so many rows.
        Epochs: int option
        /// The most tokens of an input.
        InputLimit: int
        /// The most tokens of a target or an answer.
        TargetLimit: int
        /// Rows of a batch.
        BatchSize: int
        /// Processes that share the runs.
        Jobs: int
        /// Where results, adapter and answer go.
        Folder: string
    }

[<RequireQualifiedAccess>]
module ChooseQuestion =
    /// Rows in a file or folder, a checkpoint's folder, a budget: quality first, no limit, the usual techniques.
    let create (data: string) (modelFolder: string) (budget: TimeSpan) (folder: string) : ChooseQuestion =
        {
            Data = OwnData.at data
            Session = SessionOptions.create modelFolder "."
            Budget = budget
            Priority = Priority.Quality
            MaxParameters = None
            MaxMemoryMiB = None
            Techniques = []
            Rows = None
            Epochs = None
            InputLimit = 512
            TargetLimit = 128
            BatchSize = 16
            Jobs = 1
            Folder = folder
        }

    /// `90s`, `10m`, `2h`, or seconds; `UserError` for anything else.
    let duration (text: string) : TimeSpan =
        let text = text.Trim().ToLowerInvariant()
        let isUnit = text.EndsWith 's' || text.EndsWith 'm' || text.EndsWith 'h'
        let number = if isUnit then text.Substring(0, text.Length - 1) else text

        match Double.TryParse(number, Globalization.NumberStyles.Float, Globalization.CultureInfo.InvariantCulture) with
        | true, value when value > 0.0 && value < 1e7 ->
            match text[text.Length - 1] with
            | 'm' -> TimeSpan.FromMinutes value
            | 'h' -> TimeSpan.FromHours value
            | _ -> TimeSpan.FromSeconds value
        | _ -> userError $"\"{text}\" is no time. Write 90s, 10m or 2h."

    /// `4GiB`, `800MiB`, or MiB, as MiB; `UserError` for anything else.
    let memory (text: string) : float =
        let text = text.Trim().ToLowerInvariant()

        let units =
            [
                "gib", 1024.0
                "gb", 1024.0
                "g", 1024.0
                "mib", 1.0
                "mb", 1.0
                "m", 1.0
                "", 1.0
            ]

        let ending, factor = units |> List.find (fst >> text.EndsWith)

        match
            Double.TryParse(
                text.Substring(0, text.Length - ending.Length),
                Globalization.NumberStyles.Float,
                Globalization.CultureInfo.InvariantCulture
            )
        with
        | true, value when value > 0.0 && value < 1e9 -> value * factor
        | _ -> userError $"\"{text}\" is no amount of memory. Write 4GiB or 800MiB."

    /// `1M`, `500k`, or a number of elements; `UserError` for anything else.
    let parameters (text: string) : int64 =
        let text = text.Trim().ToLowerInvariant()

        let ending, factor =
            [ "m", 1e6; "k", 1e3; "b", 1e9; "", 1.0 ] |> List.find (fst >> text.EndsWith)

        match
            Double.TryParse(
                text.Substring(0, text.Length - ending.Length),
                Globalization.NumberStyles.Float,
                Globalization.CultureInfo.InvariantCulture
            )
        with
        | true, value when value > 0.0 && value < 1e12 -> int64 (value * factor)
        | _ -> userError $"\"{text}\" is no number of parameters. Write 1M or 500k."
