namespace Peft

open System
open System.Text.RegularExpressions

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
    /// The maps that a word means, in whatever layer: `q`, `wi_1`, `down_proj`.
    | Matrix of name: string
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

/// Targets as text. The grammar, blanks and upper case being free outside of names:
///
///     target = both { "|" both }              one or the other
///     both   = list { "&" list }              one and the other
///     list   = item { "," item }              one or the other; binds tightest: late & q,v
///     item   = "(" target ")" | "not(" target ")" | word
///            | "random(seed=" number ")" | "blocks(" range { "," range } ")" | "name(" pattern ")"
///     word   = "all" | "standard" | "encoder" | "decoder"
///            | "self" | "cross" | "ffn" | "mlp" | "attention" | "early" | "late"
///            | "q" | "k" | "v" | "o" | "gate" | "up" | "down" | the name of a family's maps: "wi_1", "c_fc"
///     range  = number | number "-" number
[<RequireQualifiedAccess>]
module Target =
    let private words: (string * Target) list =
        [
            "all", Target.All
            "standard", Target.Standard
            "encoder", Target.Stack Encoder
            "decoder", Target.Stack Decoder
            "self", Target.Layer LayerKind.SelfAttention
            "cross", Target.Layer LayerKind.CrossAttention
            "ffn", Target.Layer LayerKind.FeedForward
            "attention", Target.Attention
            "early", Target.Early
            "late", Target.Late
            for name in List.distinct (List.map fst Part.words @ Checkpoint.maps) do
                name, Target.Matrix name
        ]

    /// Other words for the same.
    let private synonyms: (string * Target) list =
        [ "mlp", Target.Layer LayerKind.FeedForward ]

    let private wordOf =
        let known = words |> List.map (fun (word, target) -> target, word) |> dict

        fun target ->
            match target with
            | Target.Matrix name -> name
            | _ -> known[target]

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
    let rec private textAt (level: int) (target: Target) : string =
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
        | Target.Not inner -> $"not({textAt 0 inner})"
        | Target.Both(left, right) -> parenthesised 1 $"{textAt 1 left} & {textAt 2 right}"
        | Target.Either(left, right) when isList left && isItem right -> $"{textAt 2 left},{textAt 2 right}"
        | Target.Either(left, right) -> parenthesised 0 $"{textAt 0 left} | {textAt 1 right}"
        | word -> wordOf word

    /// The canonical text, which `parse` reads back.
    let text (target: Target) : string = textAt 0 target

    /// In words, for people: `late & q,v` is "the later half of each stack's blocks, there q or v".
    let rec describe (target: Target) : string =
        let grouped inner =
            if isItem inner then
                describe inner
            else
                $"({describe inner})"

        let listed inner =
            if isList inner then describe inner else grouped inner

        // A chain of restrictions reads from left to right.
        let first inner =
            match inner with
            | Target.Both _ -> describe inner
            | _ -> listed inner

        match target with
        | Target.All -> "all blocks"
        | Target.Standard -> "the technique's own sites"
        | Target.Stack stack -> $"the {Site.stackName stack}"
        | Target.Layer LayerKind.SelfAttention -> "self-attention"
        | Target.Layer LayerKind.CrossAttention -> "encoder-decoder attention"
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
        | Target.Either(left, right) when isList target -> $"{describe left} or {describe right}"
        | Target.Either(left, right) -> $"{grouped left} or {grouped right}"
        | word -> wordOf word

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
                (List.map fst (words @ synonyms) @ [ "random"; "blocks"; "name"; "not"; "only" ])
                (word.ToLowerInvariant())

        if near.StartsWith("there are", StringComparison.Ordinal) then
            let all = String.concat ", " vocabulary
            userError $"'{word}' is no target: there are {all}."
        else
            userError $"'{word}' is no target: {near}"

    /// Parts joined by a mark, from the left.
    let private joined (mark: char) (join: Target * Target -> Target) (part: Token list -> Target * Token list) =
        let rec more (left: Target, rest: Token list) =
            match rest with
            | Mark found :: rest when found = mark ->
                let right, rest = part rest
                more (join (left, right), rest)
            | _ -> left, rest

        part >> more

    let rec private alternatives (all: Token list) : Target * Token list =
        joined '|' Target.Either restrictions all

    and private restrictions (all: Token list) : Target * Token list = joined '&' Target.Both items all

    and private items (all: Token list) : Target * Token list = joined ',' Target.Either item all

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
                match words @ synonyms |> List.tryFind (fun (known, _) -> known = lower) with
                | Some(_, target) -> target, rest
                | None -> unknown word
        | _ -> expected "a target" all

    /// Reads the text of a target; `UserError` where it is none.
    let parse (text: string) : Target =
        if text.Length > longestText then
            userError $"a placement has {text.Length} characters, the most is {longestText}."

        match tokens text |> alternatives with
        | target, [] -> target
        | _, rest -> expected "its end" rest
