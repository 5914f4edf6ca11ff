namespace Peft.T5

open Peft.Kernels
open Peft
open TorchSharp

/// What the attentions of a block see beside its own queries, keys and values.
[<ReferenceEquality>]
type internal Surroundings =
    {
        /// Additive, for the self-attention.
        Bias: torch.Tensor
        /// Keys and values that come before the self-attention's own (prefix tuning).
        Prefix: (torch.Tensor * torch.Tensor) option
        Source: Encoded option
    }

    /// All of it.
    member around.Tensors: torch.Tensor list =
        [
            around.Bias
            match around.Prefix with
            | Some(keys, values) ->
                keys
                values
            | None -> ()
            match around.Source with
            | Some source ->
                source.Hidden
                yield! Option.toList source.MaskBias
            | None -> ()
        ]

    /// The same with other tensors in their places.
    member around.With(tensors: torch.Tensor list) : Surroundings =
        let prefix, rest =
            match around.Prefix, tensors.Tail with
            | Some _, keys :: values :: rest -> Some(keys, values), rest
            | _, rest -> None, rest

        {
            Bias = tensors.Head
            Prefix = prefix
            Source =
                match rest with
                | [] -> None
                | hidden :: mask ->
                    Some
                        {
                            Hidden = hidden
                            MaskBias = List.tryHead mask
                        }
        }

/// Attention over whole sequences.
type internal Sequences(pass: Pass, config: Config, around: Surroundings) =
    let heads = Layer.splitHeads config

    let after (prefix: torch.Tensor) (own: torch.Tensor) =
        torch.cat ([| prefix.expand (own.size 0, -1L, -1L, -1L); heads own |], 2L)

    interface IAttending with
        member _.Self(_, q, k, v) =
            let keys, values =
                match around.Prefix with
                | None -> heads k, heads v
                | Some(keys, values) -> after keys k, after values v

            Layers.attend pass (Some around.Bias) (heads q) keys values |> Layer.joinHeads

        member _.Cross(_, layer, q) =
            let source = Option.get around.Source

            let project part =
                Projection.apply pass part source.Hidden |> heads

            Layers.attend pass source.MaskBias (heads q) (project layer.K) (project layer.V)
            |> Layer.joinHeads

/// Hidden states and logits as pure functions of a T5.
[<RequireQualifiedAccess>]
module Forward =
    let private forbidden = System.Single.MinValue

    let private maskBias (mask: torch.Tensor) =
        mask
            .``to``(torch.float32)
            .sub_(1.0f.ToScalar())
            .mul_((-forbidden).ToScalar())
            .view(mask.size 0, 1L, 1L, mask.size 1)

    /// The embeddings [.., d_model] that a stack has of ids [..], in the model's precision.
    let embed (model: T5) (stack: Stack) (ids: torch.Tensor) : torch.Tensor =
        let own =
            match stack with
            | Stack.Encoder -> model.EncoderEmbedding
            | Stack.Decoder -> model.DecoderEmbedding

        let rows =
            match own with
            | Some embedding -> TableChange.rowsOf [] embedding (ids.flatten ())
            | None -> TableChange.rowsOf model.Table model.Embedding (ids.flatten ())

        rows.``to``(model.Precision).view(Array.append ids.shape [| int64 model.Config.ModelWidth |])

    /// Whether each block of a stack has something to train.
    let private trains (model: T5) (stack: Stack) : int -> bool =
        let isTrained = Recomputation.trains (T5.leaves model)
        fun index -> isTrained $"{Site.stackName stack}.block.{index}."

    /// Runs a stack, each block in its surroundings; gives the hidden states after the embedding, after each block, and after
    /// the final norm (last). What a block leaves behind goes with it: what the backward pass needs, the graph holds.
    let private states pass (model: T5) (stack: Stack) (around: Surroundings list) (embedded: torch.Tensor) =
        let tower = if stack = Encoder then model.Encoder else model.Decoder

        let apply index block x (around: Surroundings) pass =
            Block.apply pass model.Config (Sequences(pass, model.Config, around)) index block x

        let once x (index, (block, around)) = apply index block x around pass

        let twice isTrained x (index, (block, around: Surroundings)) =
            x :: around.Tensors
            |> Recomputation.apply pass (isTrained index) (fun pass tensors ->
                apply index block tensors.Head (around.With tensors.Tail) pass)

        let block =
            if Recomputation.isOn pass then
                twice (trains model stack)
            else
                once

        let inputs =
            List.zip tower.Blocks around
            |> List.indexed
            |> List.scan
                (fun x indexed ->
                    use _ = torch.NewDisposeScope()
                    (block x indexed).MoveToOuterDisposeScope())
                (Layer.drop pass embedded)

        let final = inputs |> List.last |> Layer.norm tower.FinalNorm |> Layer.drop pass
        inputs, final

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
        let config = model.Config

        let embedded, mask =
            embed model Stack.Encoder ids |> SoftPrompt.before pass model.Prompt mask

        let length = int (embedded.size 1)
        let maskBias = mask |> Option.map maskBias

        let position =
            Position.bias config Stack.Encoder model.Encoder.RelativeBias length length

        let bias =
            match maskBias with
            | Some maskBias -> position.add maskBias
            | None -> position

        let around =
            {
                Bias = bias
                Prefix = None
                Source = None
            }

        let inputs, final =
            states pass model Encoder (List.replicate model.Encoder.Blocks.Length around) embedded

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

        let around =
            prefix model
            |> List.map (fun prefix ->
                {
                    Bias = bias
                    Prefix = prefix
                    Source = Some source
                })

        embed model Stack.Decoder ids |> states pass model Decoder around

    /// The decoder's hidden states [rows, length, d_model] for ids [rows, length] that start with the start token.
    let decode (pass: Pass) (model: T5) (source: Encoded) (ids: torch.Tensor) : torch.Tensor =
        decoderStates (pass.Begin()) model source ids |> snd

    /// What the head reads of the decoder's hidden states: T5 v1.0 scales them by d_model^-0.5.
    let beforeHead (model: T5) (hidden: torch.Tensor) : torch.Tensor =
        if model.Config.ScalesOutput then
            hidden.mul ((float model.Config.ModelWidth ** -0.5).ToScalar())
        else
            hidden

    /// Logits [.., vocabulary] of the decoder's hidden states, in the model's precision.
    let head (pass: Pass) (model: T5) (hidden: torch.Tensor) : torch.Tensor =
        let read = beforeHead model hidden
        let logits = Projection.apply pass (T5.head model) read

        if T5.isTied model then
            TableChange.follow model.Table model.Embedding read logits
        else
            logits

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

    /// Logits [rows, target length, vocabulary] of labels under teacher forcing, from the encoder's output.
    let logitsAfter (pass: Pass) (model: T5) (source: Encoded) (labels: torch.Tensor) : torch.Tensor =
        shiftRight model.Config labels |> decode pass model source |> head pass model

    /// Logits [rows, target length, vocabulary] under teacher forcing.
    let logits (pass: Pass) (model: T5) (batch: Batch) : torch.Tensor =
        let pass = pass.Begin()
        let source = encode pass model batch.InputIds batch.Mask
        logitsAfter pass model source batch.Labels

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
