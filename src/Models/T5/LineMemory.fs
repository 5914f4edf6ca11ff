namespace Peft.T5

open Peft
open Peft.Kernels
open TorchSharp

/// A memory on the CPU in which keys and values stay where they were computed. Each line knows its ancestor at every
/// position, so that a beam's change of parent, or a row's leaving, moves a few numbers instead of the caches.
type internal LineMemory(start: MemoryStart) =
    let config, beams, limit = start.Config, start.Beams, start.Limit
    let inner = config.Heads * config.KeyWidth
    let size = int (torch.empty(0L, dtype = start.Precision).ElementSize)

    // Per layer and position: the address of that step's [lines, 1, inner].
    let room () =
        Array.init config.DecoderLayers (fun _ -> Array.create limit 0n)

    let keys, values = room (), room ()
    // The positions of a prefix come first. What it holds is the same for every line: [tokens, inner].
    let mutable before = 0

    /// `ancestors[line * limit + position]`: which line of that position's step.
    let mutable ancestors: int[] = Array.zeroCreate (start.Rows * beams * limit)
    /// Which row of the input each row of the batch is.
    let mutable rows = Array.init start.Rows id

    let contiguous (projected: torch.Tensor[]) = projected |> Array.map _.contiguous()

    let crossKeys, crossValues =
        contiguous start.CrossKeys, contiguous start.CrossValues

    let sourceLength = int (crossKeys[0].size 1)
    let addresses = Array.map Libtorch.address
    let crossKeyAt, crossValueAt = addresses crossKeys, addresses crossValues
    let maskBias = start.MaskBias |> Option.map _.contiguous()
    let positionBias = start.PositionBias.contiguous ()

    do
        start.Prefix
        |> List.iteri (fun layer ->
            Option.iter (fun (prefixKeys: torch.Tensor, prefixValues: torch.Tensor) ->
                // [1, heads, tokens, d_kv] → [tokens, heads · d_kv]
                let byToken (x: torch.Tensor) =
                    x.squeeze(0L).transpose(0L, 1L).flatten(1L).contiguous()

                before <- int (prefixKeys.size 2)

                for into, tensor in [ keys[layer], byToken prefixKeys; values[layer], byToken prefixValues ] do
                    let first = Libtorch.address tensor

                    for token in 0 .. before - 1 do
                        into[token] <- first + nativeint token * nativeint (inner * size)))

    /// A step's tensor outlives the step's scope.
    let remember (store: nativeint[]) (step: int) (fresh: torch.Tensor) =
        store[step] <- Libtorch.address (fresh.contiguous().MoveToOuterDisposeScope())

    let self (layer: int) (step: int) (line: int) (places: Places) =
        places.Count <- step + 1
        places.Bias <- Libtorch.address positionBias + nativeint (step * limit * 4)

        for position in 0..step do
            let offset =
                if position < before then
                    0n
                else
                    nativeint ancestors[line * limit + position] * nativeint (inner * size)

            places.Keys[position] <- keys[layer][position] + offset
            places.Values[position] <- values[layer][position] + offset

    let cross (layer: int) (line: int) (places: Places) =
        let row = rows[line / beams]
        places.Count <- sourceLength

        places.Bias <-
            match maskBias with
            | Some bias -> Libtorch.address bias + nativeint (row * sourceLength * 4)
            | None -> 0n

        for position in 0 .. sourceLength - 1 do
            let offset = nativeint (row * sourceLength + position) * nativeint (inner * size)
            places.Keys[position] <- crossKeyAt[layer] + offset
            places.Values[position] <- crossValueAt[layer] + offset

    /// Whether this memory serves the model's shape here.
    static member Serves(start: MemoryStart) : bool =
        StepAttention.serves start.Config.KeyWidth start.CrossKeys[0]

    interface IStepMemory with
        /// No key or value is copied: every row leaves as soon as it has finished.
        member _.LeavingShare = 0.0

        member _.SelfAttention(layer, step, q, k, v) =
            remember keys[layer] step k
            remember values[layer] step v

            for line in 0 .. int (q.size 0) - 1 do
                ancestors[line * limit + step] <- line

            StepAttention.apply config.Heads (step + 1) (limit * limit) (self layer step) (q.contiguous ())

        member _.CrossAttention(layer, q) =
            StepAttention.apply config.Heads sourceLength 0 (cross layer) (q.contiguous ())

        member _.Select(parents, steps) =
            let next = Array.zeroCreate (parents.Length * limit)

            parents
            |> Array.iteri (fun line parent -> System.Array.Copy(ancestors, parent * limit, next, line * limit, steps))

            ancestors <- next

            rows <- StepMemory.rowsOf beams parents |> Array.map (fun row -> rows[row])
