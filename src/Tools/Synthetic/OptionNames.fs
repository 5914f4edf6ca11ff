namespace Peft.Synthetic

open System
open Peft

/// Names of options that say nothing about what is right: which of them is meant must be read from the row. One to about
/// four pieces long.
module internal OptionNames =
    /// Words that are one piece of the embedded vocabulary, whatever they mean. The labels of the embedded tasks are among
    /// them: a piece that is never written in training cannot be written later. Here they are names without a meaning.
    let pieces: string[] = WordLists.read "vocabulary" "word"

    let private words =
        lazy
            (WordLists.rules "lexicon" @ WordLists.rules "fields"
             |> List.map snd
             |> Array.concat
             |> Array.filter (fun word -> word.Length > 1 && word |> Seq.forall Char.IsAsciiLetter)
             |> Array.distinct)

    let private onsets =
        Rules.words "b br c ch cl d dr f fl g gr h j k kl l m n p pl qu r s sh sl st str t th tr v w y z"

    let private vowels = Rules.words "a e i o u ai ee oa ou ea"

    let private codas =
        [| ""; "" |]
        |> Array.append (Rules.words "b ck d ft g l ld m mp n nd nt p r rk s sk st t x")

    /// A word that no language has: `brindle` would be one, were it not English.
    let private invented (chance: Chance) : string =
        [
            for _ in 1 .. chance.Between(1, 2) -> chance.Pick onsets + chance.Pick vowels + chance.Pick codas
        ]
        |> String.concat ""

    let private styles: (Chance -> string)[] =
        let word (chance: Chance) = chance.Pick words.Value

        [|
            fun chance -> chance.Pick pieces
            fun chance -> chance.Pick pieces
            fun chance -> chance.Pick pieces
            fun chance -> chance.Pick pieces
            fun chance -> chance.Pick pieces
            word
            word
            word >> Inflect.capital
            word >> _.ToUpperInvariant()
            fun chance -> $"{word chance} {word chance}"
            fun chance -> $"{Inflect.capital (word chance)}/{Inflect.capital (word chance)}"
            fun chance -> $"not {word chance}"
            fun chance -> $"{word chance}-{word chance}"
            fun chance -> chance.Pick [| "un"; "non"; "re"; "in" |] + (word chance).ToLowerInvariant()
            invented
            invented
            invented >> Inflect.capital
            fun chance -> string (char (int 'A' + chance.Below 26))
            fun chance -> string (chance.Between(1, 99))
            fun chance -> chance.Pick [| "class"; "type"; "group"; "label" |] + $" {chance.Between(1, 9)}"
        |]

    /// How many options a row has: mostly two to eight, now and then a long list.
    let count (chance: Chance) : int =
        if chance.Odds 0.12 then
            chance.Between(9, 24)
        else
            chance.Between(2, 8)

    // Names of several pieces would fill a row with its list alone.
    let private short = styles[..6]

    /// `count` different names. Mostly of one style, as label sets are; those of a long list are short.
    let draw (chance: Chance) (count: int) : string[] =
        let styles = if count > 8 then short else styles
        let shared = chance.Pick styles
        let isMixed = chance.Odds 0.2

        let rec more (found: string list) =
            if found.Length = count then
                Array.ofList found
            else
                let style = if isMixed then chance.Pick styles else shared
                let name = style chance

                if List.contains name found then
                    more found
                else
                    more (name :: found)

        more []

    /// A word and a word with a prefix before it, as opposite labels often are: `loaded` and `unloaded`.
    let opposed (chance: Chance) : string * string =
        let word = (chance.Pick words.Value).ToLowerInvariant()

        chance.Pick
            [|
                word, "un" + word
                word, "not " + word
                word, "non-" + word
                word, "in" + word
            |]
