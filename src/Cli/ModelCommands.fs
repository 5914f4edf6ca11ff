namespace Peft

open System
open System.Diagnostics
open System.Globalization
open Argu

/// Commands that answer with a model.
[<RequireQualifiedAccess>]
module ModelCommands =
    let private sessionOptions (options: ParseResults<ModelOption>) : SessionOptions =
        for name, value in
            [
                "--test-limit", options.TryGetResult ModelOption.Test_Limit
                "--input-limit", options.TryGetResult ModelOption.Input_Limit
                "--target-limit", options.TryGetResult ModelOption.Target_Limit
                "--beams", options.TryGetResult ModelOption.Beams
            ] do
            match value with
            | Some value when value < 1 -> userError $"{name} is {value}; the least is 1."
            | _ -> ()

        {
            ModelFolder =
                options.TryGetResult ModelOption.Model
                |> Option.defaultWith Embedded.modelFolder
            DataFolder = options.TryGetResult ModelOption.Data |> Option.defaultWith Embedded.dataFolder
            Device = options.GetResult(ModelOption.Device, "cpu")
            Precision = options.GetResult(ModelOption.Dtype, "float32")
        }

    /// What the options and the adapter say, the model with the adapter merged, and what differs on standard error.
    let private prepared (session: Session) (options: ParseResults<ModelOption>) : ModelRequest * Model =
        let adapter =
            options.TryGetResult ModelOption.Adapter
            |> Option.map (Hub.adapter Downloads.settings)

        let request =
            adapter |> Option.bind AdapterTask.tryRead |> ModelRequest.create options

        let model =
            match adapter with
            | None -> session.Model
            | Some folder -> AdapterFolders.load folder session.Fingerprint session.Model |> Model.merge

        for warning in request.Warnings do
            eprintfn $"peft: {warning}"

        request, model

    /// `labels` are the ids of the task's.
    let private decodingOf (request: ModelRequest) (labels: int[][]) : Decoding =
        let free = Decoding.Beam(request.Beams, request.TargetLimit)

        match request.Constrain with
        | None -> free
        | Some AnswerLimit.Labels when labels.Length = 0 ->
            userError "--constrain labels needs a task that has labels: name one with --task or --custom."
        | Some AnswerLimit.Labels -> free.Within labels

    /// Says of generated text in other scripts than Latin that ROUGE does not see it.
    let tellScripts (task: TaskDefinition) (split: Split) : unit =
        if not (Metrics.isOfLabels task.Metric.Name) then
            split.Test
            |> Seq.map _.Target
            |> Rouge.notice
            |> Option.iter (fun notice -> eprintfn $"{task.Title}: {notice}")

    /// Answers a task's test rows and prints the scores.
    let evaluate (options: ParseResults<ModelOption>) : int =
        Options.useThreads (options.TryGetResult ModelOption.Threads)
        let session = Session(sessionOptions options, Downloads.settings)

        let request, model = prepared session options

        let task =
            match request.Task with
            | Some task when request.IsRemembered && task.Files.Folders.IsEmpty ->
                userError
                    $"the adapter was trained on rows of somebody's own ({task.Name}): name rows to score with --custom; wording, columns and scoring are the adapter's."
            | Some task -> task
            | None -> userError "evaluate needs --task or --custom."

        let seed = options.GetResult(ModelOption.Seed, 1)
        let limit = options.GetResult(ModelOption.Test_Limit, Split.standardLimit)
        let split = session.Split(task, High, seed, Split.standardLimit, limit)

        let rows = session.Encoded(task, split, request.InputLimit, request.TargetLimit)
        let watch = Stopwatch.StartNew()

        let predictions =
            rows.Test
            |> Evaluation.answers
                rows.Labels
                (decodingOf request rows.Labels)
                model
                session.Tokenizer
                session.Device
                (Evaluation.batchSize 16)
                ignore
            |> Evaluation.predictions task split.Test

        for score in Evaluation.scores task predictions do
            let value = score.Value.ToString("F4", CultureInfo.InvariantCulture)
            printfn $"{score.Key, -12} {value}"

        tellScripts task split
        Options.tellOwn task split
        printfn $"{predictions.Length} test rows in {Progress.duration watch.Elapsed.TotalSeconds}"

        options.TryGetResult Predictions
        |> Option.iter (fun file -> Evaluation.write file predictions)

        0

    /// Lines until there are no more.
    let private lines (read: unit -> string | null) : string seq =
        Seq.initInfinite (fun _ -> read ())
        |> Seq.takeWhile (isNull >> not)
        |> Seq.choose Option.ofObj

    let private prompted () : string | null =
        eprintf "> "
        Console.In.ReadLine()

    /// Answers texts from the command line, or lines of standard input: on a terminal each as soon as it is there.
    let generate (options: ParseResults<ModelOption>) : int =
        Options.useThreads (options.TryGetResult ModelOption.Threads)
        let session = Session(sessionOptions options, Downloads.settings)
        session.CheckVocabulary()
        let request, model = prepared session options

        let word, labels =
            match request.Task with
            | Some task -> Pools.word task, task.Labels
            | None -> id, []

        match request.Task with
        | Some task when request.IsRemembered ->
            eprintfn $"peft: texts are put in the words of {task.Name}, as in training (--plain: as they are)."
        | _ -> ()

        let decoding =
            labels
            |> List.map (fun label -> session.Tokenizer.Encode label)
            |> Array.ofList
            |> decodingOf request

        let inputs, atOnce =
            match options.TryGetResult Text with
            | Some texts -> Seq.ofList texts, 32
            | None when Console.IsInputRedirected -> lines Console.In.ReadLine, 32
            | None ->
                eprintfn "A text a line is answered; an empty line ends."
                lines prompted |> Seq.takeWhile ((<>) ""), 1

        let checkLength (place: int) (text: string) =
            if text.Length > Rows.longest then
                userError
                    $"text {place + 1} has {text.Length:n0} characters, and the most is {Rows.longest:n0}. A model reads its first thousands at most: cut it."

            text

        for chunk in inputs |> Seq.mapi checkLength |> Seq.chunkBySize atOnce do
            chunk
            |> Array.map (fun text ->
                {
                    Ids = session.Tokenizer.Encode(word text, request.InputLimit)
                    Labels = [| model.Shape.EosIds.Head |]
                })
            |> Evaluation.generate decoding model session.Tokenizer session.Device 32 ignore
            |> Array.iter (printfn "%s")

        0
