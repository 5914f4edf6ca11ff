namespace Peft

open System
open System.Collections.Generic
open TorchSharp

/// What the encoder makes of the validation batches of one run. Where nothing that is trained stands before its output (an
/// adapter in the decoder only, prefix tuning), it is computed in the first epoch and serves all of them.
[<Sealed>]
type KeptEncodings(model: Model, mostBytes: int64) =
    let isFrozen = not (Model.trainsEncoder model)
    let kept = Dictionary<int, Encoded>()
    let mutable bytes = 0L

    let keep (place: int) (source: Encoded) =
        let size = source.Hidden.numel () * source.Hidden.element_size ()

        if isFrozen && bytes + size <= mostBytes then
            bytes <- bytes + size
            source.Hidden.DetachFromDisposeScope() |> ignore

            source.MaskBias
            |> Option.iter (fun bias -> bias.DetachFromDisposeScope() |> ignore)

            kept[place] <- source

    /// At most a gibibyte; batches beyond it are encoded every time.
    new(model: Model) = new KeptEncodings(model, 1L <<< 30)

    /// Batches whose encoding is kept.
    member _.Count: int = kept.Count

    /// The loss in evaluation of the batch at this place by `merged`, the model with its adapters merged.
    member _.Loss (merged: Model) (place: int) (batch: Batch) : torch.Tensor =
        match merged.Encoder, kept.TryGetValue place with
        | None, _ -> Model.loss Pass.Evaluation merged batch
        | Some encoder, (true, source) -> Model.lossAfter encoder merged source batch.Labels
        | Some encoder, _ ->
            let source = encoder.Encode Pass.Evaluation batch.InputIds batch.Mask
            keep place source
            Model.lossAfter encoder merged source batch.Labels

    interface IDisposable with
        member _.Dispose() : unit =
            for source in kept.Values do
                (source :> IDisposable).Dispose()

            kept.Clear()
