namespace Peft.Causal

open Peft
open TorchSharp

/// Where the tokens of a pass stand: those that look, and those that may be seen.
[<ReferenceEquality>]
type internal Placed =
    {
        /// [rows or 1, queries] int64.
        Queries: torch.Tensor
        /// [rows or 1, keys] int64, rising.
        Keys: torch.Tensor
        /// [rows, keys] int64, 1 where there is a token; none where every row fills its length.
        KeyMask: torch.Tensor option
    }

/// What is added to scores: who may see whom, and ALiBi's share.
[<RequireQualifiedAccess>]
module internal Visibility =
    let private forbidden = System.Single.MinValue

    /// The positions [rows, length] of tokens by their mask, or [1, length] without one: the number of tokens before each.
    let positions (mask: torch.Tensor option) (length: int64) (device: torch.Device) : torch.Tensor =
        match mask with
        | Some mask -> mask.cumsum(1L).sub(1L.ToScalar()).clamp_min(0L.ToScalar())
        | None -> torch.arange(length, dtype = torch.int64, device = device).unsqueeze 0L

    /// ALiBi's slope of each head: a geometric series for a power of two, and every other one of the next series for the
    /// heads beyond it (Press et al. 2022, and transformers for other numbers).
    let slopes (heads: int) : float32[] =
        let power = 1 <<< System.Numerics.BitOperations.Log2(uint32 heads)
        let first count = 2.0 ** -(8.0 / float count)
        let series = Array.init power (fun head -> first power ** float (head + 1))

        let between =
            Array.init (heads - power) (fun head -> first (2 * power) ** float (2 * head + 1))

        Array.append series between |> Array.map float32

    /// Additive scores of heads [rows or 1, heads or 1, queries, keys] float32, for queries of `Group` heads side by side:
    /// [.., heads of keys or 1, group · queries, keys]. `window` is how far back a token looks.
    let bias (description: Description) (window: int option) (placed: Placed) : torch.Tensor =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let distance = placed.Queries.unsqueeze(2L).sub(placed.Keys.unsqueeze 1L)

        let isHidden =
            [
                distance.lt (0L.ToScalar())
                match window with
                | Some size -> distance.ge ((int64 size).ToScalar())
                | None -> ()
                match placed.KeyMask with
                | Some mask -> mask.eq(0L.ToScalar()).unsqueeze 1L
                | None -> ()
            ]
            |> List.reduce (fun left right -> left.logical_or right)
            |> _.unsqueeze(1L)

        let open' =
            match description.Positions with
            | Positions.Alibi ->
                let slopes =
                    torch.tensor(slopes description.Heads, device = distance.device).view(1L, -1L, 1L, 1L)

                slopes.mul (placed.Keys.``to``(torch.float32).unsqueeze(1L).unsqueeze(1L))
            | Positions.Learned _
            | Positions.Rotary _ -> torch.zeros (1L, dtype = torch.float32, device = distance.device)

        let shape = torch.broadcast_shapes (isHidden.shape, open'.shape)
        let whole = open'.expand(shape).masked_fill(isHidden, forbidden.ToScalar())
        let group = int64 description.Group

        let grouped =
            if group = 1L then
                whole
            elif whole.size 1 = 1L then
                whole.repeat (1L, 1L, group, 1L)
            else
                whole.view (whole.size 0, -1L, group * whole.size 2, whole.size 3)

        grouped.contiguous().MoveToOuterDisposeScope()

    /// The same for each block; blocks with one window share it.
    let biases (description: Description) (placed: Placed) : torch.Tensor[] =
        let made =
            description.Windows
            |> List.distinct
            |> List.map (fun window -> window, bias description window placed)

        description.Windows
        |> List.map (fun window -> made |> List.find (fst >> (=) window) |> snd)
        |> Array.ofList
