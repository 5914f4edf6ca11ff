namespace Peft.Synthetic

open Peft
open System
open Peft.Synthetic.Wordings

/// Instructions about words, letters and numbers.
module internal WordInstructions =
    let reverse (chance: Chance) =
        let words =
            chance.Sample(chance.Between(2, 5), allWords.Value |> Array.filter (fun word -> not (word.Contains ' ')))

        ask
            chance
            [|
                "Reverse the order of the words: {}"
                "Write these words from last to first: {}"
                "Turn the words around: {}"
            |]
            (String.Join(" ", words)),
        String.Join(" ", Array.rev words)

    let plural (chance: Chance) =
        let noun = chance.Pick nouns.Value

        ask
            chance
            [|
                "What is the plural of {}?"
                "Write the plural: {}"
                "One {}, two"
                "Give the word for more than one {}."
            |]
            noun,
        Inflect.plural noun

    let singular (chance: Chance) =
        let noun = chance.Pick nouns.Value

        ask
            chance
            [|
                "What is the singular of {}?"
                "Write the singular: {}"
                "Many {}, but one"
                "Give the word for only one of the {}."
            |]
            (Inflect.plural noun),
        noun

    let opposite (chance: Chance) =
        let first, second = chance.Pick Lexicon.opposites
        let given, answer = if chance.Odds 0.5 then first, second else second, first

        ask
            chance
            [|
                "What is the opposite of {}?"
                "Give the opposite: {}"
                "Write the word that means the contrary of {}."
            |]
            given,
        answer

    let countWords (chance: Chance) =
        let sentence = text chance
        let words = sentence.Split(' ')
        let kept = chance.Between(2, min 9 words.Length)
        let part = String.Join(" ", words[.. kept - 1]).TrimEnd('.', ',')

        ask
            chance
            [|
                "How many words are there? {}"
                "Count the words: {}"
                "What is the number of words in this text? {}"
            |]
            part,
        Inflect.number kept

    let misspelt (chance: Chance) (word: string) =
        let at = chance.Between(1, word.Length - 2)

        match chance.Below 3 with
        | 0 -> word.Remove(at, 1)
        | 1 -> word.Insert(at, string word[at])
        | _ ->
            word.Substring(0, at)
            + string word[at + 1]
            + string word[at]
            + word.Substring(at + 2)

    let spelling (chance: Chance) =
        let words =
            nouns.Value
            |> Array.filter (fun word -> word.Length >= 5 && not (word.Contains ' '))

        let word = chance.Pick words

        if chance.Odds 0.5 then
            let wrong = misspelt chance word
            let wrong = if wrong = word then word.Remove(1, 1) else wrong

            ask
                chance
                [|
                    "Correct the spelling: {}"
                    "This word is misspelt: {}. Write it correctly."
                    "What is the right spelling of {}?"
                |]
                wrong,
            word
        else
            let wrong = misspelt chance word
            let wrong = if wrong = word then word.Remove(1, 1) else wrong

            let sentence =
                write chance $"The {{colour}} {{thing}} and the {word} are in the {{venue}}."

            ask
                chance
                [|
                    "Correct the misspelt word: {}"
                    "Write the text without the spelling mistake: {}"
                |]
                (sentence.Replace($" {word} ", $" {wrong} ")),
            sentence

    let digits (chance: Chance) =
        let value = chance.Below(chance.Pick [| 20; 100; 1000; 100000 |])

        ask
            chance
            [|
                "Write in digits: {}"
                "Which number is this? {}"
                "Turn the words into digits: {}"
            |]
            (Inflect.number value),
        string value

    let numberWords (chance: Chance) =
        let value = chance.Below(chance.Pick [| 20; 100; 1000 |])

        ask
            chance
            [|
                "Write in words: {}"
                "How do you say {}?"
                "Turn the digits into words: {}"
            |]
            (string value),
        Inflect.number value

    let addition (chance: Chance) =
        let first, second = chance.Between(0, 12), chance.Between(0, 12)

        if chance.Odds 0.5 then
            $"What is {first} plus {second}?", string (first + second)
        else
            let thing = Inflect.plural (chance.Pick Lexicon.things)
            let name = chance.Pick Lexicon.girls

            $"{name} has {Inflect.number (first + 2)} {thing} and gets {Inflect.number (second + 2)} more. How many {thing} does she have now?",
            Inflect.number (first + second + 4)

    let nth (chance: Chance) =
        let words = (bare (text chance)).Replace(",", "").Split ' '

        let place, name =
            chance.Pick [| 0, "first"; 1, "second"; 2, "third"; words.Length - 1, "last" |]

        ask
            chance
            [|
                $"What is the {name} word? {{}}"
                $"Write the {name} word of the text: {{}}"
                $"Which word comes {name}? {{}}"
            |]
            (String.Join(" ", words)),
        words[place]

    let alphabet (chance: Chance) =
        let words =
            chance.Sample(chance.Between(3, 4), allWords.Value)
            |> Array.distinctBy (fun word -> word[0])

        let sorted =
            words |> Array.sortWith (fun left right -> String.CompareOrdinal(left, right))

        ask
            chance
            [|
                "Sort the words by the alphabet: {}"
                "Put these words in alphabetical order: {}"
            |]
            (String.Join(", ", words)),
        String.Join(", ", sorted)

    let joining (chance: Chance) =
        let items =
            chance.Sample(chance.Between(2, 4), allWords.Value)
            |> Array.map Inflect.plural
            |> List.ofArray

        ask
            chance
            [|
                "Write the list with commas and the word and: {}"
                "Join these words to one phrase: {}"
            |]
            (String.Join(" / ", items)),
        Inflect.series items
