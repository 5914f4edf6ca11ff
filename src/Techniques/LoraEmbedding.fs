namespace Peft

open System.Text.Json
open TorchSharp

/// What LoRA does at an embedding: an update of all rows (peft's `target_modules` may name the embedding), or some rows
/// trained as they are (its `trainable_token_indices`).
[<RequireQualifiedAccess>]
module internal LoraEmbedding =
    /// Whether the settings touch the embedding.
    let isTouched (settings: LoraSettings) : bool =
        settings.OnEmbedding || not settings.Tokens.IsEmpty

    /// That the settings go together.
    let check (settings: LoraSettings) : unit =
        TrainableTokens.checkOnce settings.Tokens

        if
            settings.OnEmbedding
            && (settings.IsDora
                || settings.IsPissa
                || settings.HasBias
                || settings.FixedA.IsSome)
        then
            userError "LoRA on the embedding is plain: leave out embedding, or dora, pissa, bias and fa."

    /// The update of the embedding: A [rank, vocabulary] at zero, B [width, rank] from N(0, 1), as peft starts them.
    let adapter (settings: LoraSettings) (seed: int) : Adapter =
        fun model ->
            let name = Shape.embedding model.Shape

            if Shape.blocks model.Shape Encoder > 0 then
                userError
                    $"{name} serves encoder and decoder: LoRA on the embedding is for decoder-only models. modules(names={name}) trains it whole."

            if Model.isTied model then
                userError
                    $"the head of this model is its embedding, which an update of {name} would not reach: leave out embedding, or train rows with tokens=5+9."

            use generator = new torch.Generator(uint64 seed, torch.CPU)
            let rank, scale = LoraWords.updateAt settings name
            let device = Model.device model

            let a = Start.zeros [ int64 rank; int64 model.Shape.Vocabulary ] device
            let b = Start.normal generator 1.0 [| int64 model.Shape.Width; int64 rank |] device
            model.WithTable(model.Table @ [ TableChange.Updated(Leaf.trained a, Leaf.trained b, scale) ])

    /// The new tensors beside the embedding.
    let outlines (settings: LoraSettings) (shape: Shape) : Outline list =
        [
            if settings.OnEmbedding then
                let name = Shape.embedding shape
                let rank = int64 (fst (LoraWords.updateAt settings name))

                let added suffix extents =
                    {
                        Name = $"{name}.{suffix}"
                        Shape = extents
                        Kind = TensorKind.Added
                    }

                added TableChange.aName [ rank; int64 shape.Vocabulary ]
                added TableChange.bName [ int64 shape.Width; rank ]

            if not settings.Tokens.IsEmpty then
                yield! TrainableTokens.outlines settings.Tokens shape
        ]

    /// What they add to the number of trained elements, in words.
    let formula (settings: LoraSettings) : string =
        (if settings.OnEmbedding then
             ", and rank·(vocabulary + width)"
         else
             "")
        + (if settings.Tokens.IsEmpty then "" else ", and ids·width")

    /// The names here and in peft's files.
    let names: (string * string) list =
        [
            $".{TableChange.aName}", ".lora_embedding_A"
            $".{TableChange.bName}", ".lora_embedding_B"
            $".{TableChange.rowsName}", ".token_adapter.trainable_tokens_delta"
        ]

    /// Beside the update of an embedding peft's file holds the embedding.
    let companions (settings: LoraSettings) (model: Model) : (string * torch.Tensor) list =
        [
            if settings.OnEmbedding then
                $"base_model.model.{Shape.embedding model.Shape}.base_layer.weight", model.Embedding.Value.detach ()
        ]

    /// The setting `tokens=5+9` of the words.
    let readTokens (words: Words) : int list =
        match words.Names "tokens" with
        | None -> []
        | Some names ->
            match TrainableTokens.idsOf names with
            | Some ids -> ids
            | None -> refuse "lora has tokens that are no numbers: write tokens=5+9"

    /// The tokens of a configuration, and what it calls the embedding.
    let readTokenIndices (values: HuggingFaceValues) : int list * string option =
        let key = "trainable_token_indices"
        let value = values.Item key

        match value.ValueKind with
        | JsonValueKind.Object ->
            match List.ofSeq (value.EnumerateObject()) with
            | [] -> [], None
            | [ one ] when Checkpoint.isEmbedding one.Name ->
                HuggingFaceValues("", Map.ofList [ key, one.Value ]).Integers key, Some one.Name
            | _ -> values.Wrong(key, "a list of ids, or the embedding's name with one")
        | _ -> values.Integers key, None

    /// The linear maps among the modules that are named, and the embedding where it is named with them.
    let split (where: Targeting) : Targeting * string option =
        match Targeting.names where with
        | Some names ->
            match List.partition Checkpoint.isEmbedding names with
            | [ embedding ], (_ :: _ as maps) ->
                { where with
                    Targets = ModuleNames maps
                },
                Some embedding
            | _ -> where, None
        | None -> where, None
