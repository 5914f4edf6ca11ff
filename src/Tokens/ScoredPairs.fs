namespace Peft

open System
open System.Collections.Generic

/// SentencePiece's byte-pair encoding: what two neighbours become is the piece that they spell, and the piece of highest
/// score goes first. Microsoft.ML.Tokenizers 2.0.1 takes the right-most of equal scores, SentencePiece the left-most.
[<RequireQualifiedAccess>]
module internal ScoredPairs =
    /// The merges of pieces with scores: ranks are in the order of the scores, equal for equal ones.
    let merges (ids: Dictionary<string, int>) (scores: float[]) : Dictionary<int64, PairMerge> =
        let merges = Dictionary<int64, PairMerge>()
        let byText = ids.GetAlternateLookup<ReadOnlySpan<char>>()
        let ranks = Dictionary<float, int>()

        for score in scores |> Array.distinct |> Array.sortDescending do
            ranks[score] <- ranks.Count

        for pair in ids do
            let text = pair.Key

            let merge =
                {
                    Rank = ranks[scores[pair.Value]]
                    Into = pair.Value
                }

            for place in 1 .. text.Length - 1 do
                let mutable left = 0
                let mutable right = 0

                if
                    byText.TryGetValue(text.AsSpan(0, place), &left)
                    && byText.TryGetValue(text.AsSpan place, &right)
                then
                    merges[BytePairs.key left right] <- merge

        merges
