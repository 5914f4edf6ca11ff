namespace Peft

open Argu

/// The options of `compare`.
[<RequireQualifiedAccess>]
type CompareOption =
    | [<MainCommand>] Files of paths: string list
    | [<Unique>] Metric of name: string
    | [<Unique>] Filter of name: string
    | [<Unique>] Runs of path: string
    | [<Unique>] Simulate of nulls: int

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Files _ ->
                "Two or more files of test rows with their scores: this project's predictions, lm-evaluation-harness' samples (.jsonl), or tables with id, label, prediction or id, score."
            | Metric _ -> "The metric of lm-evaluation-harness' samples. The first that they name if not given."
            | Filter _ -> "The filter of lm-evaluation-harness' samples, where they have several."
            | Runs _ ->
                "Results (a folder, or a file of runs such as import writes) whose repeated runs say how far a rerun lands from another. The results beside the files if not given."
            | Simulate _ ->
                "Instead of files: draw so many pairs that are equally good, and tell how many are called different."

/// `peft compare`: anyone's rows, aligned and tested.
[<RequireQualifiedAccess>]
module CompareCommand =
    let private simulate (count: int) : int =
        if count < 2 then
            userError $"--simulate is {count}; the least is 2."

        let labels, texts = Nulls.rejected count 1UL

        let percent (share: float) =
            NumberStyle.text (Fixed 2) (100.0 * share)

        printfn
            $"{count:N0} pairs that are equally good, tested at 5 %%: {percent labels} %% of right-or-wrong scores and {percent texts} %% of other scores are called different, {percent ((labels + texts) / 2.0)} %% of all."

        0

    /// What another training would change, where repeated runs say so.
    let private reruns (options: ParseResults<CompareOption>) (files: string list) : string list =
        match options.TryGetResult CompareOption.Runs with
        | None -> NoiseFloor.ofPredictions files |> NoiseFloor.lines Tables.title
        | Some path ->
            match Results.read path |> fst |> NoiseFloor.ofRuns with
            | [] ->
                [
                    $"{path} holds no configuration that was run twice: it does not say how far a rerun lands."
                ]
            | floors -> NoiseFloor.lines Tables.title floors

    /// Compares files of scores.
    let run (options: ParseResults<CompareOption>) : int =
        match options.TryGetResult CompareOption.Simulate, options.GetResult(CompareOption.Files, []) with
        | Some count, [] -> simulate count
        | Some _, _ -> userError "--simulate draws its own rows: leave the files out."
        | None, files when files.Length < 2 -> userError "compare needs two files of test rows at the least."
        | None, files ->
            let read =
                files
                |> List.map (
                    RowFile.read (options.TryGetResult CompareOption.Metric) (options.TryGetResult CompareOption.Filter)
                )

            let names =
                // Files of one name are told apart by their paths.
                if (read |> List.distinctBy _.Name).Length = read.Length then
                    read |> List.map _.Name
                else
                    files

            match read |> List.map _.Metric |> List.distinct with
            | [ _ ] -> ()
            | metrics ->
                let told = metrics |> String.concat " and "
                userError $"the files score by {told}: compare files of one metric."

            let comparison =
                RowFile.aligned read
                |> List.ofArray
                |> List.zip names
                |> RowPairs.compare read.Head.Metric

            printfn $"{RowPairs.describe comparison}"

            for line in reruns options files do
                printfn $"{line}"

            0
