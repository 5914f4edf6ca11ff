namespace Peft.Causal

open Peft
open TorchSharp

/// What happens to queries and keys [rows, length, heads, width of a head] before they meet: they are turned by their
/// positions, where positions are rotary, and queries are scaled as scores are to be.
[<ReferenceEquality>]
type internal Turning =
    {
        Query: torch.Tensor -> torch.Tensor
        Key: torch.Tensor -> torch.Tensor
    }

[<RequireQualifiedAccess>]
module internal Turning =
    /// The angle per position of each pair [width / 2], float32, computed step by step as transformers does: at far positions
    /// the last bit counts.
    let frequencies (rotary: Rotary) (device: torch.Device) : torch.Tensor =
        let exponents =
            torch
                .arange(0L, int64 rotary.Width, 2L, dtype = torch.int64, device = device)
                .``to``(torch.float32)
                .div((float rotary.Width).ToScalar())

        let plain =
            torch.full_like(exponents, rotary.Base.ToScalar()).pow(exponents).reciprocal()

        match rotary.Scaling with
        | RotaryScaling.Unscaled -> plain
        | RotaryScaling.Linear factor -> plain.div (factor.ToScalar())
        | RotaryScaling.Llama3(factor, low, high, original) ->
            let waves = plain.reciprocal().mul((2.0 * System.Math.PI).ToScalar())
            let slow = plain.div (factor.ToScalar())

            let share =
                waves.reciprocal().mul((float original).ToScalar()).sub(low.ToScalar()).div((high - low).ToScalar())

            let ramp = slow.mul(share.neg().add(1.0.ToScalar())).add(plain.mul share)

            let isLong = waves.gt ((float original / low).ToScalar())
            let isShort = waves.lt ((float original / high).ToScalar())
            torch.where (isLong, slow, torch.where (isShort, plain, ramp))

    /// Which entry of a head each entry is turned with, itself where it is not turned, and the sign of that one's share.
    let private partners (rotary: Rotary) (headWidth: int) : int64[] * float32[] =
        let half = rotary.Width / 2

        let partner entry =
            match rotary.Layout with
            | _ when entry >= rotary.Width -> entry, 0.0f
            | RotaryLayout.Halves ->
                if entry < half then
                    entry + half, -1.0f
                else
                    entry - half, 1.0f
            | RotaryLayout.NeighbouringPairs -> if entry % 2 = 0 then entry + 1, -1.0f else entry - 1, 1.0f

        Array.init headWidth (partner >> fst >> int64), Array.init headWidth (partner >> snd)

    /// Cosine and signed sine of every entry, [rows, length, 1, width of a head] float32: 1 and 0 where nothing is turned.
    let private tables (rotary: Rotary) (headWidth: int) (signs: torch.Tensor) (positions: torch.Tensor) =
        let angles =
            positions.``to``(torch.float32).unsqueeze(-1L).mul(frequencies rotary positions.device)

        let spread (half: torch.Tensor) =
            match rotary.Layout with
            | RotaryLayout.Halves -> torch.cat ([| half; half |], -1L)
            | RotaryLayout.NeighbouringPairs -> half.repeat_interleave (2L, dim = -1L)

        let padded (fill: float) (turned: torch.Tensor) =
            let rest = int64 (headWidth - rotary.Width)

            let whole =
                if rest = 0L then
                    turned
                else
                    let beside =
                        turned.new_full ([| turned.size 0; turned.size 1; rest |], fill.ToScalar())

                    torch.cat ([| turned; beside |], -1L)

            whole.unsqueeze 2L

        padded 1.0 (spread (angles.cos ())), (padded 0.0 (spread (angles.sin ()))).mul signs

    let private scaled (scale: float) (x: torch.Tensor) =
        if scale = 1.0 then x else x.mul (scale.ToScalar())

    /// For tokens at `positions` [rows or 1, length] int64, in the dtype `precision`.
    let create (description: Description) (precision: torch.ScalarType) (positions: torch.Tensor) : Turning =
        match description.Positions with
        | Positions.Learned _
        | Positions.Alibi ->
            {
                Query = scaled description.ScoreScale
                Key = id
            }
        | Positions.Rotary rotary ->
            let indices, signs = partners rotary description.HeadWidth
            let device = positions.device
            let index = torch.tensor (indices, device = device)

            let cosine, sine =
                tables rotary description.HeadWidth (torch.tensor (signs, device = device)) positions

            let turn (scale: float) =
                let cosine = (scaled scale cosine).``to`` precision
                let sine = (scaled scale sine).``to`` precision

                fun (x: torch.Tensor) -> x.mul(cosine).addcmul(x.index_select (-1L, index), sine, 1.0.ToScalar())

            {
                Query = turn description.ScoreScale
                Key = turn 1.0
            }
