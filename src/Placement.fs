namespace Peft

open System
open System.Text.RegularExpressions
open Peft.T5

/// The layers of a block.
[<RequireQualifiedAccess>]
type LayerKind =
    | Self
    | Cross
    | FeedForward

/// A matrix by its name, in whatever layer.
[<RequireQualifiedAccess>]
type Matrix =
    | Attention of AttentionPart
    | FeedForward of FeedForwardPart

/// A set of linear maps, described: stack × layer × block × matrix, and combinations.
[<RequireQualifiedAccess>]
type Target =
    | All
    /// The sites where the technique stands by itself, for example q, k, v, o for the paper's LoRA.
    | Standard
    | Stack of Stack
    | Layer of LayerKind
    /// Self-attention and encoder-decoder attention.
    | Attention
    | Matrix of Matrix
    /// The first half of each stack's blocks. Of an odd number the middle block is not in it.
    | Early
    /// The other half, with the middle block of an odd number: `Early` and `Late` are all blocks, none in both.
    | Late
    /// Half of each stack's blocks (of an odd number the larger half), drawn from the seed, each stack for itself.
    | Random of seed: int
    /// Blocks by number, from 0, in whichever stack has them; at least one.
    | Blocks of Set<int>
    /// Sites whose full name fits a pattern in which `*` is any text and `?` any letter.
    | Name of pattern: string
    | Not of Target
    | Both of Target * Target
    | Either of Target * Target

/// Where an adapter goes, as plain data: it prints, compares and reads back.
[<RequireQualifiedAccess>]
type Placement =
    /// The technique's own sites, as far as the target reaches.
    | Within of Target
    /// The target, instead of the technique's own sites.
    | Only of Target

/// Placements as text and as selectors. The text's grammar, blanks and upper case being free outside of names:
///
///     placement = target | "only(" target ")"
///     target    = both { "|" both }              one or the other
///     both      = list { "&" list }              one and the other
///     list      = item { "," item }              one or the other; binds tightest: late & q,v
///     item      = "(" target ")" | "not(" target ")" | word
///               | "random(seed=" number ")" | "blocks(" range { "," range } ")" | "name(" pattern ")"
///     word      = "all" | "standard" | "encoder" | "decoder"
///               | "self" | "cross" | "ffn" | "attention" | "early" | "late"
///               | "q" | "k" | "v" | "o" | "wi" | "wi_0" | "wi_1" | "wo"
///     range     = number | number "-" number
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
    let private attentionMatrix part = Target.Matrix(Matrix.Attention part)

    /// Without self-attention (Table 2).
    let withoutSelfAttention: Placement = without (Target.Layer LayerKind.Self)

    /// Without encoder-decoder attention (Table 2).
    let withoutCrossAttention: Placement = without (Target.Layer LayerKind.Cross)

    /// Without query and output (Table 2).
    let withoutQueryOutput: Placement =
        without (Target.Either(attentionMatrix Q, attentionMatrix O))

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

    let private words: (string * Target) list =
        [
            "all", Target.All
            "standard", Target.Standard
            "encoder", Target.Stack Encoder
            "decoder", Target.Stack Decoder
            "self", Target.Layer LayerKind.Self
            "cross", Target.Layer LayerKind.Cross
            "ffn", Target.Layer LayerKind.FeedForward
            "attention", Target.Attention
            "early", Target.Early
            "late", Target.Late
            for part in [ Q; K; V; O ] do
                Site.matrix (SelfAttention part), attentionMatrix part
            for part in [ Wi; Wi0; Wi1; Wo ] do
                Site.matrix (FeedForward part), Target.Matrix(Matrix.FeedForward part)
        ]

    let private wordOf =
        let known = words |> List.map (fun (word, target) -> target, word) |> dict
        fun target -> known[target]

    let private ranges (blocks: Set<int>) : (int * int) list =
        let extend block found =
            match found with
            | (first, last) :: rest when block + 1 = first -> (block, last) :: rest
            | _ -> (block, block) :: found

        List.foldBack extend (Set.toList blocks) []

    let private isItem target =
        match target with
        | Target.Both _
        | Target.Either _
        | Target.Not _ -> false
        | _ -> true

    let rec private isList target =
        match target with
        | Target.Either(left, right) -> isList left && isItem right
        | _ -> isItem target

    /// `level`: 0 where `|` may stand, 1 where `&` may, 2 where neither may.
    let rec private targetText (level: int) (target: Target) : string =
        let parenthesised least text =
            if level > least then $"({text})" else text

        match target with
        | Target.Random seed -> $"random(seed={seed})"
        | Target.Blocks blocks ->
            ranges blocks
            |> List.map (fun (first, last) -> if first = last then $"{first}" else $"{first}-{last}")
            |> String.concat ","
            |> sprintf "blocks(%s)"
        | Target.Name pattern -> $"name({pattern})"
        | Target.Not inner -> $"not({targetText 0 inner})"
        | Target.Both(left, right) -> parenthesised 1 $"{targetText 1 left} & {targetText 2 right}"
        | Target.Either(left, right) when isList left && isItem right -> $"{targetText 2 left},{targetText 2 right}"
        | Target.Either(left, right) -> parenthesised 0 $"{targetText 0 left} | {targetText 1 right}"
        | word -> wordOf word

    /// The canonical text, which `parse` reads back.
    let text (placement: Placement) : string =
        match placement with
        | Placement.Within target -> targetText 0 target
        | Placement.Only target -> $"only({targetText 0 target})"

    let rec private targetWords (target: Target) : string =
        let grouped inner =
            if isItem inner then
                targetWords inner
            else
                $"({targetWords inner})"

        let listed inner =
            if isList inner then targetWords inner else grouped inner

        // A chain of restrictions reads from left to right.
        let first inner =
            match inner with
            | Target.Both _ -> targetWords inner
            | _ -> listed inner

        match target with
        | Target.All -> "all blocks"
        | Target.Standard -> "the technique's own sites"
        | Target.Stack stack -> $"the {Site.stackName stack}"
        | Target.Layer LayerKind.Self -> "self-attention"
        | Target.Layer LayerKind.Cross -> "encoder-decoder attention"
        | Target.Layer LayerKind.FeedForward -> "feed-forward"
        | Target.Attention -> "attention"
        | Target.Early -> "the early half of each stack's blocks"
        | Target.Late -> "the later half of each stack's blocks"
        | Target.Random seed -> $"a random half of each stack's blocks (seed {seed})"
        | Target.Blocks blocks ->
            let parts =
                ranges blocks
                |> List.map (fun (first, last) -> if first = last then $"{first}" else $"{first} to {last}")

            (if blocks.Count = 1 then "block " else "blocks ") + String.concat ", " parts
        | Target.Name pattern -> $"names like {pattern}"
        | Target.Not inner -> $"all but {grouped inner}"
        | Target.Both(left, Target.Not right) -> $"{first left} without {grouped right}"
        | Target.Both(left, right) -> $"{first left}, there {listed right}"
        | Target.Either(left, right) when isList target -> $"{targetWords left} or {targetWords right}"
        | Target.Either(left, right) -> $"{grouped left} or {grouped right}"
        | word -> wordOf word

    /// In words, for people: `not(self)` is "the technique's own sites without self-attention".
    let describe (placement: Placement) : string =
        match placement with
        | Placement.Within Target.All -> "the technique's own sites in all blocks"
        | Placement.Within(Target.Not(Target.Either _ as inner)) ->
            $"the technique's own sites without ({targetWords inner})"
        | Placement.Within(Target.Not inner) -> $"the technique's own sites without {targetWords inner}"
        | Placement.Within target -> $"the technique's own sites in {targetWords target}"
        | Placement.Only target -> $"{targetWords target}, instead of the technique's own sites"

    // Reading.

    type private Token =
        | Word of string
        | Mark of char

    let private longestText = 1000

    let private tokens (text: string) : Token list =
        let found = Regex.Matches(text, @"[A-Za-z0-9_.*?\-]+|[(),|&=]|\S")

        [
            for item in found do
                let first = item.Value[0]

                if "(),|&=".Contains first then
                    Mark first
                elif Char.IsAsciiLetterOrDigit first || "_.*?-".Contains first then
                    Word item.Value
                else
                    userError $"'{first}' cannot stand in a placement: 'late & q,v' or 'not(self)' are placements."
        ]

    let private show (tokens: Token list) =
        match tokens with
        | [] -> "its end"
        | Word word :: _ -> $"'{word}'"
        | Mark mark :: _ -> $"'{mark}'"

    let private expected (what: string) (rest: Token list) =
        userError $"a placement has {show rest} where {what} should stand: 'late & q,v' or 'not(self)' are placements."

    let private close (target: 'a) (rest: Token list) : 'a * Token list =
        match rest with
        | Mark ')' :: rest -> target, rest
        | _ -> expected "')'" rest

    let private range (word: string) : Set<int> =
        let found = Regex.Match(word, @"\A(\d{1,4})(?:-(\d{1,4}))?\z")

        if not found.Success then
            userError $"blocks({word}) is no list of blocks: write blocks(0-3,7), numbers from 0."

        let first = int found.Groups[1].Value

        let last =
            if found.Groups[2].Success then
                int found.Groups[2].Value
            else
                first

        if last < first then
            userError $"blocks({word}) runs backwards: write blocks({last}-{first})."

        set [ first..last ]

    let rec private blockList (found: Set<int>) (rest: Token list) : Target * Token list =
        match rest with
        | Word word :: Mark ',' :: rest -> blockList (found + range word) rest
        | Word word :: rest -> close (Target.Blocks(found + range word)) rest
        | _ -> expected "a block's number" rest

    let private seed (word: string) : Target =
        match Int32.TryParse word with
        | true, seed -> Target.Random seed
        | false, _ -> userError $"random(seed={word}): the seed is a whole number."

    let private vocabulary =
        List.map fst words
        @ [ "random(seed=0)"; "blocks(0-3)"; "name(*.q)"; "not(...)" ]

    let private unknown (word: string) : 'a =
        let near =
            Nearest.question
                (List.map fst words @ [ "random"; "blocks"; "name"; "not"; "only" ])
                (word.ToLowerInvariant())

        if near.StartsWith("there are", StringComparison.Ordinal) then
            let all = String.concat ", " vocabulary
            userError $"'{word}' is no target: there are {all}."
        else
            userError $"'{word}' is no target: {near}"

    let rec private alternatives (all: Token list) : Target * Token list =
        let rec more (left: Target, rest: Token list) =
            match rest with
            | Mark '|' :: rest ->
                let right, rest = restrictions rest
                more (Target.Either(left, right), rest)
            | _ -> left, rest

        restrictions all |> more

    and private restrictions (all: Token list) : Target * Token list =
        let rec more (left: Target, rest: Token list) =
            match rest with
            | Mark '&' :: rest ->
                let right, rest = items rest
                more (Target.Both(left, right), rest)
            | _ -> left, rest

        items all |> more

    and private items (all: Token list) : Target * Token list =
        let rec more (left: Target, rest: Token list) =
            match rest with
            | Mark ',' :: rest ->
                let right, rest = item rest
                more (Target.Either(left, right), rest)
            | _ -> left, rest

        item all |> more

    and private item (all: Token list) : Target * Token list =
        match all with
        | Mark '(' :: rest -> alternatives rest ||> close
        | Word word :: rest ->
            match word.ToLowerInvariant(), rest with
            | "not", Mark '(' :: rest ->
                let inner, rest = alternatives rest
                close (Target.Not inner) rest
            | "blocks", Mark '(' :: rest -> blockList Set.empty rest
            | "name", Mark '(' :: Word pattern :: rest -> close (Target.Name pattern) rest
            | "random", Mark '(' :: Word key :: Mark '=' :: Word number :: rest when key.ToLowerInvariant() = "seed" ->
                close (seed number) rest
            | "random", Mark '(' :: Word number :: rest -> close (seed number) rest
            | "random", _ -> userError "random needs its seed: write random(seed=3)."
            | ("not" | "blocks" | "name"), _ -> expected "'(' and what belongs to it" rest
            | "only", _ -> userError "only(...) stands around the whole placement: only(late & q,v)."
            | lower, _ ->
                match words |> List.tryFind (fun (known, _) -> known = lower) with
                | Some(_, target) -> target, rest
                | None -> unknown word
        | _ -> expected "a target" all

    /// Reads the text of a placement; `UserError` where it is none.
    let parse (text: string) : Placement =
        if text.Length > longestText then
            userError $"a placement has {text.Length} characters, the most is {longestText}."

        let placement, rest =
            match tokens text with
            | Word only :: Mark '(' :: rest when only.ToLowerInvariant() = "only" ->
                let target, rest = alternatives rest
                close (Placement.Only target) rest
            | all ->
                let target, rest = alternatives all
                Placement.Within target, rest

        match rest with
        | [] -> placement
        | _ -> expected "its end" rest

    // Matching.

    /// SplitMix64's mixing function: the same numbers on every machine and version.
    let private mix (value: uint64) : uint64 =
        let added = value + 0x9E3779B97F4A7C15UL
        let once = (added ^^^ (added >>> 30)) * 0xBF58476D1CE4E5B9UL
        let twice = (once ^^^ (once >>> 27)) * 0x94D049BB133111EBUL
        twice ^^^ (twice >>> 31)

    let private drawn (config: Config) (seed: int) (stack: Stack) : Set<int> =
        let blocks = Site.blocks config stack
        let start = mix (mix (uint64 seed) ^^^ (if stack = Encoder then 1UL else 2UL))

        [ 0 .. blocks - 1 ]
        |> List.sortBy (fun block -> mix (start ^^^ uint64 block))
        |> List.take ((blocks + 1) / 2)
        |> set

    let rec private matching (config: Config) (standard: Selector) (target: Target) : Selector =
        let recurse = matching config standard

        match target with
        | Target.All -> Selector.everywhere
        | Target.Standard -> standard
        | Target.Stack stack -> fun site -> site.Stack = stack
        | Target.Layer kind ->
            fun site ->
                match site.Role, kind with
                | SelfAttention _, LayerKind.Self
                | CrossAttention _, LayerKind.Cross
                | FeedForward _, LayerKind.FeedForward -> true
                | _ -> false
        | Target.Attention -> Selector.attention [ Q; K; V; O ]
        | Target.Matrix(Matrix.Attention part) -> Selector.attention [ part ]
        | Target.Matrix(Matrix.FeedForward part) -> Selector.feedForward [ part ]
        | Target.Early -> fun site -> site.Block < Site.blocks config site.Stack / 2
        | Target.Late -> fun site -> site.Block >= Site.blocks config site.Stack / 2
        | Target.Random seed ->
            let encoder, decoder = drawn config seed Encoder, drawn config seed Decoder
            fun site -> (if site.Stack = Encoder then encoder else decoder).Contains site.Block
        | Target.Blocks blocks -> fun site -> blocks.Contains site.Block
        | Target.Name pattern -> fun site -> Nearest.fits pattern (Site.name site)
        | Target.Not inner -> recurse inner >> not
        | Target.Both(left, right) -> Selector.both (recurse left) (recurse right)
        | Target.Either(left, right) -> Selector.either (recurse left) (recurse right)

    let private matrices (sites: Site list) =
        sites |> List.map (fun site -> Site.matrix site.Role) |> List.distinct

    let private absent (config: Config) (target: Target) : 'a =
        let written, sites = targetText 0 target, Site.all config

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
            userError $"{written} matches nothing: no site is both in {targetText 0 left} and in {targetText 0 right}."
        | _ -> userError $"{written} matches nothing in this model."

    let private checkBlocks (config: Config) (blocks: Set<int>) : unit =
        let most = max config.EncoderLayers config.DecoderLayers

        if blocks.IsEmpty then
            userError "blocks() names no block: write blocks(0-3,7)."

        match blocks |> Seq.tryFind (fun block -> block < 0 || block >= most) with
        | Some block ->
            let there =
                $"the encoder has blocks 0 to {config.EncoderLayers - 1} and the decoder 0 to {config.DecoderLayers - 1}"

            userError
                $"block {block} does not exist: did you mean block {max 0 (min block (most - 1))}? In this model {there}."
        | None -> ()

    let rec private check (config: Config) (standard: Selector) (universe: Site list) (target: Target) : unit =
        match target with
        | Target.Both(left, right)
        | Target.Either(left, right) ->
            check config standard universe left
            check config standard universe right
        | Target.Not inner -> check config standard universe inner
        | Target.Blocks blocks -> checkBlocks config blocks
        | _ -> ()

        let found = matching config standard target

        if not (List.exists found universe) then
            if List.exists found (Site.all config) && isItem target then
                let own = matrices universe |> String.concat ", "
                let written = targetText 0 target

                userError
                    $"{written} is not among the technique's own sites, which are {own} here: did you mean one of these, or only({written}), which replaces them?"
            else
                absent config target

    /// The sites that a technique with these own sites (`standard`) touches under a placement. `UserError` where any
    /// part of the placement matches none of them, or, in `only(...)`, nothing in the model.
    let within (config: Config) (standard: Selector) (placement: Placement) : Selector =
        match placement with
        | Placement.Within target ->
            check config standard (Site.all config |> List.filter standard) target
            Selector.both standard (matching config standard target)
        | Placement.Only target ->
            check config standard (Site.all config) target
            matching config standard target

    /// The sites that a placement reaches in a model of this shape, for a technique that may stand everywhere.
    let selector (config: Config) (placement: Placement) : Selector =
        within config Selector.everywhere placement

    /// A technique's own sites; none for techniques that stand at no linear map.
    let standard (technique: Technique) : Selector option =
        match technique with
        | Lora _ -> Some Selector.paperLora
        | Ia3 -> Some Selector.paperIa3
        | BitFit -> Some Selector.everywhere
        | FullFineTuning
        | PromptTuning _ -> None

    /// Where a technique stands under a placement; none for techniques that stand at no linear map, which take no
    /// placement but `all`.
    let ofTechnique (config: Config) (technique: Technique) (placement: Placement) : Selector option =
        match standard technique with
        | Some own -> Some(within config own placement)
        | None when placement = everywhere -> None
        | None ->
            userError
                $"{Technique.name technique} stands at no linear map and cannot be placed at {text placement}: did you mean lora, ia3 or bitfit?"

    /// A technique under a placement, as a function of the model. Everything random in the weights follows from `seed`.
    let adapter (technique: Technique) (placement: Placement) (seed: int) : Adapter =
        fun model ->
            let where = ofTechnique model.Config technique placement

            match technique, where with
            | Lora rank, Some where -> Adapter.lora rank seed where model
            | Ia3, Some where -> Adapter.ia3 where model
            | BitFit, Some where -> Adapter.bitFit where model
            | _ -> Adapter.ofTechnique technique seed model
