namespace Peft

open System.Collections.Generic
open System.IO
open System.Text.Json
open TorchSharp

/// What an adapter folder says of itself.
type AdapterDescription =
    {
        /// The layout of the folder.
        Format: string
        /// The technique in its canonical words, for example `lora(rank=8,alpha=8)`.
        Technique: string
        /// Where it goes, in the words of `Placement.text`: `all`, `late`.
        Placement: string
        /// The fingerprint of the base checkpoint; another base is refused.
        Base: string
        /// The base's folder when the adapter was written, for people.
        BaseFolder: string
        TrainableParameters: int64
    }

/// Adapter folders in this project's own format: `adapter.json` and `adapter.safetensors`, whose tensors carry the
/// names of `Model.trained` and T-Few's shapes: `lora_a` [rank, in], `lora_b` [out, rank], `multi_lora_a` [1, in],
/// `multi_lora_b` [out, 1], `bias` [out], `prompt_embeddings` [tokens, d_model].
[<RequireQualifiedAccess>]
module AdapterFile =
    /// The layout that this version writes.
    let format = "peft-adapter-2"

    /// The layout before, in which `lora(rank=2)` and `ia3` were the paper's.
    let private formerFormat = "peft-adapter-1"

    let private descriptionPath folder = Path.Combine(folder, "adapter.json")

    /// Where the task that the adapter was trained on stands, in folders of either format.
    let taskPath (folder: string) : string = Path.Combine(folder, "task.json")

    let private tensorPath folder =
        Path.Combine(folder, "adapter.safetensors")

    let private stored (name: string, parameter: Modules.Parameter) : string * torch.Tensor =
        let shape = Leaf.storedShape name (List.ofArray parameter.shape)
        name, parameter.detach().view(List.toArray shape)

    /// A shape without its extents of one: [32], [1, 32] and [32, 1] hold the same vector.
    let private essential (shape: int64 seq) : int64 list =
        shape |> Seq.filter (fun extent -> extent <> 1L) |> List.ofSeq

    /// That a file holds `needed` and nothing else, whatever the extents of one: asked of its header, before anything is made
    /// as large as a description says.
    let private checkShapes (source: string) (held: Map<string, int64 list>) (needed: Outline list) : unit =
        let names = needed |> List.map _.Name |> set

        for name in held.Keys do
            if not (names.Contains name) then
                userError $"{source}: tensor {Safetensors.shown name} does not belong to this technique on this model."

        for outline in needed do
            match Map.tryFind outline.Name held with
            | None -> userError $"{source}: tensor {outline.Name} is missing."
            | Some shape when essential shape <> essential outline.Shape ->
                userError $"{source}: tensor {outline.Name} has shape {shape}, the model needs {outline.Shape}."
            | Some _ -> ()

    /// Copies `values` into the trained parameters of `model`. Names and shapes must agree, but for extents of one;
    /// otherwise `UserError`, and nothing is changed. `source` is for the message.
    let restore (source: string) (values: IReadOnlyDictionary<string, torch.Tensor>) (model: Model) : unit =
        use _ = torch.no_grad ()
        let parameters = Model.trained model

        checkShapes
            source
            (Map.ofList [ for pair in values -> pair.Key, List.ofArray pair.Value.shape ])
            [
                for name, parameter in parameters ->
                    {
                        Name = name
                        Shape = List.ofArray parameter.shape
                        Kind = TensorKind.Added
                    }
            ]

        for name, parameter in parameters do
            parameter.copy_ (values[name].view parameter.shape) |> ignore

    /// Writes the trained parameters of `model` and their description into a folder, which is made if need be.
    let save (folder: string) (description: AdapterDescription) (model: Model) : unit =
        Files.createFolder folder

        Model.trained model
        |> List.map stored
        |> Safetensors.write (tensorPath folder) (Map.ofList [ "format", "pt" ])

        Files.writeAtomically (descriptionPath folder) (JsonSerializer.Serialize(description, Json.options) + "\n")

    /// Whether a folder holds an adapter of this format.
    let isAdapter (folder: string) : bool = File.Exists(descriptionPath folder)

    /// Reads an adapter folder's description, its technique in today's words.
    let describe (folder: string) : AdapterDescription =
        let path = descriptionPath folder

        if not (File.Exists path) then
            userError $"{folder} is no adapter folder: it holds no adapter.json."

        let found = Json.read<AdapterDescription> Json.options path

        if found.Format = formerFormat then
            { found with
                Technique = Technique.text (Technique.parseLegacy found.Technique)
            }
        elif found.Format = format then
            found
        else
            userError $"{path} has the format '{found.Format}'; this version reads '{format}' and '{formerFormat}'."

    /// What a message says of the base that is there.
    let internal thisBase (fingerprint: string) : string =
        if fingerprint = "" then
            "which base this is was not said"
        else
            $"this base is {fingerprint}"

    /// Applies the technique that an adapter folder names to `baseModel` and puts its tensors in. `baseFingerprint` must be
    /// the one it was trained on.
    let load (folder: string) (baseFingerprint: string) (baseModel: Model) : Model =
        let description = describe folder

        if description.Base <> baseFingerprint then
            userError
                $"{folder} was trained on the base {description.Base} ({description.BaseFolder}), and {thisBase baseFingerprint}."

        let technique = Technique.parse description.Technique
        let placement = Placement.parse description.Placement
        let file = tensorPath folder
        let header = Safetensors.header file

        Accounting.trained (Model.shape baseModel) Convention.Paper technique placement
        |> checkShapes file (header.Entries |> Map.map (fun _ entry -> List.ofArray entry.Shape))

        let adapted = Placement.adapter technique placement 0 baseModel
        restore file (Safetensors.readAll file) adapted
        adapted
