namespace Peft.Synthetic

open System
open System.Collections.Generic
open Peft
open Peft.Synthetic.Wordings

/// Instructions about well-formed sentences: which of two it is, which word is wrong, which form fits a gap, whether the
/// words are in order. None judges one sentence of a minimal pair, as the acceptability task does. The pairs come from its
/// constructions with another seed, without any sentence of its rows.
module internal GrammarInstructions =
    // Every sentence of the embedded rows, whichever side of its pair a row shows.
    let private embedded =
        lazy
            (let rows = DataSets.sizes.Train + DataSets.sizes.Validation + DataSets.sizes.Test
             // A row is left out where an earlier one has its sentence: a third more covers them.
             HashSet(
                 Seq.init (rows * 4 / 3) (Acceptability.minimalPair DataSets.seed)
                 |> Seq.collect (fun pair -> [ pair.Good; pair.Bad ])
             ))

    // `Everybody says that I warmed myself.` ends with a sentence that may be a row.
    let private holdsEmbedded (sentence: string) : bool =
        let words = sentence.Split ' '

        seq { for first in 0 .. words.Length - 1 -> String.Join(" ", words[first..]) }
        |> Seq.exists embedded.Value.Contains

    /// A minimal pair with no sentence of the embedded rows.
    let rec pairOf (chance: Chance) : MinimalPair =
        let pair = Acceptability.minimalPair 70_001 (chance.Below 1_000_000_000)

        if holdsEmbedded pair.Good || holdsEmbedded pair.Bad then
            pairOf chance
        else
            pair

    let private wordsOf (sentence: string) = sentence.Split ' '

    let private wordAt (place: int) (sentence: string) = (wordsOf sentence)[place]

    /// Where both sentences have as many words and differ in one: its place.
    let private difference (pair: MinimalPair) : int option =
        let good, bad = wordsOf pair.Good, wordsOf pair.Bad

        if good.Length <> bad.Length then
            None
        else
            match
                [
                    for place in 0 .. good.Length - 1 do
                        if good[place] <> bad[place] then
                            place
                ]
            with
            | [ place ] -> Some place
            | _ -> None

    let rec private substitution (chance: Chance) : MinimalPair * int =
        let pair = pairOf chance

        match difference pair with
        | Some place -> pair, place
        | None -> substitution chance

    let private bareWord (word: string) = word.Trim('.', '?', ',')

    /// Which of two sentences is well formed.
    let better (chance: Chance) =
        let pair = pairOf chance
        let isFirst, wantsGood = chance.Odds 0.5, chance.Odds 0.75
        let first, second = if isFirst then pair.Good, pair.Bad else pair.Bad, pair.Good
        let answerIsFirst = isFirst = wantsGood

        let question =
            chance.Pick(
                if wantsGood then
                    [|
                        "Which sentence is good English?"
                        "Which of the two is well formed?"
                        "Which one is without a mistake?"
                        "Find the sentence that a teacher would accept."
                        "Which sentence would people say?"
                        "Which is right?"
                    |]
                else
                    [|
                        "Which sentence has a mistake?"
                        "Which of the two is not English?"
                        "Find the broken sentence."
                        "Which sentence would nobody say?"
                        "Which is wrong?"
                    |]
            )

        if chance.Odds 0.4 then
            let answer = if answerIsFirst then first else second

            ask chance [| $"{question} OPTIONS: - {{}}"; $"OPTIONS: - {{}} {question}" |] $"{first} - {second}", answer
        else
            let one, two =
                chance.Pick
                    [|
                        "1", "2"
                        "A", "B"
                        "first", "second"
                        "one", "two"
                        "left", "right"
                        "a", "b"
                    |]

            choose chance [| question |] [| one; two |] $"{one}: {first} {two}: {second}",
            (if answerIsFirst then one else two)

    /// The wrong word of a sentence, or that there is none.
    let wrongWord (chance: Chance) =
        let pair, place = substitution chance
        let none = chance.Pick [| "none"; "none"; "no word"; "nothing"; "all is well" |]
        let isBad = chance.Odds 0.6

        let question =
            ask
                chance
                [|
                    "Which word is wrong, if any? If all is well, say {}."
                    "Find the word that does not fit, or say {}."
                    "Name the mistaken word. Without a mistake, write {}."
                    "Is a word wrong here? Write it, or {}."
                |]
                none

        let sentence = if isBad then pair.Bad else pair.Good

        ask chance [| $"{question} {{}}"; $"{{}} {question}" |] sentence,
        (if isBad then bareWord (wordAt place pair.Bad) else none)

    /// The form that fits a gap.
    let form (chance: Chance) =
        let pair, place = substitution chance
        let words = wordsOf pair.Good
        let right, wrong = bareWord words[place], bareWord (wordAt place pair.Bad)
        let gapped = Array.copy words
        gapped[place] <- words[place].Replace(right, "___")

        choose
            chance
            [|
                "Which form fits the gap?"
                "Fill the gap."
                "Which word is right here?"
                "Complete the sentence with one of these."
            |]
            [| right; wrong |]
            (String.Join(" ", gapped)),
        right

    /// A sentence whose words are out of order: two neighbours exchanged, or all of them mixed.
    let private disordered (chance: Chance) (sentence: string) : string =
        let words = (sentence.TrimEnd '.').Split ' '

        if chance.Odds 0.5 then
            let at = chance.Below(words.Length - 1)
            let kept = words[at]
            words[at] <- words[at + 1]
            words[at + 1] <- kept
            String.Join(" ", words) + "."
        else
            String.Join(" ", chance.Shuffle words) + "."

    /// Natural, or with its words out of order.
    let order (chance: Chance) =
        let sentence =
            if chance.Odds 0.5 then
                text chance
            else
                Corpus.event chance (chance.Pick Corpus.worlds)

        let mixed = disordered chance sentence
        let isNatural = chance.Odds 0.5 || mixed = sentence

        let natural, wrong =
            chance.Pick
                [|
                    "natural", "shuffled"
                    "in order", "out of order"
                    "fluent", "jumbled"
                    "normal", "scrambled"
                    "intact", "mixed up"
                    "ordered", "disordered"
                    "tidy", "untidy"
                    "sound", "unsound"
                |]

        choose
            chance
            [|
                "Are the words in their natural order?"
                "How is the order of the words?"
                "Has somebody mixed the words of this sentence?"
                "Would a reader find the order of the words natural?"
            |]
            [| natural; wrong |]
            (if isNatural then sentence else mixed),
        (if isNatural then natural else wrong)

    /// A sentence to write without its mistake; sometimes there is none.
    let correction (chance: Chance) =
        let pair = pairOf chance
        let given = if chance.Odds 0.6 then pair.Bad else pair.Good

        ask
            chance
            [|
                "Correct the sentence: {}"
                "Write it without mistakes: {}"
                "Improve the grammar, if need be. {}"
                "Say it as a teacher would: {}"
            |]
            given,
        pair.Good
