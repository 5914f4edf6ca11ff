namespace Peft

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text
open System.Text.Json
open System.Text.Json.Serialization
open TorchSharp

/// What a model says to a row.
type Generated =
    {
        Text: string
        /// The place of the most likely label among those that were ranked; none where none were.
        Ranked: int option
    }

/// One test row as a model answered it.
type Prediction =
    {
        /// The row's place in the split's test rows, from 0.
        Row: int
        Input: string
        Target: string
        Prediction: string
        /// The most likely of the task's labels (`Likelihood`); none for text, and where they were not ranked.
        [<JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)>]
        Ranked: string option
        /// As the task's metric scores one row: 1 or 0 for labels, ROUGE-L's F for text.
        Score: float
    }

    /// What its row is scored by.
    member internal prediction.Reply: Reply =
        {
            Target = prediction.Target
            Text = prediction.Prediction
            Ranked = prediction.Ranked
        }

/// From a model to predictions to scores.
[<RequireQualifiedAccess>]
module Evaluation =
    /// Batches of this many times the training batch fit, since nothing is kept for a backward pass.
    let private batchFactor = 4

    /// Rows in a batch of evaluation where training has batches of `trainingBatch`.
    let batchSize (trainingBatch: int) : int = batchFactor * max 8 trainingBatch

    /// The least that attention over so many tokens takes at once: the scores of each row and head, and for each pair of
    /// tokens its distance and each head's bias of it.
    let leastBytes (shape: Shape) (rows: int) (length: int) : float =
        let pairs = float length * float length
        pairs * (4.0 * float shape.Heads * float (rows + 1) + 16.0)

    /// `UserError` where rows are too long for the machine's memory, or for a table of the distances of their tokens.
    let private checkMemory (shape: Shape) (device: torch.Device) (rows: EncodedRow[]) : unit =
        let length = rows |> Array.map _.Ids.Length |> Array.max
        let needed = leastBytes shape rows.Length length
        let there = float (GC.GetGCMemoryInfo()).TotalAvailableMemoryBytes

        let gib (bytes: float) =
            (bytes / 1073741824.0).ToString("F1", CultureInfo.InvariantCulture)

        if int64 length * int64 length > int64 Array.MaxLength then
            userError $"an input has {length:n0} tokens; 46,340 are the most. Lower --input-limit."
        elif device.``type`` = DeviceType.CPU && there > 0.0 && needed > there then
            userError
                $"attention over {rows.Length} rows of up to {length:n0} tokens takes {gib needed} GiB at least, and this machine has {gib there} GiB. Lower --input-limit."

    /// More labels than these are not ranked: each takes a decoder's step of its own, and the time should be that of encoding.
    let mostRanked = 100

    /// The first of the highest; none of none.
    let private highest (likelihoods: float[]) : int option =
        if likelihoods.Length = 0 then
            None
        else
            likelihoods |> Array.indexed |> Array.maxBy snd |> fst |> Some

    /// What `model` generates for rows, in the order of the rows, and the most likely of `labels` (their ids, `</s>` included)
    /// beside it. `advance` is told how many rows are done.
    let answers
        (labels: int[][])
        (decoding: Decoding)
        (model: Model)
        (tokenizer: Tokenizer)
        (device: torch.Device)
        (size: int)
        (advance: int -> unit)
        (rows: EncodedRow[])
        : Generated[] =
        let answers = Array.create rows.Length { Text = ""; Ranked = None }

        let sequences =
            if labels.Length <= mostRanked then
                Likelihood.sequences labels
            else
                [||]

        let groups = Batch.byLength size rows
        groups |> Array.iter (Array.map snd >> checkMemory model.Shape device)

        for group in groups do
            use batch = Batch.ofRows model.Shape.PadId device (Array.map snd group)

            let found, likelihoods =
                Generate.runRanking sequences decoding model batch.InputIds batch.Mask

            for (place, _), best, likelihoods in Seq.zip3 group found likelihoods do
                answers[place] <-
                    {
                        Text = tokenizer.Decode best.Head.Ids
                        Ranked = highest likelihoods
                    }

            advance group.Length

        answers

    /// The texts of `answers`, where there are no labels.
    let generate
        (decoding: Decoding)
        (model: Model)
        (tokenizer: Tokenizer)
        (device: torch.Device)
        (size: int)
        (advance: int -> unit)
        (rows: EncodedRow[])
        : string[] =
        answers [||] decoding model tokenizer device size advance rows
        |> Array.map _.Text

    /// Pairs test rows with their answers, whose labels are the task's.
    let predictions (task: TaskDefinition) (rows: Example[]) (answers: Generated[]) : Prediction[] =
        Array.zip rows answers
        |> Array.mapi (fun row (example, answer) ->
            let prediction =
                {
                    Row = row
                    Input = example.Input
                    Target = example.Target
                    Prediction = answer.Text
                    Ranked = answer.Ranked |> Option.map (fun place -> task.Labels[place])
                    Score = nan
                }

            { prediction with
                Score = task.Metric.OfRow task.Labels prediction.Reply
            })

    /// Scores by metric name.
    let scores (task: TaskDefinition) (predictions: Prediction[]) : Dictionary<string, float> =
        predictions |> Array.map _.Reply |> Metrics.scores task.Labels task.Metric

    /// Writes predictions as JSON Lines, whole or not at all.
    let write (path: string) (predictions: Prediction[]) : unit =
        let text = StringBuilder()

        for prediction in predictions do
            text.Append(JsonSerializer.Serialize(prediction, Json.line)).Append '\n'
            |> ignore

        Files.writeAtomically path (string text)
