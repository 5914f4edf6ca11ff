namespace Peft

/// Which of the words there are somebody may have meant.
[<RequireQualifiedAccess>]
module Nearest =
    /// The least number of letters to take out and put in to get from one word to the other.
    let distance (left: string) (right: string) : int =
        let next (previous: int array) (letter: char) =
            let row = Array.create previous.Length (previous[0] + 1)

            for place in 1 .. right.Length do
                row[place] <-
                    if right[place - 1] = letter then
                        previous[place - 1]
                    else
                        1 + min previous[place] row[place - 1]

            row

        left |> Seq.fold next [| 0 .. right.Length |] |> Array.last

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
