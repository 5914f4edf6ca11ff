namespace Peft

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open TorchSharp

/// What an `adapter_config.json` says.
[<ReferenceEquality>]
type HuggingFaceConfig =
    {
        /// The technique; one that words do not say has `IsSaid = false`.
        Technique: Technique
        /// How peft says it.
        Form: HuggingFaceForm
        /// Modules trained whole beside the adapter.
        ModulesToSave: string list
        /// Which embeddings and heads the file holds beside the adapter without naming them (`save_embedding_layers`).
        Embeddings: string list
        /// The keys that do not change the function, as the file has them: kept, and written again.
        Notes: Map<string, JsonElement>
        /// The rows of a prompt's file beyond those that the model reads: kept, and written again.
        SpareRows: torch.Tensor option
    }

/// peft's configurations: reading, writing, and the techniques they stand for.
// The type of this name is in an earlier file.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module HuggingFaceConfig =
    let private readings: HuggingFaceReading list =
        Technique.specs |> List.choose _.HuggingFace

    /// The keys that peft 0.20 writes for a method, with its defaults. What is neither read nor noted must be as here.
    let private defaults (reading: HuggingFaceReading) : string =
        $"""{{ "auto_mapping": null, "base_model_name_or_path": "", "inference_mode": true, "modules_to_save": null,
              "peft_version": "0.20.1", "revision": null, "task_type": null,
              "peft_type": "{reading.Type}", {reading.Defaults} }}"""

    let private encoderDecoder, private decoderAlone = "SEQ_2_SEQ_LM", "CAUSAL_LM"

    /// peft's `task_type` of an adapter of such a model.
    let taskType (shape: Shape) : string =
        if Shape.blocks shape Encoder > 0 then
            encoderDecoder
        else
            decoderAlone

    /// Keys of all methods that describe the training or the file and leave the function as it is.
    let private commonNotes =
        [
            "auto_mapping"
            "base_model_name_or_path"
            "inference_mode"
            "peft_version"
            "revision"
            "task_type"
        ]

    let private notes (reading: HuggingFaceReading) = set (commonNotes @ reading.Notes)

    let private parse (json: string) : Map<string, JsonElement> =
        use document = JsonDocument.Parse json
        Json.checkTexts document.RootElement

        Map.ofList
            [
                for item in document.RootElement.EnumerateObject() -> item.Name, item.Value.Clone()
            ]

    // Reading.

    let private typeOf (given: Map<string, JsonElement>) : string option =
        match Map.tryFind "peft_type" given with
        | Some value when value.ValueKind = JsonValueKind.String -> Some(Json.text value)
        | _ -> None

    /// Soft prompts and prefixes that peft trains through a network of their own are saved as the rows it ends with: they are
    /// read, and written again, as rows without a network.
    let private finished (given: Map<string, JsonElement>) : Map<string, JsonElement> =
        match typeOf given with
        | Some "P_TUNING" ->
            given
            |> Map.filter (fun key _ -> not (key.StartsWith("encoder_", StringComparison.Ordinal)))
            |> Map.add "peft_type" (HuggingFaceValue.element "PROMPT_TUNING")
        | Some "PREFIX_TUNING" -> Map.remove "prefix_projection" given
        | _ -> given

    let private isOff (value: JsonElement) =
        match value.ValueKind with
        | JsonValueKind.Null
        | JsonValueKind.False -> true
        | JsonValueKind.Array -> value.GetArrayLength() = 0
        | JsonValueKind.Object -> Seq.isEmpty (value.EnumerateObject())
        | _ -> false

    /// Checks the keys that were not read: each must be noted, or be off, or be peft's default.
    let private check
        (file: string)
        (understood: Set<string>)
        (standard: Map<string, JsonElement>)
        (given: Map<string, JsonElement>)
        =
        for KeyValue(key, value) in given do
            let isStandard =
                match Map.tryFind key standard with
                | Some usual -> value.GetRawText() = usual.GetRawText()
                | None -> false

            let isUnderstood = understood.Contains key && standard.ContainsKey key

            if not (isUnderstood || isStandard || isOff value) then
                let raw = Regex.Replace(value.GetRawText(), @"\s+", " ")

                if standard.ContainsKey key then
                    userError
                        $"{file}: {key} is {raw}, which changes the adapter's function in a way that is not supported."
                else
                    userError $"{file}: the key {key} ({raw}) is unknown, and may change the adapter's function."

        match Map.tryFind "task_type" given with
        | Some task when
            task.ValueKind = JsonValueKind.String
            && not (List.contains (Json.text task) [ encoderDecoder; decoderAlone ])
            ->
            userError
                $"{file}: task_type is {task.GetRawText()}; adapters of models that write text have {encoderDecoder} or {decoderAlone}."
        | _ -> ()

    /// Reads an `adapter_config.json`; `file` is for messages.
    let ofJson (file: string) (json: string) : HuggingFaceConfig =
        let given =
            try
                finished (parse json)
            with
            | :? JsonException
            | :? InvalidOperationException
            | :? ArgumentException -> userError $"{file} is not a readable adapter configuration."

        let type' =
            match typeOf given with
            | Some type' -> type'
            | None -> userError $"{file} has no peft_type: it is not a configuration of Hugging Face's peft."

        let reading =
            match readings |> List.tryFind (fun reading -> reading.Type = type') with
            | Some reading -> reading
            | None ->
                let names = readings |> List.map _.Type |> String.concat ", "
                userError $"{file}: the peft_type '{type'}' is not supported: {names} are."

        let standard = parse (defaults reading)

        // A file that does not say its version is of an old one.
        let values =
            given
            |> Map.fold (fun all key value -> Map.add key value all) (Map.remove "peft_version" standard)
            |> fun values -> HuggingFaceValues(file, values)

        let technique = reading.Read values
        let modules = values.Texts "modules_to_save"
        check file (values.Read + notes reading + set [ "peft_type" ]) standard given

        {
            Technique = technique
            Form = technique.HuggingFace.Value
            ModulesToSave = modules
            Embeddings = []
            Notes = given |> Map.filter (fun key _ -> (notes reading).Contains key)
            SpareRows = None
        }

    /// Reads the `adapter_config.json` of a folder.
    let load (folder: string) : HuggingFaceConfig =
        let file = Path.Combine(folder, "adapter_config.json")

        if not (File.Exists file) then
            userError $"{folder} is no adapter folder of Hugging Face's peft: it holds no adapter_config.json."

        ofJson file (Files.readText Files.mostDescription file)

    /// That a configuration read from `file` is of an adapter of such a model.
    let checkTask (file: string) (shape: Shape) (config: HuggingFaceConfig) : unit =
        match Map.tryFind "task_type" config.Notes with
        | Some task when task.ValueKind = JsonValueKind.String && Json.text task <> taskType shape ->
            userError $"{file}: task_type is {task.GetRawText()}; an adapter of this model has {taskType shape}."
        | _ -> ()

        match config.Form.Unserved shape with
        | Some why -> userError $"{file}: {why}."
        | None -> ()

    /// What a reader of the configuration should know, a line each.
    let notices (config: HuggingFaceConfig) : string list =
        [
            for key, patterns in config.Form.Keys do
                if
                    key.EndsWith("_pattern", StringComparison.Ordinal)
                    && patterns.ValueKind = JsonValueKind.Object
                then
                    for item in patterns.EnumerateObject() do
                        // A module's name has dots: of such a pattern only the beginning could fit.
                        if item.Name.StartsWith '^' && not (item.Name.Contains '.') then
                            $"{key} has '{item.Name}', which matches no module in peft: ^ stands for the beginning of the whole name."
        ]

    // Writing.

    /// peft's name of the method.
    let peftType (config: HuggingFaceConfig) : string = config.Form.Type

    /// The text of `adapter_config.json` as peft writes it for this adapter of a model of this shape: every key, in order.
    let toJson (shape: Shape) (config: HuggingFaceConfig) : string =
        let reading = readings |> List.find (fun reading -> reading.Type = config.Form.Type)

        let merged =
            [
                yield! Map.toList (parse (defaults reading))
                "task_type", HuggingFaceValue.element (taskType shape)
                yield! config.Form.Notes shape
                yield! Map.toList config.Notes
                yield! config.Form.Keys
                if not config.ModulesToSave.IsEmpty then
                    "modules_to_save", HuggingFaceValue.element (List.toArray config.ModulesToSave)
            ]

        // A file that does not say its version is of one in which the last number of a name counts as its layer.
        let isOfNoVersion =
            (config.Form.Where |> Option.exists (_.CountsFirstNumber >> not))
            && not (config.Notes.ContainsKey "peft_version")

        let table =
            Map.ofList merged
            |> config.Form.Completed
            |> Map.filter (fun key _ -> not (isOfNoVersion && key = "peft_version"))

        JsonSerializer.Serialize(SortedDictionary(table, StringComparer.Ordinal), Json.options)

    /// Whether a name of `modules_to_save` means this module.
    let private isOf (name: string) (modul: string) =
        modul.EndsWith(name, StringComparison.Ordinal)

    /// Of an embedding that is named peft trains a copy. What would go on reading the original, because it is not named, if
    /// there is something: stacks of a T5, a tied head. What the model reads then goes beside the adapter.
    let readsOriginal (shape: Shape) (saved: string list) : string option =
        if saved |> List.exists (fun name -> isOf name (Shape.embedding shape)) then
            shape.Shared
            |> List.map (fun outline -> Shape.moduleOf outline.Name)
            |> List.tryFind (fun other -> saved |> List.forall (fun name -> not (isOf name other)))
        else
            None

    /// The same on these maps, each said by a name that means it: how peft's configuration says a placement.
    let onModules (modules: (string * Site) list) (config: HuggingFaceConfig) : HuggingFaceConfig =
        match config.Form.Where with
        | None -> config
        | Some _ ->
            let technique = config.Form.OnModules modules

            { config with
                Technique = technique
                Form = technique.HuggingFace.Value
            }

    /// The same in the words of a model of this shape: where its own words mean other maps there than the technique does, the
    /// names of these maps take their place, whole ones if need be.
    let private inWordsOf (shape: Shape) (config: HuggingFaceConfig) : HuggingFaceConfig =
        match config.Form.OnShape shape, config.Form.Where, config.Technique.Sites with
        | Some technique, _, _ ->
            { config with
                Technique = technique
                Form = technique.HuggingFace.Value
            }
        | None, Some where, Some own ->
            let named (selector: Selector) = shape.Sites |> List.filter selector
            let meant = named own
            let words = Targeting.selector (Targeting.ofNames (meant |> List.map _.Matrix))

            if named (Targeting.selector where) = meant then
                config
            elif named words = meant then
                onModules (meant |> List.map (fun site -> site.Matrix, site) |> List.distinctBy fst) config
            else
                onModules (meant |> List.map (fun site -> site.Name, site)) config
        | _ -> config

    /// peft's configuration of a technique on a model of this shape; none where peft has nothing of the kind (T-Few's forms,
    /// BitFit, bottleneck adapters), or nothing for such a model.
    let ofTechnique (shape: Shape) (technique: Technique) : HuggingFaceConfig option =
        let saved =
            if technique.Parts.IsEmpty then
                []
            else
                technique.SavedModules

        let embeddings =
            if (readsOriginal shape saved).IsSome then
                saved |> List.filter (fun name -> List.exists (isOf name) Checkpoint.tables)
            else
                []

        technique.HuggingFace
        |> Option.filter (fun form -> (form.Unserved shape).IsNone)
        |> Option.map (fun form ->
            {
                Technique = technique.Parts |> List.tryHead |> Option.defaultValue technique
                Form = form
                ModulesToSave = saved |> List.filter (fun name -> not (List.contains name embeddings))
                Embeddings = embeddings
                Notes = Map.empty
                SpareRows = None
            }
            |> inWordsOf shape)

    /// This project's words for a configuration of peft; none where they do not say it (patterns, single layers, other
    /// places).
    let technique (config: HuggingFaceConfig) : Technique option =
        match config.Technique, config.Embeddings @ config.ModulesToSave with
        | technique, _ when not technique.IsSaid -> None
        | technique, [] -> Some technique
        | technique, names -> Some(Chain.technique [ technique; ExtraModules.technique names ])
