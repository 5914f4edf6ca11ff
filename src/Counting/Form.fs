namespace Peft

open System

/// Whose way of counting a technique. They agree on full fine-tuning and differ elsewhere; see `Form.of'`.
[<RequireQualifiedAccess>]
type Convention =
    /// The paper's Table 3 and A.4, and what this library trains.
    | Paper
    /// T-Few's published configurations (r-three/t-few, configs/*.json).
    | TFew
    /// Hugging Face peft's defaults for T5, with the rank and the number of tokens given.
    | HuggingFace

/// What a technique trains: tensors at each of its sites, and tensors elsewhere in the model.
[<NoComparison; NoEquality>]
type Form =
    {
        /// The technique's own sites; none where it stands at no linear map.
        Standard: Selector option
        /// The tensors at one site, by suffix and shape, from the site's widths in and out.
        AtSite: Site -> int64 * int64 -> (string * int64 list) list
        /// New tensors that stand at no site.
        Added: Shape -> Outline list
        /// The model's own tensors, as far as they are trained.
        Own: Shape -> Outline list
        /// The closed form in words.
        Formula: string
    }

[<RequireQualifiedAccess>]
module Convention =
    /// `paper`, `tfew`, `hf`.
    let name (convention: Convention) : string =
        match convention with
        | Convention.Paper -> "paper"
        | Convention.TFew -> "tfew"
        | Convention.HuggingFace -> "hf"

    /// All three.
    let all: Convention list =
        [ Convention.Paper; Convention.TFew; Convention.HuggingFace ]

    /// Reads a convention's name.
    let parse (text: string) : Convention =
        let given = text.Trim().ToLowerInvariant()

        match all |> List.tryFind (fun convention -> name convention = given) with
        | Some convention -> convention
        | None -> userError $"'{text}' is no convention: {Nearest.question (List.map name all) given}"

[<RequireQualifiedAccess>]
module Form =
    let private tensors (shape: Shape) = shape.Tensors
    let private norms (shape: Shape) = Shape.norms shape

    let private nothing: Shape -> Outline list = fun _ -> []

    let private elsewhere added own formula : Form =
        {
            Standard = None
            AtSite = fun _ _ -> []
            Added = added
            Own = own
            Formula = formula
        }

    let private atSites standard formula atSite : Form =
        {
            Standard = Some standard
            AtSite = atSite
            Added = nothing
            Own = nothing
            Formula = formula
        }

    let private lowRank (rank: int) (fanIn: int64, fanOut: int64) =
        [ "lora_a", [ int64 rank; fanIn ]; "lora_b", [ fanOut; int64 rank ] ]

    let private rescaled (fanIn: int64, fanOut: int64) =
        [ "multi_lora_a", [ fanIn ]; "multi_lora_b", [ fanOut ] ]

    let private bias (_: int64, fanOut: int64) = [ "bias", [ fanOut ] ]

    let private prompt (rows: int) : Shape -> Outline list =
        fun shape ->
            [
                {
                    Name = "prompt_embeddings"
                    Shape = [ int64 rows; int64 shape.Width ]
                }
            ]

    let private bottleneck (suffix: string) (width: int) (d: int64) =
        [
            $"{suffix}_down", [ int64 width; d ]
            $"{suffix}_down_bias", [ int64 width ]
            $"{suffix}_up", [ d; int64 width ]
            $"{suffix}_up_bias", [ d ]
        ]

    /// Several techniques as one: each on its own sites.
    let private together (forms: Form list) : Form =
        let isOwn site (form: Form) =
            form.Standard |> Option.exists (fun standard -> standard site)

        {
            Standard =
                match forms |> List.choose _.Standard with
                | [] -> None
                | standards -> Some(List.reduce Selector.either standards)
            AtSite =
                fun site widths ->
                    forms
                    |> List.filter (isOwn site)
                    |> List.collect (fun form -> form.AtSite site widths)
            Added = fun shape -> forms |> List.collect (fun form -> form.Added shape)
            Own = fun shape -> forms |> List.collect (fun form -> form.Own shape) |> List.distinct
            Formula = forms |> List.map _.Formula |> String.concat "; "
        }

    let rec private paper (technique: Technique) : Form =
        let standard =
            Adapter.usualSites technique |> Option.defaultValue Selector.everywhere

        match technique with
        | FullFineTuning -> elsewhere nothing tensors "every tensor"
        | Lora rank ->
            atSites Selector.paperLora "rank·(in + out) + in + out on q, k, v, o" (fun _ widths ->
                lowRank rank widths @ rescaled widths)
        | Ia3 -> atSites Selector.paperIa3 "in + out on k, v, wi_1" (fun _ -> rescaled)
        | BitFit -> atSites Selector.everywhere "out on every linear map" (fun _ -> bias)
        | PromptTuning tokens
        | PromptTuningFrom(tokens, _) -> elsewhere (prompt tokens) nothing "tokens·d_model"
        | LoraWith settings ->
            let on = String.concat ", " settings.Targets

            if settings.IsDora then
                atSites standard $"rank·(in + out) + out on {on}" (fun _ (fanIn, fanOut) ->
                    lowRank settings.Rank (fanIn, fanOut) @ [ "lora_magnitude_vector", [ fanOut ] ])
            else
                atSites standard $"rank·(in + out) on {on}" (fun _ -> lowRank settings.Rank)
        | Ia3HuggingFace ->
            atSites standard "out on k, v and in on wo" (fun site (fanIn, fanOut) ->
                if site.Layer = LayerKind.FeedForward && site.Part = Down then
                    [ "multi_lora_a", [ fanIn ] ]
                else
                    [ "multi_lora_b", [ fanOut ] ])
        | Ia3Published -> atSites standard "out on k, v, wi_1" (fun _ (_, fanOut) -> [ "multi_lora_b", [ fanOut ] ])
        | PrefixTuning tokens ->
            let rows (shape: Shape) =
                [
                    {
                        Name = "prefix_embeddings"
                        Shape = [ int64 tokens; shape.PrefixWidth ]
                    }
                ]

            elsewhere rows nothing "tokens·2·layers·heads·d_kv"
        | BottleneckAdapter(width, Behind) ->
            atSites standard "2·width·d_model + width + d_model on o, wo" (fun _ (_, fanOut) ->
                bottleneck "adapter" width fanOut)
        | BottleneckAdapter(width, BottleneckPlace.Beside) ->
            atSites
                standard
                "2·width·d_model + width + d_model beside every feed-forward layer"
                (fun site (_, fanOut) ->
                    if site.Layer = LayerKind.FeedForward && site.Part = Down then
                        bottleneck "parallel" width fanOut
                    else
                        [])
        | LayerNormTuning -> elsewhere nothing norms "the layer norms"
        | Vera(rank, _) ->
            atSites standard "rank + out on q, v" (fun _ (_, fanOut) ->
                [ "vera_lambda_d", [ int64 rank ]; "vera_lambda_b", [ fanOut ] ])
        | AdaLora settings ->
            atSites standard "start·(in + out + 1) on q, v" (fun _ widths ->
                lowRank settings.InitialRank widths
                @ [ "lora_e", [ int64 settings.InitialRank; 1L ] ])
        | ExtraModules names ->
            let isNamed (outline: Outline) =
                names
                |> List.exists (fun name -> outline.Name.EndsWith($"{name}.weight", StringComparison.Ordinal))

            let named = String.concat ", " names
            elsewhere nothing (tensors >> List.filter isNamed) $"every tensor of {named}"
        | Chain parts -> parts |> List.map paper |> together

    let private tFew (technique: Technique) : Form option =
        match technique with
        | FullFineTuning
        | Ia3Published -> Some(paper technique)
        // lora.json: no scaling rank, layers "q|k|v|o|w.*", trained ".*layer_norm.*|.*lora_[ab].*".
        | Lora rank ->
            Some
                { atSites Selector.everywhere "rank·(in + out) on every linear map, and the layer norms" (fun _ ->
                      lowRank rank) with
                    Own = norms
                }
        // ia3.json: trained ".*lora_b.*", so the input's vector stays at one.
        | Ia3 -> Some(paper Ia3Published)
        // bitfit.json: layers "q|k|v|o|wi_[01]|w_o", and w_o matches nothing; trained ".*bias|.*layer_norm.*".
        | BitFit ->
            let standard = Selector.named [ "q"; "k"; "v"; "o"; "wi_0"; "wi_1" ]

            Some
                { atSites standard "out on q, k, v, o, wi_0, wi_1, and the layer norms" (fun _ -> bias) with
                    Own = norms
                }
        // prompt_tuning.py: rows before the encoder's input and others before the decoder's.
        | PromptTuning tokens -> Some(elsewhere (prompt (2 * tokens)) nothing "2·tokens·d_model, for both stacks")
        | PromptTuningFrom _
        | LoraWith _
        | Ia3HuggingFace
        | PrefixTuning _
        | BottleneckAdapter _
        | LayerNormTuning
        | Vera _
        | AdaLora _
        | ExtraModules _
        | Chain _ -> None

    let private huggingFace (technique: Technique) : Form option =
        match technique with
        | FullFineTuning -> Some(paper technique)
        | Lora rank -> Some(atSites (Selector.attention [ Q; V ]) "rank·(in + out) on q, v" (fun _ -> lowRank rank))
        | Ia3 ->
            let standard =
                Selector.either (Selector.attention [ K; V ]) (Selector.feedForward [ Down ])

            let vector (site: Site) (fanIn, fanOut) =
                [
                    "ia3_l",
                    [
                        (if site.Layer = LayerKind.FeedForward && site.Part = Down then
                             fanIn
                         else
                             fanOut)
                    ]
                ]

            Some(atSites standard "out on k, v and in on wo" vector)
        | LoraWith _
        | Ia3HuggingFace
        | Ia3Published
        | PrefixTuning _
        | LayerNormTuning
        | Vera _
        | AdaLora _ -> Some(paper technique)
        | BitFit
        | BottleneckAdapter _
        | ExtraModules _
        | Chain _ -> None
        // num_transformer_submodules is 2 for encoder-decoder models, and the forward pass uses the first half.
        | PromptTuning tokens
        | PromptTuningFrom(tokens, _) ->
            Some(elsewhere (prompt (2 * tokens)) nothing "2·tokens·d_model, half of it unused")

    /// What a technique trains under a convention; none where the convention has no such technique.
    let of' (convention: Convention) (technique: Technique) : Form option =
        match convention with
        | Convention.Paper -> Some(paper technique)
        | Convention.TFew -> tFew technique
        | Convention.HuggingFace -> huggingFace technique
