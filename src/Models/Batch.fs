namespace Peft

open System
open TorchSharp

/// One row as token ids, of the input and of the target. A target ends with an id that ends an answer, and so does an
/// encoder's input.
type EncodedRow = { Ids: int[]; Labels: int[] }

/// Rows padded on the right to the longest of them. Disposing it frees its tensors. An encoder-decoder reads inputs and labels
/// apart. A decoder-only model reads a row's input and then its labels: it moves the inputs to the right, so that every
/// answer begins in one column, puts the labels but the last behind them, and gives the logits of the last input token and of
/// those labels: one for each label, so that only answers count in the loss.
[<ReferenceEquality>]
type Batch =
    {
        /// [rows, input length] int64.
        InputIds: torch.Tensor
        /// [rows, input length] int64, 1 where there is a token; none where every row fills its length.
        Mask: torch.Tensor option
        /// [rows, target length] int64, -100 where there is no label.
        Labels: torch.Tensor
    }

    interface IDisposable with
        member batch.Dispose() =
            batch.InputIds.Dispose()
            batch.Mask |> Option.iter _.Dispose()
            batch.Labels.Dispose()

[<RequireQualifiedAccess>]
module Batch =
    /// The label that the loss ignores.
    let ignoredLabel = -100L

    let private matrix (fill: int64) (device: torch.Device) (rows: int64[][]) =
        let width = rows |> Array.map Array.length |> Array.max
        let cells = Array.create (rows.Length * width) fill
        rows |> Array.iteri (fun row ids -> ids.CopyTo(cells, row * width))

        torch.tensor(cells, dtype = Nullable torch.int64, device = device).view(int64 rows.Length, int64 width)

    let private isRagged (rows: int64[][]) =
        rows |> Array.exists (fun row -> row.Length <> rows[0].Length)

    /// Pads rows to a batch on `device`. There must be at least one row.
    let ofRows (padId: int) (device: torch.Device) (rows: EncodedRow[]) : Batch =
        let inputs = rows |> Array.map (_.Ids >> Array.map int64)

        {
            InputIds = matrix (int64 padId) device inputs
            Mask =
                if isRagged inputs then
                    inputs |> Array.map (Array.map (fun _ -> 1L)) |> matrix 0L device |> Some
                else
                    None
            Labels = rows |> Array.map (_.Labels >> Array.map int64) |> matrix ignoredLabel device
        }

    /// Rows in batches of at most `size`, longest first and nearest in length together, so that little is padded; each
    /// row comes with its place in `rows`. For evaluation, where order does not matter.
    let byLength (size: int) (rows: EncodedRow[]) : (int * EncodedRow)[][] =
        rows
        |> Array.indexed
        |> Array.sortBy (fun (place, row) -> -row.Ids.Length, -row.Labels.Length, place)
        |> Array.chunkBySize size
