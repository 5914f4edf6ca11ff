namespace Peft

open System
open TorchSharp

/// What may not come next.
[<RequireQualifiedAccess>]
module internal Constraint =
    let private minusInfinity = Single.NegativeInfinity.ToScalar()

    let private penalise (penalty: float) (sequences: int64[][]) (scores: torch.Tensor) =
        let seen =
            torch.tensor(Array.concat sequences, device = scores.device).view(int64 sequences.Length, -1L)

        let found = scores.gather (1L, seen)
        let factor = penalty.ToScalar()

        let changed =
            torch.where (found.lt (0.0.ToScalar()), found.mul factor, found.div factor)

        scores.scatter_ (1L, seen, changed) |> ignore

    /// The tokens that would complete an n-gram which the sequence holds already.
    let repeating (size: int) (sequence: int64[]) : int64 list =
        let stem = size - 1

        if sequence.Length < size then
            []
        else
            let last = Array.skip (sequence.Length - stem) sequence

            [
                for start in 0 .. sequence.Length - size do
                    if Array.sub sequence start stem = last then
                        sequence[start + stem]
            ]

    let private forbid (cells: int64[]) (scores: torch.Tensor) =
        if cells.Length > 0 then
            let index = torch.tensor (cells, device = scores.device)
            scores.view(-1L).index_fill_(0L, index, minusInfinity) |> ignore

    /// The cells of scores that `width` tokens a line make which lead on in the tree. A line that is in none of its
    /// sequences any more has ended, and what it says is not kept: all of its cells.
    let private leading (trie: Trie) (step: int) (width: int64) (line: int) (sequence: int64[]) : int64[] =
        let first = int64 line * width

        match Trie.tryAfter (Array.skip (sequence.Length - step) sequence) trie with
        | Some node when not node.IsEnd -> node.Next |> Array.map ((+) first)
        | _ -> Array.init (int width) (fun token -> first + int64 token)

    let private limit (trie: Trie) (step: int) (sequences: int64[][]) (scores: torch.Tensor) : torch.Tensor =
        let cells =
            sequences |> Array.mapi (leading trie step (scores.size 1)) |> Array.concat

        let index = torch.tensor (cells, device = scores.device)
        let limited = torch.full_like (scores, minusInfinity)

        limited.view(-1L).index_copy_(0L, index, scores.reshape(-1L).index_select(0L, index))
        |> ignore

        limited

    /// Scores [lines, vocabulary] with what may not come next at minus infinity, changed in place where their dtype allows.
    /// `sequences` are what stands already, what each row began with included; `step` counts the tokens generated so far.
    let apply
        (decoding: Decoding)
        (eosIds: int64[])
        (step: int)
        (sequences: int64[][])
        (scores: torch.Tensor)
        : torch.Tensor =
        let scores =
            if decoding.RepetitionPenalty <> 1.0 then
                let wide = scores.``to`` torch.float32
                penalise decoding.RepetitionPenalty sequences wide
                wide
            else
                scores

        if decoding.NoRepeatNgram > 0 then
            let width = scores.size 1

            let cells =
                sequences
                |> Array.mapi (fun line sequence ->
                    [|
                        for token in repeating decoding.NoRepeatNgram sequence -> int64 line * width + token
                    |])

            forbid (Array.concat cells) scores

        if step < decoding.MinNewTokens then
            for id in eosIds do
                scores.narrow(1L, id, 1L).fill_ minusInfinity |> ignore

        match decoding.Among with
        | Some trie -> limit trie step sequences scores
        | None -> scores
