namespace Peft

open System
open TorchSharp

/// One row as token ids; both end with `</s>`.
type EncodedRow = { Input: int[]; Target: int[] }

/// Rows padded to the longest of them: ids and mask [rows, input length] int64, labels [rows, target length] int64
/// with -100 where there is no label. Disposing it frees the three tensors.
type Batch(inputIds: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) =
    member _.InputIds = inputIds
    member _.Mask = mask
    member _.Labels = labels

    interface System.IDisposable with
        member _.Dispose() =
            inputIds.Dispose()
            mask.Dispose()
            labels.Dispose()

[<RequireQualifiedAccess>]
module Batch =
    let private ignored = -100L

    let private matrix (fill: int64) (rows: int[][]) (value: int -> int64) (device: torch.Device) =
        let width = rows |> Array.map Array.length |> Array.max
        let cells = Array.create (rows.Length * width) fill

        rows
        |> Array.iteri (fun row ids -> ids |> Array.iteri (fun column id -> cells[row * width + column] <- value id))

        torch.tensor(cells, dtype = Nullable torch.int64, device = device).view (int64 rows.Length, int64 width)

    /// Pads rows on the right to a batch on `device`.
    let ofRows (padId: int) (device: torch.Device) (rows: EncodedRow[]) : Batch =
        let inputs = rows |> Array.map _.Input

        new Batch(
            matrix (int64 padId) inputs int64 device,
            matrix 0L inputs (fun _ -> 1L) device,
            matrix ignored (rows |> Array.map _.Target) int64 device
        )

    /// Rows in batches of at most `size`, nearest in length first, so that little is padded; each row comes with its
    /// place in `rows`. For evaluation, where order does not matter.
    let byLength (size: int) (rows: EncodedRow[]) : (int * EncodedRow)[][] =
        rows
        |> Array.indexed
        |> Array.sortBy (fun (place, row) -> -row.Input.Length, -row.Target.Length, place)
        |> Array.chunkBySize size
