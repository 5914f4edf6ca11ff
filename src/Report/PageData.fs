namespace Peft.Reports

open System
open System.Buffers
open System.Text
open System.Text.Encodings.Web
open System.Text.Json
open Peft

/// What the page's script reads: runs with their exact records, figures and predictions, as JSON.
[<RequireQualifiedAccess>]
module PageData =
    // The default encoder writes `<`, `>`, `&` and quotes as \u escapes: the text cannot end the script element it stands in.
    let private writerOptions =
        JsonWriterOptions(Encoder = JavaScriptEncoder.Default, Indented = false)

    /// JSON has no word for nan and infinity: they become null.
    let private number (writer: Utf8JsonWriter) (value: float) =
        if Double.IsFinite value then
            writer.WriteNumberValue value
        else
            writer.WriteNullValue()

    let private array (writer: Utf8JsonWriter) (name: string) (write: 'a -> unit) (values: 'a seq) =
        writer.WriteStartArray name
        Seq.iter write values
        writer.WriteEndArray()

    let private object' (writer: Utf8JsonWriter) (write: unit -> unit) =
        writer.WriteStartObject()
        write ()
        writer.WriteEndObject()

    let private run (writer: Utf8JsonWriter) (nameOf: Run -> string) (run: Run) =
        object' writer (fun () ->
            writer.WriteString("id", run.Id)
            writer.WriteString("task", Tables.title run.Experiment.Task)
            writer.WriteString("technique", nameOf run)
            writer.WriteString("level", Level.text run.Experiment.Level)
            writer.WriteNumber("seed", run.Experiment.Seed)
            writer.WriteString("status", run.Status)
            writer.WritePropertyName "score"
            number writer run.Score
            writer.WriteString("metric", run.Metric)
            writer.WriteString("file", RunSheets.fileOf run)
            writer.WritePropertyName "record"
            JsonSerializer.Serialize(writer, run, RunJson.options))

    let private axis (writer: Utf8JsonWriter) (name: string) (axis: ChartAxis) =
        writer.WriteStartObject name
        writer.WriteString("title", axis.Title)
        writer.WriteBoolean("log", axis.IsLogarithmic)
        axis.Ticks |> array writer "at" (fst >> number writer)
        axis.Ticks |> array writer "names" (snd >> writer.WriteStringValue)
        writer.WriteEndObject()

    let private series (writer: Utf8JsonWriter) (series: ChartSeries) =
        object' writer (fun () ->
            writer.WriteString("name", series.Name)
            writer.WriteString("colour", Chart.colour series.Technique)
            writer.WriteString("marker", Chart.marker series.Technique)
            writer.WriteBoolean("joined", series.IsJoined)
            writer.WriteBoolean("markers", series.HasMarkers)
            series.Points |> array writer "x" (_.X >> number writer)
            series.Points |> array writer "y" (_.Y >> number writer)
            series.Points |> array writer "low" (_.Low >> number writer)
            series.Points |> array writer "high" (_.High >> number writer)
            series.Points |> array writer "labels" (_.Label >> writer.WriteStringValue)

            series.Points
            |> array writer "runs" (fun point -> writer.WriteStringValue(String.Join(" ", point.Runs))))

    let private figure (writer: Utf8JsonWriter) (figure: Chart) =
        object' writer (fun () ->
            writer.WriteString("name", figure.Name)
            writer.WriteString("title", figure.Title)
            axis writer "x" figure.X

            Chart.limits figure
            |> Option.iter (fun (low, high) -> [ low; high ] |> array writer "limits" (number writer))

            axis writer "y" figure.Y
            writer.WritePropertyName "reference"
            number writer figure.Reference
            figure.Series |> array writer "series" (series writer))

    /// A row: its texts, the distinct answers, and for each run its number, its answer's number and its score.
    let private sampleRow (writer: Utf8JsonWriter) (placeOf: string -> int) (row: SampleRow) =
        let texts = row.Answers |> List.map _.Text |> List.distinct
        let places = texts |> List.mapi (fun place text -> text, place) |> dict

        object' writer (fun () ->
            writer.WriteString("input", row.Input)
            writer.WriteString("target", row.Target)
            texts |> array writer "texts" writer.WriteStringValue

            row.Answers
            |> array writer "answers" (fun answer ->
                writer.WriteStartArray()
                writer.WriteNumberValue(placeOf answer.Run)
                writer.WriteNumberValue places[answer.Text]
                number writer (Math.Round(answer.Score, 4))
                writer.WriteEndArray()))

    /// The whole, as UTF-8 text.
    let toJson (findings: Findings) (figures: Chart list) (samples: TaskSample list) : string =
        let buffer = ArrayBufferWriter<byte>()
        use writer = new Utf8JsonWriter(buffer, writerOptions)
        let places = Collections.Generic.Dictionary<string, int>()
        findings.Runs |> List.iteri (fun place run -> places[run.Id] <- place)

        let nameOf = Tables.nameIn findings.Numbered findings.Runs

        object' writer (fun () ->
            findings.Runs |> array writer "runs" (run writer nameOf)
            figures |> array writer "figures" (figure writer)

            samples
            |> array writer "samples" (fun sample ->
                object' writer (fun () ->
                    writer.WriteString("task", Tables.title sample.Task)
                    writer.WriteNumber("all", sample.AllRows)
                    sample.Rows |> array writer "rows" (sampleRow writer (fun id -> places[id])))))

        writer.Flush()
        Encoding.UTF8.GetString buffer.WrittenSpan
