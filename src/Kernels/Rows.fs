namespace Peft.Kernels

open TorchSharp

/// A piece of the rows of a contiguous tensor: what every loop over rows is told first.
[<Struct; NoEquality; NoComparison>]
type internal Rows =
    {
        /// bfloat16 instead of float32.
        IsHalf: bool
        /// Numbers in a row.
        Width: int
        /// The first row of the piece.
        First: int
        /// The row behind its last.
        Last: int
    }

[<RequireQualifiedAccess>]
module internal Rows =
    let private piece (isHalf: bool) (width: int) (first: int) (last: int) : Rows =
        {
            IsHalf = isHalf
            Width = width
            First = first
            Last = last
        }

    /// The rows of x [.., width].
    let count (x: torch.Tensor) : int = int (x.numel () / x.size -1)

    /// Runs `body` over the rows of x [.., width], piece by piece, on libtorch's threads.
    let each (x: torch.Tensor) (body: Rows -> unit) : unit =
        let isHalf, width = x.dtype = torch.bfloat16, int (x.size -1)
        Threads.rows (count x) width (fun first last -> body (piece isHalf width first last))

    /// The same over blocks of `width` numbers, whatever the shape of x.
    let blocks (width: int) (x: torch.Tensor) (body: Rows -> unit) : unit =
        let isHalf = x.dtype = torch.bfloat16
        Threads.rows (int (x.numel ()) / width) width (fun first last -> body (piece isHalf width first last))

    /// The same in so many pieces of `perPiece` rows; `body` gets the piece's number, too, since each has sums of its own.
    let pieces (pieces: int) (perPiece: int) (x: torch.Tensor) (body: Rows -> int -> unit) : unit =
        let isHalf, width, rows = x.dtype = torch.bfloat16, int (x.size -1), count x

        Threads.run pieces (fun number ->
            body (piece isHalf width (number * perPiece) (min rows ((number + 1) * perPiece))) number)
