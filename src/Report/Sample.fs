namespace Peft.Reports

open System.Collections.Generic
open Peft

/// What one run answered to a test row.
type SampleAnswer =
    {
        Run: string
        Text: string
        Score: float
    }

/// A test row with the answers of every run that was asked it.
type SampleRow =
    {
        Input: string
        Target: string
        Answers: SampleAnswer list
    }

/// Test rows of a task, spread evenly over all of them where they are too many for a page.
type TaskSample =
    {
        Task: string
        Rows: SampleRow list
        /// How many distinct rows there are.
        AllRows: int
    }

/// Predictions side by side, as many as a page can hold.
[<RequireQualifiedAccess>]
module Sample =
    /// Characters of predictions on a page, over all tasks.
    let pageBudget = 12_000_000

    /// JSON around each answer and row.
    let private overhead = 24

    /// Evenly spread places: `count` of `all`.
    let private spread (count: int) (all: 'a[]) : 'a[] =
        if count >= all.Length then
            all
        else
            Array.init count (fun place -> all[int (int64 place * int64 all.Length / int64 count)])

    /// The distinct test rows of a task, from the first readable run of each split, and the mean size of a prediction.
    let private rowsOf (folder: string) (runs: Run list) : (string * string)[] * float =
        let predictions =
            runs
            |> List.groupBy (fun run -> run.Experiment.Seed, run.Experiment.Data)
            |> List.choose (snd >> List.tryPick (Predictions.tryOf folder >> Result.toOption))
            |> Array.concat

        let size =
            if predictions.Length = 0 then
                0.0
            else
                predictions
                |> Array.averageBy (fun prediction -> float prediction.Prediction.Length)

        predictions
        |> Array.map (fun prediction -> prediction.Input, prediction.Target)
        |> Array.distinct,
        size

    /// One task's sample within a budget of characters, and what could not be read. Files are read one at a time: a paper's
    /// worth of predictions does not fit into memory.
    let private ofTask (folder: string) (budget: int) (task: string, runs: Run list) : TaskSample * string list =
        let all, size = rowsOf folder runs

        let rowSize (input: string, target: string) =
            float (input.Length + target.Length + overhead)
            + float runs.Length * (size + float overhead)

        let count =
            if all.Length = 0 then
                0
            else
                max 1 (int (float budget / (all |> Array.averageBy rowSize)))

        let chosen = spread count all
        let answers = Dictionary<string * string, ResizeArray<SampleAnswer>>()

        for row in chosen do
            answers[row] <- ResizeArray()

        let damaged =
            runs
            |> List.choose (fun run ->
                match Predictions.tryOf folder run with
                | Error problem -> Some problem
                | Ok predictions ->
                    for prediction in predictions do
                        match answers.TryGetValue((prediction.Input, prediction.Target)) with
                        | true, found ->
                            found.Add
                                {
                                    Run = run.Id
                                    Text = prediction.Prediction
                                    Score = prediction.Score
                                }
                        | _ -> ()

                    None)

        let row (input, target) =
            {
                Input = input
                Target = target
                Answers = List.ofSeq answers[(input, target)]
            }

        {
            Task = task
            Rows = chosen |> Array.map row |> List.ofArray
            AllRows = all.Length
        },
        damaged

    /// The samples of all tasks within a budget of characters, and a line for each predictions file that is missing,
    /// damaged or empty.
    let read (budget: int) (findings: Findings) : TaskSample list * string list =
        let finished =
            if Results.isRunsFile findings.Folder then
                []
            else
                findings.Runs |> List.filter _.IsFinished

        let tasks =
            finished
            |> List.groupBy _.Experiment.Task
            |> List.sortBy (fun (task, _) -> Tables.taskOrder task, task)

        let found =
            tasks
            |> List.map (fun (task, runs) ->
                ofTask findings.Folder (budget / tasks.Length) (task, runs |> List.sortBy Tables.rowOrder))

        found |> List.map fst, found |> List.collect snd
