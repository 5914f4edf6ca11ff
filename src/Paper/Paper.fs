namespace Peft

open System
open System.Collections.Generic
open System.Globalization
open System.IO

/// A number as it is printed.
type Printed =
    {
        Text: string
        /// The number that the text stands for.
        Value: float
        /// What one step of the last printed digit is worth.
        Unit: float
    }

    /// The least and the largest number that round to it.
    member printed.Range: Interval =
        {
            Low = printed.Value - printed.Unit / 2.0
            High = printed.Value + printed.Unit / 2.0
        }

/// What a printed figure counts.
[<RequireQualifiedAccess>]
type Quantity =
    | Score
    | Parameters
    | Epoch
    | Seconds
    /// Score per 100,000 trainable parameters.
    | PerParameters
    /// Score per minute.
    | PerMinute
    /// Full fine-tuning's mean speed-up in per cent.
    | SpeedUp

/// One printed figure of the paper.
type Figure =
    {
        /// `Table 1` … `Table 6`, `A.4` or `§3.2`.
        Place: string
        Quantity: Quantity
        /// A technique's name; `total` in Table 3, "" in §3.2.
        Technique: string
        /// Where the technique sits, in words.
        Placement: string
        Level: Level option
        /// A task's name; "" in Table 3.
        Task: string
        Printed: Printed
    }

[<RequireQualifiedAccess>]
module Printed =
    /// Reads `0.4120` or `3.01E-05`: the last digit tells how exact it is.
    let parse (text: string) : Printed =
        let mantissa, exponent =
            match text.ToUpperInvariant().Split 'E' with
            | [| mantissa; exponent |] -> mantissa, int exponent
            | _ -> text, 0

        let decimals =
            match mantissa.IndexOf '.' with
            | -1 -> 0
            | point -> mantissa.Length - point - 1

        {
            Text = text
            Value = Double.Parse(text, CultureInfo.InvariantCulture)
            Unit = 10.0 ** float (exponent - decimals)
        }

/// The paper's figures (arXiv 2304.14999), from `data/paper`, and the same as runs.
[<RequireQualifiedAccess>]
module Paper =
    /// How runs made of the paper's figures name their source.
    let source = "arXiv 2304.14999"

    /// The rows of a file of `data/paper`, which the assembly carries: each a function from column to text.
    let private rows (file: string) : (string -> string) list =
        let assembly = typeof<Figure>.Assembly

        match assembly.GetManifestResourceStream $"paper/{file}" with
        | null -> invalidOp $"{assembly.FullName} does not carry data/paper/{file}"
        | stream ->
            use reader = new StreamReader(stream)

            match
                reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries)
                |> List.ofArray
            with
            | header :: lines ->
                let columns = header.Trim().Split ','

                lines
                |> List.map (fun line ->
                    let values = Array.zip columns (line.Trim().Split ',') |> dict
                    fun column -> values[column])
            | [] -> []

    let private tasks = TaskDefinition.paper |> List.map _.Name

    let private figure place quantity technique placement level task text : Figure =
        {
            Place = place
            Quantity = quantity
            Technique = technique
            Placement = placement
            Level = level
            Task = task
            Printed = Printed.parse text
        }

    /// A table of techniques and levels by tasks.
    let private byLevel (file: string) (place: string) (quantity: Quantity) (column: string -> string) : Figure list =
        [
            for row in rows file do
                for task in tasks ->
                    let level = Some(Level.find (row "level"))
                    figure place quantity (row "technique") Placed.allLayers level task (row (column task))
        ]

    /// Table 1: scores.
    let table1: Figure list = byLevel "table1.csv" "Table 1" Quantity.Score id

    /// Table 2: ablations, at the medium level.
    let table2: Figure list =
        [
            for row in rows "table2.csv" do
                for task in tasks ->
                    figure "Table 2" Quantity.Score (row "technique") (row "placement") (Some Medium) task (row task)
        ]

    /// Table 3 and A.4: trainable parameters.
    let table3: Figure list =
        [
            for row in rows "table3.csv" ->
                figure (row "source") Quantity.Parameters (row "technique") (row "placement") None "" (row "parameters")
        ]

    /// Table 4: epochs of convergence, then seconds.
    let table4: Figure list =
        byLevel "table4.csv" "Table 4" Quantity.Epoch (fun task -> $"{task}_epoch")
        @ byLevel "table4.csv" "Table 4" Quantity.Seconds (fun task -> $"{task}_seconds")

    /// Table 5: score per 100,000 trainable parameters.
    let table5: Figure list = byLevel "table5.csv" "Table 5" Quantity.PerParameters id

    /// Table 6: score per minute of run time.
    let table6: Figure list = byLevel "table6.csv" "Table 6" Quantity.PerMinute id

    /// §3.2: full fine-tuning's mean speed-up.
    let speedUps: Figure list =
        [
            for row in rows "speedups.csv" do
                for task in tasks ->
                    figure "§3.2" Quantity.SpeedUp "" Placed.allLayers (Some(Level.find (row "level"))) task (row task)
        ]

    /// Every printed figure.
    let figures: Figure list =
        List.concat [ table1; table2; table3; table4; table5; table6; speedUps ]

    let private found (quantity: Quantity) (technique: string) placement level task (figures: Figure list) =
        figures
        |> List.tryFind (fun figure ->
            figure.Quantity = quantity
            && figure.Technique = technique
            && figure.Placement = placement
            && figure.Level = level
            && figure.Task = task)
        |> Option.map _.Printed

    /// The printed score of a technique on all of its layers.
    let score (technique: string) (level: Level) (task: string) : Printed option =
        found Quantity.Score technique Placed.allLayers (Some level) task table1

    /// The printed score of an ablation (Table 2).
    let ablation (technique: string) (placement: string) (task: string) : Printed option =
        found Quantity.Score technique placement (Some Medium) task table2

    /// The printed trainable parameters of a technique.
    let parameters (technique: string) (placement: string) : Printed option =
        if technique = "full" then
            found Quantity.Parameters "total" "-" None "" table3
        else
            found Quantity.Parameters technique placement None "" table3

    /// The printed seconds of a run.
    let seconds (technique: string) (level: Level) (task: string) : Printed option =
        found Quantity.Seconds technique Placed.allLayers (Some level) task table4

    let private epoch technique level task =
        found Quantity.Epoch technique Placed.allLayers (Some level) task table4

    /// The test rows of the two classification tasks: 2,500 is the paper's limit for AG News, and CoLA's printed scores are
    /// multiples of 1/522. For the others the paper does not give a number.
    let testRows (task: string) : int option =
        match task with
        | "agnews" -> Some 2_500
        | "cola" -> Some 522
        | _ -> None

    /// The test rows that the paper does not state either, as they must have been: the published test sets' 4,693 and 819
    /// rows under its limit of 2,500.
    let assumedTestRows (task: string) : int option =
        match task with
        | "e2e" -> Some 2_500
        | "samsum" -> Some 819
        | other -> testRows other

    let private run
        (scoreOf: Printed -> float)
        (secondsOf: Printed -> float)
        (placement: string)
        (figure: Figure)
        : Run =
        let technique = Technique.parse figure.Technique
        let level = figure.Level |> Option.defaultValue Medium
        let task = TaskDefinition.find figure.Task
        let metric = task.Metric.Name
        let isWhole = placement = Placed.allLayers

        let timed =
            if isWhole then
                seconds figure.Technique level task.Name
            else
                None

        let experiment: Experiment =
            {
                Task = task.Name
                Method = Tuned technique
                Placement = Placement.everywhere
                Level = Some level
                Seed = 0
                Model = "FLAN-T5-XL, as the paper prints it"
                Data = source
                Precision = ""
                InputLimit = 0
                TargetLimit = 0
                Beams = 0
                Constrain = None
                Training = Training.paper 0.1 technique level
            }

        let unknown = Run.unknown "four A10 GPUs" experiment

        { unknown with
            Recipe = Some(Recipe.preset "paper")
            Scores = Dictionary(dict [ metric, scoreOf figure.Printed ])
            Metric = metric
            ConvergedEpoch =
                if isWhole then
                    epoch figure.Technique level task.Name
                    |> Option.map (fun printed -> int printed.Value)
                    |> Option.defaultValue 0
                else
                    0
            Timing =
                { unknown.Timing with
                    Train = timed |> Option.map secondsOf |> Option.defaultValue nan
                }
            TrainableParameters =
                parameters figure.Technique placement
                |> Option.map (fun printed -> int64 printed.Value)
                |> Option.defaultValue 0L
            TotalParameters =
                parameters "full" placement
                |> Option.map (fun printed -> int64 printed.Value)
                |> Option.defaultValue 0L
            TrainRows = Level.rows level
            TestRows = testRows task.Name |> Option.defaultValue 0
            FinishedAt = "2023-04-28T00:00:00Z"
        }

    /// Tables 1, 3 and 4 as runs, scores and seconds taken from the printed numbers by the functions given. What the paper
    /// does not print is nan (seconds), 0 (other counts) or "".
    let runsBy (scoreOf: Printed -> float) (secondsOf: Printed -> float) : Run list =
        table1 |> List.map (run scoreOf secondsOf Placed.allLayers)

    /// Tables 1, 3 and 4 as runs: what every table of this project can be made of.
    let runs: Run list = runsBy _.Value _.Value

    /// Table 2 as runs with their placements; none has a run time.
    let ablations: Placed list =
        table2
        |> List.map (fun figure ->
            {
                Placement = figure.Placement
                Run = run _.Value (fun _ -> nan) figure.Placement figure
            })
