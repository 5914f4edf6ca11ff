namespace Peft

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Text.RegularExpressions

/// Results of Hugging Face peft's `method_comparison` suite, and of lm-evaluation-harness, as runs: evidence that others made.
/// What decides their numbers and is said otherwise there (versions, accelerator) stands in a run's device, so that runs of
/// different ones are never averaged.
[<RequireQualifiedAccess>]
module PeftResults =
    /// That project's own mark for a missing number.
    let private sentinel = 123.0

    /// Python writes numbers that JSON has not.
    let private parse (file: string) : JsonDocument =
        let text = Files.readText Files.mostDescription file

        try
            Regex.Replace(text, @"(?<=[:\[,]\s*)(-?Infinity|NaN)(?=\s*[,\]}])", "null")
            |> JsonDocument.Parse
        with :? JsonException as error ->
            userError $"{file} is no JSON: {error.Message.ReplaceLineEndings(string ' ')}"

    let private at (path: string list) (element: JsonElement) : JsonElement option =
        (Some element, path)
        ||> List.fold (fun found name ->
            found
            |> Option.bind (fun element ->
                if element.ValueKind = JsonValueKind.Object then
                    match element.TryGetProperty name with
                    | true, value -> Some value
                    | _ -> None
                else
                    None))

    /// The value at the first path that there is: older files have other names.
    let private tryFirst (paths: string list) (element: JsonElement) : JsonElement option =
        paths |> List.tryPick (fun path -> at (List.ofArray (path.Split '/')) element)

    let private number (paths: string list) (element: JsonElement) : float option =
        tryFirst paths element
        |> Option.filter (fun value -> value.ValueKind = JsonValueKind.Number)
        |> Option.map _.GetDouble()
        |> Option.filter Double.IsFinite

    let private text (paths: string list) (element: JsonElement) : string option =
        tryFirst paths element
        |> Option.filter (fun value -> value.ValueKind = JsonValueKind.String)
        |> Option.map Json.text

    let private needed (file: string) (paths: string list) (found: 'a option) : 'a =
        match found with
        | Some value -> value
        | None ->
            userError
                $"{file} has no {paths.Head}: it is no result of peft's method_comparison, or of a schema that is not known."

    /// This project's words for a `peft_config`; none where it has nothing of the kind, with the kind's name.
    let private technique (config: JsonElement option) : Result<Technique, string> =
        match config with
        | None -> Ok(Technique.parse "full")
        | Some config when config.ValueKind = JsonValueKind.Null -> Ok(Technique.parse "full")
        | Some config ->
            let count name fallback =
                number [ name ] config |> Option.defaultValue fallback |> int

            let isSet name =
                tryFirst [ name ] config
                |> Option.exists (fun value -> value.ValueKind = JsonValueKind.True)

            let words =
                match text [ "peft_type" ] config |> Option.defaultValue "" with
                | "LORA" ->
                    let rank = count "r" 8.0
                    let alpha = number [ "lora_alpha" ] config |> Option.defaultValue 8.0

                    let more =
                        [
                            if isSet "use_rslora" then
                                ",rs"
                            if isSet "use_dora" then
                                ",dora"
                        ]
                        |> String.concat ""

                    Ok $"lora(rank={rank},alpha={alpha}{more})"
                | "IA3" -> Ok "ia3"
                | "PROMPT_TUNING" ->
                    let tokens = count "num_virtual_tokens" 20.0
                    Ok $"prompt(tokens={tokens})"
                | "PREFIX_TUNING" ->
                    let tokens = count "num_virtual_tokens" 20.0
                    Ok $"prefix(tokens={tokens})"
                | "VERA" ->
                    let rank = count "r" 256.0
                    Ok $"vera(rank={rank})"
                | "LN_TUNING" -> Ok "layernorm"
                | other -> Error other

            words
            |> Result.bind (fun words ->
                try
                    Ok(Technique.parse words)
                with UserError _ ->
                    Error words)

    /// What a run is beside its numbers.
    type private Identity =
        {
            Task: string
            Technique: Technique
            /// What tells it from others of its technique.
            Name: string
            Model: string
            Precision: string
            InputLimit: int
            Rows: int
            Seed: int
            Device: string
        }

    let private run (identity: Identity) (metric: string) : Run =
        let experiment: Experiment =
            {
                Task = identity.Task
                Method = Tuned identity.Technique
                Placement = Placement.everywhere
                Level = Some(Amount(max 1 identity.Rows))
                Seed = identity.Seed
                Model = identity.Model
                Data = identity.Name
                Precision = identity.Precision
                InputLimit = identity.InputLimit
                TargetLimit = 0
                Beams = 1
                Constrain = None
                Training = Training.none
            }

        { Run.unknown identity.Device experiment with
            Metric = metric
            TrainRows = identity.Rows
        }

    /// Versions and accelerator: what keeps runs apart.
    let private deviceOf (root: JsonElement) : string =
        let packages =
            match tryFirst [ "meta_info/package_info" ] root with
            | Some info when info.ValueKind = JsonValueKind.Object ->
                [
                    for package in info.EnumerateObject() do
                        if List.contains (package.Name.Replace("-version", "")) [ "peft"; "torch"; "transformers" ] then
                            $"""{package.Name.Replace("-version", "")} {package.Value}"""
                ]
            | _ -> []

        let accelerator =
            text [ "meta_info/system_info/accelerator" ] root
            |> Option.defaultValue "unknown accelerator"

        accelerator :: packages |> String.concat ", "

    /// The test metrics that the suite has, the last step's, with this project's names.
    let private metrics =
        [ "test accuracy", "exactMatch"; "test dino_similarity", "dinoSimilarity" ]

    /// What its tasks' test sets hold, where that is known.
    let private testRows (task: string) =
        if task = "metamathqa" then 1_319 else 0

    let private last (root: JsonElement) : JsonElement option =
        match tryFirst [ "train_info/metrics"; "metrics" ] root with
        | Some list when list.ValueKind = JsonValueKind.Array && list.GetArrayLength() > 0 ->
            Some list[list.GetArrayLength() - 1]
        | _ -> None

    /// A file of peft's suite as a run; the cause where its technique is none of this project's. `UserError` for a file of
    /// another schema, which names what is missing.
    let read (file: string) : Result<Run, string> =
        use document = parse file
        let root = document.RootElement

        let name =
            text [ "run_info/experiment_name"; "experiment_name" ] root
            |> needed file [ "run_info/experiment_name" ]

        let config =
            tryFirst [ "run_info/train_config"; "train_config" ] root
            |> needed file [ "run_info/train_config" ]

        let whole paths =
            number paths config |> Option.defaultValue 0.0 |> int

        let status =
            text [ "train_info/status"; "status" ] root |> Option.defaultValue "success"

        match technique (tryFirst [ "run_info/peft_config"; "peft_config" ] root) with
        | Error kind -> Error $"{file}: {name} ({kind}) is none of this project's techniques and is left out."
        | Ok technique ->
            let task =
                match
                    last root
                    |> Option.bind (fun last ->
                        metrics |> List.tryFind (fun (theirs, _) -> (at [ theirs ] last).IsSome))
                with
                | Some("test dino_similarity", _) -> "image-gen"
                | _ -> "metamathqa"

            let metric =
                if task = "image-gen" then
                    "dinoSimilarity"
                else
                    "exactMatch"

            let rows = min 20_000 (whole [ "max_steps" ] * max 1 (whole [ "batch_size" ]))

            let run =
                run
                    {
                        Task = task
                        Technique = technique
                        Name = $"peft method_comparison {name}"
                        Model = text [ "model_id" ] config |> needed file [ "run_info/train_config/model_id" ]
                        Precision = text [ "dtype" ] config |> Option.defaultValue "float32"
                        InputLimit = whole [ "max_seq_length" ]
                        Rows = rows
                        Seed = whole [ "seed" ]
                        Device = deviceOf root
                    }
                    metric

            let count paths =
                number paths root |> Option.defaultValue 0.0 |> int64

            let run =
                { run with
                    Timing =
                        { run.Timing with
                            Train =
                                number [ "train_info/train_time"; "run_info/total_time" ] root
                                |> Option.defaultValue 0.0
                        }
                    TrainableParameters = count [ "train_info/num_trainable_params"; "num_trainable_params" ]
                    TotalParameters = count [ "train_info/num_total_params"; "num_total_params" ]
                    PeakMemoryMiB =
                        number [ "train_info/accelerator_memory_max"; "train_info/cuda_memory_max" ] root
                        |> Option.map (fun bytes -> bytes / 1048576.0)
                        |> Option.defaultValue 0.0
                    TestRows = testRows task
                    FinishedAt = text [ "run_info/created_at" ] root |> Option.defaultValue ""
                }

            if status <> "success" then
                Ok
                    { run with
                        Status = "failed"
                        Error = text [ "run_info/error_msg" ] root |> Option.defaultValue status
                    }
            else
                let last = last root |> needed file [ "train_info/metrics" ]

                let score =
                    number (metrics |> List.map fst) last
                    |> needed file [ "train_info/metrics/test accuracy" ]

                run.Scores[metric] <- score

                for name in [ "forgetting"; "drift" ] do
                    match number [ name ] last with
                    | Some value when value <> sentinel -> run.Scores[name] <- value
                    | _ -> ()

                Ok run

    /// lm-evaluation-harness' samples of one task as a run of a technique that was trained on so many rows.
    let ofSamples (technique: Technique) (model: string) (rows: int) metric filter (file: string) : Run =
        let samples = RowFile.read metric filter file
        let stem = string (Path.GetFileNameWithoutExtension file)
        let task = Regex.Replace(stem, @"^samples_|_\d{4}-\d\d-\d\dT.*$", "")

        let run =
            run
                {
                    Task = task
                    Technique = technique
                    Name = $"lm-evaluation-harness {samples.Name}"
                    Model = model
                    Precision = ""
                    InputLimit = 0
                    Rows = rows
                    Seed = 1
                    Device = "lm-evaluation-harness"
                }
                samples.Metric

        run.Scores[samples.Metric] <- Statistics.mean samples.Scores

        { run with
            TestRows = samples.Scores.Length
        }
