namespace Peft.T5

open Peft
open Peft.Kernels
open TorchSharp

/// The keys and values of a growing batch of lines, and attention over them. There are `beams` lines for each row of the
/// input; they share its cross-attention keys and values. Queries, keys and values of a step are [lines, 1, heads · d_kv],
/// and so are results.
type internal IStepMemory =
    /// The share of rows that must have finished before it pays to `Select` the others.
    abstract LeavingShare: float
    /// Self-attention of decoder layer `layer` at position `step`, whose keys and values are remembered.
    abstract SelfAttention: layer: int * step: int * q: torch.Tensor * k: torch.Tensor * v: torch.Tensor -> torch.Tensor
    /// Attention to the encoder's output.
    abstract CrossAttention: layer: int * q: torch.Tensor -> torch.Tensor
    /// Line i goes on from what line `parents[i]` was, up to position `steps`. There may be fewer lines than before; the
    /// beams of a row stay together, and come from one row.
    abstract Select: parents: int[] * steps: int -> unit

/// What a memory starts from.
[<ReferenceEquality>]
type internal MemoryStart =
    {
        Config: Config
        Precision: torch.ScalarType
        Rows: int
        Beams: int
        /// Positions at most, a prefix included.
        Limit: int
        /// Per decoder layer [rows, source length, heads · d_kv].
        CrossKeys: torch.Tensor[]
        CrossValues: torch.Tensor[]
        /// Additive, [rows, 1, 1, source length] float32.
        MaskBias: torch.Tensor option
        /// [1, heads, limit, limit] float32.
        PositionBias: torch.Tensor
        /// Per decoder layer the keys and values of a prefix, [1, heads, tokens, d_kv] both (prefix tuning).
        Prefix: (torch.Tensor * torch.Tensor) option list
    }

[<RequireQualifiedAccess>]
module internal StepMemory =
    /// Which row of the batch the lines of each new row come from, for `Select`'s parents.
    let rowsOf (beams: int) (parents: int[]) : int[] =
        parents |> Array.chunkBySize beams |> Array.map (fun own -> own[0] / beams)

/// A memory of tensors that serves every device: room for all positions, into which keys and values are copied.
type internal TensorMemory(start: MemoryStart) =
    let config, beams = start.Config, start.Beams
    let device = start.PositionBias.device

    let heads (projected: torch.Tensor[]) =
        projected |> Array.map (fun x -> (Layer.splitHeads config x).contiguous())

    let room () =
        let shape =
            [|
                int64 (start.Rows * beams)
                int64 config.Heads
                int64 start.Limit
                int64 config.KeyWidth
            |]

        Array.init config.DecoderLayers (fun _ -> torch.empty (shape, dtype = start.Precision, device = device))

    let crossKeys, crossValues = heads start.CrossKeys, heads start.CrossValues
    let keys, values = room (), room ()
    let mutable maskBias = start.MaskBias

    do
        start.Prefix
        |> List.iteri (fun layer ->
            Option.iter (fun (prefixKeys: torch.Tensor, prefixValues: torch.Tensor) ->
                let tokens = prefixKeys.size 2
                keys[layer].narrow(2L, 0L, tokens).copy_ prefixKeys |> ignore
                values[layer].narrow(2L, 0L, tokens).copy_ prefixValues |> ignore))

    let select (index: torch.Tensor) (tensors: torch.Tensor[]) =
        for place in 0 .. tensors.Length - 1 do
            let kept = tensors[place].index_select(0L, index)
            tensors[place].Dispose()
            tensors[place] <- kept

    /// Stores this step's keys or values and gives those of all steps so far.
    let extend (cache: torch.Tensor) (step: int) (fresh: torch.Tensor) =
        cache.narrow(2L, int64 step, 1L).copy_(Layer.splitHeads config fresh) |> ignore
        cache.narrow (2L, 0L, int64 step + 1L)

    let reorder (parents: int[]) (steps: int) =
        use _ = torch.NewDisposeScope()
        let index = torch.tensor (Array.map int64 parents, device = device)

        for cache in Array.append keys values do
            let used = cache.narrow (2L, 0L, int64 steps)
            used.copy_ (used.index_select (0L, index)) |> ignore

    let keep (parents: int[]) =
        use lines = torch.tensor (Array.map int64 parents, device = device)

        use rows =
            torch.tensor (StepMemory.rowsOf beams parents |> Array.map int64, device = device)

        select rows crossKeys
        select rows crossValues
        select lines keys
        select lines values
        maskBias <- maskBias |> Option.map (fun bias -> bias.index_select (0L, rows))

    interface IStepMemory with
        /// Copying the tensors costs about as much as a step of the rows it saves.
        member _.LeavingShare = 0.25

        member _.SelfAttention(layer, step, q, k, v) =
            let bias =
                start.PositionBias.narrow(2L, int64 step, 1L).narrow(3L, 0L, int64 step + 1L)

            Layers.attend
                Pass.Evaluation
                (Some bias)
                (Layer.splitHeads config q)
                (extend keys[layer] step k)
                (extend values[layer] step v)
            |> Layer.joinHeads

        member _.CrossAttention(layer, q) =
            let lines = q.size 0
            // The beams of a row are queries of one attention: [rows, beams, heads · d_kv] → [rows, heads, beams, d_kv].
            let queries =
                q.view (lines / int64 beams, int64 beams, -1L) |> Layer.splitHeads config

            (Layers.attend Pass.Evaluation maskBias queries crossKeys[layer] crossValues[layer]
             |> Layer.joinHeads)
                .reshape(lines, 1L, -1L)

        member _.Select(parents, steps) =
            if int64 parents.Length = keys[0].size 0 then
                reorder parents steps
            else
                keep parents
