namespace Peft

open TorchSharp

/// How many numbers RoAd trains for each group of outputs.
[<RequireQualifiedAccess>]
type TurnKind =
    /// One angle and one stretch for each pair.
    | PerPair
    /// One of each for each output.
    | PerOutput
    /// Two of each for each output: of its own part, and of its partner's.
    | PerEntry

/// The turning and stretching of pairs of outputs (RoAd, Liao et al. 2024, eq. 4). In a group of `Group` outputs, number i of
/// the first half is paired with number i of the second.
[<ReferenceEquality>]
type Turn =
    {
        Kind: TurnKind
        Group: int
        /// Radians, one after the other by group: [out / 2], [out] or [2 · out].
        Theta: Leaf
        /// Shaped like `Theta`.
        Alpha: Leaf
    }

[<RequireQualifiedAccess>]
module Turn =
    /// How many angles there are for so many outputs.
    let count (kind: TurnKind) (outputs: int64) : int64 =
        match kind with
        | TurnKind.PerPair -> outputs / 2L
        | TurnKind.PerOutput -> outputs
        | TurnKind.PerEntry -> 2L * outputs

    /// What multiplies each output, and what multiplies its partner: [out] each, float32.
    let private factors (turn: Turn) : torch.Tensor * torch.Tensor =
        let theta, alpha = turn.Theta.Value, turn.Alpha.Value
        let group = int64 turn.Group

        match turn.Kind with
        | TurnKind.PerPair ->
            let both (x: torch.Tensor) =
                x.view(-1L, 1L, group / 2L).expand(-1L, 2L, -1L).reshape -1L

            both (theta.cos().mul alpha), both (theta.sin().mul alpha)
        | TurnKind.PerOutput -> theta.cos().mul alpha, theta.sin().mul alpha
        | TurnKind.PerEntry ->
            let part (number: int64) (x: torch.Tensor) =
                x.view(-1L, 2L, group).select(1L, number).reshape -1L

            (part 0L theta).cos().mul(part 0L alpha), (part 1L theta).sin().mul(part 1L alpha)

    /// The turned outputs of `x` [.., out], in its dtype.
    let apply (turn: Turn) (x: torch.Tensor) : torch.Tensor =
        let half = int64 turn.Group / 2L
        let own, partners = factors turn

        let halves =
            x.reshape (Array.append x.shape[.. x.shape.Length - 2] [| -1L; 2L; half |])

        let first, second = halves.select (-2L, 0L), halves.select (-2L, 1L)
        let partner = torch.stack([| second.neg (); first |], -2L).reshape x.shape
        x.mul(own.``to`` x.dtype).addcmul_(partner, partners.``to`` x.dtype, 1.0.ToScalar())

    /// Applies `f name leaf` to both leaves.
    let mapLeaves (f: string -> Leaf -> Leaf) (name: string) (turn: Turn) : Turn =
        { turn with
            Theta = f $"{name}.road_theta" turn.Theta
            Alpha = f $"{name}.road_alpha" turn.Alpha
        }
