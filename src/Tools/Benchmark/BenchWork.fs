namespace Peft


/// How much there is to do in one repetition of a row, known from dimensions alone. A multiplication and an addition are
/// two operations; element-wise work is not counted (`Estimate` tells the rules of a training step).
[<RequireQualifiedAccess>]
module BenchWork =
    let private map (tokens: float) (site: Site) =
        2.0 * tokens * float site.In * float site.Out

    let private sites (shape: Shape) (stack: Stack) =
        shape.Sites |> List.filter (fun site -> site.Stack = stack)

    /// Scores and their mixture.
    let private pairs (shape: Shape) (queries: float) (keys: float) =
        4.0 * queries * keys * float (shape.Heads * shape.HeadWidth)

    /// Operations of the encoder over `rows` inputs of `length` tokens.
    let encoder (shape: Shape) (rows: int) (length: int) : float =
        let rows, length = float rows, float length

        (sites shape Encoder |> List.sumBy (map (rows * length)))
        + float (Shape.blocks shape Encoder) * rows * pairs shape length length

    /// Operations of decoding `tokens` tokens for each row with a key/value cache, the encoder included. A row's beams share
    /// the keys and values of its input; step t attends to t positions.
    let decoding (shape: Shape) (rows: int) (beams: int) (length: int) (tokens: int) : float =
        let steps = float (rows * beams) * float tokens
        let layers = float (Shape.blocks shape Decoder)

        let perLayer (site: Site) =
            match site.Layer, site.Part with
            | LayerKind.CrossAttention, (K | V) -> map (float rows * float length) site
            | _ -> map steps site

        let self =
            layers
            * float (rows * beams)
            * pairs shape 1.0 (float tokens * float (tokens + 1) / 2.0)

        let cross = layers * pairs shape steps (float length)
        let head = 2.0 * steps * float shape.Width * float shape.Vocabulary

        encoder shape rows length
        + (sites shape Decoder |> List.sumBy perLayer)
        + self
        + cross
        + head

    /// Operations of an optimiser step.
    let step (row: BenchRow) : float =
        let workload =
            {
                Batch = row.Batch
                Accumulation = row.Accumulation
                InputLength = row.InputLength
                TargetLength = row.TargetLength
                Precision =
                    if row.Dtype = "bfloat16" then
                        TorchSharp.torch.ScalarType.BFloat16
                    else
                        TorchSharp.torch.ScalarType.Float32
                Recomputes = row.Recomputes
            }

        (Plan.create row.Model.Shape row.Technique row.Placement workload).Operations.Total

    /// Operations of a repetition; none where the row is not about matrix products.
    let operations (row: BenchRow) : float option =
        match row.Kind with
        | BenchKind.Step -> Some(step row)
        | BenchKind.Encoder -> Some(encoder row.Model.Shape row.Batch row.InputLength)
        | BenchKind.Decoding -> Some(decoding row.Model.Shape row.Batch row.Beams row.InputLength row.TargetLength)
        | _ -> None

    /// Tokens of a repetition: those of inputs and targets in training, of inputs in the encoder, new ones in decoding.
    let tokens (row: BenchRow) : float option =
        match row.Kind with
        | BenchKind.Step ->
            Some(
                float (row.Batch * row.Accumulation)
                * float (row.InputLength + row.TargetLength)
            )
        | BenchKind.Encoder -> Some(float row.Batch * float row.InputLength)
        | BenchKind.Decoding -> Some(float row.Batch * float row.TargetLength)
        | _ -> None
