namespace Peft.T5

open Peft.Kernels
open Peft
open TorchSharp

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
            .view(mask.size 0, 1L, 1L, mask.size 1)

    let private sum left right =
        match left, right with
        | Some(a: torch.Tensor), Some(b: torch.Tensor) -> Some(a.add b)
        | Some a, None
        | None, Some a -> Some a
        | None, None -> None

    /// The embeddings [.., d_model] of ids [..], in the model's precision.
    let embed (model: T5) (ids: torch.Tensor) : torch.Tensor =
        let rows =
            model.Embedding.Value.index_select(0L, ids.flatten ()).``to`` model.Precision

        rows.view (Array.append ids.shape [| int64 model.Config.ModelWidth |])

    /// `before` are keys and values that come before the sequence's own (prefix tuning).
    let private selfAttention pass (config: Config) bias before (layer: Attention) (x: torch.Tensor) =
        let normed = Layer.norm layer.Norm x

        let heads part =
            Projection.apply pass part normed |> Layer.splitHeads config

        let keys, values =
            match before with
            | None -> heads layer.K, heads layer.V
            | Some(keys: torch.Tensor, values: torch.Tensor) ->
                let after (prefix: torch.Tensor) own =
                    torch.cat ([| prefix.expand (x.size 0, -1L, -1L, -1L); own |], 2L)

                after keys (heads layer.K), after values (heads layer.V)

        let mixed = Layer.attend pass bias (heads layer.Q) keys values |> Layer.joinHeads

        Projection.apply pass layer.O mixed |> Drop.add pass x

    let private crossAttention pass (config: Config) (source: Encoded) (layer: Attention) (x: torch.Tensor) =
        let heads part input =
            Projection.apply pass part input |> Layer.splitHeads config

        let q = Layer.norm layer.Norm x |> heads layer.Q

        let mixed =
            Layer.attend pass source.MaskBias q (heads layer.K source.Hidden) (heads layer.V source.Hidden)
            |> Layer.joinHeads

        Projection.apply pass layer.O mixed |> Drop.add pass x

    /// What a block leaves behind goes with it: what the backward pass needs, the graph holds.
    let private block pass config bias (source: Encoded option) (x: torch.Tensor) (block: Block, before) =
        use _ = torch.NewDisposeScope()
        let attended = selfAttention pass config bias before block.SelfAttention x

        let informed =
            match source, block.CrossAttention with
            | Some source, Some layer -> crossAttention pass config source layer attended
            | _ -> attended

        (Layer.feedForward pass config block.FeedForward informed).MoveToOuterDisposeScope()

    /// Runs a stack; gives the hidden states after the embedding, after each block, and after the final norm (last).
    let private states pass config bias source prefix (tower: Tower) (embedded: torch.Tensor) =
        let blocks = List.zip tower.Blocks prefix

        let inputs =
            blocks |> List.scan (block pass config bias source) (Layer.drop pass embedded)

        let final = inputs |> List.last |> Layer.norm tower.FinalNorm |> Layer.drop pass
        inputs, final

    /// The prompt of each row [rows, tokens, d_model] and its mask [rows, tokens], each row's own: shorter ones are masked
    /// on their left. T5 knows relative positions only, so a masked start changes nothing.
    let private routedPrompts (pass: Pass) (model: T5) : (torch.Tensor * torch.Tensor) option =
        let width = int64 model.Config.ModelWidth

        let length (prompt: Leaf option) =
            match prompt with
            | Some leaf -> leaf.Value.size 0
            | None -> 0L

        match model.RoutedPrompts, pass.Routes with
        | [], _ -> None
        | _, None ->
            invalidArg (nameof pass) "a routed model needs a pass with routes: Pass.Evaluation.Along [| 0; 1 |]"
        | prompts, Some routes ->
            let chosen = routes |> Array.map (fun route -> prompts[route])
            let longest = chosen |> Array.map length |> Array.max

            let padded (prompt: Leaf option) =
                let empty =
                    torch.zeros (
                        longest - length prompt,
                        width,
                        dtype = torch.float32,
                        device = model.Embedding.Value.device
                    )

                match prompt with
                | Some leaf -> torch.cat ([| empty; leaf.Value |], 0L)
                | None -> empty

            let mask =
                [|
                    for prompt in chosen do
                        for place in 1L .. longest -> if place > longest - length prompt then 1L else 0L
                |]

            let ids = torch.tensor (mask, device = model.Embedding.Value.device)
            Some(torch.stack (Array.map padded chosen), ids.view (int64 routes.Length, longest))

    let private withPrompt pass (model: T5) (mask: torch.Tensor option) (embedded: torch.Tensor) =
        let rows = embedded.size 0

        match model.Prompt, routedPrompts pass model with
        | None, None -> embedded, mask
        | _, Some(soft, softMask) ->
            let mask =
                match mask with
                | Some mask -> mask
                | None -> softMask.new_ones (rows, embedded.size 1)

            torch.cat ([| soft.``to`` embedded.dtype; embedded |], 1L), Some(torch.cat ([| softMask; mask |], 1L))
        | Some prompt, None ->
            let soft = (Leaf.cast embedded.dtype prompt).unsqueeze(0L).expand(rows, -1L, -1L)

            torch.cat ([| soft; embedded |], 1L),
            mask
            |> Option.map (fun mask -> torch.cat ([| mask.new_ones (rows, prompt.Value.size 0); mask |], 1L))

    /// What prefix tuning puts before each decoder layer's keys and values, [1, heads, tokens, d_kv] both; none for every
    /// layer without a prefix.
    let prefix (model: T5) : (torch.Tensor * torch.Tensor) option list =
        let layers = model.Decoder.Blocks.Length

        match model.Prefix with
        | None -> List.replicate layers None
        | Some leaf ->
            let config = model.Config
            let blocks = int (leaf.Value.size 1) / config.InnerWidth

            let table =
                (Leaf.cast model.Precision leaf).view(-1L, int64 blocks, int64 config.Heads, int64 config.KeyWidth)

            let at number =
                table.select(1L, int64 (number % blocks)).transpose(0L, 1L).unsqueeze 0L

            List.init layers (fun layer -> Some(at (4 * layer), at (4 * layer + 1)))

    /// The number of positions that a prefix takes before the decoder's own.
    let prefixLength (model: T5) : int =
        match model.Prefix with
        | Some leaf -> int (leaf.Value.size 0)
        | None -> 0

    let private encoderStates pass (model: T5) (ids: torch.Tensor) (mask: torch.Tensor option) =
        let embedded, mask = embed model ids |> withPrompt pass model mask
        let length = int (embedded.size 1)
        let maskBias = mask |> Option.map maskBias

        let position =
            Position.bias model.Config Stack.Encoder model.Encoder.RelativeBias length length

        let none = List.replicate model.Encoder.Blocks.Length None

        let inputs, final =
            states pass model.Config (sum (Some position) maskBias) None none model.Encoder embedded

        inputs, { Hidden = final; MaskBias = maskBias }

    /// The encoder: ids [rows, length] and their mask, to hidden states after the final norm.
    let encode (pass: Pass) (model: T5) (ids: torch.Tensor) (mask: torch.Tensor option) : Encoded =
        encoderStates (pass.Begin()) model ids mask |> snd

    /// [1, 1, length, before + length]: what comes before the sequence is seen by all of it.
    let private causalBias (before: int) (length: int) (device: torch.Device) =
        torch
            .full(
                [| int64 length; int64 (before + length) |],
                forbidden.ToScalar(),
                dtype = torch.float32,
                device = device
            )
            .triu_(int64 before + 1L)
            .view(1L, 1L, int64 length, int64 (before + length))

    let private decoderStates pass (model: T5) (source: Encoded) (ids: torch.Tensor) =
        let before, length = prefixLength model, int (ids.size 1)

        let position =
            Position.bias model.Config Stack.Decoder model.Decoder.RelativeBias length (before + length)

        let bias = position.add (causalBias before length position.device)

        embed model ids
        |> states pass model.Config (Some bias) (Some source) (prefix model) model.Decoder

    /// The decoder's hidden states [rows, length, d_model] for ids [rows, length] that start with the start token.
    let decode (pass: Pass) (model: T5) (source: Encoded) (ids: torch.Tensor) : torch.Tensor =
        decoderStates (pass.Begin()) model source ids |> snd

    /// Logits [.., vocabulary] of the decoder's hidden states, in the model's precision. T5 v1.0 scales by
    /// d_model^-0.5 and uses the embedding as its head.
    let head (model: T5) (hidden: torch.Tensor) : torch.Tensor =
        match model.Head with
        | Some head -> Product.linear (Leaf.cast hidden.dtype head) hidden
        | None ->
            let scale = (float model.Config.ModelWidth ** -0.5).ToScalar()
            Product.linear (Leaf.cast hidden.dtype model.Embedding) (hidden.mul scale)

    /// Labels [rows, length] moved right by one behind the start token; ignored labels become padding.
    let shiftRight (config: Config) (labels: torch.Tensor) : torch.Tensor =
        let start =
            labels.new_full ([| labels.size 0; 1L |], (int64 config.StartId).ToScalar())

        let earlier = labels.narrow (1L, 0L, labels.size 1 - 1L)

        torch
            .cat([| start; earlier |], 1L)
            .masked_fill_(
                torch.cat([| start; earlier |], 1L).eq(Batch.ignoredLabel.ToScalar()),
                (int64 config.PadId).ToScalar()
            )

    let private logitsAfter (pass: Pass) (model: T5) (source: Encoded) (labels: torch.Tensor) : torch.Tensor =
        shiftRight model.Config labels |> decode pass model source |> head model

    /// Logits [rows, target length, vocabulary] under teacher forcing.
    let logits (pass: Pass) (model: T5) (batch: Batch) : torch.Tensor =
        let pass = pass.Begin()
        let source = encode pass model batch.InputIds batch.Mask
        logitsAfter pass model source batch.Labels

    /// The mean cross-entropy over the labels, in nats per token, as a float32 scalar.
    let lossOfLogits (logits: torch.Tensor) (labels: torch.Tensor) : torch.Tensor =
        torch.nn.functional.cross_entropy (
            logits.flatten(0L, 1L).``to`` torch.float32,
            labels.flatten (),
            ignore_index = Batch.ignoredLabel
        )

    let private lossOfOwn (model: T5) (logits: torch.Tensor) (labels: torch.Tensor) : torch.Tensor =
        let fit =
            // Nobody else sees these logits, so that their gradient may take their place.
            if CrossEntropy.serves logits then
                CrossEntropy.apply Batch.ignoredLabel logits labels
            else
                lossOfLogits logits labels

        match T5.penalty model with
        | Some penalty -> fit.add penalty
        | None -> fit

    /// The training loss of a batch: the mean cross-entropy, and AdaLoRA's orthogonality penalty where there is one.
    let loss (pass: Pass) (model: T5) (batch: Batch) : torch.Tensor =
        lossOfOwn model (logits pass model batch) batch.Labels

    /// `loss` in evaluation, from the encoder's output.
    let lossAfter (model: T5) (source: Encoded) (labels: torch.Tensor) : torch.Tensor =
        lossOfOwn model (logitsAfter Pass.Evaluation model source labels) labels

    /// Hidden states of both stacks in evaluation: the embedding, the sum after each block but the last, and the last
    /// after the final norm — what Hugging Face's `output_hidden_states` gives.
    let hiddenStates (model: T5) (batch: Batch) : torch.Tensor list * torch.Tensor list =
        let shown (inputs: torch.Tensor list, final) =
            List.take (inputs.Length - 1) inputs @ [ final ]

        let encoderInputs, source =
            encoderStates Pass.Evaluation model batch.InputIds batch.Mask

        let decoder =
            shiftRight model.Config batch.Labels
            |> decoderStates Pass.Evaluation model source

        shown (encoderInputs, source.Hidden), shown decoder
