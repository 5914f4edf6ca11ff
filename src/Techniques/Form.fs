namespace Peft

/// Whose way of counting a technique. They agree on full fine-tuning and differ elsewhere; see `Technique.Others`.
[<RequireQualifiedAccess>]
type Convention =
    /// The paper's Table 3 and A.4, and what this library trains.
    | Paper
    /// T-Few's published configurations (r-three/t-few, configs/*.json).
    | TFew
    /// Hugging Face peft's defaults for T5, with the rank and the number of tokens given.
    | HuggingFace

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

/// One thing that an adapter computes, and the trained tensor that it does it with, if any.
[<RequireQualifiedAccess>]
type Step =
    /// x ↦ M x with a trained matrix [out, in].
    | Matrix of suffix: string * fanOut: int64 * fanIn: int64
    /// The same with a frozen one that all sites share and no checkpoint holds.
    | Fixed of fanOut: int64 * fanIn: int64
    /// The same with a frozen one of the site's own.
    | Frozen of fanOut: int64 * fanIn: int64
    /// x ↦ v ∘ x with a trained vector, which has this shape.
    | Scale of suffix: string * shape: int64 list
    /// x ↦ x + v with a trained vector.
    | Shift of suffix: string * shape: int64 list
    /// x ↦ f(x), number by number.
    | Activation
    /// x ↦ x with some of its numbers dropped, in training.
    | Dropout

/// What an adapter computes at a linear map, and where. Counts, operations and memory follow from it.
[<RequireQualifiedAccess>]
type Branch =
    /// The map reads the result: map (steps x).
    | Before of Step list
    /// It reads what the map reads and joins what the map gives: map x + steps x.
    | Beside of Step list
    /// It reads what the map gives: steps (map x).
    | Behind of Step list
    /// It reads what the whole layer reads, behind its norm, and joins what the layer gives.
    | BesideLayer of Step list
    /// Operations of a forward pass whatever the number of tokens is, and of the gradients that they owe.
    | Once of forward: float * trained: float

/// What a technique trains and computes. From it follow the tensors and their number, the operations and the memory of a
/// step.
[<NoComparison; NoEquality>]
type Form =
    {
        /// The technique's own sites; none where it stands at no linear map.
        Sites: Selector option
        /// What it computes at one site, from the inside out.
        Branches: Site -> Branch list
        /// Soft tokens before the model's input.
        Prompt: int
        /// Whether each stack has so many of its own, as far as counting goes.
        IsPromptOfEachStack: bool
        /// Keys and values before those of the decoder's self-attentions.
        Prefix: int
        /// The new tensors beside the embedding.
        OnTable: Shape -> Outline list
        /// The model's own tensors that it trains.
        Own: Outline -> bool
        /// Which of what shares another's tensor (`Shape.Shared`) it gives one of its own to train.
        Untied: Outline -> bool
        /// The number of trained elements in words.
        Formula: string
    }

[<RequireQualifiedAccess>]
module Form =
    /// Nothing trained.
    let nothing: Form =
        {
            Sites = None
            Branches = fun _ -> []
            Prompt = 0
            IsPromptOfEachStack = false
            Prefix = 0
            OnTable = fun _ -> []
            Own = fun _ -> false
            Untied = fun _ -> false
            Formula = "nothing"
        }

    /// An adapter at linear maps.
    let atSites (sites: Selector) (formula: string) (paths: Site -> Branch list) : Form =
        { nothing with
            Sites = Some sites
            Branches = paths
            Formula = formula
        }

    /// Tensors of the model itself.
    let own (formula: string) (isOwn: Outline -> bool) : Form =
        { nothing with
            Own = isOwn
            Formula = formula
        }

    /// The scales of the norms, and their shifts where they have some.
    let isNorm (outline: Outline) : bool = outline.Kind = TensorKind.Norm

    /// Several as one: each on its own sites.
    let together (forms: Form list) : Form =
        let isOn site (form: Form) =
            form.Sites |> Option.exists (fun own -> own site)

        // A later prompt takes the place of an earlier one.
        let last (tokens: Form -> int) =
            forms
            |> List.map tokens
            |> List.filter ((<>) 0)
            |> List.tryLast
            |> Option.defaultValue 0

        {
            Sites =
                match List.choose _.Sites forms with
                | [] -> None
                | several -> Some(List.reduce Selector.either several)
            Branches =
                fun site ->
                    forms
                    |> List.filter (isOn site)
                    |> List.collect (fun form -> form.Branches site)
            Prompt = last _.Prompt
            IsPromptOfEachStack = forms |> List.exists _.IsPromptOfEachStack
            Prefix = last _.Prefix
            OnTable = fun shape -> forms |> List.collect (fun form -> form.OnTable shape)
            Own = fun outline -> forms |> List.exists (fun form -> form.Own outline)
            Untied = fun outline -> forms |> List.exists (fun form -> form.Untied outline)
            Formula = forms |> List.map _.Formula |> String.concat "; "
        }

    /// The steps of a branch in order.
    let steps (branch: Branch) : Step list =
        match branch with
        | Branch.Before steps
        | Branch.Beside steps
        | Branch.Behind steps
        | Branch.BesideLayer steps -> steps
        | Branch.Once _ -> []

    /// The trained tensors at one site, under the names of the model's leaves. Where two adapters of a chain would give one
    /// name, the outer one's ends in `.2`, as in `Projection.mapLeaves`.
    let tensorsAt (form: Form) (site: Site) : Outline list =
        let used = System.Collections.Generic.HashSet<string>()

        let unique (name: string) =
            Seq.append [ name ] (Seq.initInfinite (fun index -> $"{name}.{index + 2}"))
            |> Seq.find used.Add

        form.Branches site
        |> List.collect steps
        |> List.choose (fun step ->
            match step with
            | Step.Matrix(suffix, fanOut, fanIn) ->
                Some
                    {
                        Name = unique $"{site.Name}.{suffix}"
                        Shape = [ fanOut; fanIn ]
                        Kind = TensorKind.Added
                    }
            | Step.Scale(suffix, shape)
            | Step.Shift(suffix, shape) ->
                Some
                    {
                        Name = unique $"{site.Name}.{suffix}"
                        Shape = shape
                        Kind = TensorKind.Added
                    }
            | Step.Fixed _
            | Step.Frozen _
            | Step.Activation
            | Step.Dropout -> None)

    /// How many frozen elements of its own the technique has at one site.
    let frozenAt (form: Form) (site: Site) : int64 =
        form.Branches site
        |> List.collect steps
        |> List.sumBy (fun step ->
            match step with
            | Step.Frozen(fanOut, fanIn) -> fanOut * fanIn
            | _ -> 0L)

    /// The new tensors that stand at no site: soft tokens, prefixes, and what stands beside the embedding.
    let tokens (shape: Shape) (form: Form) : Outline list =
        let stacks =
            if form.IsPromptOfEachStack then
                [ Encoder; Decoder ]
                |> List.filter (fun stack -> Shape.blocks shape stack > 0)
                |> List.length
            else
                1

        [
            if form.Prompt > 0 then
                {
                    Name = "prompt_embeddings"
                    Shape = [ int64 (stacks * form.Prompt); int64 shape.Width ]
                    Kind = TensorKind.Added
                }
            if form.Prefix > 0 then
                {
                    Name = "prefix_embeddings"
                    Shape = [ int64 form.Prefix; shape.PrefixWidth ]
                    Kind = TensorKind.Added
                }

            yield! form.OnTable shape
        ]
