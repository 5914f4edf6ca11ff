namespace Peft

open System
open System.Collections.Generic
open System.IO
open TorchSharp

/// The weights of a checkpoint folder: `model.safetensors`, or shards with an index.
[<RequireQualifiedAccess>]
module WeightFiles =
    let private weightFiles (folder: string) : string list =
        let at name = Path.Combine(folder, name)

        if File.Exists(at "model.safetensors") then
            [ at "model.safetensors" ]
        elif File.Exists(at ShardIndex.name) then
            ShardIndex.shards (at ShardIndex.name) |> List.map at
        elif File.Exists(at "pytorch_model.bin") then
            userError
                $"{folder} holds pytorch_model.bin only, which is a Python pickle: convert it to model.safetensors."
        else
            userError $"{folder} holds no model.safetensors and no {ShardIndex.name}."

    /// The checked header of the file that holds a tensor, by the tensor's name.
    let headers (folder: string) : Map<string, SafetensorsHeader> =
        [
            for file in weightFiles folder do
                let header = Safetensors.header file
                for name in header.Entries.Keys -> name, header
        ]
        |> Map.ofList

    /// One tensor in the dtype and on the device that are asked for; the file's own copy is freed at once.
    let private readAs (device: torch.Device) (dtype: torch.ScalarType) (header: SafetensorsHeader) (name: string) =
        use _ = torch.NewDisposeScope()
        (Safetensors.read header name).``to``(dtype, device).MoveToOuterDisposeScope()

    let private isFloat (dtype: torch.ScalarType) =
        List.contains dtype [ torch.float32; torch.float16; torch.bfloat16; torch.float64 ]

    let private listed (shape: int64 seq) = String.Join(", ", shape)

    let private check (folder: string) (outline: Outline) (name: string) (tensors: Map<string, SafetensorsHeader>) =
        match tensors.TryFind name with
        | None ->
            userError
                $"{folder}: the checkpoint has no tensor {outline.Name}; config.json asks for one of shape [{listed outline.Shape}]."
        | Some header ->
            let entry = header.Entries[name]

            if List.ofArray entry.Shape <> outline.Shape then
                userError
                    $"{folder}: tensor {outline.Name} has shape [{listed entry.Shape}], and config.json asks for [{listed outline.Shape}]: the two files do not belong together."

            if not (isFloat entry.Dtype) then
                userError $"{folder}: tensor {outline.Name} is {entry.Dtype}; weights are float32, float16 or bfloat16."

            header

    /// What `build` makes of the folder's tensors, which are read one by one: matrices in `dtype` (float32 or bfloat16), the
    /// others in float32 (`Outline.IsFloat32`). float32, float16 and bfloat16 on disk are accepted. `UserError` names the first
    /// tensor that is missing, of another shape, or neither asked for nor `ignorable`. `spelled` gives a tensor's name in the
    /// file.
    let load
        (device: torch.Device)
        (dtype: torch.ScalarType)
        (folder: string)
        (tensors: Map<string, SafetensorsHeader>)
        (spelled: string -> string)
        (ignorable: Set<string>)
        (build: (Outline -> torch.Tensor) -> 'model)
        : 'model =
        use _ = torch.NewDisposeScope()
        let taken = Dictionary<string, torch.Tensor>()

        let model =
            build (fun outline ->
                let name = spelled outline.Name
                let header = check folder outline name tensors
                let kept = if outline.IsFloat32 then torch.float32 else dtype
                let tensor = readAs device kept header name
                taken[name] <- tensor
                tensor)

        let isUnknown name =
            not (taken.ContainsKey name || ignorable.Contains name)

        match tensors.Keys |> Seq.tryFind isUnknown with
        | Some name ->
            userError
                $"{folder}: tensor {Safetensors.shown name} does not belong to the model that config.json describes."
        | None ->
            for tensor in taken.Values do
                tensor.MoveToOuterDisposeScope() |> ignore

            model
