namespace Peft.Causal

open Peft
open TorchSharp

/// Attention over whole sequences.
type internal Sequences
    (
        pass: Pass,
        description: Description,
        // Additive, for each block.
        biases: torch.Tensor[],
        // Keys and values that come before each block's own (prefix tuning).
        prefix: (torch.Tensor * torch.Tensor) option[]
    ) =
    interface IAttending with
        member _.Attend(block, q, k, v) =
            let byHead (x: torch.Tensor) = x.transpose (1L, 2L)

            let behind (before: torch.Tensor) (own: torch.Tensor) =
                torch.cat ([| before.expand (own.size 0, -1L, -1L, -1L); own |], 2L)

            let keys, values =
                match prefix[block] with
                | None -> byHead k, byHead v
                | Some(keys, values) -> behind keys (byHead k), behind values (byHead v)

            Block.attend pass description (Some biases[block]) q keys values

/// Embedded tokens at the beginning of a pass.
[<ReferenceEquality>]
type internal Begun =
    {
        /// [rows, length, width]; a soft prompt's come first.
        Embedded: torch.Tensor
        /// [rows, prefix and length] int64; none where every row fills its length.
        Mask: torch.Tensor option
        /// [rows or 1, prefix and length] int64.
        Positions: torch.Tensor
    }

/// Hidden states and logits as pure functions of a decoder.
[<RequireQualifiedAccess>]
module Forward =
    /// What prefix tuning puts before each block's keys and values, [1, heads of keys, tokens, width] both; none for every block
    /// without a prefix.
    let internal prefix (model: Causal) : (torch.Tensor * torch.Tensor) option list =
        match model.Prefix with
        | None -> List.replicate model.Blocks.Length None
        | Some leaf ->
            let description = model.Description

            let table =
                (Leaf.cast model.Precision leaf)
                    .view(
                        -1L,
                        2L * int64 description.Layers,
                        int64 description.KeyValueHeads,
                        int64 description.HeadWidth
                    )

            let at number =
                table.select(1L, int64 number).transpose(0L, 1L).unsqueeze 0L

            List.init description.Layers (fun layer -> Some(at (2 * layer), at (2 * layer + 1)))

    /// The number of positions that a prefix takes before the model's own.
    let internal prefixLength (model: Causal) : int64 =
        match model.Prefix with
        | Some leaf -> leaf.Value.size 0
        | None -> 0L

    /// The embeddings [rows, length, width] of ids [rows, length].
    let internal lookUp (model: Causal) (ids: torch.Tensor) =
        (TableChange.rowsOf model.Table model.Embedding (ids.flatten ()))
            .``to``(model.Precision)
            .view(ids.size 0, ids.size 1, -1L)

    /// Learned positions, where the model has them, and the norm of the embedding.
    let internal placed (pass: Pass) (model: Causal) (positions: torch.Tensor) (x: torch.Tensor) : torch.Tensor =
        let withPositions =
            match model.PositionTable with
            | None -> x
            | Some table ->
                let most = table.Value.size 0
                let last = positions.max().item<int64>()

                if last >= most then
                    userError
                        $"a row has {last + 1L:n0} tokens with its answer, and this model knows {most:n0} positions. Lower --input-limit."

                let rows = table.Value.index_select (0L, positions.flatten ())
                x.add (rows.``to``(model.Precision).view(positions.size 0, positions.size 1, -1L))

        let normed =
            match model.EmbeddingNorm with
            | Some norm -> Block.norm norm withPositions
            | None -> withPositions

        let place = Block.at model.Description.Dropout.OnEmbedding pass
        Drop.apply place place.Dropout normed

    /// Embedded ids [rows, length], behind the soft prompt, with the mask and the positions of all that is to be seen.
    let internal beginning (pass: Pass) (model: Causal) (ids: torch.Tensor) (mask: torch.Tensor option) : Begun =
        let embedded, mask = lookUp model ids |> SoftPrompt.before pass model.Prompt mask
        let before = prefixLength model

        let mask =
            mask
            |> Option.map (fun mask ->
                if before = 0L then
                    mask
                else
                    torch.cat ([| mask.new_ones (mask.size 0, before); mask |], 1L))

        {
            Embedded = embedded
            Mask = mask
            Positions = Visibility.positions mask (before + embedded.size 1) ids.device
        }

    /// Runs the blocks, each by `apply` of its number, itself and its input; gives the hidden states before each block and after
    /// the last (last). What a block leaves behind goes with it: what the backward pass needs, the graph holds.
    let private through (model: Causal) (apply: int -> Block -> torch.Tensor -> torch.Tensor) (embedded: torch.Tensor) =
        let block x (index, block) =
            use _ = torch.NewDisposeScope()
            (apply index block x).MoveToOuterDisposeScope()

        List.indexed model.Blocks |> List.scan block embedded

    /// The hidden states before each block and after the last (last).
    let internal run (pass: Pass) (model: Causal) turning attending (embedded: torch.Tensor) : torch.Tensor list =
        through model (Block.apply pass model.Description turning attending) embedded

    /// The same, with each block computed again in the backward pass.
    let private runTwice (pass: Pass) (model: Causal) turning (biases: torch.Tensor[]) (embedded: torch.Tensor) =
        let description = model.Description
        let isTrained = Recomputation.trains (Causal.leaves model)
        let prefix = Array.ofList (prefix model)

        // The block's own prefix is read alone, as a tensor that gradients reach.
        let apply index block x =
            let attending pass tensors =
                let own =
                    match tensors with
                    | [ keys; values ] -> Some(keys, values)
                    | _ -> None

                Sequences(pass, description, biases, prefix |> Array.map (fun _ -> own))

            let before =
                match prefix[index] with
                | Some(keys, values) -> [ keys; values ]
                | None -> []

            x :: before
            |> Recomputation.apply pass (isTrained (Sites.inBlock description index "")) (fun pass tensors ->
                Block.apply pass description turning (attending pass tensors.Tail) index block tensors.Head)

        through model apply embedded

    let internal turning (model: Causal) (positions: torch.Tensor) : Turning =
        Turning.create model.Description model.Precision positions

    /// The hidden states of what has begun: before each block, and after the last, before the final norm.
    let internal states (pass: Pass) (model: Causal) (begun: Begun) : torch.Tensor list =
        let length = begun.Embedded.size 1

        let queries = begun.Positions.narrow (1L, begun.Positions.size 1 - length, length)

        let biases =
            Visibility.biases
                model.Description
                {
                    Queries = queries
                    Keys = begun.Positions
                    KeyMask = begun.Mask
                }

        let turning = turning model queries
        let embedded = placed pass model queries begun.Embedded

        if Recomputation.isOn pass then
            runTwice pass model turning biases embedded
        else
            let attending =
                Sequences(pass, model.Description, biases, Array.ofList (prefix model))

            run pass model turning attending embedded

    /// Logits [.., vocabulary] of hidden states behind the last block, in the model's precision.
    let internal head (pass: Pass) (model: Causal) (hidden: torch.Tensor) : torch.Tensor =
        let read = Block.norm model.FinalNorm hidden
        let logits = Projection.apply pass model.Head read

        if Causal.isTied model then
            TableChange.follow model.Table model.Embedding read logits
        else
            logits

    /// Inputs [rows, length] moved to the right, wherever they are padded, so that every answer begins in one column, with their
    /// mask.
    let internal moved
        (padId: int)
        (ids: torch.Tensor)
        (mask: torch.Tensor option)
        : torch.Tensor * torch.Tensor option =
        match mask with
        | None -> ids, None
        | Some mask ->
            let length = ids.size 1
            let places = torch.arange (length, dtype = torch.int64, device = ids.device)
            // Padding first, and either in its order.
            let order = mask.mul(length.ToScalar()).add(places).argsort 1L
            let mask = mask.gather (1L, order)

            ids.gather(1L, order).masked_fill(mask.eq (0L.ToScalar()), (int64 padId).ToScalar()), Some mask

    /// Logits [rows, target length, vocabulary] under teacher forcing: position i is what is said of label i.
    let logits (pass: Pass) (model: Causal) (batch: Batch) : torch.Tensor =
        let pass = pass.Begin()
        let inputs, mask = moved (Shapes.padId model.Description) batch.InputIds batch.Mask
        let count = batch.Labels.size 1
        // What is told after an ignored label is seen by no label that counts.
        let told = batch.Labels.narrow(1L, 0L, count - 1L).clamp_min(0L.ToScalar())

        let ids = torch.cat ([| inputs; told |], 1L)

        let mask =
            mask
            |> Option.map (fun mask -> torch.cat ([| mask; torch.ones_like told |], 1L))

        let last = beginning pass model ids mask |> states pass model |> List.last
        head pass model (last.narrow (1L, last.size 1 - count, count))

    /// Hidden states in evaluation of ids [rows, length] at positions [rows or 1, length], or those that the mask gives: the
    /// embedding, the sum after each block but the last, and the last after the final norm — what Hugging Face's
    /// `output_hidden_states` gives —, and the logits of all positions.
    let hiddenStates
        (model: Causal)
        (positions: torch.Tensor option)
        (ids: torch.Tensor)
        (mask: torch.Tensor option)
        : torch.Tensor list * torch.Tensor =
        let pass = Pass.Evaluation
        let begun = beginning pass model ids mask

        let all =
            states
                pass
                model
                { begun with
                    Positions = positions |> Option.defaultValue begun.Positions
                }

        let last = List.last all
        List.take (all.Length - 1) all @ [ Block.norm model.FinalNorm last ], head pass model last
