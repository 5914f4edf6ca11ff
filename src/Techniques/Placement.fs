namespace Peft

open System.Text.RegularExpressions

/// Where an adapter goes, as plain data: it prints, compares and reads back.
[<RequireQualifiedAccess>]
type Placement =
    /// The technique's own sites, as far as the target reaches.
    | Within of Target
    /// The target, instead of the technique's own sites.
    | Only of Target

/// Placements as text and as selectors: placement = target | "only(" target ")", the target as in `Target`.
///
/// Without `only`, a target restricts the technique's own sites: `not(self)` for LoRA is q, k, v, o of encoder-decoder
/// attention. `only(...)` replaces them: `only(q,v)`, `only(standard | wo)`. Every part of a target must match
/// something, otherwise `UserError` names what is near.
[<RequireQualifiedAccess>]
module Placement =
    /// All of the technique's own sites: the paper's "all layers".
    let everywhere: Placement = Placement.Within Target.All

    /// The early half of each stack's blocks (Table 2).
    let early: Placement = Placement.Within Target.Early

    /// The later half of each stack's blocks (Table 2).
    let late: Placement = Placement.Within Target.Late

    /// A random half of each stack's blocks (Table 2).
    let random (seed: int) : Placement = Placement.Within(Target.Random seed)

    let private without target = Placement.Within(Target.Not target)

    /// Without self-attention (Table 2).
    let withoutSelfAttention: Placement = without (Target.Layer LayerKind.SelfAttention)

    /// Without encoder-decoder attention (Table 2).
    let withoutCrossAttention: Placement =
        without (Target.Layer LayerKind.CrossAttention)

    /// Without query and output (Table 2).
    let withoutQueryOutput: Placement =
        without (Target.Either(Target.Matrix "q", Target.Matrix "o"))

    /// Without attention (Table 2, (IA)3).
    let withoutAttention: Placement = without Target.Attention

    /// Without the dense activation, i.e. the feed-forward layers (Table 2, (IA)3).
    let withoutDense: Placement = without (Target.Layer LayerKind.FeedForward)

    /// The paper's variants by its names for them (Tables 2 and 3), the random one with its seed.
    let presets (seed: int) : (string * Placement) list =
        [
            "all layers", everywhere
            "early layers", early
            "later layers", late
            "random layers", random seed
            "no self-attention", withoutSelfAttention
            "no encoder-decoder attention", withoutCrossAttention
            "no query/output", withoutQueryOutput
            "no attention", withoutAttention
            "no dense activation", withoutDense
        ]

    /// The canonical text, which `parse` reads back.
    let text (placement: Placement) : string =
        match placement with
        | Placement.Within target -> Target.text target
        | Placement.Only target -> $"only({Target.text target})"

    /// In words, for people: `not(self)` is "the technique's own sites without self-attention".
    let describe (placement: Placement) : string =
        match placement with
        | Placement.Within Target.All -> "the technique's own sites in all blocks"
        | Placement.Within(Target.Not(Target.Either _ as inner)) ->
            $"the technique's own sites without ({Target.describe inner})"
        | Placement.Within(Target.Not inner) -> $"the technique's own sites without {Target.describe inner}"
        | Placement.Within target -> $"the technique's own sites in {Target.describe target}"
        | Placement.Only target -> $"{Target.describe target}, instead of the technique's own sites"

    let private only =
        Regex(@"\A\s*only\s*\((.*)\)\s*\z", RegexOptions.IgnoreCase ||| RegexOptions.Singleline)

    /// Reads the text of a placement; `UserError` where it is none.
    let parse (text: string) : Placement =
        match only.Match text with
        | found when found.Success -> Placement.Only(Target.parse found.Groups[1].Value)
        | _ -> Placement.Within(Target.parse text)

    // Matching.

    /// The same number for the same value on every machine and version.
    let private mix (value: uint64) : uint64 = Chance(value).Next()

    let private drawn (shape: Shape) (seed: int) (stack: Stack) : Set<int> =
        let blocks = Shape.blocks shape stack
        let start = mix (mix (uint64 seed) ^^^ (if stack = Encoder then 1UL else 2UL))

        [ 0 .. blocks - 1 ]
        |> List.sortBy (fun block -> mix (start ^^^ uint64 block))
        |> List.take ((blocks + 1) / 2)
        |> set

    let rec private matching (shape: Shape) (standard: Selector) (target: Target) : Selector =
        let recurse = matching shape standard

        let halves () =
            Shape.blocks shape Encoder / 2, Shape.blocks shape Decoder / 2

        match target with
        | Target.All -> Selector.everywhere
        | Target.Standard -> standard
        | Target.Stack stack -> fun site -> site.Stack = stack
        | Target.Layer kind -> fun site -> site.Layer = kind
        | Target.Attention -> Selector.attention [ Q; K; V; O ]
        | Target.Matrix name -> Selector.named [ name ]
        | Target.Early ->
            let encoder, decoder = halves ()
            fun site -> site.Block < (if site.Stack = Encoder then encoder else decoder)
        | Target.Late ->
            let encoder, decoder = halves ()
            fun site -> site.Block >= (if site.Stack = Encoder then encoder else decoder)
        | Target.Random seed ->
            let encoder, decoder = drawn shape seed Encoder, drawn shape seed Decoder
            fun site -> (if site.Stack = Encoder then encoder else decoder).Contains site.Block
        | Target.Blocks blocks -> fun site -> blocks.Contains site.Block
        | Target.Name pattern -> fun site -> Nearest.fits pattern (Site.name site)
        | Target.Not inner -> recurse inner >> not
        | Target.Both(left, right) -> Selector.both (recurse left) (recurse right)
        | Target.Either(left, right) -> Selector.either (recurse left) (recurse right)

    let private matrices (sites: Site list) =
        sites |> List.map _.Matrix |> List.distinct

    let private absent (shape: Shape) (target: Target) : 'a =
        let written, sites = Target.text target, shape.Sites

        match target with
        | Target.Matrix _ ->
            userError $"{written} matches nothing in this model: {Nearest.question (matrices sites) written}"
        | Target.Name pattern ->
            let near =
                sites
                |> List.map Site.name
                |> List.sortBy (Nearest.patternDistance pattern)
                |> List.truncate 2

            userError $"{written} matches nothing in this model: did you mean {Nearest.orList near}?"
        | Target.Early -> userError "early matches nothing where a stack has one block: did you mean late?"
        | Target.Not _ -> userError $"{written} leaves nothing."
        | Target.Both(left, right) ->
            userError $"{written} matches nothing: no site is both in {Target.text left} and in {Target.text right}."
        | _ -> userError $"{written} matches nothing in this model."

    let private checkBlocks (shape: Shape) (blocks: Set<int>) : unit =
        let encoder, decoder = Shape.blocks shape Encoder, Shape.blocks shape Decoder
        let most = max encoder decoder

        if blocks.IsEmpty then
            userError "blocks() names no block: write blocks(0-3,7)."

        match blocks |> Seq.tryFind (fun block -> block < 0 || block >= most) with
        | Some block ->
            let there =
                [ "encoder", encoder; "decoder", decoder ]
                |> List.filter (fun (_, blocks) -> blocks > 0)
                |> List.map (fun (stack, blocks) -> $"the {stack} has blocks 0 to {blocks - 1}")
                |> String.concat " and "

            userError
                $"block {block} does not exist: did you mean block {max 0 (min block (most - 1))}? In this model {there}."
        | None -> ()

    let private isSimple target =
        match target with
        | Target.Both _
        | Target.Either _
        | Target.Not _ -> false
        | _ -> true

    let rec private check (shape: Shape) (standard: Selector) (universe: Site list) (target: Target) : unit =
        match target with
        | Target.Both(left, right)
        | Target.Either(left, right) ->
            check shape standard universe left
            check shape standard universe right
        | Target.Not inner -> check shape standard universe inner
        | Target.Blocks blocks -> checkBlocks shape blocks
        | _ -> ()

        let found = matching shape standard target

        if not (List.exists found universe) then
            if List.exists found (shape.Sites) && isSimple target then
                let own = matrices universe |> String.concat ", "
                let written = Target.text target

                userError
                    $"{written} is not among the technique's own sites, which are {own} here: did you mean one of these, or only({written}), which replaces them?"
            else
                absent shape target

    /// The sites that a technique with these own sites (`standard`) touches under a placement. `UserError` where any
    /// part of the placement matches none of them, or, in `only(...)`, nothing in the model.
    let within (shape: Shape) (standard: Selector) (placement: Placement) : Selector =
        match placement with
        | Placement.Within target ->
            check shape standard (shape.Sites |> List.filter standard) target
            Selector.both standard (matching shape standard target)
        | Placement.Only target ->
            check shape standard (shape.Sites) target
            matching shape standard target

    /// The sites that a placement reaches in a model of this shape, for a technique that may stand everywhere.
    let selector (shape: Shape) (placement: Placement) : Selector =
        within shape Selector.everywhere placement

    /// A technique's own sites; none for techniques that stand at no linear map.
    let standard (technique: Technique) : Selector option = technique.Sites

    /// Where a technique stands under a placement; none for techniques that stand at no linear map, which take no
    /// placement but `all`.
    let ofTechnique (shape: Shape) (technique: Technique) (placement: Placement) : Selector option =
        match standard technique with
        | Some own -> Some(within shape own placement)
        | None when placement = everywhere -> None
        | None ->
            userError
                $"{Technique.name technique} stands at no linear map and cannot be placed at {text placement}: did you mean lora, ia3 or bitfit?"

    /// A technique under a placement, as a function of the model. Everything random in the weights follows from `seed`.
    let adapter (technique: Technique) (placement: Placement) (seed: int) : Adapter =
        fun model ->
            let where =
                ofTechnique (Model.shape model) technique placement
                |> Option.defaultValue Selector.everywhere

            technique.Apply where seed model

type Placement with
    /// `Placement.parse` for C#.
    static member Parse(words: string) : Placement = Placement.parse words

    /// `Placement.adapter` for C#: the model with a technique at this place, and something to train.
    member placement.Apply(technique: Technique, seed: int, model: Model) : Model =
        Placement.adapter technique placement seed model
