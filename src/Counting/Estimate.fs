namespace Peft

/// What a training step takes, estimated. Every row is taken as long as the workload says. Counted are:
///
/// - **Operations.** What an adapter computes is what `Form.Branches` says. A linear map of n tokens takes 2·n·in·out forward
///   and as much for each gradient it owes: that of its weight if the weight is trained, that of its input if something at or
///   below the input is trained. Attention takes 2·queries·keys·heads·d_kv for the scores and again for their mixture, forward
///   and for each operand's gradient. A frozen weight owes no gradient; below the lowest trained tensor nothing is
///   differentiated; the encoder is not where only the decoder is trained. Element-wise work is left out.
/// - **Activations.** The most bytes of intermediate results at once, with the kernels on (`src/Kernels`: they compute masks
///   again and keep neither scores nor log-probabilities). A result stays as long as somebody reads or names it (`Footprint`):
///   what the graph keeps, until its gradient is there; the other results of a block, until the block ends; hidden states
///   between blocks, the bias of positions and padding, and the logits, until the step ends. The graph keeps, where a gradient
///   is owed: a norm's input; queries, keys and values by heads, and the probabilities; both inputs of a gate; what a trained
///   matrix or scale reads; and nothing for a sum, a shift, dropout or a frozen map. A block that is computed again has its inside
///   only then, and costs its forward pass a second time. The peak is that of the forward or of the
///   backward pass. It is 0.95 to 1.01 of measured peaks, of every technique (`Costs memory` among the tests: T5s with
///   activations of 38 to 200 MiB, gated and not, float32 and bfloat16). Left out are the rooms of matrix products, the norms of
///   DoRA's rows, and what the runtime itself takes; a decoder-only model's is not measured.
[<RequireQualifiedAccess>]
module Estimate =
    /// Operations, bytes, and whether a gradient flows back into what was computed.
    type private Cost = Operations * Footprint * bool

    /// What the gradient of a trained weight takes before it joins the others.
    let private ofWeight (setting: MicroBatch) (site: Site) =
        if setting.Owns.Names.Contains $"{site.Name}.weight" then
            Footprint.back (float (site.In * site.Out) * (setting.Size + 4.0))
        else
            Footprint.nothing

    let private attention
        (setting: MicroBatch)
        (stack: Stack, block: int, kind: LayerKind)
        (queries: float, keys: float)
        (flowsQuery: bool, flowsSource: bool)
        : Cost =
        let shape = setting.Shape

        let rows, inner, width =
            setting.Rows, float (shape.Heads * shape.HeadWidth), float shape.Width

        let isSelf = kind = LayerKind.SelfAttention

        let at part =
            (setting.At(stack, block, kind, part)).Value
        // A trained norm makes what the maps read owe a gradient.
        let flowsNormed = flowsQuery || setting.Owns.Norm(at Q)

        let map part tokens flows =
            Line.linear setting (rows * tokens) flows (at part)

        let source = if isSelf then flowsNormed else flowsSource
        let q, k, v = map Q queries flowsNormed, map K keys source, map V keys source

        // Prefix tuning puts keys and values before those of the decoder's self-attentions.
        let prefix =
            if stack = Decoder && isSelf then
                float setting.Form.Prefix
            else
                0.0

        let kFlows, vFlows = k.Flows || prefix > 0.0, v.Flows || prefix > 0.0
        let seen = keys + prefix
        let biasFlows = isSelf && setting.Owns.Position stack
        let scoresFlow = q.Flows || kFlows || biasFlows
        let mixFlows = scoresFlow || vFlows
        let o = map O queries mixFlows
        let product = 2.0 * rows * queries * seen * inner
        let owed flows = if flows then product else 0.0

        let scores =
            {
                Forward = 2.0 * product
                Through = owed q.Flows + owed kFlows + owed scoresFlow + owed vFlows
                Trained = 0.0
            }

        let states = rows * queries * width * setting.Size
        let mixed = rows * queries * inner * setting.Size
        let byHeads = mixed + 2.0 * rows * seen * inner * setting.Size
        let cells = rows * queries * seen * float shape.Heads
        let shares = cells * setting.Size

        let between =
            [
                if mixFlows then
                    Footprint.kept (byHeads + shares)
                    Footprint.scratch (Line.dropped setting shares + mixed)
                else
                    Footprint.scratch (byHeads + shares + Line.dropped setting shares + mixed)
                // The mixture, and the same with its heads joined.
                Footprint.passing mixed
                Footprint.either o.KeepsInput mixed
            ]

        let gradients =
            if o.Flows then
                // Of the sum, of what the output map reads, as it comes and in order, of the scores, and of what they come from.
                states
                + 2.0 * mixed
                + shares
                + byHeads
                // That of the encoder's output adds up over the decoder's layers.
                + (if flowsSource && not isSelf then
                       2.0 * rows * keys * width * setting.Size
                   else
                       0.0)
                + (if biasFlows then 8.0 * cells else 0.0)
            else
                0.0

        q.Operations + k.Operations + v.Operations + scores + o.Operations,
        Footprint.sum
            [
                if not isSelf then
                    Footprint.either flowsNormed states
                Footprint.either (q.KeepsInput || (isSelf && (k.KeepsInput || v.KeepsInput))) states
                q.Bytes
                k.Bytes
                v.Bytes
                yield! between
                o.Bytes
                Footprint.back gradients
                yield! [ Q; K; V; O ] |> List.map (at >> ofWeight setting)
            ],
        o.Flows || flowsQuery

    let private feedForward (setting: MicroBatch) (stack: Stack, block: int) (length: float) (flows: bool) : Cost =
        let tokens = setting.Rows * length

        let at part =
            setting.At(stack, block, LayerKind.FeedForward, part)

        let down = (at Down).Value
        let flowsNormed = flows || setting.Owns.Norm down
        let maps = List.choose at [ Gate; Up ]
        let isGated = maps.Length = 2

        let hidden, states =
            tokens * float down.In * setting.Size, tokens * float setting.Shape.Width * setting.Size

        let inner = maps |> List.map (Line.linear setting tokens flowsNormed)
        let innerFlows = inner |> List.exists _.Flows
        // What the activation, or both ways into the gate, read.
        let inner = if innerFlows then List.map Line.keep inner else inner
        let output = Line.linear setting tokens innerFlows down

        let net =
            (if setting.Touches down then
                 setting.Form.Branches down
             else
                 [])
            |> List.fold
                (fun line branch ->
                    match branch with
                    | Branch.BesideLayer steps ->
                        let net = List.fold (Line.step setting tokens) (Line.input flowsNormed states) steps
                        // The sum with what the layer gives.
                        Line.beside net line |> Line.give states
                    | _ -> line)
                (Line.input false states)

        let layerFlows = output.Flows || net.Flows

        let keepsNormed = net.KeepsInput || inner |> List.exists _.KeepsInput

        (inner |> List.map _.Operations |> List.fold (+) Operations.Zero)
        + output.Operations
        + net.Operations,
        Footprint.sum
            [
                Footprint.either flowsNormed states
                Footprint.either keepsNormed states
                yield! inner |> List.map _.Bytes
                if not isGated then
                    Footprint.passing (Line.dropped setting hidden)
                Footprint.either output.KeepsInput hidden
                output.Bytes
                net.Bytes
                if layerFlows then
                    // Of the sum, of what the maps read, and of three results inside.
                    Footprint.back (2.0 * states + 3.0 * hidden)
                yield! down :: maps |> List.map (ofWeight setting)
            ],
        layerFlows || flows

    /// A stack over embedded input, `soft` of its tokens a prompt's; `source` is the encoder's length and whether it owes a
    /// gradient.
    let private stack (setting: MicroBatch) (stack: Stack) (length: float, soft: float) source (flows: bool) : Cost =
        let layer ((operations, bytes, flows): Cost) (next: bool -> Cost) : Cost =
            let more, moreBytes, flows = next flows
            operations + more, Footprint.join bytes moreBytes, flows

        let states = setting.Rows * length * float setting.Shape.Width * setting.Size

        let seen = length + (if stack = Decoder then float setting.Form.Prefix else 0.0)

        // The gradients of what blocks share: the positions' bias, with the padding of every row, and the encoder's output.
        let shared =
            (if setting.Owns.Position stack then
                 let rows = if stack = Encoder then setting.Rows else 1.0
                 setting.Size * rows * length * seen * float setting.Shape.Heads
             else
                 0.0)
            + (match source with
               | Some(sourceLength, true) -> setting.Rows * sourceLength * float setting.Shape.Width * setting.Size
               | _ -> 0.0)

        let block (operations, bytes, flows) index : Cost =
            let self =
                layer (Operations.Zero, Footprint.nothing, flows) (fun flows ->
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

            let own, ownBytes, flows = layer crossed (feedForward setting (stack, index) length)

            let own, ownBytes =
                if setting.Recomputes && flows then
                    { own with Forward = 2.0 * own.Forward }, Footprint.again states shared ownBytes
                else
                    own, Footprint.close ownBytes

            operations + own, Footprint.sum [ bytes; ownBytes; Footprint.held states ], flows

        // The positions' bias, and with what it hides: causal for all rows alike, padding for each.
        let biases = if stack = Encoder then setting.Rows + 1.0 else 2.0

        let edges =
            Footprint.held (
                states
                + (if soft > 0.0 then
                       states * (length - soft) / length
                   else
                       0.0)
                + Line.dropped setting states
                + 4.0 * biases * length * seen * float setting.Shape.Heads
            )

        let operations, bytes, flows =
            [ 0 .. Shape.blocks setting.Shape stack - 1 ]
            |> List.fold block (Operations.Zero, edges, flows)

        // The final norm, with dropout.
        operations,
        Footprint.join bytes (Footprint.held (states + Line.dropped setting states)),
        flows || setting.Owns.FinalNorm stack

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

    /// The operations of a micro-batch and the most bytes of its intermediate results.
    let microBatch
        (shape: Shape)
        (technique: Technique)
        (placement: Placement)
        (workload: Workload)
        : Operations * int64 =
        Workload.check workload
        let touched = Accounting.sites shape Convention.Paper technique placement |> set

        let setting: MicroBatch =
            {
                Shape = shape
                At = address shape
                Form = technique.Form
                Touches = touched.Contains
                Owns = Owned.of' shape technique.Form
                Rows = float workload.Batch
                Size = float (snd (Workload.precision workload))
                Recomputes = workload.Recomputes
            }

        let soft = float technique.Form.Prompt

        let inputLength, targetLength =
            float workload.InputLength + soft, float workload.TargetLength

        let tokensFlow = setting.Owns.Embedding
        let rowsFlow = tokensFlow || not (technique.Form.OnTable shape).IsEmpty
        let inputFlows = rowsFlow || soft > 0.0

        let (encoder, encoderBytes, _), (decoder, decoderBytes, decoderFlows) =
            if Shape.blocks shape Encoder > 0 then
                let (_, _, encoderFlows) as encoder =
                    stack setting Encoder (inputLength, soft) None inputFlows

                encoder, stack setting Decoder (targetLength, 0.0) (Some(inputLength, encoderFlows)) rowsFlow
            else
                // A decoder-only model reads input and target as one sequence.
                (Operations.Zero, Footprint.nothing, false),
                stack setting Decoder (inputLength + targetLength, soft) None inputFlows

        let tokens = setting.Rows * targetLength
        let words = float shape.Vocabulary
        let product = 2.0 * tokens * float shape.Width * words

        let head =
            {
                Forward = product
                Through = if decoderFlows then product else 0.0
                Trained = if setting.Owns.Head then product else 0.0
            }

        let table = 4.0 * words * float shape.Width

        let bytes =
            Footprint.sum
                [
                    // The gradient of an embedding is as large as it is.
                    if tokensFlow then
                        Footprint.back (2.0 * table)
                    encoderBytes
                    decoderBytes
                    // The gradient of the logits takes their place.
                    Footprint.held (tokens * words * setting.Size)
                    if decoderFlows then
                        Footprint.back (2.0 * tokens * float shape.Width * setting.Size)
                    if setting.Owns.Head then
                        Footprint.back table
                ]

        encoder + decoder + head, int64 (Footprint.most bytes)
