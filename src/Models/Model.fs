namespace Peft

open Peft.Kernels
open System
open TorchSharp

/// What a decoder sees of the input. Disposing it frees its tensors.
[<ReferenceEquality>]
type Encoded =
    {
        /// [rows, length, width]; a soft prompt's positions come first.
        Hidden: torch.Tensor
        /// Additive, [rows, 1, 1, length] float32; none where nothing is padded.
        MaskBias: torch.Tensor option
    }

    interface IDisposable with
        member encoded.Dispose() =
            encoded.Hidden.Dispose()
            encoded.MaskBias |> Option.iter _.Dispose()

/// An encoder before the decoder: work that depends on the input alone, and can be kept where nothing in it is trained.
[<ReferenceEquality>]
type EncoderPart =
    {
        /// Whether its output depends on a trained leaf.
        IsTrained: bool
        /// The encoder's output for inputs [rows, length] and their mask.
        Encode: Pass -> torch.Tensor -> torch.Tensor option -> Encoded
        /// Logits [rows, target length, vocabulary] of labels [rows, target length] under teacher forcing.
        LogitsAfter: Pass -> Encoded -> torch.Tensor -> torch.Tensor
    }

/// A model as training, adapters, counting, evaluation and generation see it: functions over the family's own value.
/// `module Model` has the verbs; what they can derive is not here.
[<ReferenceEquality>]
type Model =
    {
        /// The model without its weights and adapters.
        Shape: Shape
        /// The `config.json` of its checkpoint.
        Config: string
        /// The dtype of activations and frozen matrices: float32 or bfloat16.
        Precision: torch.ScalarType
        /// [vocabulary, width].
        Embedding: Leaf
        /// What an adapter changes of the embedding, from the inside out.
        Table: TableChange list
        /// The model with these changes instead.
        WithTable: TableChange list -> Model
        /// From hidden states to logits; around `Embedding` where it is tied to it. It is no site.
        Head: Projection
        /// The model with another head; one around the embedding's own leaf is tied to it.
        WithHead: Projection -> Model
        /// The names of what stands for another tensor and has no leaf: a tied head, an embedding for each stack.
        Shared: string list
        /// The same function with a frozen leaf for one of `Shared`.
        Untie: string -> Model
        /// The same function with one embedding, as the family's checkpoints have it; none where it has several that differ.
        Joined: unit -> Model option
        /// The one traversal of linear maps, in the order of `Shape.Sites`: replaces the projection at every site.
        Rewrite: (Site -> Projection -> Projection) -> Model
        /// Applies a function to every tensor, under the names of a Hugging Face checkpoint; see `Model.mapLeaves`.
        MapLeaves: (string -> Leaf -> Leaf) -> Model
        /// Replaces the net beside every feed-forward layer; the site is the layer's `Down`.
        MapBeside: (Site -> Bottleneck option -> Bottleneck option) -> Model
        /// The model with this soft prompt instead of its own.
        WithPrompt: SoftPrompt -> Model
        /// The model with this prefix [tokens, `Shape.PrefixWidth`], or none, instead of its own.
        WithPrefix: Leaf option -> Model
        /// The model computing in another dtype; its tensors are as they were.
        WithPrecision: torch.ScalarType -> Model
        /// None for a decoder-only model.
        Encoder: EncoderPart option
        /// Logits [rows, target length, vocabulary] of a batch: position i is what is said of label i.
        Logits: Pass -> Batch -> torch.Tensor
        /// A decoder at the beginning of these rows.
        Steps: Pass -> StepRequest -> IStepDecoder
    }

[<RequireQualifiedAccess>]
module Model =
    /// The name of a prefix among a model's leaves.
    let internal prefixName = "prefix_embeddings"

    /// The model without its weights.
    let shape (model: Model) : Shape = model.Shape

    /// Where its tensors lie.
    let device (model: Model) : torch.Device = model.Embedding.Value.device

    /// The one traversal of linear maps: replaces the projection at every site.
    let rewrite (f: Site -> Projection -> Projection) (model: Model) : Model = model.Rewrite f

    /// Every linear map with its address, in the order of computation.
    let projections (model: Model) : (Site * Projection) list = Traversal.visited model.Rewrite

    /// Applies `f name leaf` to every tensor of the model, under the names of a Hugging Face checkpoint; adapters' leaves
    /// carry the site's name and a suffix (`.lora_a`, `.bias`, …), the soft prompt is `prompt_embeddings`, the prefix
    /// `prefix_embeddings`.
    let mapLeaves (f: string -> Leaf -> Leaf) (model: Model) : Model = model.MapLeaves f

    /// Every tensor with its name; each name once.
    let leaves (model: Model) : (string * Leaf) list = Traversal.visited model.MapLeaves

    /// What an optimiser moves and an adapter file holds.
    let trained (model: Model) : (string * Modules.Parameter) list =
        leaves model
        |> List.choose (fun (name, leaf) ->
            match leaf with
            | Trained parameter -> Some(name, parameter)
            | Frozen _ -> None)

    /// Stops training everywhere; storage is shared.
    let freeze (model: Model) : Model = mapLeaves (fun _ -> Leaf.freeze) model

    /// The number of trained elements.
    let countTrained (model: Model) : int64 =
        trained model |> List.sumBy (fun (_, parameter) -> parameter.numel ())

    /// The number of elements of all tensors, adapters included.
    let count (model: Model) : int64 =
        leaves model |> List.sumBy (fun (_, leaf) -> leaf.Value.numel ())

    /// Whether there is an encoder whose output depends on a trained leaf.
    let trainsEncoder (model: Model) : bool =
        model.Encoder |> Option.exists _.IsTrained

    /// The embedding of a token id [width], without gradient and without what an adapter changes of it.
    let embeddingOf (id: int) (model: Model) : torch.Tensor =
        model.Embedding.Value.detach().select(0L, int64 id)

    /// Whether the head is the embedding.
    let isTied (model: Model) : bool =
        Projection.weight model.Head = model.Embedding

    /// The model with soft tokens [tokens, width] before its input.
    let withPrompt (rows: Leaf) (model: Model) : Model = model.WithPrompt(OnePrompt rows)

    /// The model with keys and values [tokens, `Shape.PrefixWidth`] before those of the decoder's self-attentions.
    let withPrefix (rows: Leaf) (model: Model) : Model = model.WithPrefix(Some rows)

    /// The model with a net beside the feed-forward layers whose `Down` map `choose` gives one for.
    let withBeside (choose: Site -> Bottleneck option) (model: Model) : Model =
        model.MapBeside(fun site own -> choose site |> Option.orElse own)

    /// The model computing in another dtype; its tensors are as they were.
    let withPrecision (dtype: torch.ScalarType) (model: Model) : Model = model.WithPrecision dtype

    let private leafOf (name: string) (model: Model) : Leaf option =
        leaves model |> List.tryFind (fst >> (=) name) |> Option.map snd

    let private hasLeafOf (start: string) (model: Model) =
        leaves model
        |> List.exists (fun (name, _) -> name.StartsWith(start, StringComparison.Ordinal))

    /// Whether soft tokens stand before its input.
    let hasPrompt (model: Model) : bool = hasLeafOf SoftPrompt.leafName model

    /// Whether a prefix stands before its keys and values.
    let hasPrefix (model: Model) : bool = hasLeafOf prefixName model

    /// Whether a net stands beside one of its feed-forward layers.
    let hasBeside (model: Model) : bool =
        Traversal.visited model.MapBeside |> List.exists (snd >> Option.isSome)

    /// The head as a site. In nothing but its name and its widths it is like one.
    let headSite (model: Model) : Site =
        {
            Name = Site.headName
            Stack = Decoder
            Block = 0
            Layer = LayerKind.FeedForward
            Part = Down
            In = int64 model.Shape.Width
            Out = int64 model.Shape.Vocabulary
            Usual = []
        }

    let rec private showingHead (model: Model) : Model =
        { model with
            Rewrite =
                fun f ->
                    let rewritten = model.Rewrite f
                    showingHead (rewritten.WithHead(f (headSite model) rewritten.Head))
        }

    /// The model that `change` makes of one whose traversal comes, last, to the head: for techniques, which change what it
    /// shows them.
    let changeWithHead (change: Model -> Model) (model: Model) : Model =
        model |> showingHead |> change |> mapLeaves (fun _ leaf -> leaf)

    let private mapHead (f: Projection -> Projection) (model: Model) : Model =
        if Projection.isBare model.Head then
            model
        else
            model.WithHead(f model.Head)

    /// The same function with the table's changes in the embedding itself, and in a head that is the embedding.
    let private mergeTable (model: Model) : Model =
        if model.Table.IsEmpty then
            model
        else
            let merged = Frozen(TableChange.merged model.Table model.Embedding.Value)

            model.WithTable []
            |> mapLeaves (fun _ leaf -> if leaf = model.Embedding then merged else leaf)

    /// The same function with nothing to train and adapters folded into the weights: for evaluation, where adapters
    /// then cost nothing. A soft prompt stays, and so do biases.
    let merge (model: Model) : Model =
        let isFloat32 = Shape.isFloat32 model.Shape

        let kept name =
            if isFloat32 name then torch.float32 else model.Precision

        mergeTable model
        |> rewrite (fun _ -> Projection.merge model.Precision)
        |> mapHead (Projection.merge model.Precision)
        |> mapLeaves (fun name leaf ->
            match leaf with
            | Frozen _ -> leaf
            | Trained parameter -> Frozen(parameter.detach().``to``(kept name)))

    /// The model without its adapters: every linear map its base weight and bias, no soft tokens. Tensors are shared, and what a
    /// technique copied or changed in place (full fine-tuning, trained norms, PiSSA) stays as it is.
    let strip (model: Model) : Model =
        let bare = model |> rewrite (fun _ -> Projection.bare) |> mapHead Projection.bare

        let bare = bare.WithPrompt NoPrompt
        let bare = bare.WithPrefix None
        let bare = bare.WithTable []
        bare.MapBeside(fun _ _ -> None)

    let private checkMembers (first: Model) (others: Model list) =
        let frame (model: Model) = leaves (strip model) |> List.map snd
        let refuse (what: string) = invalidArg "members" what

        for other in others do
            if
                other.Config <> first.Config
                || (frame first).Length <> (frame other).Length
                || not (List.forall2 (=) (frame first) (frame other))
            then
                refuse "the members do not share one base: embedding, norms and weights must be the same"

        let isRouted (model: Model) =
            hasLeafOf $"{SoftPrompt.leafName}." model

        if
            first :: others
            |> List.exists (fun model ->
                hasPrefix model || isRouted model || hasBeside model || not model.Table.IsEmpty)
        then
            refuse
                "a member with a prefix, a parallel adapter, a changed embedding or routes of its own cannot be routed"

    /// One model that serves several adapters of one base in one mixed batch: row i computes what `members[routes[i]]`
    /// computes, with the routes given by the pass (`Pass.Evaluation.Along routes`). Members differ in their linear maps
    /// and soft prompts only, so LoRA, (IA)3, BitFit, prompt tuning and the bare base go together.
    let route (members: Model list) : Model =
        let first =
            match members with
            | first :: _ -> first
            | [] -> invalidArg (nameof members) "there is no member to route to"

        checkMembers first members.Tail
        let maps = members |> List.map (projections >> List.map snd >> Array.ofList)
        let mutable place = -1

        let routed =
            first
            |> rewrite (fun _ projection ->
                place <- place + 1
                let choices = maps |> List.map (fun map -> map[place])

                if List.forall ((=) projection) choices then
                    projection
                else
                    Routed choices)

        let routed =
            if List.forall (_.Head >> Projection.isBare) members then
                routed
            else
                routed.WithHead(Routed(members |> List.map _.Head))

        let prompts = members |> List.map (leafOf SoftPrompt.leafName)

        routed.WithPrompt(
            if List.exists Option.isSome prompts then
                PromptOfMember prompts
            else
                NoPrompt
        )

    /// Logits [rows, target length, vocabulary] of a batch under teacher forcing.
    let logits (pass: Pass) (model: Model) (batch: Batch) : torch.Tensor = model.Logits pass batch

    /// The mean cross-entropy over the labels, in nats per token, as a float32 scalar.
    let lossOfLogits (logits: torch.Tensor) (labels: torch.Tensor) : torch.Tensor =
        torch.nn.functional.cross_entropy (
            logits.flatten(0L, 1L).``to`` torch.float32,
            labels.flatten (),
            ignore_index = Batch.ignoredLabel
        )

    /// AdaLoRA's orthogonality penalty (Zhang et al. 2023, eq. 4) as peft's loss has it: the mean over all A and B, each
    /// with its weight. None where no map is of that kind.
    let penalty (model: Model) : torch.Tensor option =
        let maps = (projections model |> List.map snd) @ [ model.Head ]

        match maps |> List.collect Projection.orthogonality with
        | [] -> None
        | terms ->
            let share = 1.0 / float terms.Length

            terms
            |> List.map (fun (weight, distance) -> distance.mul ((weight * share).ToScalar()))
            |> List.reduce (fun total term -> total.add term)
            |> Some

    let private lossOfOwn (model: Model) (logits: torch.Tensor) (labels: torch.Tensor) : torch.Tensor =
        let fit =
            // Nobody else sees these logits, so that their gradient may take their place.
            if CrossEntropy.serves logits then
                CrossEntropy.apply Batch.ignoredLabel logits labels
            else
                lossOfLogits logits labels

        match penalty model with
        | Some penalty -> fit.add penalty
        | None -> fit

    /// The training loss of a batch: the mean cross-entropy, and AdaLoRA's orthogonality penalty where there is one.
    let loss (pass: Pass) (model: Model) (batch: Batch) : torch.Tensor =
        lossOfOwn model (logits pass model batch) batch.Labels

    /// `loss` in evaluation, from the output of the model's encoder.
    let lossAfter (encoder: EncoderPart) (model: Model) (source: Encoded) (labels: torch.Tensor) : torch.Tensor =
        lossOfOwn model (encoder.LogitsAfter Pass.Evaluation source labels) labels

type Model with
    /// The number of elements of all tensors.
    member model.Elements: int64 = Model.count model

    /// The number of trained elements.
    member model.TrainedElements: int64 = Model.countTrained model
