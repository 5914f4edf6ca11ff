namespace Peft

open System
open System.Collections
open System.Collections.Generic
open System.Text

/// What one kind of ROUGE gives, from 0 to 1. `F` is the harmonic mean of the other two.
type RougeScore =
    {
        /// The share of the answer that is in the reference, from 0 to 1.
        Precision: float
        /// The share of the reference that was found.
        Recall: float
        /// Their harmonic mean.
        F: float
    }

/// The four kinds: unigrams, bigrams, longest common subsequence, and the same by lines of a summary.
type RougeScores =
    {
        Rouge1: RougeScore
        Rouge2: RougeScore
        RougeL: RougeScore
        RougeLsum: RougeScore
    }

/// ROUGE (Lin 2004) as Google's `rouge_score` computes it.
[<RequireQualifiedAccess>]
module Rouge =
    /// The words that count: runs of a-z and 0-9 after lower-casing. Other letters separate words.
    let private words (text: string) : string[] =
        let spaced =
            text
            |> String.collect (fun character ->
                match character with
                | c when Char.IsAsciiLetterLower c || Char.IsAsciiDigit c -> string c
                | c when Char.IsAsciiLetterUpper c -> string (Char.ToLowerInvariant c)
                // Beside A to Z two characters have an ASCII letter in lower case: the kelvin sign, and I with a dot,
                // which becomes i and a combining dot.
                | '\u212A' -> "k"
                | '\u0130' -> "i "
                | _ -> " ")

        spaced.Split(' ', StringSplitOptions.RemoveEmptyEntries)

    /// What to say of references without any word that counts: equal texts score 0 there, as with `rouge_score`.
    let notice (references: string seq) : string option =
        let isDropped (text: string) =
            Array.isEmpty (words text) && text.EnumerateRunes() |> Seq.exists Rune.IsLetter

        let references = Array.ofSeq references

        match references |> Array.filter isDropped |> Array.length with
        | 0 -> None
        | count ->
            Some
                $"{count:n0} of {references.Length:n0} references have no word in a-z or 0-9. ROUGE counts no other letters (rouge_score drops them), so even equal texts score 0 there: compare losses instead."

    /// The tokens of a text. Words of up to three letters are not stemmed.
    let private tokens (stem: bool) (text: string) : string[] =
        let reduce word =
            if stem && String.length word > 3 then
                Porter.stem word
            else
                word

        words text |> Array.map reduce

    let private zero =
        {
            Precision = 0.0
            Recall = 0.0
            F = 0.0
        }

    let private ofCounts (hits: int) (predicted: int) (actual: int) : RougeScore =
        if hits = 0 then
            zero
        else
            let precision = float hits / float predicted
            let recall = float hits / float actual

            {
                Precision = precision
                Recall = recall
                F = 2.0 * precision * recall / (precision + recall)
            }

    let private counts (items: 'a seq) : Dictionary<'a, int> =
        Dictionary(items |> Seq.countBy id |> Seq.map KeyValuePair)

    let private ofGrams (predicted: 'a[]) (actual: 'a[]) : RougeScore =
        let available = counts predicted

        let hits =
            counts actual
            |> Seq.sumBy (fun gram ->
                match available.TryGetValue gram.Key with
                | true, count -> min count gram.Value
                | false, _ -> 0)

        ofCounts hits predicted.Length actual.Length

    /// The length of the longest common subsequence, in O(n m) time and the memory of the shorter side.
    let private commonLength (left: int[]) (right: int[]) : int =
        let long, short =
            if left.Length < right.Length then
                right, left
            else
                left, right
        // row[j]: the answer for the words of `long` so far and the first j of `short`.
        let row = Array.zeroCreate<int>(short.Length + 1)

        for word in long do
            let mutable diagonal = 0

            for j in 1 .. short.Length do
                let above = row[j]

                row[j] <-
                    if word = short[j - 1] then
                        diagonal + 1
                    else
                        max above row[j - 1]

                diagonal <- above

        row[short.Length]

    /// The places in `reference` of one longest common subsequence with `prediction`. Which one, where there are
    /// several, decides the union below: the walk is rouge_score's, from the ends. It asks of the table only which
    /// neighbour is larger, so one bit for each cell is kept.
    let private commonPlaces (reference: int[]) (prediction: int[]) : int list =
        let row = Array.zeroCreate<int>(prediction.Length + 1)

        let isLeftLarger =
            reference
            |> Array.map (fun word ->
                let bits = BitArray(prediction.Length + 1)
                let mutable diagonal = 0

                for j in 1 .. prediction.Length do
                    let above = row[j]
                    bits[j] <- row[j - 1] > above

                    row[j] <-
                        if word = prediction[j - 1] then
                            diagonal + 1
                        else
                            max above row[j - 1]

                    diagonal <- above

                bits)

        let rec back i j places =
            if i = 0 || j = 0 then
                places
            elif reference[i - 1] = prediction[j - 1] then
                back (i - 1) (j - 1) (i - 1 :: places)
            elif isLeftLarger[i - 1][j] then
                back i (j - 1) places
            else
                back (i - 1) j places

        back reference.Length prediction.Length []

    /// ROUGE-L of summaries: each line of the reference is matched with every line of the prediction, and the union of
    /// the matched words counts, each word at most as often as both sides have it.
    let private ofLines (predicted: int[][]) (actual: int[][]) : RougeScore =
        let left, right = counts (Seq.concat predicted), counts (Seq.concat actual)

        let isTaken word =
            match left.TryGetValue word, right.TryGetValue word with
            | (true, a), (true, b) when a > 0 && b > 0 ->
                left[word] <- a - 1
                right[word] <- b - 1
                true
            | _ -> false

        let matched =
            [
                for line in actual do
                    for place in predicted |> Seq.collect (commonPlaces line) |> Seq.distinct |> Seq.sort do
                        line[place]
            ]

        ofCounts
            (matched |> List.filter isTaken |> List.length)
            (Array.sumBy Array.length predicted)
            (Array.sumBy Array.length actual)

    /// The scores of a prediction against one reference, with Porter's stems of the words or the words themselves.
    /// ROUGE-Lsum takes each line of a text as a sentence. Texts without a word score 0.
    let score (stem: bool) (prediction: string) (reference: string) : RougeScores =
        // Numbers compare faster than strings, and all that counts is which tokens are equal.
        let numbers = Dictionary<string, int>()

        let number token =
            numbers.TryAdd(token, numbers.Count) |> ignore
            numbers[token]

        let lines (text: string) =
            text.Split '\n' |> Array.map (tokens stem >> Array.map number)

        let predictedLines, actualLines = lines prediction, lines reference
        let predicted, actual = Array.concat predictedLines, Array.concat actualLines

        {
            Rouge1 = ofGrams predicted actual
            Rouge2 = ofGrams (Array.pairwise predicted) (Array.pairwise actual)
            RougeL = ofCounts (commonLength predicted actual) predicted.Length actual.Length
            RougeLsum = ofLines predictedLines actualLines
        }

    let private combine (choose: RougeScore list -> RougeScore) (scores: RougeScores list) : RougeScores =
        {
            Rouge1 = scores |> List.map _.Rouge1 |> choose
            Rouge2 = scores |> List.map _.Rouge2 |> choose
            RougeL = scores |> List.map _.RougeL |> choose
            RougeLsum = scores |> List.map _.RougeLsum |> choose
        }

    /// The scores against several references: of each kind the one with the largest F, the first of equals. All 0
    /// where there is no reference.
    let best (stem: bool) (prediction: string) (references: string seq) : RougeScores =
        let choose scores =
            if List.isEmpty scores then
                zero
            else
                scores |> List.maxBy _.F

        references |> Seq.map (score stem prediction) |> List.ofSeq |> combine choose

    /// The mean of each number over a corpus; all 0 where it is empty.
    let mean (scores: RougeScores seq) : RougeScores =
        let choose scores =
            if List.isEmpty scores then
                zero
            else
                {
                    Precision = scores |> List.averageBy _.Precision
                    Recall = scores |> List.averageBy _.Recall
                    F = scores |> List.averageBy _.F
                }

        scores |> List.ofSeq |> combine choose

    /// A kind's F without stemming as a metric.
    let private metric (name: string) (title: string) (isReported: bool) (kind: RougeScores -> RougeScore) : Metric =
        let ofRow (reply: Reply) = score false reply.Text reply.Target

        {
            Name = name
            Title = title
            Suits = List.isEmpty
            Sees = fun _ -> true
            OfRow = fun _ reply -> (kind (ofRow reply)).F
            OfRows = fun _ replies -> (replies |> Array.map ofRow |> mean |> kind).F
            IsMeanOfRows = true
            IsHigherBetter = true
            HasColumn = false
            Figures =
                if isReported then
                    [ MetricFigure.Scores; MetricFigure.LearningCurves ]
                else
                    []
        }

    /// ROUGE-L, the paper's for generated text.
    let longest: Metric = metric "rougeL" "ROUGE-L" true _.RougeL

    let unigrams: Metric = metric "rouge1" "ROUGE-1" false _.Rouge1

    let bigrams: Metric = metric "rouge2" "ROUGE-2" false _.Rouge2
