namespace Peft

open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Json
open Peft.T5
open TorchSharp

/// One test row as a model answered it.
type Prediction =
    {
        /// The row's place in the split's test rows, from 0.
        Row: int
        Input: string
        Target: string
        Prediction: string
        /// 1 or 0 for exact match; ROUGE-L's F for generated text.
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
            use batch = Batch.ofRows model.Config.PadId device (Array.map snd group)
            let found = Generate.run decoding model batch.InputIds batch.Mask

            Array.iter2
                (fun (place, _) (best: Hypothesis list) -> texts[place] <- tokenizer.Decode best.Head.Ids)
                group
                found

            advance group.Length

        texts

    let private rowScore (task: TaskDefinition) (prediction: string) (target: string) =
        match task.Scoring with
        | Accuracy _ -> if prediction = target then 1.0 else 0.0
        | RougeL -> (Rouge.score false prediction target).RougeL.F

    /// Pairs test rows with their predictions.
    let predictions (task: TaskDefinition) (rows: Example[]) (texts: string[]) : Prediction[] =
        Array.zip rows texts
        |> Array.mapi (fun row (example, text) ->
            {
                Row = row
                Input = example.Input
                Target = example.Target
                Prediction = text
                Score = rowScore task text example.Target
            })

    /// Scores by metric name: `accuracy` (and `matthews` for two labels), or `rougeL`, `rouge1`, `rouge2` (F, no stemming).
    let scores (task: TaskDefinition) (predictions: Prediction[]) : Dictionary<string, float> =
        let texts, targets =
            predictions |> Array.map _.Prediction, predictions |> Array.map _.Target

        match task.Scoring with
        | Accuracy labels ->
            let accuracy = [ "accuracy", Metrics.exactMatch texts targets ]

            match labels with
            | [ _; _ ] -> ("matthews", Metrics.matthews texts targets) :: accuracy
            | _ -> accuracy
        | RougeL ->
            let mean = Array.map2 (Rouge.score false) texts targets |> Rouge.mean
            [ "rougeL", mean.RougeL.F; "rouge1", mean.Rouge1.F; "rouge2", mean.Rouge2.F ]
        |> List.sort
        |> List.map KeyValuePair
        |> Dictionary

    /// Writes predictions as JSON Lines, whole or not at all.
    let write (path: string) (predictions: Prediction[]) : unit =
        let text = StringBuilder()

        for prediction in predictions do
            text.Append(JsonSerializer.Serialize(prediction, Json.line)).Append '\n'
            |> ignore

        Files.writeAtomically path (string text)
