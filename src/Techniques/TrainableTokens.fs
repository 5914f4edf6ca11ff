namespace Peft

open System.Text.Json
open System.Text.RegularExpressions
open TorchSharp

/// Some rows of the embedding, trained: a few new or rare tokens (Hugging Face's peft, TRAINABLE_TOKENS, and LoRA's
/// `trainable_token_indices`).
[<RequireQualifiedAccess>]
module TrainableTokens =
    /// The name of the rows among the leaves of a model of this shape.
    let private rowsName (shape: Shape) =
        $"{Shape.embedding shape}.{TableChange.rowsName}"

    /// The rows [ids, width] as a tensor that is not there yet.
    let internal outlines (ids: int list) (shape: Shape) : Outline list =
        [
            {
                Name = rowsName shape
                Shape = [ int64 ids.Length; int64 shape.Width ]
                Kind = TensorKind.Added
            }
        ]

    let private isReplaced (change: TableChange) =
        match change with
        | TableChange.Replaced _ -> true
        | TableChange.Updated _ -> false

    /// The rows of these ids, trained from what they are; a head that is the embedding follows. `UserError` for an id that
    /// the model has not.
    let adapter (ids: int list) : Adapter =
        fun model ->
            let vocabulary = model.Shape.Vocabulary

            match ids |> List.tryFind (fun id -> id < 0 || id >= vocabulary) with
            | Some id -> userError $"there is no token {id}: this model has {vocabulary}."
            | None -> ()

            if List.exists isReplaced model.Table then
                userError "some rows of the embedding are trained already."

            if Model.isTied model && not (Projection.isBare model.Head) then
                userError "the head is the embedding and is adapted itself: its rows cannot be trained beside that."

            let places =
                torch.tensor (ids |> List.map int64 |> List.toArray, device = Model.device model)

            // A model without numbers can be stacked, and not selected from.
            let rows =
                torch.stack(ids |> List.map (fun id -> Model.embeddingOf id model)).``to`` torch.float32

            model.WithTable(model.Table @ [ TableChange.Replaced(places, Leaf.trained rows) ])

    /// `2+71+139`, read; none where it is no list of ids.
    let internal idsOf (names: string list) : int list option =
        if names |> List.forall (fun id -> Regex.IsMatch(id, @"^\d{1,7}$")) then
            Some(List.map int names)
        else
            None

    /// That no id is said twice.
    let internal checkOnce (ids: int list) : unit =
        match ids |> List.countBy id |> List.tryFind (fun (_, times) -> times > 1) with
        | Some(id, _) -> userError $"token {id} is named twice."
        | None -> ()

    /// Under the names of what shares the embedding peft writes the rows once more.
    let private copies (model: Model) : (string * torch.Tensor) list =
        let shape = model.Shape

        match Model.leaves model |> List.tryFind (fst >> (=) (rowsName shape)) with
        | None -> []
        | Some(_, rows) ->
            model.Shared
            |> List.map (fun name ->
                $"base_model.model.{Shape.moduleOf name}.trainable_tokens_delta", rows.Value.detach().clone())

    /// Why peft's trainable tokens are not those here on a model of this shape, if they are not: of a T5 they change what
    /// neither stack reads, unless its head is its embedding.
    let internal unserved (shape: Shape) : string option =
        let headWeight = $"{Site.headName}.weight"

        if
            Shape.blocks shape Encoder > 0
            && not (shape.Shared |> List.exists (fun outline -> outline.Name = headWeight))
        then
            Some "peft's trainable tokens do nothing in a T5 whose head is not its embedding"
        else
            None

    let private peft (ids: int list) : HuggingFaceForm =
        { Make.huggingFace
              "TRAINABLE_TOKENS"
              [ "token_indices", HuggingFaceValue.element ids ]
              [ $".{TableChange.rowsName}", ".trainable_tokens_delta" ] with
            Notes = fun shape -> [ "target_modules", HuggingFaceValue.element (Shape.embedding shape) ]
            // Trained rows stand beside no whole module.
            Completed = Map.remove "modules_to_save"
            Companions = copies
            Unserved = unserved
        }

    /// `tokens(ids=2+71+139)`.
    let technique (ids: int list) : Technique =
        checkOnce ids

        let form =
            { Form.nothing with
                OnTable = outlines ids
                Formula = "ids·d_model"
            }

        { Make.technique "tokens" [ "ids=" + String.concat "+" (List.map string ids) ] form (fun _ _ -> adapter ids) with
            Others = [ Convention.HuggingFace, form ]
            HuggingFace = Some(peft ids)
        }

    let private readPeft (values: HuggingFaceValues) : Technique =
        match values.Integers "token_indices", values.Texts "target_modules" with
        | [], _ -> values.Wrong("token_indices", "a list of ids")
        | _, [ name ] when not (Checkpoint.isEmbedding name) ->
            values.Wrong("target_modules", "the embedding: other modules have no rows of tokens here")
        | _, _ :: _ :: _ -> values.Wrong("target_modules", "one embedding")
        | ids, _ -> technique ids

    /// What the name means.
    let spec: Spec =
        {
            Name = "tokens"
            Usage = "tokens(ids=2+71+139)"
            Source = "Hugging Face peft, TRAINABLE_TOKENS"
            Summary = "Some tokens' rows of the embedding, trained; a tied head follows."
            First = "ids"
            Read =
                fun words ->
                    match words.Names "ids" |> Option.bind idsOf with
                    | Some(_ :: _ as ids) -> technique ids
                    | _ -> refuse "tokens needs ids=5+9+17, numbers of tokens"
            Examples = [ "tokens(ids=0+9)" ]
            HuggingFace =
                Some
                    {
                        Type = "TRAINABLE_TOKENS"
                        Defaults = """ "init_weights": true, "target_modules": null, "token_indices": [] """
                        Notes = [ "init_weights"; "target_modules" ]
                        Read = readPeft
                    }
        }
