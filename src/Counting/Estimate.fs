namespace Peft

/// What a training step takes, estimated. Every row is taken as long as the workload says. Counted are:
///
/// - **Operations.** What an adapter computes is what `Form.Branches` says. A linear map of n tokens takes 2·n·in·out forward and as much for each gradient it owes: that of its
///   weight if the weight is trained, that of its input if something at or below the input is trained. Attention takes
///   2·queries·keys·heads·d_kv for the scores and again for their mixture, forward and for each operand's gradient.
///   A frozen weight owes no gradient; below the lowest trained tensor nothing is differentiated; the encoder is not
///   where only the decoder is trained. Element-wise work is left out.
/// - **Activations.** A micro-batch keeps what its forward pass computes until it ends: for each token 12·d_model bytes
///   a norm (16 in bfloat16), every map's output and what an adapter computes around it, a gated feed-forward's three
///   products, the residual sums, dropout's results and masks, queries and keys copied by heads; for each
///   query, key and head the scores and probabilities; and for each target token and word of the vocabulary the logits
///   and the loss's log-probabilities and two gradients. Peaks measured on FLAN-T5-small's shape were 1.0 to 1.15 of it.
[<RequireQualifiedAccess>]
module Estimate =
    /// Everything that the costs of a micro-batch depend on.
    [<NoComparison; NoEquality>]
    type private Setting =
        {
            Shape: Shape
            At: Stack * int * LayerKind * Part -> Site option
            Form: Form
            Touches: Selector
            /// Which of the model's own tensors are trained, by name and by what they are.
            Owns: Owned
            Rows: float
            /// Bytes of an activation.
            Size: float
        }

    /// Operations, bytes kept, and whether a gradient flows back into what was computed.
    type private Cost = Operations * float * bool

    let private hasDropout (setting: Setting) = setting.Shape.Dropout > 0.0

    /// What steps on so many tokens cost; `flows`: whether their input owes a gradient.
    let private stepsOf (setting: Setting) (tokens: float) (flows: bool) (steps: Step list) : Cost =
        let one ((operations, bytes, flows): Cost) (step: Step) : Cost =
            let product isTrained (fanOut: int64) (fanIn: int64) =
                let product = 2.0 * tokens * float fanOut * float fanIn

                operations
                + {
                      Forward = product
                      Through = if flows then product else 0.0
                      Trained = if isTrained then product else 0.0
                  },
                bytes + tokens * float fanOut * setting.Size,
                flows || isTrained

            match step with
            | Step.Matrix(_, fanOut, fanIn) -> product true fanOut fanIn
            | Step.Fixed(fanOut, fanIn) -> product false fanOut fanIn
            | Step.Vector(_, shape) -> operations, bytes + tokens * float shape.Head * setting.Size, true

        List.fold one (Operations.Zero, 0.0, flows) steps

    /// Whether steps end in the sum that joins them to what they stand beside.
    let private joins (steps: Step list) =
        steps
        |> List.exists (fun step ->
            match step with
            | Step.Matrix _
            | Step.Fixed _ -> true
            | Step.Vector _ -> false)

    /// A map with what stands around it; `flows`: whether the input owes a gradient.
    let private linear (setting: Setting) (tokens: float) (flows: bool) (site: Site) : Cost =
        let product = 2.0 * tokens * float site.In * float site.Out
        let isTrained = setting.Owns.Names.Contains $"{site.Name}.weight"

        let branches =
            if setting.Touches site then
                setting.Form.Branches site
            else
                []

        // From the outside in: what each branch reads, and at last the map.
        let read, mapFlows =
            List.foldBack
                (fun branch (found, flows) ->
                    let inner =
                        match branch with
                        | Branch.Before _ -> true
                        | _ -> flows

                    (branch, flows) :: found, inner)
                branches
                ([], flows)

        let join steps (operations, bytes, flows) (more, moreBytes, moreFlows) : Cost =
            let sum =
                if joins steps then
                    tokens * float site.Out * setting.Size
                else
                    0.0

            operations + more, bytes + moreBytes + sum, flows || moreFlows

        // From the inside out: what each costs.
        let around ((_, _, given) as cost: Cost) (branch: Branch, flows: bool) : Cost =
            match branch with
            | Branch.Before steps -> join [] cost (stepsOf setting tokens flows steps)
            | Branch.Beside steps -> join steps cost (stepsOf setting tokens flows steps)
            | Branch.Behind steps -> join steps cost (stepsOf setting tokens given steps)
            | Branch.BesideLayer _ -> cost
            | Branch.Once(forward, trained) ->
                let operations, bytes, given = cost

                operations
                + { Operations.Zero with
                      Forward = forward
                      Trained = trained
                  },
                bytes,
                given

        let own: Cost =
            {
                Forward = product
                Through = if mapFlows then product else 0.0
                Trained = if isTrained then product else 0.0
            },
            tokens * float site.Out * setting.Size,
            mapFlows || isTrained

        List.fold around own read

    let private norm (setting: Setting) (tokens: float) =
        let bytes = if setting.Size < 4.0 then 16.0 else 12.0
        bytes * tokens * float setting.Shape.Width

    /// Dropout's result and, where it is differentiated, its mask; nothing without dropout.
    let private dropped (setting: Setting) (numbers: float) (flows: bool) =
        if hasDropout setting then
            numbers * (setting.Size + (if flows then 1.0 else 0.0))
        else
            0.0

    let private attention
        (setting: Setting)
        (stack: Stack, block: int, kind: LayerKind)
        (queries: float, keys: float)
        (flowsQuery: bool, flowsSource: bool)
        : Cost =
        let shape = setting.Shape

        let rows, inner, width =
            setting.Rows, float (shape.Heads * shape.HeadWidth), float shape.Width

        let isSelf = kind = LayerKind.SelfAttention
        let q0 = (setting.At(stack, block, kind, Q)).Value
        // A trained norm makes what the maps read owe a gradient.
        let flowsNormed = flowsQuery || setting.Owns.Norm q0

        let map part tokens flows =
            linear setting (rows * tokens) flows (setting.At(stack, block, kind, part)).Value

        let source = if isSelf then flowsNormed else flowsSource
        let q, qBytes, qFlows = map Q queries flowsNormed
        let k, kBytes, kFlows = map K keys source
        let v, vBytes, vFlows = map V keys source

        // Prefix tuning puts keys and values before those of the decoder's self-attentions.
        let prefix =
            if stack = Decoder && isSelf then
                float setting.Form.Prefix
            else
                0.0

        let kFlows, vFlows = kFlows || prefix > 0.0, vFlows || prefix > 0.0
        let seen = keys + prefix
        let biasFlows = isSelf && setting.Owns.Position stack
        let scoresFlow = qFlows || kFlows || biasFlows
        let mixFlows = scoresFlow || vFlows
        let o, oBytes, oFlows = map O queries mixFlows
        let product = 2.0 * rows * queries * seen * inner
        let owed flows = if flows then product else 0.0

        let scores =
            {
                Forward = 2.0 * product
                Through = owed qFlows + owed kFlows + owed scoresFlow + owed vFlows
                Trained = 0.0
            }

        let cells = rows * queries * seen * float shape.Heads
        let casts = if setting.Size < 4.0 then 4.0 + setting.Size else 0.0

        let cellBytes =
            cells * (setting.Size + 4.0 + casts) + dropped setting cells mixFlows
        // Queries, keys and values by heads, the mixture, and the mixture with its heads joined.
        let byHeads = rows * (3.0 * queries + 2.0 * seen) * inner * setting.Size
        let residual = rows * queries * width

        q + k + v + scores + o,
        norm setting (rows * queries)
        + qBytes
        + kBytes
        + vBytes
        + oBytes
        + cellBytes
        + byHeads
        + dropped setting residual oFlows
        + residual * setting.Size,
        oFlows || flowsQuery

    let private feedForward (setting: Setting) (stack: Stack, block: int) (length: float) (flows: bool) : Cost =
        let tokens = setting.Rows * length

        let at part =
            setting.At(stack, block, LayerKind.FeedForward, part)

        let down = (at Down).Value
        let flowsNormed = flows || setting.Owns.Norm down

        let hidden, width = tokens * float down.In, tokens * float setting.Shape.Width

        let inner =
            List.choose at [ Gate; Up ] |> List.map (linear setting tokens flowsNormed)

        let innerFlows = inner |> List.exists (fun (_, _, flows) -> flows)
        let output, outputBytes, outputFlows = linear setting tokens innerFlows down
        // The activation, and the product with the gate.
        let between = float inner.Length * hidden * setting.Size

        let beside, besideBytes, besideFlows =
            (if setting.Touches down then
                 setting.Form.Branches down
             else
                 [])
            |> List.fold
                (fun (operations, bytes, flows) branch ->
                    match branch with
                    | Branch.BesideLayer steps ->
                        let more, moreBytes, moreFlows = stepsOf setting tokens flowsNormed steps
                        operations + more, bytes + moreBytes + width * setting.Size, flows || moreFlows
                    | _ -> operations, bytes, flows)
                (Operations.Zero, 0.0, false)

        let layerFlows = outputFlows || besideFlows

        (inner |> List.sumBy (fun (operations, _, _) -> operations)) + output + beside,
        norm setting tokens
        + (inner |> List.sumBy (fun (_, bytes, _) -> bytes))
        + between
        + dropped setting hidden innerFlows
        + outputBytes
        + besideBytes
        + dropped setting width layerFlows
        + width * setting.Size,
        layerFlows || flows

    /// A stack over embedded input; `source` is the encoder's length and whether it owes a gradient.
    let private stack (setting: Setting) (stack: Stack) (length: float) (source: (float * bool) option) flows : Cost =
        let layer ((operations, bytes, flows): Cost) (next: bool -> Cost) : Cost =
            let more, moreBytes, flows = next flows
            operations + more, bytes + moreBytes, flows

        let block before index =
            let self =
                layer before (fun flows ->
                    attention setting (stack, index, LayerKind.SelfAttention) (length, length) (flows, flows))

            let crossed =
                match source with
                | None -> self
                | Some(sourceLength, sourceFlows) ->
                    layer self (fun flows ->
                        attention
                            setting
                            (stack, index, LayerKind.CrossAttention)
                            (length, sourceLength)
                            (flows, sourceFlows))

            layer crossed (feedForward setting (stack, index) length)

        let tokens = setting.Rows * length
        let width = tokens * float setting.Shape.Width
        // The embedded tokens, with dropout on them and on the final norm, and the position bias under the mask.
        let edges =
            width * setting.Size
            + 2.0 * dropped setting width flows
            + norm setting tokens
            + 4.0 * tokens * length * float setting.Shape.Heads

        let operations, bytes, flows =
            [ 0 .. Shape.blocks setting.Shape stack - 1 ]
            |> List.fold block (Operations.Zero, edges, flows)

        operations, bytes, flows || setting.Owns.FinalNorm stack

    let private address (shape: Shape) : Stack * int * LayerKind * Part -> Site option =
        let sites =
            dict
                [
                    for site in shape.Sites -> (site.Stack, site.Block, site.Layer, site.Part), site
                ]

        fun address ->
            match sites.TryGetValue address with
            | true, site -> Some site
            | false, _ -> None

    /// The operations of a micro-batch and the bytes of its intermediate results.
    let microBatch
        (shape: Shape)
        (technique: Technique)
        (placement: Placement)
        (workload: Workload)
        : Operations * int64 =
        Workload.check workload
        let touched = Accounting.sites shape Convention.Paper technique placement |> set

        let setting =
            {
                Shape = shape
                At = address shape
                Form = technique.Form
                Touches = touched.Contains
                Owns = Owned.of' shape technique.Form
                Rows = float workload.Batch
                Size = float (snd (Workload.precision workload))
            }

        let soft = technique.Form.Prompt

        let inputLength, targetLength =
            float (workload.InputLength + soft), float workload.TargetLength

        let tokensFlow = setting.Owns.Embedding
        let inputFlows = tokensFlow || soft > 0

        let (encoder, encoderBytes, _), (decoder, decoderBytes, decoderFlows) =
            if Shape.blocks shape Encoder > 0 then
                let (_, _, encoderFlows) as encoder =
                    stack setting Encoder inputLength None inputFlows

                encoder, stack setting Decoder targetLength (Some(inputLength, encoderFlows)) tokensFlow
            else
                // A decoder-only model reads input and target as one sequence.
                (Operations.Zero, 0.0, false), stack setting Decoder (inputLength + targetLength) None inputFlows

        let tokens = setting.Rows * targetLength
        let words = float shape.Vocabulary
        let product = 2.0 * tokens * float shape.Width * words

        let head =
            {
                Forward = product
                Through = if decoderFlows then product else 0.0
                Trained = if setting.Owns.Head then product else 0.0
            }

        let wordBytes = setting.Size + 12.0 + (if setting.Size < 4.0 then 4.0 else 0.0)
        encoder + decoder + head, int64 (encoderBytes + decoderBytes + tokens * words * wordBytes)
