namespace Peft

open System
open System.Collections.Generic
open System.Globalization
open System.IO

/// Anyone's scores of test rows, one system a file.
type RowFile =
    {
        /// The file's name.
        Name: string
        /// What the scores are of: `score`, `exact_match`, `right`.
        Metric: string
        /// By a row's identity, in the order of the file.
        Ids: string[]
        /// What must be the same for a row in every file: its label, or its text's hash; "" where the file does not say.
        Checks: string[]
        Scores: float[]
    }

/// Reads files of scores: this project's predictions, lm-evaluation-harness' samples, and tables with `id`, `label`,
/// `prediction` and perhaps `score`.
[<RequireQualifiedAccess>]
module RowFile =
    let private refuse (row: Row) (what: string) = userError $"{row.Place} {what}"

    let private number (row: Row) (column: string) (text: string) : float =
        match text.Trim().ToLowerInvariant() with
        | "true" -> 1.0
        | "false" -> 0.0
        | text ->
            match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
            | true, value when Double.IsFinite value -> value
            | _ -> refuse row $"has \"{text}\" for its {column}, which is no number."

    /// The identity of a row, what must agree, and its score.
    type private Reading = Row -> string * string * float

    /// This project's predictions: a row is its input and target, wherever a seed put it.
    let private ofPredictions: Reading =
        fun row ->
            let text = row["Input"] + "\u0001" + row["Target"]
            text, "", number row "Score" row["Score"]

    let private ofSamples (metric: string) : Reading =
        fun row ->
            match row.TryFind metric with
            | Some value -> row["doc_id"], row.TryFind "doc_hash" |> Option.defaultValue "", number row metric value
            | None -> refuse row $"has no metric {metric}."

    let private ofTable: Reading =
        fun row ->
            let label = row.TryFind "label" |> Option.defaultValue ""

            let score =
                match row.TryFind "score", row.TryFind "prediction" with
                | Some score, _ -> number row "score" score
                | None, Some prediction when row.TryFind("label").IsSome ->
                    if prediction.Trim() = label.Trim() then 1.0 else 0.0
                | _ ->
                    refuse
                        row
                        "has neither a score nor a label and a prediction: give columns id, label, prediction or id, score."

            row["id"], label, score

    /// The lines of one filter of lm-evaluation-harness: several repeat each row.
    let private filtered (file: string) (filter: string option) (rows: Row[]) : Row[] =
        let filters =
            rows
            |> Array.choose (fun row -> row.TryFind "filter")
            |> Array.distinct
            |> List.ofArray

        match filter, filters with
        | Some name, _ when List.contains name filters ->
            rows |> Array.filter (fun row -> row.TryFind "filter" = Some name)
        | Some name, _ -> userError $"{file} has no filter \"{name}\": choose {Nearest.orList filters} with --filter."
        | None, []
        | None, [ _ ] -> rows
        | None, several ->
            userError
                $"{file} has {several.Length} filters, which repeat each row: choose {Nearest.orList several} with --filter."

    let private reading (file: string) (metric: string option) (first: Row) : string * Reading =
        let has column = first.TryFind(column).IsSome

        if has "Input" && has "Target" && has "Score" then
            "score", ofPredictions
        elif has "doc_id" then
            let known = first.TryFind "metrics" |> Option.defaultValue "acc"
            let metric = metric |> Option.defaultValue known

            if not (has metric) then
                userError $"{file} has no metric {metric}: name one of its columns ({first.Told}) with --metric."

            metric, ofSamples metric
        elif has "id" then
            (if has "score" then "score" else "share right"), ofTable
        else
            userError
                $"{file} has columns {first.Told}: give id, label and prediction (or score), this project's predictions, or lm-evaluation-harness' samples."

    /// Equal rows of one file are told apart by which of them they are, where the file numbers none.
    let private numbered (ids: string[]) : string[] =
        let seen = Dictionary<string, int>()

        ids
        |> Array.map (fun id ->
            let times =
                match seen.TryGetValue id with
                | true, times -> times + 1
                | _ -> 1

            seen[id] <- times
            if times = 1 then id else $"{id}\u0001{times}")

    /// Reads a file; `metric` and `filter` choose where lm-evaluation-harness' samples have several. `UserError` names the
    /// row that is none, and ids that stand twice.
    let read (metric: string option) (filter: string option) (path: string) : RowFile =
        if not (File.Exists path) then
            userError $"{path} does not exist. Give a file of predictions: .jsonl, .csv, .tsv or .parquet."

        let file = Path.GetFileName path |> string
        let rows = Rows.read FirstRow path |> Array.ofSeq

        if rows.Length = 0 then
            userError $"{file} holds no row."

        let rows = filtered file filter rows
        let metric, reading = reading file metric rows[0]
        let read = rows |> Array.map reading
        let ids = read |> Array.map (fun (id, _, _) -> id)

        let isOurs =
            rows[0].TryFind("Input").IsSome
            && rows[0].TryFind("id").IsNone
            && rows[0].TryFind("doc_id").IsNone

        let ids = if isOurs then numbered ids else ids

        match ids |> Array.countBy id |> Array.filter (fun (_, times) -> times > 1) with
        | [||] -> ()
        | twice ->
            userError
                $"{file} has {twice.Length} ids more than once, the first is \"{fst twice[0]}\": a row may stand once."

        {
            Name = file
            Metric = metric
            Ids = ids
            Checks = read |> Array.map (fun (_, check, _) -> check)
            Scores = read |> Array.map (fun (_, _, score) -> score)
        }

    let private told (ids: string seq) : string =
        let some =
            ids
            |> Seq.truncate 3
            |> Seq.map (fun id -> "\"" + Printable.short 40 (id.Replace("\u0001", " | ")) + "\"")

        String.Join(", ", some)

    /// The scores of several files on the same rows, row by row in the order of the first. `UserError` where they have not
    /// the same rows: how many, and which.
    let aligned (files: RowFile list) : float[][] =
        let first = files.Head

        [|
            for file in files do
                let places =
                    file.Ids |> Array.indexed |> Array.map (fun (place, id) -> id, place) |> dict

                let missing = first.Ids |> Array.filter (places.ContainsKey >> not)
                let own = set first.Ids
                let extra = file.Ids |> Array.filter (own.Contains >> not)

                if missing.Length > 0 || extra.Length > 0 then
                    let which = told (Seq.append missing extra)

                    userError
                        $"{file.Name} and {first.Name} have {first.Ids.Length - missing.Length} rows in common; {missing.Length} of {first.Ids.Length} are only in {first.Name} and {extra.Length} of {file.Ids.Length} only in {file.Name}: {which}. Compare files of the same test rows."

                let order = first.Ids |> Array.map (fun id -> places[id])

                first.Ids
                |> Array.iteri (fun row id ->
                    let left, right = first.Checks[row], file.Checks[order[row]]

                    if left <> "" && right <> "" && left <> right then
                        userError
                            $"row {told [ id ]} is \"{Printable.short 40 left}\" in {first.Name} and \"{Printable.short 40 right}\" in {file.Name}: they are not the same test rows.")

                order |> Array.map (fun place -> file.Scores[place])
        |]
