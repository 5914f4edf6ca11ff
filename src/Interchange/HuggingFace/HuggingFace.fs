namespace Peft

open System
open System.Collections.Generic
open System.IO
open TorchSharp

/// Adapter folders of Hugging Face's peft: `adapter_config.json` and `adapter_model.safetensors`, read and written with
/// peft's names, shapes and keys.
[<RequireQualifiedAccess>]
module HuggingFace =
    let private tensorFile = "adapter_model.safetensors"

    /// Whether a folder holds an adapter of peft's format.
    let isAdapter (folder: string) : bool =
        File.Exists(Path.Combine(folder, "adapter_config.json"))

    /// Whether two models have the same random matrices where the technique has some. A platform's uniform numbers agree to
    /// the last bits, which is all that is asked.
    let hasSameBuffers (config: HuggingFaceConfig) (left: Model) (right: Model) : bool =
        match config.Form.Buffers with
        | None -> true
        | Some buffers ->
            let isSame (one: torch.Tensor, other: torch.Tensor) =
                one.shape = other.shape && one.allclose (other, 1e-5, 1e-6)

            let left, right = buffers.Of left, buffers.Of right
            left.Length = right.Length && List.forall isSame (List.zip left right)

    /// Where the fingerprint of the base stands in the tensor file. peft reads past it.
    let fingerprintKey = "base_fingerprint"

    /// Modules that peft could adapt and this project cannot: embeddings. A target that means one of them is refused.
    let private notLinear (shape: Shape) : string list =
        shape.Tensors @ shape.Shared
        |> List.filter (fun outline -> outline.Kind = TensorKind.Table)
        |> List.map (fun outline -> Shape.moduleOf outline.Name)
        |> List.filter ((<>) Site.headName)

    let private selector (shape: Shape) (where: Targeting) : Selector =
        match where.Targets with
        | AllLinear -> ()
        | _ ->
            match notLinear shape |> List.tryFind (Targeting.includes where) with
            | Some name ->
                userError
                    $"target_modules means {name} too; only linear maps can be adapted: those of attention and feed-forward, and lm_head."
            | None -> ()

        Targeting.selector where

    let private checkSaved (shape: Shape) (names: string list) =
        match HuggingFaceConfig.readsOriginal shape names with
        | Some other ->
            userError
                $"modules_to_save names {Shape.embedding shape}: peft trains a copy of the embedding that {other} does not read."
        | None -> ()

    /// Whether the adapter stands at the head, too, which peft means where it is named and not by `all-linear`.
    let private meansHead (config: HuggingFaceConfig) : bool =
        match config.Form.Where with
        | Some { Targets = AllLinear }
        | None -> false
        | Some where -> Targeting.includes where Site.headName

    let private chosen (where: Selector) (model: Model) =
        Model.projections model |> List.filter (fst >> where) |> List.map fst

    let private checkChosen (where: Targeting) (model: Model) : Selector =
        let where' = selector (Model.shape model) where

        if (chosen where' model).IsEmpty then
            userError "target_modules means no linear map of this model."

        where'

    /// The adapter, started as peft starts it, around the random matrices where the file holds some.
    let private around (buffers: torch.Tensor list) (config: HuggingFaceConfig) (seed: int) : Adapter =
        fun model ->
            checkSaved (Model.shape model) config.ModulesToSave

            let main (model: Model) =
                let where =
                    match config.Form.Where with
                    | Some where -> checkChosen where model
                    | None -> Selector.everywhere

                match config.Form.Buffers, buffers with
                | Some found, _ :: _ -> found.Around buffers where model
                | _ -> config.Technique.Apply where seed model

            let extra =
                match config.Embeddings @ config.ModulesToSave with
                | [] -> id
                | names -> ExtraModules.adapter names

            model |> (if meansHead config then Model.changeWithHead main else main) |> extra

    /// A configuration of peft as a function, started as peft starts it: what random there is follows from `seed`.
    let adapter (config: HuggingFaceConfig) (seed: int) : Adapter = around [] config seed

    /// peft's name for a trained tensor of `Model.trained`; none where peft has no such tensor.
    let tensorName (config: HuggingFaceConfig) (name: string) : string option = HuggingFaceTensors.nameOf config name

    /// The file of a folder's tensors; `UserError` where they are in another form.
    let tensorPath (folder: string) : string =
        let file = Path.Combine(folder, tensorFile)

        if not (File.Exists file) && File.Exists(Path.Combine(folder, "adapter_model.bin")) then
            userError
                $"{folder} holds adapter_model.bin only, a Python pickle, which is a program: write it as {tensorFile} with peft, PeftModel.from_pretrained(base, folder).save_pretrained(target)."

        file

    /// That the file holds what the configuration needs at its sites and before the input: asked before any of it is made.
    let private checkFile (file: string) (config: HuggingFaceConfig) (model: Model) =
        let shape = Model.shape model
        let form = config.Technique.Form
        let held = (Safetensors.header file).Entries

        let needed =
            [
                match config.Form.Where with
                | Some where ->
                    for site in shape.Sites |> List.filter (selector shape where) do
                        yield! Form.tensorsAt form site

                    if meansHead config then
                        yield! Form.tensorsAt form (Model.headSite model)
                | None -> ()

                yield! Form.tokens shape form
            ]

        for outline in needed do
            match tensorName config outline.Name with
            | None -> ()
            | Some name ->
                let needed = config.Form.FileShape outline.Name outline.Shape

                match Map.tryFind name held with
                | None -> userError $"{file}: tensor {name} is missing."
                | Some entry when List.ofArray entry.Shape <> needed ->
                    userError
                        $"{file}: tensor {name} has shape {List.ofArray entry.Shape}, this model needs {needed}: it belongs to a model of another size or to another configuration."
                | Some _ -> ()

    let private moduleKey (name: string) = $"base_model.model.{name}.weight"

    /// The configuration with the embedding and the head that these tensors have without being named.
    let withFound (tensors: string seq) (config: HuggingFaceConfig) : HuggingFaceConfig =
        let held = set tensors

        let isNamed name =
            config.ModulesToSave
            |> List.exists (fun saved -> (name: string).EndsWith(saved, StringComparison.Ordinal))

        { config with
            Embeddings =
                Checkpoint.tables
                |> List.filter (fun name -> held.Contains(moduleKey name) && not (isNamed name))
        }

    /// The same, and the tensors to read: a tied model has one tensor for both, which is the embedding.
    let private withEmbeddings
        (file: string)
        (model: Model)
        (config: HuggingFaceConfig)
        (values: IReadOnlyDictionary<string, torch.Tensor>)
        : HuggingFaceConfig * IReadOnlyDictionary<string, torch.Tensor> =
        let config = withFound values.Keys config
        let embedding = Shape.embedding model.Shape
        let shared, head = moduleKey embedding, moduleKey Site.headName

        if
            not (List.contains Site.headName config.Embeddings)
            || not (List.contains $"{Site.headName}.weight" model.Shared)
        then
            config, values
        else
            let one = Dictionary values

            match values.TryGetValue shared with
            | false, _ -> one[shared] <- values[head]
            | true, embedding ->
                let other = values[head]

                if embedding.shape <> other.shape || not (embedding.eq(other).all().item<bool>()) then
                    userError
                        $"{file} holds another lm_head than {embedding}, and the head of this model is its embedding."

            one.Remove head |> ignore

            { config with
                Embeddings = [ embedding ]
            },
            one

    /// Loads an adapter folder of peft around `baseModel`, whose tensors are shared and stay as they are. `fingerprint` is
    /// the base's (`Checkpoint.fingerprint`) and is checked where the file states one. Everything is checked before
    /// anything is built; `UserError` is one line.
    let load (folder: string) (fingerprint: string) (baseModel: Model) : HuggingFaceConfig * Model =
        let config = HuggingFaceConfig.load folder
        HuggingFaceConfig.checkTask (Path.Combine(folder, "adapter_config.json")) (Model.shape baseModel) config
        let file = tensorPath folder

        match Map.tryFind fingerprintKey (Safetensors.readMetadata file) with
        | Some written when written <> fingerprint ->
            userError $"{folder} was trained on the base {written}, and {AdapterFile.thisBase fingerprint}."
        | _ -> ()

        checkFile file config baseModel
        let config, values = withEmbeddings file baseModel config (Safetensors.readAll file)

        let held, names =
            match config.Form.Buffers with
            | Some buffers when buffers.IsHeld ->
                let wide (name: string) =
                    match values.TryGetValue name with
                    | true, tensor -> Some(tensor.``to``(torch.float32).``to``(Model.device baseModel))
                    | false, _ -> None

                match List.map wide buffers.Names with
                | found when List.forall Option.isSome found -> List.choose id found, set buffers.Names
                | _ ->
                    let missing = String.concat " or " buffers.Names
                    userError $"{file}: tensor {missing} is missing, and save_projection is true."
            | _ -> [], Set.empty

        let own =
            values
            |> Seq.filter (fun pair -> not (names.Contains pair.Key))
            |> Seq.map (fun pair -> KeyValuePair(pair.Key, pair.Value))
            |> Dictionary

        let model = around held config 0 baseModel
        let companions = config.Form.Companions model |> List.map fst |> set

        own
        |> Seq.filter (fun pair -> not (companions.Contains pair.Key))
        |> Dictionary
        |> fun own -> HuggingFaceTensors.restore file config own model

        HuggingFaceTensors.checkCompanions file config own model

        let spare =
            match own.TryGetValue "prompt_embeddings" with
            | true, rows when config.Form.Copies > 1 ->
                let tokens = rows.size 0 / int64 config.Form.Copies
                Some(rows.narrow(0L, tokens, rows.size 0 - tokens).clone())
            | _ -> None

        { config with SpareRows = spare }, model

    /// The tensors that peft would write for this adapter, with peft's names and shapes. For a prompt of an
    /// encoder-decoder peft writes twice the rows and reads the first half: the second is written as it was read, or as a copy
    /// of the first.
    let tensors (config: HuggingFaceConfig) (model: Model) : (string * torch.Tensor) list =
        let theirs (name: string, parameter: torch.Tensor) =
            match tensorName config name with
            | None ->
                let kind = HuggingFaceConfig.peftType config
                userError $"{name} has no place in a {kind} adapter of Hugging Face's peft."
            | Some renamed ->
                let value =
                    match config.SpareRows with
                    | Some spare when renamed = "prompt_embeddings" ->
                        torch.cat ([| parameter; spare.``to`` parameter.dtype |], 0L)
                    | _ when renamed = "prompt_embeddings" && config.Form.Copies > 1 ->
                        parameter.repeat [| int64 config.Form.Copies; 1L |]
                    | _ when config.Form.HasFixedShapes ->
                        let shape = config.Form.FileShape name (List.ofArray parameter.shape)
                        (config.Form.Stored name parameter).view(List.toArray shape)
                    | _ -> config.Form.Stored name parameter

                renamed, value

        let buffers =
            match config.Form.Buffers with
            | Some buffers when buffers.IsHeld ->
                match buffers.Of model with
                | [] -> []
                | found -> List.zip buffers.Names found
            | _ -> []

        let own =
            Model.trained model
            |> List.map (fun (name, parameter) -> theirs (name, parameter.detach ()))

        match own |> List.countBy fst |> List.tryFind (fun (_, count) -> count > 1) with
        | Some(name, _) -> userError $"two tensors of this adapter would be called {name}: peft has no such adapter."
        | None -> own @ buffers @ config.Form.Companions model

    /// That the configuration describes `model`: the same tensors as its own adapter on the bare model has.
    let private checkDescribes (config: HuggingFaceConfig) (model: Model) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let unpruned =
            if config.Form.HasFixedShapes then
                Some(adapter config 0 (Model.freeze (Model.strip model)))
            else
                None

        let shapes model =
            Model.trained model
            |> List.map (fun (name, parameter) -> name, List.ofArray parameter.shape)
            |> Map.ofList

        match unpruned with
        | None -> ()
        | Some fresh ->
            let expected, found = shapes fresh, shapes model

            for name in Seq.append expected.Keys found.Keys do
                match Map.tryFind name expected, Map.tryFind name found with
                | Some left, Some right when left = right -> ()
                | _ -> userError $"the adapter and its configuration disagree about tensor {name}."

    /// Writes a folder as peft writes it, with the fingerprint of the base in the tensor file's metadata.
    let save (folder: string) (fingerprint: string) (config: HuggingFaceConfig) (model: Model) : unit =
        checkDescribes config model
        use _ = torch.NewDisposeScope()
        let found = tensors config model
        Files.createFolder folder

        let metadata =
            Map.ofList
                [
                    "format", "pt"
                    if fingerprint <> "" then
                        fingerprintKey, fingerprint
                ]

        Safetensors.write (Path.Combine(folder, tensorFile)) metadata found

        Files.writeAtomically
            (Path.Combine(folder, "adapter_config.json"))
            (HuggingFaceConfig.toJson (Model.shape model) config)
