namespace Peft

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open Peft.T5
open TorchSharp

/// Which modules a configuration of peft means.
type ModuleTarget =
    /// A module whose name is one of these or ends in a dot and one of these.
    | ModuleNames of string list
    /// A module whose whole name matches this regular expression.
    | ModulePattern of string
    /// Every linear map but the head.
    | AllLinear

/// Which modules an adapter changes, as peft's configurations say it.
type Targeting =
    {
        Targets: ModuleTarget
        Excluded: ModuleTarget option
        /// Only these numbers of layers; empty: all. Counts only for targets given by names.
        Layers: int list
        /// What stands before the number of a layer, as `block`; empty: whatever stands before the last number.
        LayersPatterns: string list
    }

/// peft's LORA.
type HuggingFaceLora =
    {
        Rank: int
        Alpha: float
        Dropout: float
        IsRankStabilised: bool
        IsDora: bool
        IsPissa: bool
        /// Other ranks for the sites whose name ends in, or matches to its end, a pattern; the first that does counts.
        RankPattern: (string * int) list
        AlphaPattern: (string * float) list
        Where: Targeting
    }

/// peft's IA3: `FeedForward` are those targets whose input is rescaled instead of their output.
type HuggingFaceIa3 =
    {
        Where: Targeting
        FeedForward: ModuleTarget
    }

/// peft's VERA.
type HuggingFaceVera =
    {
        Rank: int
        Key: int
        Start: float
        Dropout: float
        /// Whether A and B are in the file; otherwise they are drawn from the key.
        HoldsBasis: bool
        Where: Targeting
    }

/// peft's ADALORA.
type HuggingFaceAdaLora =
    {
        Settings: AdaLoraSettings
        /// Which directions of each site were kept; empty before an allocation.
        Kept: (string * bool[]) list
        Where: Targeting
    }

/// The methods of peft that this project reads and writes.
type HuggingFaceMethod =
    | HuggingFaceLora of HuggingFaceLora
    | HuggingFaceIa3 of HuggingFaceIa3
    /// The rows of the file are `tokens` for each of the `submodules`; only the first `tokens` are used.
    | HuggingFacePrompt of tokens: int * submodules: int
    | HuggingFacePrefix of tokens: int
    | HuggingFaceVera of HuggingFaceVera
    | HuggingFaceAdaLora of HuggingFaceAdaLora

/// What an `adapter_config.json` says.
[<ReferenceEquality>]
type HuggingFaceConfig =
    {
        Method: HuggingFaceMethod
        /// Modules trained whole beside the adapter.
        ModulesToSave: string list
        /// The keys that do not change the function, as the file has them: kept, and written again.
        Notes: Map<string, JsonElement>
        /// The rows of a prompt's file beyond those that T5 reads: kept, and written again.
        SpareRows: torch.Tensor option
    }

[<RequireQualifiedAccess>]
module Targeting =
    let ofNames (names: string list) : Targeting =
        {
            Targets = ModuleNames names
            Excluded = None
            Layers = []
            LayersPatterns = []
        }

    let private isMatch (pattern: string) (text: string) =
        try
            Regex.IsMatch(text, pattern, RegexOptions.CultureInvariant, TimeSpan.FromSeconds 2.0)
        with
        | :? RegexMatchTimeoutException -> userError $"the regular expression '{pattern}' takes too long on '{text}'."
        | :? ArgumentException -> userError $"'{pattern}' is no regular expression."

    /// Whether a target means the module of this name.
    let covers (target: ModuleTarget) (name: string) : bool =
        match target with
        | AllLinear -> true
        | ModulePattern pattern -> isMatch $@"\A(?:{pattern})\z" name
        | ModuleNames names ->
            names
            |> List.exists (fun target -> name = target || name.EndsWith($".{target}", StringComparison.Ordinal))

    /// The number that peft takes for a module's layer; none where there is none.
    let private layerOf (patterns: string list) (name: string) : int option =
        let expressions =
            match patterns with
            | [] -> [ @"\A.*\.[^.]*\.(\d+)\." ]
            | given -> given |> List.map (fun pattern -> $@"\A.*\.(?:{pattern})\.(\d+)\.")

        expressions
        |> List.tryPick (fun expression ->
            let found = Regex.Match(name, expression)
            if found.Success then Some(int found.Groups[1].Value) else None)

    /// Whether peft would change the module of this name.
    let includes (where: Targeting) (name: string) : bool =
        let isExcluded =
            match where.Excluded with
            | Some excluded -> covers excluded name
            | None -> false

        let isInLayers =
            match where.Targets, where.Layers with
            | ModuleNames names, _ when List.contains name names -> true
            | ModuleNames _, _ :: _ ->
                layerOf where.LayersPatterns name
                |> Option.exists (fun layer -> List.contains layer where.Layers)
            | _ -> true

        not isExcluded && covers where.Targets name && isInLayers

    /// The value of the first pattern that fits the end of a site's name (peft's `rank_pattern` and `alpha_pattern`).
    let lookUp (patterns: (string * 'a) list) (fallback: 'a) (name: string) : 'a =
        patterns
        |> List.tryFind (fun (pattern, _) -> isMatch $@"\A(.*\.)?({pattern})$" name)
        |> Option.map snd
        |> Option.defaultValue fallback

    /// The linear maps as a selector.
    let selector (where: Targeting) : Selector = fun site -> includes where (Site.name site)

[<RequireQualifiedAccess>]
module HuggingFaceConfig =
    /// The keys that peft 0.20 writes for each method, with its defaults. What is neither read nor noted must be as here.
    let private defaults (method': string) : string =
        let common =
            """ "auto_mapping": null, "base_model_name_or_path": "", "inference_mode": true, "modules_to_save": null,
                "peft_version": "0.20.1", "revision": null, "task_type": "SEQ_2_SEQ_LM" """

        let targets = """ "layers_pattern": null, "layers_to_transform": null, "target_modules": null """

        let lora =
            """ "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "bias": "none", "corda_config": null,
                "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
                "init_lora_weights": true, "kasa_config": null, "layer_replication": null, "loftq_config": {},
                "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0, "lora_ga_config": null, "megatron_config": null,
                "megatron_core": "megatron.core", "monteclora_config": null, "qalora_group_size": 16, "r": 8,
                "rank_pattern": {}, "target_parameters": null, "trainable_token_indices": null, "use_bdlora": null,
                "use_dora": false, "use_qalora": false, "use_rslora": false, "velora_config": null """

        let prompt =
            """ "num_attention_heads": null, "num_layers": null, "num_transformer_submodules": null,
                "num_virtual_tokens": null, "token_dim": null """

        let own =
            match method' with
            | "LORA" -> $"{lora}, {targets}"
            | "ADALORA" ->
                $"""{lora.Replace("\"rank_pattern\": {}", "\"rank_pattern\": null")}, {targets}, "beta1": 0.85, "beta2": 0.85, "deltaT": 1,
                    "init_r": 12, "orth_reg_weight": 0.5, "target_r": 8, "tfinal": 0, "tinit": 0, "total_step": null"""
            | "IA3" ->
                """ "exclude_modules": null, "fan_in_fan_out": false, "feedforward_modules": null, "init_ia3_weights": true,
                    "target_modules": null """
            | "VERA" ->
                $"""{targets}, "bias": "none", "d_initial": 0.1, "fan_in_fan_out": false, "init_weights": true,
                    "projection_prng_key": 0, "r": 256, "save_projection": true, "vera_dropout": 0.0"""
            | "PROMPT_TUNING" ->
                $"""{prompt}, "prompt_tuning_init": "RANDOM", "prompt_tuning_init_text": null, "tokenizer_kwargs": null,
                    "tokenizer_name_or_path": null"""
            | "PREFIX_TUNING" ->
                $"""{prompt}, "encoder_hidden_size": null, "init_weights": null, "prefix_projection": false"""
            | _ -> ""

        $"{{ {common}, \"peft_type\": \"{method'}\", {own} }}"

    let private known = [ "LORA"; "IA3"; "PROMPT_TUNING"; "PREFIX_TUNING"; "VERA"; "ADALORA" ]

    /// Keys that describe the training or the file and leave the function as it is.
    let private notes =
        set
            [ "auto_mapping"; "base_model_name_or_path"; "inference_mode"; "peft_version"; "revision"; "task_type"
              "megatron_core"; "qalora_group_size"; "loftq_config"; "init_ia3_weights"; "init_weights"
              "beta1"; "beta2"; "deltaT"; "tfinal"; "tinit"; "total_step"
              "prompt_tuning_init"; "prompt_tuning_init_text"; "tokenizer_kwargs"; "tokenizer_name_or_path"
              "encoder_hidden_size"; "num_attention_heads"; "num_layers"; "token_dim" ]

    let private readKeys =
        set
            [ "peft_type"; "r"; "lora_alpha"; "lora_dropout"; "use_rslora"; "use_dora"; "rank_pattern"; "alpha_pattern"
              "init_lora_weights"; "target_modules"; "exclude_modules"; "layers_to_transform"; "layers_pattern"
              "modules_to_save"; "feedforward_modules"; "num_virtual_tokens"; "num_transformer_submodules"; "d_initial"
              "projection_prng_key"; "save_projection"; "vera_dropout"; "init_r"; "target_r"; "orth_reg_weight" ]

    let private parse (json: string) : Map<string, JsonElement> =
        use document = JsonDocument.Parse json
        Map.ofList [ for item in document.RootElement.EnumerateObject() -> item.Name, item.Value.Clone() ]

    let private element (value: 'a) : JsonElement = JsonSerializer.SerializeToElement value

    let private isOff (value: JsonElement) =
        match value.ValueKind with
        | JsonValueKind.Null
        | JsonValueKind.False -> true
        | JsonValueKind.Array -> value.GetArrayLength() = 0
        | JsonValueKind.Object -> Seq.isEmpty (value.EnumerateObject())
        | _ -> false

    /// The values of a configuration file over the defaults; `file` is for messages.
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
            | JsonValueKind.Array when values[key].EnumerateArray() |> Seq.forall (fun one -> one.ValueKind = JsonValueKind.String) ->
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
        if value.ValueKind = JsonValueKind.Number then Some(value.GetDouble()) else None

    let private flags (value: JsonElement) =
        let isFlag (one: JsonElement) = one.ValueKind = JsonValueKind.True || one.ValueKind = JsonValueKind.False

        if value.ValueKind = JsonValueKind.Array && value.EnumerateArray() |> Seq.forall isFlag then
            Some [| for one in value.EnumerateArray() -> one.GetBoolean() |]
        else
            None

    /// peft's names of AdaLoRA's patterns end in the parameter's name.
    let private adaLoraSuffix = ".lora_E"

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
                    |> List.map (fun (name, kept) -> name.Replace(adaLoraSuffix, "", StringComparison.Ordinal), kept)
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

            let isUnderstood = (notes.Contains key || readKeys.Contains key) && standard.ContainsKey key

            if not (isUnderstood || isStandard || isOff value) then
                let raw = Regex.Replace(value.GetRawText(), @"\s+", " ")

                if standard.ContainsKey key then
                    userError $"{file}: {key} is {raw}, which changes the adapter's function in a way that is not supported."
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
                parse json
            with
            | :? JsonException
            | :? InvalidOperationException
            | :? ArgumentException -> userError $"{file} is not a readable adapter configuration."

        let method' =
            match Map.tryFind "peft_type" given with
            | Some value when value.ValueKind = JsonValueKind.String -> Json.text value
            | _ -> userError $"{file} has no peft_type: it is not a configuration of Hugging Face's peft."

        if not (List.contains method' known) then
            let names = String.concat ", " known
            userError $"{file}: the peft_type '{method'}' is not supported: {names} are."

        let standard = parse (defaults method')
        check file standard given

        let values =
            Values(file, given |> Map.fold (fun all key value -> Map.add key value all) standard)

        {
            Method = readMethod values method'
            ModulesToSave = values.Texts "modules_to_save"
            Notes = given |> Map.filter (fun key _ -> notes.Contains key)
            SpareRows = None
        }

    /// Reads the `adapter_config.json` of a folder.
    let load (folder: string) : HuggingFaceConfig =
        let file = Path.Combine(folder, "adapter_config.json")

        if not (File.Exists file) then
            userError $"{folder} is no adapter folder of Hugging Face's peft: it holds no adapter_config.json."

        ofJson file (File.ReadAllText file)

    /// peft's name of the method.
    let peftType (method': HuggingFaceMethod) : string =
        match method' with
        | HuggingFaceLora _ -> "LORA"
        | HuggingFaceIa3 _ -> "IA3"
        | HuggingFacePrompt _ -> "PROMPT_TUNING"
        | HuggingFacePrefix _ -> "PREFIX_TUNING"
        | HuggingFaceVera _ -> "VERA"
        | HuggingFaceAdaLora _ -> "ADALORA"

    let private target (target: ModuleTarget) : JsonElement =
        match target with
        | AllLinear -> element "all-linear"
        | ModulePattern pattern -> element pattern
        | ModuleNames names -> element (List.toArray names)

    let private targeting (hasExclusion: bool) (hasLayers: bool) (where: Targeting) =
        [
            "target_modules", target where.Targets
            match where.Excluded with
            | Some excluded when hasExclusion -> "exclude_modules", target excluded
            | _ -> ()
            if hasLayers && not where.Layers.IsEmpty then
                "layers_to_transform", element (List.toArray where.Layers)
            match where.LayersPatterns with
            | [] -> ()
            | [ one ] when hasLayers -> "layers_pattern", element one
            | several when hasLayers -> "layers_pattern", element (List.toArray several)
            | _ -> ()
        ]

    let private pairs (values: (string * 'a) list) : JsonElement =
        let table = Dictionary<string, 'a>()

        for name, value in values do
            table[name] <- value

        element table

    let private settings (method': HuggingFaceMethod) : (string * JsonElement) list =
        match method' with
        | HuggingFaceLora lora ->
            [
                "r", element lora.Rank
                "lora_alpha", element lora.Alpha
                "lora_dropout", element lora.Dropout
                "use_rslora", element lora.IsRankStabilised
                "use_dora", element lora.IsDora
                "rank_pattern", pairs lora.RankPattern
                "alpha_pattern", pairs lora.AlphaPattern
                if lora.IsPissa then "init_lora_weights", element "pissa"
                yield! targeting true true lora.Where
            ]
        | HuggingFaceIa3 ia3 ->
            ("feedforward_modules", target ia3.FeedForward) :: targeting true false ia3.Where
        | HuggingFacePrompt(tokens, submodules) ->
            [ "num_virtual_tokens", element tokens; "num_transformer_submodules", element submodules ]
        | HuggingFacePrefix tokens ->
            [ "num_virtual_tokens", element tokens; "num_transformer_submodules", element 2 ]
        | HuggingFaceVera vera ->
            [
                "r", element vera.Rank
                "projection_prng_key", element vera.Key
                "d_initial", element vera.Start
                "vera_dropout", element vera.Dropout
                "save_projection", element vera.HoldsBasis
                yield! targeting false true vera.Where
            ]
        | HuggingFaceAdaLora adaLora ->
            [
                "target_r", element adaLora.Settings.TargetRank
                "init_r", element adaLora.Settings.InitialRank
                "lora_alpha", element adaLora.Settings.Alpha
                "lora_dropout", element adaLora.Settings.Dropout
                "orth_reg_weight", element adaLora.Settings.Orthogonality
                if not adaLora.Kept.IsEmpty then
                    "rank_pattern", adaLora.Kept |> List.map (fun (name, kept) -> name + adaLoraSuffix, kept) |> pairs
                yield! targeting true true adaLora.Where
            ]

    /// What peft notes of the base for soft prompts.
    let private promptNotes (method': HuggingFaceMethod) (config: Config) : (string * JsonElement) list =
        let common width layers =
            [
                "token_dim", element (width: int)
                "num_attention_heads", element config.Heads
                "num_layers", element (layers: int)
            ]

        match method' with
        | HuggingFacePrompt _ -> common config.ModelWidth config.EncoderLayers
        | HuggingFacePrefix _ ->
            ("encoder_hidden_size", element config.ModelWidth) :: common config.InnerWidth config.DecoderLayers
        | _ -> []

    /// The text of `adapter_config.json` as peft writes it for this adapter of a model of this shape: every key, in order.
    let toJson (model: Config) (config: HuggingFaceConfig) : string =
        let merged =
            [
                yield! parse (defaults (peftType config.Method)) |> Map.toList
                yield! promptNotes config.Method model
                yield! Map.toList config.Notes
                yield! settings config.Method
                if not config.ModulesToSave.IsEmpty then
                    "modules_to_save", element (List.toArray config.ModulesToSave)
            ]

        let table = SortedDictionary<string, JsonElement>(StringComparer.Ordinal)

        for key, value in merged do
            table[key] <- value

        JsonSerializer.Serialize(table, Json.options)

    let private plain (method': HuggingFaceMethod) : HuggingFaceConfig =
        {
            Method = method'
            ModulesToSave = []
            Notes = Map.empty
            SpareRows = None
        }

    /// peft's configuration of a technique; none where peft has nothing of the kind (T-Few's forms, BitFit, bottleneck
    /// adapters). A prompt gets both halves that peft makes for an encoder-decoder.
    let rec ofTechnique (technique: Technique) : HuggingFaceConfig option =
        match technique with
        | LoraWith lora ->
            HuggingFaceLora
                {
                    Rank = lora.Rank
                    Alpha = lora.Alpha
                    Dropout = lora.Dropout
                    IsRankStabilised = lora.IsRankStabilised
                    IsDora = lora.IsDora
                    IsPissa = lora.IsPissa
                    RankPattern = []
                    AlphaPattern = []
                    Where = Targeting.ofNames lora.Targets
                }
            |> plain
            |> Some
        | Ia3HuggingFace ->
            Some(plain (HuggingFaceIa3 { Where = Targeting.ofNames [ "k"; "v"; "wo" ]; FeedForward = ModuleNames [ "wo" ] }))
        | Ia3Published ->
            Some(plain (HuggingFaceIa3 { Where = Targeting.ofNames [ "k"; "v"; "wi_1"; "wi" ]; FeedForward = ModuleNames [] }))
        | PromptTuning tokens
        | PromptTuningFrom(tokens, _) -> Some(plain (HuggingFacePrompt(tokens, 2)))
        | PrefixTuning tokens -> Some(plain (HuggingFacePrefix tokens))
        | Vera(rank, key) ->
            HuggingFaceVera
                {
                    Rank = rank
                    Key = key
                    Start = 0.1
                    Dropout = 0.0
                    HoldsBasis = true
                    Where = Targeting.ofNames [ "q"; "v" ]
                }
            |> plain
            |> Some
        | AdaLora settings ->
            Some(plain (HuggingFaceAdaLora { Settings = settings; Kept = []; Where = Targeting.ofNames [ "q"; "v" ] }))
        | Chain [ first; ExtraModules names ] ->
            ofTechnique first |> Option.map (fun config -> { config with ModulesToSave = names })
        | FullFineTuning
        | Lora _
        | Ia3
        | BitFit
        | BottleneckAdapter _
        | LayerNormTuning
        | ExtraModules _
        | Chain _ -> None

    let private namesOf (where: Targeting) =
        match where with
        | { Targets = ModuleNames names; Excluded = None; Layers = [] } -> Some names
        | _ -> None

    /// This project's words for a configuration of peft; none where they do not say it (patterns, single layers, other
    /// places).
    let technique (config: HuggingFaceConfig) : Technique option =
        let isOn (names: string list) where =
            namesOf where |> Option.exists (fun found -> set found = set names)

        let main =
            match config.Method with
            | HuggingFaceLora lora when lora.RankPattern.IsEmpty && lora.AlphaPattern.IsEmpty ->
                namesOf lora.Where
                |> Option.bind (fun names ->
                    let technique =
                        LoraWith
                            {
                                Rank = lora.Rank
                                Alpha = lora.Alpha
                                Dropout = lora.Dropout
                                IsRankStabilised = lora.IsRankStabilised
                                IsDora = lora.IsDora
                                IsPissa = lora.IsPissa
                                RateRatio = 1.0
                                Targets = List.sort names
                            }

                    // Names that the words do not know (a longer path, a pattern) stay with peft's format.
                    try
                        Some(Technique.parse (Technique.text technique))
                    with UserError _ ->
                        None)
            | HuggingFaceIa3 { Where = where; FeedForward = ModuleNames [ "wo" ] } when isOn [ "k"; "v"; "wo" ] where ->
                Some Ia3HuggingFace
            | HuggingFaceIa3 { Where = where; FeedForward = ModuleNames [] } when
                isOn [ "k"; "v"; "wi_1" ] where || isOn [ "k"; "v"; "wi_1"; "wi" ] where
                ->
                Some Ia3Published
            | HuggingFacePrompt(tokens, _) -> Some(PromptTuning tokens)
            | HuggingFacePrefix tokens -> Some(PrefixTuning tokens)
            | HuggingFaceVera vera when isOn [ "q"; "v" ] vera.Where && vera.Start = 0.1 && vera.Dropout = 0.0 ->
                Some(Vera(vera.Rank, vera.Key))
            | HuggingFaceAdaLora { Settings = settings; Kept = []; Where = where } when isOn [ "q"; "v" ] where ->
                Some(AdaLora settings)
            | _ -> None

        match config.ModulesToSave with
        | [] -> main
        | names -> main |> Option.map (fun main -> Chain [ main; ExtraModules names ])
