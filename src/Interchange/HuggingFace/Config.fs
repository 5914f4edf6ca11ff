namespace Peft

open System
open System.Collections.Generic
open System.Text.Json

/// peft's configurations: reading, writing, and the techniques they stand for.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module HuggingFaceConfig =
    /// Reads an `adapter_config.json`; `file` is for messages.
    let ofJson (file: string) (json: string) : HuggingFaceConfig = HuggingFaceReading.ofJson file json

    /// Reads the `adapter_config.json` of a folder.
    let load (folder: string) : HuggingFaceConfig = HuggingFaceReading.load folder

    let private element (value: 'a) : JsonElement = JsonSerializer.SerializeToElement value

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
                if lora.IsPissa then
                    "init_lora_weights", element "pissa"
                yield! targeting true true lora.Where
            ]
        | HuggingFaceIa3 ia3 ->
            ("feedforward_modules", target ia3.FeedForward)
            :: targeting true false ia3.Where
        | HuggingFacePrompt(tokens, submodules) ->
            [
                "num_virtual_tokens", element tokens
                "num_transformer_submodules", element submodules
            ]
        | HuggingFacePrefix tokens ->
            [
                "num_virtual_tokens", element tokens
                "num_transformer_submodules", element 2
            ]
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
                    "rank_pattern",
                    adaLora.Kept
                    |> List.map (fun (name, kept) -> name + HuggingFaceKeys.adaLoraSuffix, kept)
                    |> pairs
                yield! targeting true true adaLora.Where
            ]

    /// What peft HuggingFaceKeys.notes of the base for soft prompts.
    let private promptNotes (method': HuggingFaceMethod) (shape: Shape) : (string * JsonElement) list =
        let common width layers =
            [
                "token_dim", element (width: int)
                "num_attention_heads", element shape.Heads
                "num_layers", element (layers: int)
            ]

        match method' with
        | HuggingFacePrompt _ ->
            match Shape.blocks shape Encoder with
            | 0 -> common shape.Width (Shape.blocks shape Decoder)
            | layers -> common shape.Width layers
        | HuggingFacePrefix _ ->
            ("encoder_hidden_size", element shape.Width)
            :: common (shape.Heads * shape.HeadWidth) (Shape.blocks shape Decoder)
        | _ -> []

    /// The text of `adapter_config.json` as peft writes it for this adapter of a model of this shape: every key, in order.
    let toJson (model: Shape) (config: HuggingFaceConfig) : string =
        let merged =
            [
                yield!
                    HuggingFaceKeys.parse (HuggingFaceKeys.defaults (peftType config.Method))
                    |> Map.toList
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
            Some(
                plain (
                    HuggingFaceIa3
                        {
                            Where = Targeting.ofNames [ "k"; "v"; "wo" ]
                            FeedForward = ModuleNames [ "wo" ]
                        }
                )
            )
        | Ia3Published ->
            Some(
                plain (
                    HuggingFaceIa3
                        {
                            Where = Targeting.ofNames [ "k"; "v"; "wi_1"; "wi" ]
                            FeedForward = ModuleNames []
                        }
                )
            )
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
            Some(
                plain (
                    HuggingFaceAdaLora
                        {
                            Settings = settings
                            Kept = []
                            Where = Targeting.ofNames [ "q"; "v" ]
                        }
                )
            )
        | Chain [ first; ExtraModules names ] ->
            ofTechnique first
            |> Option.map (fun config -> { config with ModulesToSave = names })
        | FullFineTuning
        | Lora _
        | Ia3
        | BitFit
        | BottleneckAdapter _
        | LayerNormTuning
        | ExtraModules _
        | Chain _ -> None

    /// The same on exactly these modules, given by their whole names: how peft's configuration says a placement.
    let onModules (names: string list) (config: HuggingFaceConfig) : HuggingFaceConfig =
        let where = Targeting.ofNames names

        let method =
            match config.Method with
            | HuggingFaceLora lora -> HuggingFaceLora { lora with Where = where }
            | HuggingFaceIa3 ia3 ->
                HuggingFaceIa3
                    {
                        Where = where
                        FeedForward = names |> List.filter (Targeting.covers ia3.FeedForward) |> ModuleNames
                    }
            | HuggingFaceVera vera -> HuggingFaceVera { vera with Where = where }
            | HuggingFaceAdaLora adaLora -> HuggingFaceAdaLora { adaLora with Where = where }
            | other -> other

        { config with Method = method }

    let private namesOf (where: Targeting) =
        match where with
        | {
              Targets = ModuleNames names
              Excluded = None
              Layers = []
          } -> Some names
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
            | HuggingFaceIa3 {
                                 Where = where
                                 FeedForward = ModuleNames [ "wo" ]
                             } when isOn [ "k"; "v"; "wo" ] where -> Some Ia3HuggingFace
            | HuggingFaceIa3 {
                                 Where = where
                                 FeedForward = ModuleNames []
                             } when isOn [ "k"; "v"; "wi_1" ] where || isOn [ "k"; "v"; "wi_1"; "wi" ] where ->
                Some Ia3Published
            | HuggingFacePrompt(tokens, _) -> Some(PromptTuning tokens)
            | HuggingFacePrefix tokens -> Some(PrefixTuning tokens)
            | HuggingFaceVera vera when isOn [ "q"; "v" ] vera.Where && vera.Start = 0.1 && vera.Dropout = 0.0 ->
                Some(Vera(vera.Rank, vera.Key))
            | HuggingFaceAdaLora {
                                     Settings = settings
                                     Kept = []
                                     Where = where
                                 } when isOn [ "q"; "v" ] where -> Some(AdaLora settings)
            | _ -> None

        match config.ModulesToSave with
        | [] -> main
        | names -> main |> Option.map (fun main -> Chain [ main; ExtraModules names ])
