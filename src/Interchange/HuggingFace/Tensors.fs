namespace Peft

open System
open System.Collections.Generic
open TorchSharp

/// The tensors of an adapter folder of peft's: their names, and how they come into a model.
[<RequireQualifiedAccess>]
module internal HuggingFaceTensors =
    let private ending (suffix: string) (replacement: string) (name: string) =
        if name.EndsWith(suffix, StringComparison.Ordinal) then
            Some(name.Substring(0, name.Length - suffix.Length) + replacement)
        else
            None

    /// peft's name for a trained tensor of `Model.trained`; none where peft has no such tensor.
    let nameOf (config: HuggingFaceConfig) (name: string) : string option =
        match config.Form.Names |> List.tryFind (fst >> (=) name) with
        | Some(_, theirs) -> Some theirs
        | None ->
            config.Form.Names @ [ ".weight", ".weight" ]
            |> List.filter (fun (ours, _) -> ours.StartsWith '.')
            |> List.tryPick (fun (ours, theirs) -> ending ours theirs name)
            |> Option.map (fun found -> $"base_model.model.{found}")

    /// Puts the tensors of `values`, under peft's names, into the trained parameters of `model`, after all were checked.
    let restore (file: string) (config: HuggingFaceConfig) (values: IReadOnlyDictionary<string, torch.Tensor>) model =
        let parameters =
            Model.trained model
            |> List.map (fun (name, parameter) ->
                match nameOf config name with
                | Some theirs -> theirs, config.Form.FileShape name (List.ofArray parameter.shape), parameter
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
                if value.numel () = parameter.numel () then
                    value.view parameter.shape
                else
                    value.narrow (0L, 0L, parameter.size 0)

            parameter.copy_ used |> ignore

    /// That what the file holds beside the adapter is what follows from the model.
    let checkCompanions
        (file: string)
        (config: HuggingFaceConfig)
        (values: IReadOnlyDictionary<string, torch.Tensor>)
        (model: Model)
        =
        for name, expected in config.Form.Companions model do
            match values.TryGetValue name with
            | false, _ -> ()
            | true, found ->
                if
                    found.shape <> expected.shape
                    || not ((found.``to`` expected.dtype).eq(expected).all().item<bool>())
                then
                    userError
                        $"{file}: tensor {name} is another than this model has there: the adapter belongs to another base."
