namespace Peft

open System
open System.IO
open System.Text.Json

/// The predictions of several runs on the same test rows.
[<NoComparison>]
type Joined =
    {
        Runs: Run[]
        /// Input and target of each test row.
        Rows: (string * string)[]
        /// By run, then by row.
        Predictions: string[][]
        /// By run, then by row.
        Scores: float[][]
    }

/// Prediction files of runs, read back.
[<RequireQualifiedAccess>]
module Predictions =
    /// Reads a predictions file; `UserError` names the line that is none.
    let read (path: string) : Prediction[] =
        if not (File.Exists path) then
            userError
                $"{path} does not exist: the result has no predictions beside it. Run the experiment again, or leave its result file out."

        let parse number (line: string) =
            let refuse (cause: string) =
                userError $"{path}, line {number + 1}, is no prediction: {cause}."

            try
                match JsonSerializer.Deserialize<Prediction>(line, Json.options) with
                | null -> refuse "it is null"
                | prediction -> prediction
            with :? JsonException as error ->
                refuse (error.Message.ReplaceLineEndings(" ").TrimEnd '.')

        try
            Files.checkRegular path
            File.ReadAllLines path |> Array.mapi parse
        with
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"{path} cannot be read: {error.Message}"

    /// The predictions of a run in a folder of results, one at least, or why there are none; the cause names the file.
    let tryOf (results: string) (run: Run) : Result<Prediction[], string> =
        let path = Run.predictionsOf results run

        try
            match read path with
            | [||] -> Error $"{path}: the result has no predictions, its file is empty."
            | predictions -> Ok predictions
        with UserError cause ->
            Error cause

    /// A line for each finished run whose predictions file is missing, damaged or empty.
    let problems (results: string) (runs: Run list) : string list =
        runs
        |> List.filter _.IsFinished
        |> List.choose (fun run ->
            match tryOf results run with
            | Ok _ -> None
            | Error cause -> Some cause)

    /// What could not be compared, without the files of `problems`, which are named elsewhere: a baseline's file stands
    /// behind every level.
    let withoutFiles (problems: string list) (cause: string) : string =
        (cause, problems)
        ||> List.fold (fun cause problem -> cause.Replace(problem, "its predictions could not be read."))

    /// How a run is named where its predictions are spoken of.
    let name (run: Run) : string =
        $"{Experiment.rowName run.Experiment}, seed {run.Experiment.Seed}"

    /// Why a run's predictions do not answer the same rows in the same order as another run's, or nothing where they do.
    let mismatch (firstRun: Run) (first: Prediction[]) (run: Run) (predictions: Prediction[]) : string option =
        let isSame (left: Prediction) (right: Prediction) =
            left.Input = right.Input && left.Target = right.Target

        if predictions.Length <> first.Length then
            Some
                $"{name run} has {predictions.Length} predictions and {name firstRun} has {first.Length}: they were tested on different rows and cannot be compared row by row."
        else
            Seq.zip first predictions
            |> Seq.tryFindIndex (fun (left, right) -> not (isSame left right))
            |> Option.map (fun row ->
                let cause =
                    if run.Experiment.Data = firstRun.Experiment.Data then
                        "though the results name the same split, so a predictions file was changed"
                    else
                        "so they were tested on different rows and cannot be compared row by row"

                $"{name run} and {name firstRun} differ in the input or target of test row {row}, {cause}.")

    /// Runs that answer the same rows, with their predictions.
    let internal joined (read: (Run * Prediction[]) list) : Joined =
        let runs, predictions = read |> Array.ofList |> Array.unzip

        {
            Runs = runs
            Rows =
                predictions[0]
                |> Array.map (fun prediction -> prediction.Input, prediction.Target)
            Predictions = predictions |> Array.map (Array.map _.Prediction)
            Scores = predictions |> Array.map (Array.map _.Score)
        }

    /// Joins the predictions of runs of one task that were tested on the same rows in the same order; `UserError` where the
    /// rows are not the same or a file is missing.
    let join (results: string) (runs: Run list) : Joined =
        match runs with
        | [] -> userError "There is no run to compare."
        | first :: _ ->
            match runs |> List.tryFind (fun run -> run.Experiment.Task <> first.Experiment.Task) with
            | Some other ->
                userError
                    $"{first.Experiment.Task} and {other.Experiment.Task} are different tasks: their runs cannot be compared row by row."
            | None -> ()

            match runs |> List.tryFind (fun run -> not run.IsFinished) with
            | Some failed -> userError $"{name failed} has failed: it has no predictions to compare."
            | None -> ()

            let read = runs |> List.map (fun run -> run, read (Run.predictionsOf results run))

            let firstRun, firstRead = read.Head

            if firstRead.Length = 0 then
                userError $"{name firstRun} has no predictions: its file is empty."

            for run, predictions in read do
                mismatch firstRun firstRead run predictions |> Option.iter userError

            joined read
