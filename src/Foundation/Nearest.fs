namespace Peft

/// Which of the words there are somebody may have meant.
[<RequireQualifiedAccess>]
module Nearest =
    /// `isWild`: whether `*` is any text and `?` any letter, for nothing.
    let private edits (isWild: bool) (pattern: string) (text: string) : int =
        let next (previous: int array) (letter: char) =
            let skips, fitsAny = isWild && letter = '*', isWild && letter = '?'

            let row =
                Array.create previous.Length (if skips then previous[0] else previous[0] + 1)

            for place in 1 .. text.Length do
                row[place] <-
                    if skips then
                        min previous[place] row[place - 1]
                    elif fitsAny || text[place - 1] = letter then
                        previous[place - 1]
                    else
                        1 + min previous[place] row[place - 1]

            row

        pattern |> Seq.fold next [| 0 .. text.Length |] |> Array.last

    /// The least number of letters to take out and put in to get from one word to the other.
    let distance (left: string) (right: string) : int = edits false left right

    /// The same to a text that fits a pattern, in which `*` is any text and `?` any letter.
    let patternDistance (pattern: string) (text: string) : int = edits true pattern text

    /// Whether the whole text fits the pattern.
    let fits (pattern: string) (text: string) : bool = patternDistance pattern text = 0

    /// At most `count` of the candidates, the nearest first, and only those about as near as the nearest. None has
    /// less than half of its letters in common with the word.
    let among (count: int) (candidates: string list) (word: string) : string list =
        let near =
            candidates
            |> List.distinct
            |> List.map (fun candidate -> candidate, distance word candidate)
            |> List.filter (fun (candidate, far) -> 2 * far <= word.Length + candidate.Length)
            |> List.sortBy snd

        near
        |> List.takeWhile (fun (_, far) -> far <= snd near.Head + 1)
        |> List.truncate count
        |> List.map fst

    /// `a`, `a or b`, `a, b or c`.
    let orList (words: string list) : string =
        match List.rev words with
        | [] -> ""
        | [ only ] -> only
        | last :: earlier -> String.concat ", " (List.rev earlier) + $" or {last}"

    /// `did you mean a or b?`, or all there is where nothing is near.
    let question (candidates: string list) (word: string) : string =
        match among 3 candidates word with
        | [] ->
            let there = String.concat ", " (List.distinct candidates)
            $"there are {there}"
        | near -> $"did you mean {orList near}?"
