namespace Peft

open TorchSharp

/// What an adapter changes of an embedding [vocabulary, width].
[<RequireQualifiedAccess; ReferenceEquality>]
type TableChange =
    /// The rows of `ids` [n] int64 are `rows` [n, width] (trainable tokens of Hugging Face's peft). A head that is the
    /// embedding follows.
    | Replaced of ids: torch.Tensor * rows: Leaf
    /// Row i has scale · B a_i beside it, with `a` [rank, vocabulary], a_i its column i, and `b` [width, rank] (LoRA, Hu et
    /// al. 2021, on an embedding). A head that is the embedding does not follow.
    | Updated of a: Leaf * b: Leaf * scale: float

/// Changes of one embedding, from the inside out.
[<RequireQualifiedAccess>]
module TableChange =
    /// The names of the leaves behind that of the embedding's module.
    let rowsName, aName, bName =
        "trainable_tokens", "lora_embedding_a", "lora_embedding_b"

    /// Applies `f name leaf` to every leaf; `modul` is the embedding's module.
    let mapLeaves (f: string -> Leaf -> Leaf) (modul: string) (changes: TableChange list) : TableChange list =
        let at name = f $"{modul}.{name}"

        changes
        |> List.map (fun change ->
            match change with
            | TableChange.Replaced(ids, rows) -> TableChange.Replaced(ids, at rowsName rows)
            | TableChange.Updated(a, b, scale) ->
                let a = at aName a
                TableChange.Updated(a, at bName b, scale))

    /// Where each of `ids` [n] stands among the replaced, and whether it does: [n] each.
    let private places (replaced: torch.Tensor) (ids: torch.Tensor) : torch.Tensor * torch.Tensor =
        let isSame = ids.unsqueeze(1L).eq(replaced.unsqueeze 0L)
        isSame.``to``(torch.int64).argmax 1L, isSame.any 1L

    /// The rows [n, width] that an embedding with these changes has for `ids` [n].
    let rowsOf (changes: TableChange list) (embedding: Leaf) (ids: torch.Tensor) : torch.Tensor =
        let found = embedding.Value.index_select (0L, ids)

        (found, changes)
        ||> List.fold (fun found change ->
            match change with
            | TableChange.Replaced(replaced, rows) ->
                let place, isThere = places replaced ids
                torch.where (isThere.unsqueeze 1L, rows.Value.index_select (0L, place), found)
            | TableChange.Updated(a, b, scale) ->
                let columns = a.Value.index_select(1L, ids).t()
                found.add (columns.mm(b.Value.t ()).mul(scale.ToScalar())))

    /// The logits [.., vocabulary] of a head that is the embedding, from those of the embedding without changes and from what
    /// the head reads [.., width].
    let follow
        (changes: TableChange list)
        (embedding: Leaf)
        (hidden: torch.Tensor)
        (logits: torch.Tensor)
        : torch.Tensor =
        (logits, changes)
        ||> List.fold (fun logits change ->
            match change with
            | TableChange.Updated _ -> logits
            | TableChange.Replaced(ids, rows) ->
                // Rows that are as they were add zero, to the bit.
                let moved =
                    rows.Value.sub (embedding.Value.detach().index_select(0L, ids).``to`` rows.Value.dtype)

                logits.index_add (
                    logits.dim () - 1L,
                    ids,
                    hidden.matmul ((moved.``to`` hidden.dtype).t()),
                    1.0.ToScalar()
                ))

    /// The embedding [vocabulary, width] that these changes amount to, without gradient, in its dtype.
    let merged (changes: TableChange list) (embedding: torch.Tensor) : torch.Tensor =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()

        let wide =
            (embedding.detach().``to``(torch.float32, copy = true), changes)
            ||> List.fold (fun table change ->
                match change with
                | TableChange.Replaced(ids, rows) ->
                    table.index_copy_ (0L, ids, rows.Value.detach().``to`` torch.float32)
                | TableChange.Updated(a, b, scale) ->
                    table.add_ (a.Value.detach().t().mm(b.Value.detach().t()).mul(scale.ToScalar())))

        wide.``to``(embedding.dtype).MoveToOuterDisposeScope()
