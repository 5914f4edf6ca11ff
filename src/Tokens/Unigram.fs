namespace Peft

open System
open System.Collections.Generic
open System.Text

/// The most probable pieces of a text (Kudo 2018), found by Viterbi's algorithm with sums in float64 as Hugging Face has
/// them. Microsoft.ML.Tokenizers 2.0.1 sums in float32, so that rounding decides among orders of the same pieces.
[<Sealed>]
type internal Unigram(pieces: (string * float)[], mayStandForText: int -> bool, unknown: int, bytes: int[] option) =
    // The pieces as a trie: (node, character) to node, the root being 0; `ends` has the id of the piece that ends at a node.
    let next = Dictionary<int64, int>()
    let ends = ResizeArray<int> [ -1 ]

    do
        let step (node: int) (character: char) : int =
            let key = (int64 node <<< 16) ||| int64 character

            match next.TryGetValue key with
            | true, child -> child
            | _ ->
                next[key] <- ends.Count
                ends.Add -1
                ends.Count - 1

        pieces
        |> Array.iteri (fun id (text, _) ->
            if text <> "" && mayStandForText id then
                let node = Seq.fold step 0 text

                if ends[node] < 0 then
                    ends[node] <- id)

    let scores = pieces |> Array.map snd

    // SentencePiece's penalty: an unknown character costs 10 more than the rarest piece.
    let unknownScore = Array.min scores - 10.0

    /// A run of unknown characters is one `unknown`, or its bytes.
    let addUnknown (text: string) (from: int) (until: int) (ids: ResizeArray<int>) : unit =
        match bytes with
        | None -> ids.Add unknown
        | Some bytes ->
            for value in Encoding.UTF8.GetBytes(text.Substring(from, until - from)) do
                ids.Add bytes[int value]

    /// Adds the ids of a text.
    member _.Encode(text: string, ids: ResizeArray<int>) : unit =
        let best = Array.create (text.Length + 1) Double.NegativeInfinity
        let cameFrom = Array.zeroCreate<int>(text.Length + 1)
        let arrivedBy = Array.zeroCreate<int>(text.Length + 1)
        best[0] <- 0.0

        // The first of equal paths stays, the shorter last piece being tried later.
        let offer from until id score =
            if score > best[until] then
                best[until] <- score
                cameFrom[until] <- from
                arrivedBy[until] <- id

        let mutable from = 0

        while from < text.Length do
            let character =
                if Char.IsHighSurrogate text[from] && from + 1 < text.Length then
                    2
                else
                    1

            let mutable isKnown = false
            let mutable node = 0
            let mutable at = from

            while at < text.Length
                  && next.TryGetValue((int64 node <<< 16) ||| int64 text[at], &node) do
                at <- at + 1
                let id = ends[node]

                if id >= 0 then
                    offer from at id (best[from] + scores[id])
                    isKnown <- isKnown || at - from = character

            if not isKnown then
                offer from (from + character) unknown (best[from] + unknownScore)

            from <- from + character

        let starts = Stack<int>()
        let mutable until = text.Length

        while until > 0 do
            starts.Push until
            until <- cameFrom[until]

        let mutable from = 0

        while starts.Count > 0 do
            let mutable until = starts.Pop()
            let id = arrivedBy[until]

            if id <> unknown then
                ids.Add id
            else
                while starts.Count > 0 && arrivedBy[starts.Peek()] = unknown do
                    until <- starts.Pop()

                addUnknown text from until ids

            from <- until
