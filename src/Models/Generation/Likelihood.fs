namespace Peft

open Peft.Kernels
open TorchSharp

/// How likely a model finds given continuations: rank classification (Brown et al. 2020; Liu et al. 2022).
[<RequireQualifiedAccess>]
module Likelihood =
    /// Ids of labels (`</s>` last) as they are ranked: without `</s>`, so that one of a single piece is as likely as that piece is
    /// at the first step; with it where a label begins another one, which nothing else would tell from it. T-Few counts it
    /// always.
    let sequences (labels: int[][]) : int64[][] =
        let bare = labels |> Array.map (fun ids -> Array.truncate (ids.Length - 1) ids)

        let begins (shorter: int[]) (longer: int[]) =
            shorter.Length < longer.Length && Array.truncate shorter.Length longer = shorter

        let counted =
            if bare |> Array.exists (fun one -> Array.exists (begins one) bare) then
                labels
            else
                bare

        counted |> Array.map (Array.map int64)

    /// The log-probabilities of tokens after what the decoder's lines hold: by token, then by row.
    let private logProbabilities (decoder: IStepDecoder) (linesOfRow: int) (last: int64) (step: int) (tokens: int64[]) =
        use _ = torch.NewDisposeScope()
        let lines = Array.create (decoder.Begin.Length * linesOfRow) last
        // The first step is fed what each row begins with.
        let fed =
            if step = 0 then
                lines |> Array.mapi (fun line _ -> Array.last decoder.Begin[line / linesOfRow])
            else
                lines

        let scores = decoder.Step(fed, step)
        let normalisers = Scores.logSumExp scores
        let index = torch.tensor (tokens, device = scores.device)

        let found =
            scores.index_select(1L, index).``to``(torch.float32).cpu().contiguous().data<float32>().ToArray()

        tokens
        |> Array.mapi (fun place _ ->
            Array.init decoder.Begin.Length (fun row ->
                let line = row * linesOfRow
                float (found[line * tokens.Length + place] - normalisers[line])))

    /// For each row the mean log-probability of the tokens of each sequence, by row, then by sequence; minus infinity for a
    /// sequence without tokens. The decoder stands before its first step, with so many lines a row, and can afterwards begin
    /// there: each beginning that sequences share is one step for all rows together.
    let internal means (decoder: IStepDecoder) (linesOfRow: int) (sequences: int64[][]) : float[][] =
        let rows = decoder.Begin.Length
        let sums = sequences |> Array.map (fun _ -> Array.create rows 0.0)

        let rec walk (trie: Trie) (beginning: int64 list) =
            let tokens, step = trie.Next, beginning.Length

            if tokens.Length > 0 then
                let last = beginning |> List.tryHead |> Option.defaultValue 0L
                let found = logProbabilities decoder linesOfRow last step tokens
                let path = beginning |> List.rev |> Array.ofList

                for place, token in Array.indexed tokens do
                    let passed = Array.append path [| token |]

                    for index, sequence in Array.indexed sequences do
                        if Array.truncate passed.Length sequence = passed then
                            sums[index] <- Array.map2 (+) sums[index] found[place]

                for token in tokens do
                    trie
                    |> Trie.tryNext token
                    |> Option.iter (fun below -> walk below (token :: beginning))

        walk (Trie.ofSequences sequences) []

        Array.init rows (fun row ->
            Array.map2
                (fun (sum: float[]) (sequence: int64[]) ->
                    if sequence.Length = 0 then
                        -infinity
                    else
                        sum[row] / float sequence.Length)
                sums
                sequences)
