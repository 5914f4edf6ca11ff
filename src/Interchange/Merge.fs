namespace Peft

open System.IO
open TorchSharp

/// What merging an adapter into its base did.
type MergeReport =
    {
        /// Linear maps whose weight is another than the base's.
        ChangedMaps: int
        /// The largest difference of a logit between the adapter beside its base and the merged weights as they are
        /// written, on the samples; 0 without samples.
        LargestLogitChange: float
        /// The largest absolute logit there, to judge the change by.
        LargestLogit: float
    }

/// `peft merge`: an adapter and its base as one plain Hugging Face checkpoint.
[<RequireQualifiedAccess>]
module Merge =
    /// What a plain T5 checkpoint has no place for.
    let private leftOver (model: Model) : string option =
        let ofMap (_, projection) =
            match projection with
            | Dense _
            | Affine _ -> None
            | Shifted _ -> Some "biases"
            | _ -> Some "serial adapters or routes"

        if Model.hasPrompt model then
            Some "soft tokens"
        elif Model.hasPrefix model then
            Some "a prefix"
        elif Model.hasBeside model then
            Some "parallel adapters"
        else
            Model.projections model @ [ Model.headSite model, model.Head ]
            |> List.tryPick ofMap

    let private checkFinite (model: Model) =
        use _ = torch.NewDisposeScope()

        for name, leaf in Model.leaves model do
            if not (leaf.Value.isfinite().all().item<bool>()) then
                userError
                    $"merging would write {name} with numbers that are not finite: the adapter is broken or does not fit."

    /// The merged model in float32, whatever precision the given one computes in; nothing is left to train.
    let merged (model: Model) : Model =
        let whole = model |> Model.withPrecision torch.float32 |> Model.merge

        let wide =
            match whole.Joined() with
            | Some joined -> joined
            | None ->
                userError
                    "a plain checkpoint has one embedding, and encoder and decoder have different ones here: keep this adapter beside its base."

        match leftOver wide with
        | Some rest -> userError $"a plain checkpoint has no place for {rest}: keep this adapter beside its base."
        | None ->
            checkFinite wide
            wide

    let private largestChange (before: Model) (after: Model) (samples: Batch list) : float * float =
        use _ = torch.no_grad ()

        let measure (batch: Batch) =
            use _ = torch.NewDisposeScope()

            let logits model =
                (Model.logits Pass.Evaluation model batch).``to`` torch.float32

            let old, fresh = logits before, logits after
            float ((fresh - old).abs().max().item<float32>()), float (old.abs().max().item<float32>())

        let measured = samples |> List.map measure
        List.fold max 0.0 (List.map fst measured), List.fold max 0.0 (List.map snd measured)

    /// Merges `model` in float32 and writes a checkpoint with weights in `dtype` to `target`, with the tokenizer of
    /// `baseFolder` (`spiece.model`) where there is one. Nothing is written where a weight would not be finite, in float32
    /// or in `dtype`, or where a part of the adapter has no place in a plain checkpoint.
    let toCheckpoint
        (baseFolder: string)
        (target: string)
        (dtype: torch.ScalarType)
        (samples: Batch list)
        (model: Model)
        : MergeReport =
        if
            Directory.Exists target
            && Directory.GetFiles(target, "*.safetensors*").Length > 0
        then
            userError $"{target} holds weights already: name a new folder for the merged checkpoint."

        let whole = merged model

        let written =
            whole
            |> Model.mapLeaves (fun _ leaf ->
                if leaf.Value.dtype = dtype then
                    leaf
                else
                    Frozen(leaf.Value.``to``(dtype).``to`` torch.float32))

        checkFinite written

        let change, largest =
            largestChange (Model.withPrecision torch.float32 model) written samples

        let isChanged (_, projection) =
            match projection with
            | Dense(Frozen _)
            | Affine(Frozen _, Frozen _) -> false
            | _ -> true

        let report =
            {
                ChangedMaps =
                    Model.projections model @ [ Model.headSite model, model.Head ]
                    |> List.filter isChanged
                    |> List.length
                LargestLogitChange = change
                LargestLogit = largest
            }

        Files.createFolder target
        Checkpoint.save target dtype whole
        Checkpoint.copyTokenizer baseFolder target
        report
