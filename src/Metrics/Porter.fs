namespace Peft

open System

/// Porter's stemmer (Porter 1980, "An algorithm for suffix stripping") with the departures that NLTK's
/// `PorterStemmer` makes by default, since ROUGE scores are stated with that one. Words are lower case.
[<RequireQualifiedAccess>]
module Porter =
    /// What a rule asks of the stem that is left when its suffix is gone.
    type private Condition = string -> bool

    /// A suffix, what takes its place, and the condition.
    type private Rule = string * string * Condition

    /// Words that the rules would spoil.
    let private irregular =
        dict
            [
                "skies", "sky"
                "sky", "sky"
                "dying", "die"
                "lying", "lie"
                "tying", "tie"
                "news", "news"
                "innings", "inning"
                "inning", "inning"
                "outings", "outing"
                "outing", "outing"
                "cannings", "canning"
                "canning", "canning"
                "howe", "howe"
                "proceed", "proceed"
                "exceed", "exceed"
                "succeed", "succeed"
            ]

    let rec private isConsonant (word: string) (at: int) : bool =
        match word[at] with
        | 'a'
        | 'e'
        | 'i'
        | 'o'
        | 'u' -> false
        // A y is a vowel after a consonant.
        | 'y' -> at = 0 || not (isConsonant word (at - 1))
        | _ -> true

    /// Porter's m: how many times a run of vowels is followed by consonants.
    let private measure (stem: string) : int =
        seq { 1 .. stem.Length - 1 }
        |> Seq.filter (fun at -> isConsonant stem at && not (isConsonant stem (at - 1)))
        |> Seq.length

    let private hasVowel (stem: string) : bool =
        seq { 0 .. stem.Length - 1 } |> Seq.exists (isConsonant stem >> not)

    let private endsInDoubleConsonant (word: string) : bool =
        let last = word.Length - 1
        last >= 1 && word[last] = word[last - 1] && isConsonant word last

    /// Porter's *o: consonant, vowel, consonant, the last none of w, x and y. NLTK adds words like "at".
    let private endsInShortSyllable (word: string) : bool =
        let last = word.Length - 1

        if last = 1 then
            not (isConsonant word 0) && isConsonant word 1
        else
            last >= 2
            && isConsonant word (last - 2)
            && not (isConsonant word (last - 1))
            && isConsonant word last
            && not ("wxy".Contains word[last])

    let private ends (suffix: string) (word: string) : bool =
        word.EndsWith(suffix, StringComparison.Ordinal)

    let private without (suffix: string) (word: string) : string =
        word[.. word.Length - suffix.Length - 1]

    let private always: Condition = fun _ -> true
    let private longerThan (least: int) : Condition = fun stem -> measure stem > least

    /// The first rule whose suffix fits decides: it replaces where its condition holds, and else nothing changes.
    let private apply (rules: Rule list) (word: string) : string =
        match rules |> List.tryFind (fun (suffix, _, _) -> ends suffix word) with
        | Some(suffix, replacement, condition) when condition (without suffix word) -> without suffix word + replacement
        | _ -> word

    let private rulesOf (condition: Condition) (pairs: (string * string) list) : Rule list =
        pairs |> List.map (fun (suffix, replacement) -> suffix, replacement, condition)

    let private pluralRules =
        rulesOf always [ "sses", "ss"; "ies", "i"; "ss", "ss"; "s", "" ]

    /// Plurals. NLTK: "dies" and its like keep the e.
    let private step1a (word: string) : string =
        if word.Length = 4 && ends "ies" word then
            without "s" word
        else
            apply pluralRules word

    /// What is put right after -ed or -ing is gone.
    let private restore (stem: string) : string =
        if ends "at" stem || ends "bl" stem || ends "iz" stem then
            stem + "e"
        elif endsInDoubleConsonant stem then
            if "lsz".Contains stem[stem.Length - 1] then
                stem
            else
                stem[.. stem.Length - 2]
        elif measure stem = 1 && endsInShortSyllable stem then
            stem + "e"
        else
            stem

    /// Past and progressive. NLTK: "died" gives "die", "spied" gives "spi".
    let private step1b (word: string) : string =
        if ends "ied" word then
            without (if word.Length = 4 then "d" else "ed") word
        elif ends "eed" word then
            if measure (without "eed" word) > 0 then
                without "d" word
            else
                word
        else
            [ "ed"; "ing" ]
            |> List.tryFind (fun suffix -> ends suffix word && hasVowel (without suffix word))
            |> Option.map (fun suffix -> restore (without suffix word))
            |> Option.defaultValue word

    /// y becomes i; in NLTK after a consonant that is not the first letter.
    let private step1c (word: string) : string =
        let isChanged stem =
            String.length stem > 1 && isConsonant stem (stem.Length - 1)

        apply [ "y", "i", isChanged ] word

    let private step2Rules: Rule list =
        rulesOf
            (longerThan 0)
            [
                "ational", "ate"
                "tional", "tion"
                "enci", "ence"
                "anci", "ance"
                "izer", "ize"
                "bli", "ble"
                "alli", "al"
                "entli", "ent"
                "eli", "e"
                "ousli", "ous"
                "ization", "ize"
                "ation", "ate"
                "ator", "ate"
                "alism", "al"
                "iveness", "ive"
                "fulness", "ful"
                "ousness", "ous"
                "aliti", "al"
                "iviti", "ive"
                "biliti", "ble"
                "fulli", "ful"
            ]
        // NLTK measures with the l: "geologi" passes by "geol".
        @ [ "logi", "log", (fun stem -> measure (stem + "l") > 0) ]

    let rec private step2 (word: string) : string =
        // NLTK: -alli first becomes -al, and the rules are tried on that.
        if ends "alli" word && measure (without "alli" word) > 0 then
            step2 (without "li" word)
        else
            apply step2Rules word

    let private step3Rules =
        rulesOf
            (longerThan 0)
            [
                "icate", "ic"
                "ative", ""
                "alize", "al"
                "iciti", "ic"
                "ical", "ic"
                "ful", ""
                "ness", ""
            ]

    let private step4Rules: Rule list =
        let plain = List.map (fun suffix -> suffix, "") >> rulesOf (longerThan 1)

        plain
            [
                "al"
                "ance"
                "ence"
                "er"
                "ic"
                "able"
                "ible"
                "ant"
                "ement"
                "ment"
                "ent"
            ]
        @ [
            "ion", "", (fun stem -> measure stem > 1 && (ends "s" stem || ends "t" stem))
        ]
        @ plain [ "ou"; "ism"; "ate"; "iti"; "ous"; "ive"; "ize" ]

    let private step5a (word: string) : string =
        let stem = if ends "e" word then without "e" word else word

        if stem.Length < word.Length then
            match measure stem with
            | 0 -> word
            | 1 when endsInShortSyllable stem -> word
            | _ -> stem
        else
            word

    let private step5b (word: string) : string =
        if ends "ll" word && measure (without "l" word) > 1 then
            without "l" word
        else
            word

    /// The stem of a lower-case word; words of one or two letters are their own.
    let stem (word: string) : string =
        match irregular.TryGetValue word with
        | true, known -> known
        | false, _ when word.Length <= 2 -> word
        | false, _ ->
            word
            |> step1a
            |> step1b
            |> step1c
            |> step2
            |> apply step3Rules
            |> apply step4Rules
            |> step5a
            |> step5b
