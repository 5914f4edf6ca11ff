namespace Peft

open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Json
open TorchSharp

/// One test row as a model answered it.
type Prediction =
    {
        /// The row's place in the split's test rows, from 0.
        Row: int
        Input: string
        Target: string
        Prediction: string
        /// As the task's metric scores one row: 1 or 0 for labels, ROUGE-L's F for text.
        Score: float
    }

/// From a model to predictions to scores.
[<RequireQualifiedAccess>]
module Evaluation =
    /// Batches of this many times the training batch fit, since nothing is kept for a backward pass.
    let private batchFactor = 4

    /// Rows in a batch of evaluation where training has batches of `trainingBatch`.
    let batchSize (trainingBatch: int) : int = batchFactor * max 8 trainingBatch

    /// The texts that `model` generates for rows, in the order of the rows. `advance` is told how many rows are done.
    let generate
        (decoding: Decoding)
        (model: Model)
        (tokenizer: Tokenizer)
        (device: torch.Device)
        (size: int)
        (advance: int -> unit)
        (rows: EncodedRow[])
        : string[] =
        let texts = Array.create rows.Length ""

        for group in Batch.byLength size rows do
            use batch = Batch.ofRows model.Shape.PadId device (Array.map snd group)
            let found = Generate.run decoding model batch.InputIds batch.Mask

            Array.iter2
                (fun (place, _) (best: Hypothesis list) -> texts[place] <- tokenizer.Decode best.Head.Ids)
                group
                found

            advance group.Length

        texts

    /// Pairs test rows with their predictions.
    let predictions (task: TaskDefinition) (rows: Example[]) (texts: string[]) : Prediction[] =
        Array.zip rows texts
        |> Array.mapi (fun row (example, text) ->
            {
                Row = row
                Input = example.Input
                Target = example.Target
                Prediction = text
                Score = task.Metric.OfRow { Target = example.Target; Text = text }
            })

    /// Scores by metric name.
    let scores (task: TaskDefinition) (predictions: Prediction[]) : Dictionary<string, float> =
        predictions
        |> Array.map (fun prediction ->
            {
                Target = prediction.Target
                Text = prediction.Prediction
            })
        |> Metrics.scores task.Labels task.Metric

    /// Writes predictions as JSON Lines, whole or not at all.
    let write (path: string) (predictions: Prediction[]) : unit =
        let text = StringBuilder()

        for prediction in predictions do
            text.Append(JsonSerializer.Serialize(prediction, Json.line)).Append '\n'
            |> ignore

        Files.writeAtomically path (string text)
