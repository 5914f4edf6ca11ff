namespace Peft.Causal

open Peft
open TorchSharp

/// The keys and values of a growing batch of lines, `beams` of them for each row: room for `limit` positions, into which they
/// are copied, on any device.
type internal StepMemory
    (description: Description, precision: torch.ScalarType, device: torch.Device, rows: int, beams: int, limit: int64) =
    let room () =
        let shape =
            [|
                int64 (rows * beams)
                int64 description.KeyValueHeads
                limit
                int64 description.HeadWidth
            |]

        Array.init description.Layers (fun _ -> torch.empty (shape, dtype = precision, device = device))

    let keys, values = room (), room ()

    let fill (store: torch.Tensor[]) (block: int) (first: int64) (fresh: torch.Tensor) =
        let byHead = fresh.transpose (1L, 2L)
        let into = store[block].narrow(2L, first, byHead.size 2)

        // A row's keys go to all of its lines.
        into.view(byHead.size 0, -1L, byHead.size 1, into.size 2, byHead.size 3).copy_(byHead.unsqueeze 1L)
        |> ignore

    /// Which row of the batch the lines of each new row come from, for `Select`'s parents.
    static member RowsOf(beams: int, parents: int[]) : int[] =
        parents |> Array.chunkBySize beams |> Array.map (fun own -> own[0] / beams)

    /// Remembers keys and values [rows or lines, length, heads of keys, width] of a block from position `first` on.
    member _.Write(block: int, first: int64, k: torch.Tensor, v: torch.Tensor) : unit =
        fill keys block first k
        fill values block first v

    /// The keys of a block's first `count` positions, [lines, heads of keys, count, width].
    member _.Keys(block: int, count: int64) : torch.Tensor = keys[block].narrow(2L, 0L, count)

    /// The values of a block's first `count` positions.
    member _.Values(block: int, count: int64) : torch.Tensor = values[block].narrow(2L, 0L, count)

    /// Line i goes on from what line `parents[i]` was. Lines of one row have all positions before `shared` in common, and those
    /// from `used` on are not yet written.
    member _.Select(parents: int[], shared: int64, used: int64) : unit =
        use index = torch.tensor (Array.map int64 parents, device = device)

        for store in [ keys; values ] do
            for block in 0 .. store.Length - 1 do
                if int64 parents.Length = store[block].size 0 then
                    use own = store[block].narrow(2L, shared, used - shared)
                    use moved = own.index_select (0L, index)
                    own.copy_ moved |> ignore
                else
                    let kept = store[block].index_select(0L, index)
                    store[block].Dispose()
                    store[block] <- kept
