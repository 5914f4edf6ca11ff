namespace Peft

open System.Globalization
open System.IO
open Argu
open TorchSharp

/// The options of `adapters`.
[<RequireQualifiedAccess>]
type AdaptersOption =
    | [<MainCommand; Unique>] Folder of folder: string
    | Inspect
    | [<Unique>] Convert of target: string
    | [<Unique; AltCommandLine("-m")>] Model of folder: string

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Folder _ -> "An adapter folder, a folder of adapter folders to list, or an adapter's name on the hub."
            | Inspect -> "List the tensors of the adapter."
            | Convert _ ->
                "Write the adapter into this folder in the other format: this project's as Hugging Face peft's, peft's as this project's."
            | Model _ ->
                "Folder of the base checkpoint, or its name on the hub, for --convert. The embedded model if not given."

/// The options of `merge`.
[<RequireQualifiedAccess>]
type MergeOption =
    | [<Mandatory; Unique; AltCommandLine("-a")>] Adapter of folder: string
    | [<Mandatory; Unique; AltCommandLine("-o")>] Output of folder: string
    | [<Unique; AltCommandLine("-m")>] Model of folder: string
    | [<Unique>] Dtype of name: string
    | [<MainCommand>] Samples of texts: string list

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Adapter _ ->
                "Folder of the adapter, in this project's or Hugging Face peft's format, or its name on the hub."
            | Output _ -> "Folder for the merged checkpoint."
            | Model _ -> "Folder of the base checkpoint, or its name on the hub. The embedded model if not given."
            | Dtype _ -> "Dtype of the written weights: float32 or bfloat16. float32 if not given."
            | Samples _ ->
                "Texts on which the largest change of a logit is measured. Two of our own if none is given; without a tokenizer rows of token ids."

/// Commands on adapter folders.
[<RequireQualifiedAccess>]
module AdapterCommands =
    let private number (value: int64) =
        value.ToString("N0", CultureInfo.InvariantCulture)

    let private session (modelFolder: string option) : Session =
        Session(SessionOptions.create (modelFolder |> Option.defaultWith Embedded.modelFolder) "", Downloads.settings)

    let private formatName (format: AdapterFormat) =
        match format with
        | Own -> "peft.net"
        | HuggingFacePeft -> "hf peft"

    let private printSummaries (summaries: AdapterSummary list) =
        let row (summary: AdapterSummary) =
            [
                summary.Folder
                formatName summary.Format
                summary.Technique
                number summary.Elements
                number summary.Bytes
                if summary.Base = "" then "not stated" else summary.Base
            ]

        let heads = [ "folder"; "format"; "technique"; "elements"; "bytes"; "base" ]
        printfn $"{Columns.table heads (summaries |> List.map row)}"

        for summary in summaries do
            for notice in summary.Notices do
                printfn $"{summary.Folder}: {notice}"

    /// Lists, inspects or converts adapter folders.
    let adapters (options: ParseResults<AdaptersOption>) : int =
        let folder =
            options.GetResult(AdaptersOption.Folder, ".") |> Hub.adapter Downloads.settings

        match options.TryGetResult AdaptersOption.Convert with
        | Some target ->
            let session = session (options.TryGetResult AdaptersOption.Model)
            printSummaries [ AdapterFolders.convert folder target session.Fingerprint session.Model ]
        | None when options.Contains AdaptersOption.Inspect ->
            printSummaries [ AdapterFolders.summary folder ]

            for tensor in AdapterFolders.inspect folder do
                printfn $"{tensor.Name} {tensor.Dtype} {tensor.Shape}"
        | None ->
            match AdapterFolders.list folder with
            | [] -> userError $"{folder} holds no adapter folder: name one, or a folder above some."
            | found -> printSummaries found

        0

    let private ownSamples =
        [
            "Summarize: Ann lost her keys. Ben found them under the old chair."
            "Is the sentence correct? OPTIONS: yes, no. She have two cats."
        ]

    /// Two rows of ids from all of the vocabulary, for a base without tokenizer.
    let private idSamples (vocabulary: int) : EncodedRow list =
        let ids step count =
            Array.init count (fun place -> int (int64 (place + 1) * int64 step % int64 vocabulary))

        [ 7919, 24; 104_729, 48 ]
        |> List.map (fun (step, count) ->
            {
                Ids = ids step count
                Labels = ids (step + 1) 8
            })

    /// The rows that merging is measured on: given texts, or our own. Merging itself needs no tokenizer.
    let private samplesFor (session: Session) (texts: string list option) : EncodedRow list =
        match texts with
        | None when not (Checkpoint.hasTokenizer session.Options.ModelFolder) ->
            idSamples session.Model.Shape.Vocabulary
        | _ ->
            session.CheckVocabulary()

            texts
            |> Option.defaultValue ownSamples
            |> List.map (fun text ->
                {
                    Ids = session.Tokenizer.Encode(text, 512)
                    Labels = session.Tokenizer.Encode(text, 32)
                })

    /// Writes adapter and base as one plain Hugging Face checkpoint.
    let merge (options: ParseResults<MergeOption>) : int =
        let session = session (options.TryGetResult MergeOption.Model)
        let dtype = Precision.parse (options.GetResult(MergeOption.Dtype, "float32"))
        let target = options.GetResult MergeOption.Output

        let adapted =
            AdapterFolders.load
                (Hub.adapter Downloads.settings (options.GetResult MergeOption.Adapter))
                session.Fingerprint
                session.Model

        let samples =
            samplesFor session (options.TryGetResult MergeOption.Samples)
            |> List.map (fun row -> Batch.ofRows session.Model.Shape.PadId session.Device [| row |])

        let report =
            Merge.toCheckpoint session.Options.ModelFolder target dtype samples adapted

        let short (value: float) =
            value.ToString("G3", CultureInfo.InvariantCulture)

        printfn
            $"{Path.GetFullPath target}: {report.ChangedMaps} linear maps changed; the largest change of a logit by merging is {short report.LargestLogitChange} of {short report.LargestLogit} on {samples.Length} rows."

        0
