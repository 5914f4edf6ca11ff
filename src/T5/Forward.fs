namespace Peft.T5

open Peft
open TorchSharp

/// T5's layers as functions of tensors. Hidden states are [rows, length, d_model] in the model's precision; scores and
/// position biases are float32.
[<RequireQualifiedAccess>]
module Layer =
    /// Dropout in training, the tensor itself otherwise.
    let drop (pass: Pass) (x: torch.Tensor) : torch.Tensor =
        if pass.IsTraining && pass.Dropout > 0.0 then
            torch.nn.functional.dropout (x, pass.Dropout, training = true)
        else
            x

    /// T5's layer norm: the mean square in float32, the result in the dtype of `x`.
    let norm (norm: Norm) (x: torch.Tensor) : torch.Tensor =
        let wide = x.``to`` torch.float32

        let inverse =
            wide.square().mean([| -1L |], keepdim = true).add_(norm.Epsilon.ToScalar()).rsqrt_ ()

        // Hugging Face rounds to bfloat16 before it multiplies by the weight.
        wide.mul(inverse).``to``(x.dtype).mul (Leaf.cast x.dtype norm.Scale)

    /// [rows, length, heads · d_kv] → [rows, heads, length, d_kv].
    let splitHeads (config: Config) (x: torch.Tensor) : torch.Tensor =
        x.view(x.size 0, -1L, int64 config.Heads, int64 config.KeyWidth).transpose (1L, 2L)

    /// [rows, heads, length, d_kv] → [rows, length, heads · d_kv].
    let joinHeads (x: torch.Tensor) : torch.Tensor =
        x.transpose(1L, 2L).flatten (2L, 3L)

    /// softmax(Q Kᵀ + bias) V without T5's missing 1/sqrt(d_kv): the initialisation holds it. `bias` is additive,
    /// float32, broadcast to [rows, heads, queries, keys].
    let attend
        (pass: Pass)
        (bias: torch.Tensor option)
        (q: torch.Tensor)
        (k: torch.Tensor)
        (v: torch.Tensor)
        : torch.Tensor =
        let scores = q.matmul(k.transpose (2L, 3L)).``to`` torch.float32

        let biased =
            match bias with
            | Some bias -> scores.add_ bias
            | None -> scores

        (biased.softmax(-1L).``to`` q.dtype |> drop pass).matmul v

    /// The activation, element by element.
    let activate (activation: Activation) (x: torch.Tensor) =
        match activation with
        | Relu -> x.relu ()
        | GeluNew -> x.gelu Modules.GELU.Approximate.tanh

    /// x + dropout(Wo dropout(act(gate x̂) ∘ input x̂)), x̂ the normed x.
    let feedForward (pass: Pass) (config: Config) (layer: FeedForward) (x: torch.Tensor) : torch.Tensor =
        let normed = norm layer.Norm x
        let apply = Projection.apply pass

        let inner =
            match layer.Gate with
            | Some gate -> (apply gate normed |> activate config.Activation).mul (apply layer.Input normed)
            | None -> apply layer.Input normed |> activate config.Activation

        x.add (inner |> drop pass |> apply layer.Output |> drop pass)

/// Where one position stands to another: T5's relative attention buckets (Raffel et al. 2020, §2.1).
[<RequireQualifiedAccess>]
module Position =
    /// The bucket of `relative` = key position − query position. The encoder looks both ways with half of the buckets
    /// each; the decoder looks back only. Near distances have a bucket each, far ones share them logarithmically.
    let bucket (isEncoder: bool) (buckets: int) (maxDistance: int) (relative: int) : int =
        let count = if isEncoder then buckets / 2 else buckets
        let offset = if isEncoder && relative > 0 then count else 0
        let distance = if isEncoder then abs relative else max 0 -relative
        let exact = count / 2

        if distance < exact then
            offset + distance
        else
            // In float32, as Hugging Face computes it: a distance on a boundary must land on the same side.
            let share =
                System.MathF.Log(float32 distance / float32 exact)
                / System.MathF.Log(float32 maxDistance / float32 exact)

            offset + min (count - 1) (exact + int (share * float32 (count - exact)))

    /// The position bias [1, heads, queries, keys] of a stack, float32; queries are the last of the keys' positions.
    let bias (config: Config) (stack: Stack) (table: Leaf) (queries: int) (keys: int) : torch.Tensor =
        let isEncoder = stack = Stack.Encoder

        let buckets =
            Array.init (queries * keys) (fun cell ->
                let query, key = cell / keys + keys - queries, cell % keys
                int64 (bucket isEncoder config.Buckets config.MaxDistance (key - query)))

        let table = table.Value
        let ids = torch.tensor (buckets, device = table.device)

        table
            .index_select(0L, ids)
            .view(int64 queries, int64 keys, int64 config.Heads)
            .permute(2L, 0L, 1L)
            .unsqueeze 0L

/// What the decoder sees of the input.
[<ReferenceEquality>]
type Encoded =
    {
        /// [rows, length, d_model]; a soft prompt's positions come first.
        Hidden: torch.Tensor
        /// Additive, [rows, 1, 1, length] float32; none where nothing is padded.
        MaskBias: torch.Tensor option
    }

/// Logits and loss as pure functions of a T5.
[<RequireQualifiedAccess>]
module Forward =
    let private forbidden = System.Single.MinValue

    let private maskBias (mask: torch.Tensor) =
        mask
            .``to``(torch.float32)
            .sub_(1.0f.ToScalar())
            .mul_((-forbidden).ToScalar())
            .view (mask.size 0, 1L, 1L, mask.size 1)

    let private sum left right =
        match left, right with
        | Some(a: torch.Tensor), Some(b: torch.Tensor) -> Some(a.add b)
        | Some a, None
        | None, Some a -> Some a
        | None, None -> None

    /// The embeddings [.., d_model] of ids [..], in the model's precision.
    let embed (model: T5) (ids: torch.Tensor) : torch.Tensor =
        let rows = model.Embedding.Value.index_select(0L, ids.flatten ()).``to`` model.Precision
        rows.view (Array.append ids.shape [| int64 model.Config.ModelWidth |])

    let private selfAttention pass (config: Config) bias (layer: Attention) (x: torch.Tensor) =
        let normed = Layer.norm layer.Norm x
        let heads part = Projection.apply pass part normed |> Layer.splitHeads config

        let mixed =
            Layer.attend pass bias (heads layer.Q) (heads layer.K) (heads layer.V)
            |> Layer.joinHeads

        x.add (Projection.apply pass layer.O mixed |> Layer.drop pass)

    let private crossAttention pass (config: Config) (source: Encoded) (layer: Attention) (x: torch.Tensor) =
        let heads part input = Projection.apply pass part input |> Layer.splitHeads config
        let q = Layer.norm layer.Norm x |> heads layer.Q

        let mixed =
            Layer.attend pass source.MaskBias q (heads layer.K source.Hidden) (heads layer.V source.Hidden)
            |> Layer.joinHeads

        x.add (Projection.apply pass layer.O mixed |> Layer.drop pass)

    let private block pass config bias (source: Encoded option) (x: torch.Tensor) (block: Block) =
        let attended = selfAttention pass config bias block.SelfAttention x

        let informed =
            match source, block.CrossAttention with
            | Some source, Some layer -> crossAttention pass config source layer attended
            | _ -> attended

        Layer.feedForward pass config block.FeedForward informed

    /// Runs a stack; gives the hidden states after the embedding, after each block, and after the final norm (last).
    let private states pass config bias source (tower: Tower) (embedded: torch.Tensor) =
        let inputs = tower.Blocks |> List.scan (block pass config bias source) (Layer.drop pass embedded)
        let final = inputs |> List.last |> Layer.norm tower.FinalNorm |> Layer.drop pass
        inputs, final

    let private withPrompt (model: T5) (mask: torch.Tensor option) (embedded: torch.Tensor) =
        match model.Prompt with
        | None -> embedded, mask
        | Some prompt ->
            let rows, tokens = embedded.size 0, prompt.Value.size 0
            let soft = (Leaf.cast embedded.dtype prompt).unsqueeze(0L).expand (rows, -1L, -1L)

            torch.cat ([| soft; embedded |], 1L),
            mask |> Option.map (fun mask -> torch.cat ([| mask.new_ones (rows, tokens); mask |], 1L))

    let private encoderStates pass (model: T5) (ids: torch.Tensor) (mask: torch.Tensor option) =
        let embedded, mask = embed model ids |> withPrompt model mask
        let length = int (embedded.size 1)
        let maskBias = mask |> Option.map maskBias
        let position = Position.bias model.Config Stack.Encoder model.Encoder.RelativeBias length length
        let inputs, final = states pass model.Config (sum (Some position) maskBias) None model.Encoder embedded
        inputs, { Hidden = final; MaskBias = maskBias }

    /// The encoder: ids [rows, length] and their mask, to hidden states after the final norm.
    let encode (pass: Pass) (model: T5) (ids: torch.Tensor) (mask: torch.Tensor option) : Encoded =
        encoderStates pass model ids mask |> snd

    let private causalBias (length: int) (device: torch.Device) =
        torch
            .full([| int64 length; int64 length |], forbidden.ToScalar(), dtype = torch.float32, device = device)
            .triu_(1L)
            .view (1L, 1L, int64 length, int64 length)

    let private decoderStates pass (model: T5) (source: Encoded) (ids: torch.Tensor) =
        let length = int (ids.size 1)
        let position = Position.bias model.Config Stack.Decoder model.Decoder.RelativeBias length length
        let bias = position.add (causalBias length position.device)
        embed model ids |> states pass model.Config (Some bias) (Some source) model.Decoder

    /// The decoder's hidden states [rows, length, d_model] for ids [rows, length] that start with the start token.
    let decode (pass: Pass) (model: T5) (source: Encoded) (ids: torch.Tensor) : torch.Tensor =
        decoderStates pass model source ids |> snd

    /// Logits [.., vocabulary] of the decoder's hidden states, in the model's precision. T5 v1.0 scales by
    /// d_model^-0.5 and uses the embedding as its head.
    let head (model: T5) (hidden: torch.Tensor) : torch.Tensor =
        match model.Head with
        | Some head -> torch.nn.functional.linear (hidden, Leaf.cast hidden.dtype head)
        | None ->
            let scale = (float model.Config.ModelWidth ** -0.5).ToScalar()
            torch.nn.functional.linear (hidden.mul scale, Leaf.cast hidden.dtype model.Embedding)

    /// Labels [rows, length] moved right by one behind the start token; ignored labels become padding.
    let shiftRight (config: Config) (labels: torch.Tensor) : torch.Tensor =
        let start = labels.new_full ([| labels.size 0; 1L |], (int64 config.StartId).ToScalar())
        let earlier = labels.narrow (1L, 0L, labels.size 1 - 1L)

        torch
            .cat([| start; earlier |], 1L)
            .masked_fill_ (torch.cat([| start; earlier |], 1L).eq (Batch.ignoredLabel.ToScalar()), (int64 config.PadId).ToScalar())

    /// Logits [rows, target length, vocabulary] under teacher forcing.
    let logits (pass: Pass) (model: T5) (batch: Batch) : torch.Tensor =
        let source = encode pass model batch.InputIds batch.Mask
        shiftRight model.Config batch.Labels |> decode pass model source |> head model

    /// The mean cross-entropy over the labels, in nats per token, as a float32 scalar.
    let lossOfLogits (logits: torch.Tensor) (labels: torch.Tensor) : torch.Tensor =
        torch.nn.functional.cross_entropy (
            logits.flatten(0L, 1L).``to`` torch.float32,
            labels.flatten (),
            ignore_index = Batch.ignoredLabel
        )

    /// The training loss of a batch.
    let loss (pass: Pass) (model: T5) (batch: Batch) : torch.Tensor =
        lossOfLogits (logits pass model batch) batch.Labels

    /// Hidden states of both stacks in evaluation: the embedding, the sum after each block but the last, and the last
    /// after the final norm — what Hugging Face's `output_hidden_states` gives.
    let hiddenStates (model: T5) (batch: Batch) : torch.Tensor list * torch.Tensor list =
        let shown (inputs: torch.Tensor list, final) = List.take (inputs.Length - 1) inputs @ [ final ]
        let encoderInputs, source = encoderStates Pass.Evaluation model batch.InputIds batch.Mask

        let decoder =
            shiftRight model.Config batch.Labels |> decoderStates Pass.Evaluation model source

        shown (encoderInputs, source.Hidden), shown decoder
