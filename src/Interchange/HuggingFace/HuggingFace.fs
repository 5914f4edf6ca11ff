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

    let private basisOf (model: Model) : Basis option =
        Model.projections model
        |> List.tryPick (fun (_, projection) ->
            match projection with
            | SharedBasis(basis = basis) -> Some basis
            | _ -> None)

    /// Whether two models have the same random matrices (VeRA) or both none. A platform's uniform numbers agree to the
    /// last bits, which is all that is asked.
    let hasSameBasis (left: Model) (right: Model) : bool =
        match basisOf left, basisOf right with
        | None, None -> true
        | Some left, Some right ->
            let isSame (one: torch.Tensor) (other: torch.Tensor) =
                one.shape = other.shape && one.allclose (other, 1e-5, 1e-6)

            isSame left.A right.A && isSame left.B right.B
        | _ -> false

    /// Where the fingerprint of the base stands in the tensor file. peft reads past it.
    let fingerprintKey = "base_fingerprint"

    /// A configuration of peft as a function, started as peft starts it: what random there is follows from `seed`.
    let adapter (config: HuggingFaceConfig) (seed: int) : Adapter =
        HuggingFaceAdapter.around None config seed

    let private ending (suffix: string) (replacement: string) (name: string) =
        if name.EndsWith(suffix, StringComparison.Ordinal) then
            Some(name.Substring(0, name.Length - suffix.Length) + replacement)
        else
            None

    /// peft's name for a trained tensor of `Model.trained`; none where peft has no such tensor.
    let tensorName (method': HuggingFaceMethod) (name: string) : string option =
        let suffixes =
            match method' with
            | HuggingFaceLora _ ->
                [
                    ".lora_a", ".lora_A.weight"
                    ".lora_b", ".lora_B.weight"
                    ".lora_magnitude_vector", ".lora_magnitude_vector"
                ]
            | HuggingFaceAdaLora _ -> [ ".lora_a", ".lora_A"; ".lora_e", ".lora_E"; ".lora_b", ".lora_B" ]
            | HuggingFaceIa3 _ -> [ ".multi_lora_a", ".ia3_l"; ".multi_lora_b", ".ia3_l" ]
            | HuggingFaceVera _ -> [ ".vera_lambda_b", ".vera_lambda_b"; ".vera_lambda_d", ".vera_lambda_d" ]
            | HuggingFacePrompt _
            | HuggingFacePrefix _ -> []

        match method', name with
        | HuggingFacePrompt _, "prompt_embeddings"
        | HuggingFacePrefix _, "prefix_embeddings" -> Some "prompt_embeddings"
        | _ ->
            suffixes @ [ ".weight", ".weight" ]
            |> List.tryPick (fun (ours, theirs) -> ending ours theirs name)
            |> Option.map (fun found -> $"base_model.model.{found}")

    /// peft's shape of a trained tensor: (IA)3's vectors are a column for an output and a row for an input; a prompt has
    /// its rows once for each submodule.
    let private tensorShape (method': HuggingFaceMethod) (name: string) (own: int64 list) : int64 list =
        match method', own with
        | HuggingFaceIa3 _, [ length ] when name.EndsWith(".multi_lora_a", StringComparison.Ordinal) -> [ 1L; length ]
        | HuggingFaceIa3 _, [ length ] when name.EndsWith(".multi_lora_b", StringComparison.Ordinal) -> [ length; 1L ]
        | HuggingFacePrompt(tokens, submodules), [ _; width ] -> [ int64 (tokens * submodules); width ]
        | _ -> own

    let private basisNames = [ "base_model.vera_A"; "base_model.vera_B" ]

    let private readTensors (folder: string) : string * IReadOnlyDictionary<string, torch.Tensor> =
        let file = Path.Combine(folder, tensorFile)

        if not (File.Exists file) && File.Exists(Path.Combine(folder, "adapter_model.bin")) then
            userError $"{folder} holds adapter_model.bin only, which is a Python pickle: save it as {tensorFile}."

        file, Safetensors.readAll file

    /// Puts the tensors of `values`, under peft's names, into the trained parameters of `model`, after all were checked.
    let private restore
        (file: string)
        (method': HuggingFaceMethod)
        (values: IReadOnlyDictionary<string, torch.Tensor>)
        model
        =
        let parameters =
            Model.trained model
            |> List.map (fun (name, parameter) ->
                match tensorName method' name with
                | Some theirs -> theirs, tensorShape method' name (List.ofArray parameter.shape), parameter
                | None -> invalidOp $"{name} has no name in peft")

        let expected = parameters |> List.map (fun (name, _, _) -> name) |> set

        for name in values.Keys do
            if not (expected.Contains name) then
                userError
                    $"{file}: tensor {name} does not belong to the adapter that adapter_config.json describes on this model."

        for name, shape, _ in parameters do
            match values.TryGetValue name with
            | false, _ -> userError $"{file}: tensor {name} is missing."
            | true, value when List.ofArray value.shape <> shape ->
                userError
                    $"{file}: tensor {name} has shape {List.ofArray value.shape}, this model needs {shape}: it belongs to a model of another size or to another configuration."
            | true, value when not (value.is_floating_point ()) ->
                userError $"{file}: tensor {name} is {value.dtype}; adapters are float32, float16 or bfloat16."
            | true, _ -> ()

        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        for name, _, parameter in parameters do
            let value = values[name]

            let used =
                match method' with
                | HuggingFacePrompt(tokens, _) when name = "prompt_embeddings" -> value.narrow (0L, 0L, int64 tokens)
                | _ -> value.view parameter.shape

            parameter.copy_ used |> ignore

    /// Loads an adapter folder of peft around `baseModel`, whose tensors are shared and stay as they are. `fingerprint` is
    /// the base's (`Checkpoint.fingerprint`) and is checked where the file states one. Everything is checked before
    /// anything is built; `UserError` is one line.
    let load (folder: string) (fingerprint: string) (baseModel: Model) : HuggingFaceConfig * Model =
        let config = HuggingFaceConfig.load folder
        let file, values = readTensors folder

        match Map.tryFind fingerprintKey (Safetensors.readMetadata file) with
        | Some written when written <> fingerprint ->
            userError $"{folder} was trained on the base {written}, and this base is {fingerprint}."
        | _ -> ()

        let isBasis (name: string) = List.contains name basisNames

        let basis =
            match config.Method, basisNames |> List.map values.TryGetValue with
            | HuggingFaceVera { HoldsBasis = true }, [ (true, a); (true, b) ] ->
                let device = baseModel.Embedding.Value.device

                let wide (tensor: torch.Tensor) =
                    tensor.``to``(torch.float32).``to`` device

                Some { A = wide a; B = wide b }
            | HuggingFaceVera { HoldsBasis = true }, _ ->
                userError
                    $"{file}: tensor base_model.vera_A or base_model.vera_B is missing, and save_projection is true."
            | _ -> None

        let own =
            values
            |> Seq.filter (fun pair -> basis.IsNone || not (isBasis pair.Key))
            |> Seq.map (fun pair -> KeyValuePair(pair.Key, pair.Value))
            |> Dictionary

        let model = HuggingFaceAdapter.around basis config 0 baseModel
        restore file config.Method own model

        let spare =
            match config.Method with
            | HuggingFacePrompt(tokens, submodules) when submodules > 1 ->
                let rows = own["prompt_embeddings"]
                Some(rows.narrow(0L, int64 tokens, rows.size 0 - int64 tokens).clone())
            | _ -> None

        { config with SpareRows = spare }, model

    /// AdaLoRA's tensors without the directions that were taken away: peft writes the rest.
    let private keptOnly (adaLora: HuggingFaceAdaLora) (name: string) (tensor: torch.Tensor) : torch.Tensor =
        let kept =
            adaLora.Kept
            |> List.tryFind (fun (site, _) -> name.StartsWith($"{site}.lora_", StringComparison.Ordinal))

        let dimension =
            if name.EndsWith(".lora_b", StringComparison.Ordinal) then
                1L
            else
                0L

        match kept with
        | Some(_, flags) when tensor.shape[int dimension] = int64 flags.Length ->
            let places =
                [|
                    for place in 0 .. flags.Length - 1 do
                        if flags[place] then
                            int64 place
                |]

            tensor.index_select (dimension, torch.tensor (places, device = tensor.device))
        | _ -> tensor

    /// The tensors that peft would write for this adapter, with peft's names and shapes. For a prompt of an
    /// encoder-decoder peft writes twice the rows and reads the first half: the second is written as it was read, or as a copy
    /// of the first.
    let tensors (config: HuggingFaceConfig) (model: Model) : (string * torch.Tensor) list =
        let theirs (name: string, parameter: torch.Tensor) =
            match tensorName config.Method name with
            | None ->
                let kind = HuggingFaceConfig.peftType config.Method
                userError $"{name} has no place in a {kind} adapter of Hugging Face's peft."
            | Some renamed ->
                let shape =
                    tensorShape config.Method name (List.ofArray parameter.shape) |> List.toArray

                let value =
                    match config.Method with
                    | HuggingFacePrompt(_, submodules) when renamed = "prompt_embeddings" ->
                        match config.SpareRows with
                        | Some spare -> torch.cat ([| parameter; spare.``to`` parameter.dtype |], 0L)
                        | None -> parameter.repeat [| int64 submodules; 1L |]
                    | HuggingFaceAdaLora adaLora -> keptOnly adaLora name parameter
                    | _ -> parameter.view shape

                renamed, value

        let basis =
            match config.Method with
            | HuggingFaceVera { HoldsBasis = true } ->
                basisOf model
                |> Option.map (fun basis -> List.zip basisNames [ basis.A; basis.B ])
                |> Option.defaultValue []
            | _ -> []

        let own =
            Model.trained model
            |> List.map (fun (name, parameter) -> theirs (name, parameter.detach ()))

        match own |> List.countBy fst |> List.tryFind (fun (_, count) -> count > 1) with
        | Some(name, _) -> userError $"two tensors of this adapter would be called {name}: peft has no such adapter."
        | None -> own @ basis

    /// That the configuration describes `model`: the same tensors as its own adapter on the bare model has.
    let private checkDescribes (config: HuggingFaceConfig) (model: Model) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let unpruned =
            match config.Method with
            // Directions may have been masked or already taken away: the ranks are the model's business.
            | HuggingFaceAdaLora _ -> None
            | _ -> Some(adapter config 0 (Model.freeze (Model.strip model)))

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
            (HuggingFaceConfig.toJson model.Shape config)
