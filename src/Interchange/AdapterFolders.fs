namespace Peft

open System
open System.IO
open System.Text.Json

/// The two formats of adapter folders.
type AdapterFormat =
    /// `adapter.json` and `adapter.safetensors`: this project's.
    | Own
    /// `adapter_config.json` and `adapter_model.safetensors`: Hugging Face peft's.
    | HuggingFacePeft

/// What an adapter folder says of itself, without its base.
type AdapterSummary =
    {
        Folder: string
        Format: AdapterFormat
        /// This project's words where there are some, otherwise peft's name of the method.
        Technique: string
        /// The base's fingerprint; empty where the folder does not state it.
        Base: string
        /// Where the base was, for people.
        BaseFolder: string
        /// The elements that were trained: without matrices that only lie in the file, and each row of a prompt once.
        Elements: int64
        Bytes: int64
        /// What a reader should know, a line each.
        Notices: string list
    }

/// A tensor of an adapter folder.
type AdapterTensor =
    {
        Name: string
        Dtype: string
        Shape: int64 list
    }

/// `peft adapters`: what there is, what it holds, and the other format of it.
[<RequireQualifiedAccess>]
module AdapterFolders =
    let private formatOf (folder: string) : AdapterFormat option =
        if AdapterFile.isAdapter folder then Some Own
        elif HuggingFace.isAdapter folder then Some HuggingFacePeft
        else None

    let private need (folder: string) : AdapterFormat =
        match formatOf folder with
        | Some format -> format
        | None -> userError $"{folder} is no adapter folder: it holds neither adapter.json nor adapter_config.json."

    let private tensorFile (format: AdapterFormat) (folder: string) =
        match format with
        | Own -> Path.Combine(folder, "adapter.safetensors")
        | HuggingFacePeft -> HuggingFace.tensorPath folder

    let private entries (header: SafetensorsHeader) =
        header.Entries |> Map.toList |> List.map snd

    let private elements (entries: TensorEntry list) : int64 =
        entries |> List.sumBy (fun entry -> entry.Shape |> Array.fold (*) 1L)

    let private ownSummary (folder: string) (header: SafetensorsHeader) : AdapterSummary =
        let description = AdapterFile.describe folder

        {
            Folder = folder
            Format = Own
            Technique = description.Technique
            Base = description.Base
            BaseFolder = description.BaseFolder
            Elements = elements (entries header)
            Bytes = entries header |> List.sumBy _.Bytes
            Notices = []
        }

    let private peftSummary (folder: string) (header: SafetensorsHeader) : AdapterSummary =
        let config =
            HuggingFaceConfig.load folder |> HuggingFace.withFound header.Entries.Keys

        let held =
            match config.Form.Buffers with
            | Some buffers -> set buffers.Names
            | None -> Set.empty

        let trained =
            entries header |> List.filter (fun entry -> not (held.Contains entry.Name))

        {
            Folder = folder
            Format = HuggingFacePeft
            Technique =
                match HuggingFaceConfig.technique config with
                | Some technique -> Technique.text technique
                | None -> HuggingFaceConfig.peftType config
            Base =
                header.Metadata
                |> Map.tryFind HuggingFace.fingerprintKey
                |> Option.defaultValue ""
            BaseFolder =
                match Map.tryFind "base_model_name_or_path" config.Notes with
                | Some value when value.ValueKind = JsonValueKind.String -> Json.text value
                | _ -> ""
            Elements = elements trained / int64 config.Form.Copies
            Bytes = entries header |> List.sumBy _.Bytes
            Notices = HuggingFaceConfig.notices config
        }

    /// Reads a folder's description and the header of its tensors; nothing is loaded.
    let summary (folder: string) : AdapterSummary =
        let format = need folder
        let header = Safetensors.header (tensorFile format folder)

        match format with
        | Own -> ownSummary folder header
        | HuggingFacePeft -> peftSummary folder header

    /// The adapter folders in a folder, itself and any depth below, in order of path.
    let list (folder: string) : AdapterSummary list =
        if not (Directory.Exists folder) then
            userError $"the folder {folder} does not exist."

        folder
        :: List.ofArray (Directory.GetDirectories(folder, "*", SearchOption.AllDirectories))
        |> List.sortWith (fun left right -> String.CompareOrdinal(left, right))
        |> List.filter (formatOf >> Option.isSome)
        |> List.map summary

    /// The tensors of an adapter folder, in order of name.
    let inspect (folder: string) : AdapterTensor list =
        entries (Safetensors.header (tensorFile (need folder) folder))
        |> List.map (fun entry ->
            {
                Name = entry.Name
                Dtype = $"{entry.Dtype}"
                Shape = List.ofArray entry.Shape
            })

    /// Loads an adapter of either format around a base with this fingerprint.
    let load (folder: string) (fingerprint: string) (baseModel: Model) : Model =
        match need folder with
        | Own -> AdapterFile.load folder fingerprint baseModel
        | HuggingFacePeft -> HuggingFace.load folder fingerprint baseModel |> snd

    /// What the adapter was trained to do comes along.
    let private copyTask (source: string) (target: string) : unit =
        if File.Exists(AdapterFile.taskPath source) then
            File.Copy(AdapterFile.taskPath source, AdapterFile.taskPath target, overwrite = true)

    /// Writes the adapter of `source` in the other format to `target`. `UserError` where the other format has no such
    /// adapter. Of a prompt in peft's format only the rows that the model reads come along.
    let convert (source: string) (target: string) (fingerprint: string) (baseModel: Model) : AdapterSummary =
        match need source with
        | Own ->
            let description = AdapterFile.describe source
            let technique = Technique.parse description.Technique

            let shape = Model.shape baseModel

            match HuggingFaceConfig.ofTechnique shape technique with
            | None -> userError $"Hugging Face's peft has nothing like {description.Technique} ({source})."
            | Some usual ->
                let placement = Placement.parse description.Placement

                let config =
                    if placement = Placement.everywhere then
                        usual
                    else
                        let sites = Accounting.sites shape Convention.Paper technique placement
                        HuggingFaceConfig.onModules (sites |> List.map (fun site -> site.Name, site)) usual

                let noted =
                    config.Notes
                    |> Map.add "base_model_name_or_path" (JsonSerializer.SerializeToElement description.BaseFolder)

                AdapterFile.load source fingerprint baseModel
                |> HuggingFace.save target fingerprint { config with Notes = noted }
        | HuggingFacePeft ->
            let config, model = HuggingFace.load source fingerprint baseModel

            match HuggingFaceConfig.technique config with
            | None ->
                let kind = HuggingFaceConfig.peftType config
                userError $"this project's words do not say what {source} is ({kind}): keep it in peft's format."
            | Some technique ->
                // VeRA's matrices and PiSSA's remainder are rebuilt from the technique, so they must follow from it.
                let fresh = Adapter.ofTechnique technique 0 baseModel

                if not (HuggingFace.hasSameBuffers config fresh model) then
                    userError $"the random matrices of {source} do not follow from its key: keep it in peft's format."

                let description =
                    {
                        Format = AdapterFile.format
                        Technique = Technique.text technique
                        // peft's adapters name their sites in the technique itself.
                        Placement = Placement.text Placement.everywhere
                        Base = fingerprint
                        BaseFolder = (summary source).BaseFolder
                        TrainableParameters = Model.countTrained model
                    }

                AdapterFile.save target description model

        copyTask source target
        summary target
