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
        /// Which of `shared` and `lm_head` the file holds beside the adapter without naming them (`save_embedding_layers`).
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
              "peft_version": "0.20.1", "revision": null, "task_type": "SEQ_2_SEQ_LM",
              "peft_type": "{reading.Type}", {reading.Defaults} }}"""

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

        let type' =
            match Map.tryFind "peft_type" given with
            | Some value when value.ValueKind = JsonValueKind.String -> Json.text value
            | _ -> userError $"{file} has no peft_type: it is not a configuration of Hugging Face's peft."

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

    /// The modules that `save_embedding_layers` adds to a file.
    let embeddingNames: string list = [ "shared"; "lm_head" ]

    /// peft's configuration of a technique; none where peft has nothing of the kind (T-Few's forms, BitFit, bottleneck
    /// adapters).
    let ofTechnique (technique: Technique) : HuggingFaceConfig option =
        let saved =
            if technique.Parts.IsEmpty then
                []
            else
                technique.SavedModules

        // A copy of `shared` peft trains and T5 does not read: what T5 reads goes beside the adapter.
        let embeddings =
            if List.contains "shared" saved then
                saved |> List.filter (fun name -> List.contains name embeddingNames)
            else
                []

        technique.HuggingFace
        |> Option.map (fun form ->
            {
                Technique = technique.Parts |> List.tryHead |> Option.defaultValue technique
                Form = form
                ModulesToSave = saved |> List.filter (fun name -> not (List.contains name embeddings))
                Embeddings = embeddings
                Notes = Map.empty
                SpareRows = None
            })

    /// The same on exactly these modules, given by their whole names: how peft's configuration says a placement.
    let onModules (names: string list) (config: HuggingFaceConfig) : HuggingFaceConfig =
        match config.Form.Where with
        | None -> config
        | Some _ ->
            let technique = config.Form.OnModules names

            { config with
                Technique = technique
                Form = technique.HuggingFace.Value
            }

    /// This project's words for a configuration of peft; none where they do not say it (patterns, single layers, other
    /// places).
    let technique (config: HuggingFaceConfig) : Technique option =
        match config.Technique, config.Embeddings @ config.ModulesToSave with
        | technique, _ when not technique.IsSaid -> None
        | technique, [] -> Some technique
        | technique, names -> Some(Chain.technique [ technique; ExtraModules.technique names ])
