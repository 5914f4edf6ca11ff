namespace Peft

open System
open System.IO
open System.Text.Json
open System.Text.RegularExpressions

/// `adapter_config.json` → `HuggingFaceConfig`, with every key checked.
[<RequireQualifiedAccess>]
module internal HuggingFaceReading =
    let private isOff (value: JsonElement) =
        match value.ValueKind with
        | JsonValueKind.Null
        | JsonValueKind.False -> true
        | JsonValueKind.Array -> value.GetArrayLength() = 0
        | JsonValueKind.Object -> Seq.isEmpty (value.EnumerateObject())
        | _ -> false

    /// The values of a configuration file over the HuggingFaceKeys.defaults; `file` is for messages.
    type private Values(file: string, values: Map<string, JsonElement>) =
        member _.Wrong(key: string, should: string) : 'a =
            let raw = values[key].GetRawText()
            let text = Regex.Replace(raw, @"\s+", " ")
            userError $"{file}: {key} is {text}, and should be {should}."

        member _.Item(key: string) : JsonElement = values[key]

        member this.Number(key: string) : float =
            if values[key].ValueKind = JsonValueKind.Number then
                values[key].GetDouble()
            else
                this.Wrong(key, "a number")

        member this.Count(key: string) : int =
            match values[key].ValueKind with
            | JsonValueKind.Number ->
                match values[key].TryGetInt32() with
                | true, count when count >= 1 -> count
                | _ -> this.Wrong(key, "a whole number of at least 1")
            | _ -> this.Wrong(key, "a whole number of at least 1")

        member this.Share(key: string) : float =
            match this.Number key with
            | share when share >= 0.0 && share < 1.0 -> share
            | _ -> this.Wrong(key, "at least 0 and below 1")

        member this.Flag(key: string) : bool =
            match values[key].ValueKind with
            | JsonValueKind.True -> true
            | JsonValueKind.False
            | JsonValueKind.Null -> false
            | _ -> this.Wrong(key, "true or false")

        member this.Texts(key: string) : string list =
            match values[key].ValueKind with
            | JsonValueKind.Null -> []
            | JsonValueKind.String -> [ Json.text values[key] ]
            | JsonValueKind.Array when
                values[key].EnumerateArray()
                |> Seq.forall (fun one -> one.ValueKind = JsonValueKind.String)
                ->
                [ for item in values[key].EnumerateArray() -> Json.text item ]
            | _ -> this.Wrong(key, "a list of names")

        member this.Integers(key: string) : int list =
            let isWhole (one: JsonElement) =
                one.ValueKind = JsonValueKind.Number && fst (one.TryGetInt32())

            match values[key].ValueKind with
            | JsonValueKind.Null -> []
            | JsonValueKind.Number when isWhole values[key] -> [ values[key].GetInt32() ]
            | JsonValueKind.Array when values[key].EnumerateArray() |> Seq.forall isWhole ->
                [ for item in values[key].EnumerateArray() -> item.GetInt32() ]
            | _ -> this.Wrong(key, "a list of whole numbers")

        member this.Pairs(key: string, read: JsonElement -> 'a option, should: string) : (string * 'a) list =
            match values[key].ValueKind with
            | JsonValueKind.Null -> []
            | JsonValueKind.Object ->
                [
                    for item in values[key].EnumerateObject() ->
                        match read item.Value with
                        | Some value -> item.Name, value
                        | None -> this.Wrong(key, should)
                ]
            | _ -> this.Wrong(key, should)

        member this.Target(key: string) : ModuleTarget option =
            match values[key].ValueKind with
            | JsonValueKind.Null -> None
            | JsonValueKind.String when (Json.text values[key]).ToLowerInvariant() = "all-linear" -> Some AllLinear
            | JsonValueKind.String -> Some(ModulePattern(Json.text values[key]))
            | _ -> Some(ModuleNames(this.Texts key))

        /// `fallback` are the names that peft takes for a T5 where the file gives none.
        member this.Targeting(fallback: string list) : Targeting =
            let optional key read none =
                if values.ContainsKey key then read key else none

            {
                Targets = this.Target "target_modules" |> Option.defaultValue (ModuleNames fallback)
                Excluded = optional "exclude_modules" this.Target None
                Layers = optional "layers_to_transform" this.Integers []
                LayersPatterns = optional "layers_pattern" this.Texts []
            }

    let private integer (value: JsonElement) =
        match value.ValueKind with
        | JsonValueKind.Number ->
            match value.TryGetInt32() with
            | true, number when number >= 1 -> Some number
            | _ -> None
        | _ -> None

    let private real (value: JsonElement) =
        if value.ValueKind = JsonValueKind.Number then
            Some(value.GetDouble())
        else
            None

    let private flags (value: JsonElement) =
        let isFlag (one: JsonElement) =
            one.ValueKind = JsonValueKind.True || one.ValueKind = JsonValueKind.False

        if
            value.ValueKind = JsonValueKind.Array
            && value.EnumerateArray() |> Seq.forall isFlag
        then
            Some [| for one in value.EnumerateArray() -> one.GetBoolean() |]
        else
            None

    let private readLora (values: Values) =
        let isPissa =
            match values["init_lora_weights"].ValueKind with
            | JsonValueKind.True
            | JsonValueKind.False
            | JsonValueKind.Null -> false
            | JsonValueKind.String ->
                match (Json.text values["init_lora_weights"]).ToLowerInvariant() with
                | "gaussian"
                | "orthogonal"
                | "eva" -> false
                | "pissa" -> true
                // The others change the frozen weight in ways that the adapter's file does not tell.
                | _ -> values.Wrong("init_lora_weights", "true, false, gaussian, orthogonal, eva or pissa")
            | _ -> values.Wrong("init_lora_weights", "true, false or a name")

        HuggingFaceLora
            {
                Rank = values.Count "r"
                Alpha = values.Number "lora_alpha"
                Dropout = values.Share "lora_dropout"
                IsRankStabilised = values.Flag "use_rslora"
                IsDora = values.Flag "use_dora"
                IsPissa = isPissa
                RankPattern = values.Pairs("rank_pattern", integer, "ranks of at least 1 by name")
                AlphaPattern = values.Pairs("alpha_pattern", real, "numbers by name")
                Where = values.Targeting [ "q"; "v" ]
            }

    let private readAdaLora (values: Values) =
        HuggingFaceAdaLora
            {
                Settings =
                    {
                        TargetRank = values.Count "target_r"
                        InitialRank = values.Count "init_r"
                        Alpha = values.Number "lora_alpha"
                        Dropout = values.Share "lora_dropout"
                        Orthogonality = values.Number "orth_reg_weight"
                    }
                Kept =
                    values.Pairs("rank_pattern", flags, "lists of true and false by name")
                    |> List.map (fun (name, kept) ->
                        name.Replace(HuggingFaceKeys.adaLoraSuffix, "", StringComparison.Ordinal), kept)
                Where = values.Targeting [ "q"; "v" ]
            }

    let private readMethod (values: Values) (method': string) : HuggingFaceMethod =
        match method' with
        | "LORA" -> readLora values
        | "ADALORA" -> readAdaLora values
        | "IA3" ->
            HuggingFaceIa3
                {
                    Where = values.Targeting [ "k"; "v"; "wo" ]
                    FeedForward = values.Target "feedforward_modules" |> Option.defaultValue (ModuleNames [])
                }
        | "VERA" ->
            HuggingFaceVera
                {
                    Rank = values.Count "r"
                    Key = int (values.Number "projection_prng_key")
                    Start = values.Number "d_initial"
                    Dropout = values.Share "vera_dropout"
                    HoldsBasis = values.Flag "save_projection"
                    Where = values.Targeting [ "q"; "v" ]
                }
        | "PROMPT_TUNING" ->
            HuggingFacePrompt(values.Count "num_virtual_tokens", values.Count "num_transformer_submodules")
        | _ -> HuggingFacePrefix(values.Count "num_virtual_tokens")

    /// Checks the keys that are not read: each must be noted, or be off, or be peft's default.
    let private check (file: string) (standard: Map<string, JsonElement>) (given: Map<string, JsonElement>) =
        for KeyValue(key, value) in given do
            let isStandard =
                match Map.tryFind key standard with
                | Some usual -> value.GetRawText() = usual.GetRawText()
                | None -> false

            let isUnderstood =
                (HuggingFaceKeys.notes.Contains key || HuggingFaceKeys.readKeys.Contains key)
                && standard.ContainsKey key

            if not (isUnderstood || isStandard || isOff value) then
                let raw = Regex.Replace(value.GetRawText(), @"\s+", " ")

                if standard.ContainsKey key then
                    userError
                        $"{file}: {key} is {raw}, which changes the adapter's function in a way that is not supported."
                else
                    userError $"{file}: the key {key} ({raw}) is unknown, and may change the adapter's function."

        match Map.tryFind "task_type" given with
        | Some task when task.ValueKind = JsonValueKind.String && Json.text task <> "SEQ_2_SEQ_LM" ->
            userError $"{file}: task_type is {task.GetRawText()}; an adapter of a T5 has SEQ_2_SEQ_LM."
        | _ -> ()

    /// Reads an `adapter_config.json`; `file` is for messages.
    let ofJson (file: string) (json: string) : HuggingFaceConfig =
        let given =
            try
                HuggingFaceKeys.parse json
            with
            | :? JsonException
            | :? InvalidOperationException
            | :? ArgumentException -> userError $"{file} is not a readable adapter configuration."

        let method' =
            match Map.tryFind "peft_type" given with
            | Some value when value.ValueKind = JsonValueKind.String -> Json.text value
            | _ -> userError $"{file} has no peft_type: it is not a configuration of Hugging Face's peft."

        if not (List.contains method' HuggingFaceKeys.known) then
            let names = String.concat ", " HuggingFaceKeys.known
            userError $"{file}: the peft_type '{method'}' is not supported: {names} are."

        let standard = HuggingFaceKeys.parse (HuggingFaceKeys.defaults method')
        check file standard given

        let values =
            Values(file, given |> Map.fold (fun all key value -> Map.add key value all) standard)

        {
            Method = readMethod values method'
            ModulesToSave = values.Texts "modules_to_save"
            Notes = given |> Map.filter (fun key _ -> HuggingFaceKeys.notes.Contains key)
            SpareRows = None
        }

    /// Reads the `adapter_config.json` of a folder.
    let load (folder: string) : HuggingFaceConfig =
        let file = Path.Combine(folder, "adapter_config.json")

        if not (File.Exists file) then
            userError $"{folder} is no adapter folder of Hugging Face's peft: it holds no adapter_config.json."

        ofJson file (Files.readText Files.mostDescription file)
