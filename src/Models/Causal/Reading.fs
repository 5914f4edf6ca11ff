namespace Peft.Causal

open System.Text.Json
open Peft

/// What the families' configurations have in common.
[<RequireQualifiedAccess>]
module Reading =
    /// Far above every decoder there is: a description of more blocks is damaged, and its sites alone would fill memory.
    let private mostLayers = 1000

    /// The number of blocks.
    let layers (fields: ConfigFields) (names: string list) : int =
        let layers = fields.Need names

        if layers > mostLayers then
            fields.Refuse $"{names.Head} is {layers}; the most is {mostLayers}."

        layers

    /// The width of a head where heads share the model's width.
    let headWidth (fields: ConfigFields) (width: int) (heads: int) : int =
        if width % heads <> 0 then
            fields.Refuse $"a width of {width} cannot be shared by {heads} heads."

        width / heads

    /// An activation by its name.
    let activation (fields: ConfigFields) (name: string) (fallback: string) : Activation =
        let word = fields.TryText [ name ] |> Option.defaultValue fallback

        match Activation.tryFind word with
        | Some activation -> activation
        | None ->
            let known = String.concat ", " Activation.all
            fields.Refuse $"{name} '{word}' is not supported: {known} are."

    /// One rate of dropout, and the places that have it, from the rates on embedding, attention and residual; a family's
    /// places without a rate stand ready for one that a run asks for.
    let dropout
        (fields: ConfigFields)
        (embedding: string option)
        (attention: string option)
        (residual: string option)
        : DropoutPlaces =
        let rates =
            [ embedding; attention; residual ]
            |> List.map (Option.map (fun name -> name, fields.Share([ name ], 0.0)))

        match
            rates
            |> List.choose id
            |> List.filter (fun (_, rate) -> rate > 0.0)
            |> List.distinctBy snd
        with
        | (first, one) :: (second, other) :: _ ->
            fields.Refuse $"{first} is {one} and {second} is {other}; dropout has one rate here, or none."
        | same ->
            let rate = same |> List.tryHead |> Option.map snd |> Option.defaultValue 0.0

            let isOn (place: (string * float) option) =
                place |> Option.exists (fun (_, own) -> own = rate)

            {
                Rate = rate
                OnEmbedding = isOn rates[0]
                OnAttention = isOn rates[1]
                OnResidual = isOn rates[2]
            }

    /// The rate at a place that has dropout.
    let rateAt (place: bool) (description: Description) : float =
        if place then description.Dropout.Rate else 0.0

    let private eosKey = "eos_token_id"

    /// The ids that end an answer: those of the configuration and, behind them, those of the `generation_config.json` beside
    /// it, or `fallback` where neither names one.
    let eosIds (fields: ConfigFields) (besides: ConfigFields option) (fallback: int option) : int list =
        let beside =
            match besides with
            | Some other -> other.Ids [ eosKey ]
            | None -> []

        match List.distinct (fields.Ids [ eosKey ] @ beside), fallback with
        | [], Some id -> [ id ]
        | [], None -> fields.Refuse $"{eosKey} is not said: an answer ends with one; name it."
        | ids, _ -> ids

    /// An id of a special token.
    let id (fields: ConfigFields) (name: string) : int option = fields.Ids [ name ] |> List.tryHead

    /// `UserError` where the configuration is that of a model with another head.
    let checkClass (fields: ConfigFields) (expected: string list) : unit =
        match fields.TryItems [ "architectures" ] with
        | None
        | Some [] -> ()
        | Some items ->
            let classes = items |> List.map Json.text

            if not (classes |> List.exists (fun name -> List.contains name expected)) then
                fields.Refuse
                    $"this is a {List.head classes}, whose head gives no text; {List.head expected} is supported: take its checkpoint."

    /// A description whose parts fit together.
    let checked' (fields: ConfigFields) (description: Description) : Description =
        let refuse (what: string) = fields.Refuse what

        for name, ids in [ "pad_token_id", Option.toList description.PadId; eosKey, description.EosIds ] do
            for id in ids do
                if id >= description.Vocabulary then
                    refuse $"{name} is {id}, and vocab_size is {description.Vocabulary}."

        if description.Heads % description.KeyValueHeads <> 0 then
            refuse $"{description.Heads} heads cannot share {description.KeyValueHeads} heads of keys and values."

        match description.Positions with
        | Positions.Rotary rotary when rotary.Width % 2 <> 0 || rotary.Width > description.HeadWidth ->
            refuse
                $"{rotary.Width} entries of a head would be turned by position; that is an even number up to {description.HeadWidth}."
        | _ -> ()

        description

    /// The texts of a list.
    let texts (items: JsonElement list) : string list = List.map Json.text items
